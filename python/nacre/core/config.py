"""Settings that change what a program computes: float type, epsilon, image layout."""

from __future__ import annotations

from typing import Any

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_settings: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def floatx() -> str:
    """The default float dtype, `"float32"` unless `set_floatx` changed it.

    >>> floatx()
    'float32'
    """
    return str(_settings["floatx"])


def set_floatx(value: str) -> None:
    """Sets the default float dtype. `float32` is what the kernels compute in; `float64` works on the general kernels.

    Raises ValueError for a name that is no float dtype, or one that nacre cannot compute in.
    """
    if value not in _FLOATS:
        raise ValueError(f"set_floatx: expected one of {list(_FLOATS)}, got {value!r}")
    if value in ("float16", "bfloat16"):
        raise ValueError(f"set_floatx: nacre computes in float32 or float64, not {value!r}. Keep 'float32'.")
    _settings["floatx"] = value


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite (1e-7)."""
    return float(_settings["epsilon"])


def set_epsilon(value: float) -> None:
    """Sets `epsilon()`. Raises ValueError unless it is a positive number."""
    if not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"set_epsilon: expected a positive float, got {value!r}")
    _settings["epsilon"] = float(value)


def image_data_format() -> str:
    """`"channels_last"` or `"channels_first"`: where image layers expect the channels."""
    return str(_settings["image_data_format"])


def set_image_data_format(data_format: str) -> None:
    """Sets the default image layout. Raises ValueError for anything but the two known names."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"set_image_data_format: expected 'channels_last' or 'channels_first', got {data_format!r}")
    _settings["image_data_format"] = data_format


def standardize_data_format(data_format: str | None) -> str:
    """`data_format` checked and lower-cased; the default where it is None."""
    if data_format is None:
        return image_data_format()
    name = str(data_format).lower()
    if name not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format: expected 'channels_last' or 'channels_first', got {data_format!r}")
    return name


def backend() -> str:
    """The name of the engine: always `"nacre"`."""
    return "nacre"
