"""Settings that change what a program computes: float type, epsilon, image layout.

They start as the file `keras.json` in `keras_home()` says, where there is one; it is read when Keras' part of nacre is
first used. nacre never writes it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_settings: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def settings() -> tuple[Any, ...]:
    """All of them, to look up by what was made under them."""
    return tuple(_settings.values())


def floatx() -> str:
    """The default float dtype, `"float32"` unless `set_floatx` changed it.

    >>> floatx()
    'float32'
    """
    return _settings["floatx"]  # type: ignore[no-any-return]


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


def keras_home() -> str:
    """The folder of settings, data and weights: `$KERAS_HOME`, else `~/.keras` (in /tmp without a home to write to)."""
    home = os.path.expanduser("~")
    return os.path.expanduser(
        os.environ.get("KERAS_HOME") or os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    )


def _read_settings(path: str) -> None:
    """Takes over what the file at `path` says. A file that cannot be read is left out, with a warning.

    Raises ValueError when it says what cannot be: results would silently differ from those of Keras.
    """
    if not os.path.isfile(path):
        return
    import json  # its time is for those alone who have such a file

    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object, got a {type(found).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(f"{path} is ignored: it cannot be read ({error}).", stacklevel=2)
        return
    setters: dict[str, Callable[[Any], None]] = {
        "floatx": set_floatx,
        "epsilon": set_epsilon,
        "image_data_format": set_image_data_format,
    }
    for name in setters.keys() & found.keys():
        try:
            setters[name](found[name])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error} Correct or remove {name!r} there.") from None


engine: list[Callable[[], str]] = [lambda: "nacre"]  # what says the name, the last one; see `install_as_keras`


def backend() -> str:
    """The name of the engine: `"nacre"`, or under the names of Keras the one whose names a program will use."""
    return engine[-1]()


def set_backend(backend: str) -> None:
    """Changes nothing, and says so: nacre is the engine."""
    if backend != "nacre":
        warnings.warn(f"set_backend({backend!r}) has no effect: nacre computes by itself.", stacklevel=2)


def _limit(setting: str, variable: str) -> int | None:
    """A limit that was set, or that of the environment; None for none."""
    if setting in _settings:
        return _settings[setting]  # type: ignore[no-any-return]
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return _positive(int(text), variable)
    except ValueError:
        raise ValueError(f"the environment variable {variable} should be a positive int, got {text!r}") from None


def _positive(value: Any, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
        raise ValueError(f"{name}: expected a positive int or None, got {value!r}")
    return value


def max_epochs() -> int | None:
    """The most epochs of any `fit`, or None: set, or in the environment variable KERAS_MAX_EPOCHS."""
    return _limit("max_epochs", "KERAS_MAX_EPOCHS")


def set_max_epochs(max_epochs: int | None) -> None:
    """Limits the epochs of any `fit`: to try a script out without changing it."""
    _settings["max_epochs"] = _positive(max_epochs, "set_max_epochs")


def max_steps_per_epoch() -> int | None:
    """The most steps of any epoch of `fit`, `evaluate` and `predict`, or None: set, or in KERAS_MAX_STEPS_PER_EPOCH."""
    return _limit("max_steps_per_epoch", "KERAS_MAX_STEPS_PER_EPOCH")


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limits the steps of any epoch: to try a script out without changing it."""
    _settings["max_steps_per_epoch"] = _positive(max_steps_per_epoch, "set_max_steps_per_epoch")


def enable_flash_attention() -> None:
    """Changes nothing: there is one way in which attention is computed here."""


disable_flash_attention = enable_flash_attention


def is_flash_attention_enabled() -> bool | None:
    """None: nobody chooses how attention is computed."""
    return None


def is_nnx_enabled() -> bool:
    """False: Flax's NNX belongs to another engine."""
    return False


_read_settings(os.path.join(keras_home(), "keras.json"))
