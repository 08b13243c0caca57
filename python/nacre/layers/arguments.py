"""Arguments that many layers share: checking them, and writing them into configurations."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import activations, constraints, initializers, regularizers
from nacre.core.config import image_data_format
from nacre.core.registry import serialize_keras_object

# What a configuration holds for an attribute, by the end of its name.
_WRITERS = (
    ("activation", activations.serialize),
    ("_initializer", initializers.serialize),
    ("_regularizer", regularizers.serialize),
    ("_constraint", constraints.serialize),
    ("_layer", serialize_keras_object),
)


def config_of(layer: Any, *names: str) -> dict[str, Any]:
    """The named attributes of a layer as a configuration; activations, initializers and the like serialized."""
    config = {}
    for name in names:
        value = getattr(layer, name)
        for ending, write in _WRITERS:
            if name.endswith(ending):
                value = write(value) if value is not None else None
                break
        if isinstance(value, list):
            value = list(value)
        config[name] = value
    return config


def weight_arguments(layer: Any, **arguments: Any) -> None:
    """Sets initializers, regularizers and constraints, given by name, config or object, as attributes of a layer."""
    for name, value in arguments.items():
        if name.endswith("_initializer"):
            value = initializers.get(value)
        elif name.endswith("_regularizer"):
            value = regularizers.get(value)
        elif name.endswith("_constraint"):
            value = constraints.get(value)
        setattr(layer, name, value)


def is_int(value: Any) -> bool:
    """Whether `value` is an integer, and no boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def positive_int(name: str, value: Any, text: str) -> int:
    """`value` as a positive int. Raises ValueError with `text` otherwise."""
    if not is_int(value) or value <= 0:
        raise ValueError(text.format(name=name, value=value))
    return int(value)


def standardize_tuple(value: Any, n: int, name: str, allow_zero: bool = False) -> tuple[int, ...]:
    """`value`, an int or n ints, as n ints. Raises ValueError for another length, or values that are too small."""
    bound = "value >= 0" if allow_zero else "value > 0"
    text = f"The `{name}` argument must be a tuple of {n} integers. Received {name}={value}"
    if is_int(value):
        values = (int(value),) * n
    else:
        try:
            values = tuple(value)
        except TypeError:
            raise ValueError(text) from None
        if len(values) != n:
            raise ValueError(text)
        for v in values:
            if not is_int(v):
                raise ValueError(f"{text}, including element {v} of type {type(v)}")
        values = tuple(int(v) for v in values)
    wrong = {v for v in values if v < (0 if allow_zero else 1)}
    if wrong:
        raise ValueError(f"{text}, including values {wrong} that do not satisfy `{bound}`")
    return values


def standardize_padding(value: Any, allow_causal: bool = False) -> str:
    """`"valid"`, `"same"` or, where allowed, `"causal"`. Raises ValueError for anything else."""
    allowed = {"valid", "same", "causal"} if allow_causal else {"valid", "same"}
    padding = value.lower() if isinstance(value, str) else value
    if padding not in allowed:
        raise ValueError(f"The `padding` argument must be a list/tuple or one of {allowed}. Received: {value}")
    return str(padding)


def standardize_data_format(value: Any) -> str:
    """`"channels_last"` or `"channels_first"`; the global setting for None. Raises ValueError for anything else."""
    name = value.lower() if isinstance(value, str) else value
    if name is None:
        return image_data_format()
    if name not in ("channels_first", "channels_last"):
        raise ValueError(
            f"The `data_format` argument must be one of {{'channels_first', 'channels_last'}}. Received: "
            f"data_format={value}"
        )
    return str(name)


def no_quantization(layer: str, **arguments: Any) -> None:
    """Raises ValueError when one of the arguments for quantized or low-rank layers is given."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"{layer}: `{name}` is not supported, weights are float32 or float64. Received: {name}={value}"
            )


def conv_output_length(length: Any, kernel: int, padding: str, stride: int, dilation: int = 1) -> Any:
    """How many windows fit along an axis; None when its length is not known. May be negative: too short."""
    if length is None:
        return None
    if padding in ("same", "causal"):
        return -(-length // stride)
    return (length - (kernel - 1) * dilation - 1) // stride + 1


def windowed_shape(
    input_shape: Any,
    channels: Any,
    window: Any,
    strides: Any,
    padding: str,
    data_format: str,
    dilation: Any = None,
    what: str = "",
) -> tuple[Any, ...]:
    """The output shape of a convolution or pooling over the spatial axes. Raises ValueError when nothing fits."""
    last = data_format == "channels_last"
    spatial = tuple(input_shape[1:-1] if last else input_shape[2:])
    dilation = dilation if dilation is not None else (1,) * len(window)
    out = tuple(conv_output_length(n, k, padding, s, d) for n, k, s, d in zip(spatial, window, strides, dilation))
    if any(n is not None and n <= 0 for n in out):
        raise ValueError(
            f"Computed output size would be zero or negative. Received `inputs shape={tuple(input_shape)}`, {what}"
            f"`strides={tuple(strides)}`, `padding={padding}`."
        )
    return (input_shape[0], *out, channels) if last else (input_shape[0], channels, *out)
