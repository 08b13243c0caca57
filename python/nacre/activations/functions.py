"""The activation functions; each takes a tensor of any shape and gives one of the same shape (`glu` halves an axis)."""

from __future__ import annotations

import types
from typing import Any

from nacre import ops
from nacre.core import registry
from nacre.core.tensor import KerasTensor
from nacre.ops.base import public
from nacre.ops.probabilities import softmax_of


def linear(x: Any) -> Any:
    """`x`."""
    return x


@public
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`x` where it exceeds `threshold`, `negative_slope * (x - threshold)` below, and never more than `max_value`."""
    if not negative_slope and not threshold:
        if max_value is None:
            return ops.relu(x)
        if max_value == 6:
            return ops.relu6(x)
        return ops.clip(x, 0.0, max_value)
    x = ops.convert_to_tensor(x)
    kept = x if not threshold else ops.where(x > threshold, x, ops.zeros_like(x))
    if not threshold:
        out = ops.leaky_relu(x, negative_slope)
    else:
        out = kept + (negative_slope * ops.minimum(x - threshold, 0.0) if negative_slope else 0.0)
    return out if max_value is None else ops.minimum(out, max_value)


relu.title = "ReLU"  # type: ignore[attr-defined]  # in graphs, where `ops.relu` is a `Relu`


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """`max(x, 0) + negative_slope * min(x, 0)`."""
    return ops.leaky_relu(x, negative_slope=negative_slope)


def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`."""
    return ops.relu6(x)


def softmax(x: Any, axis: Any = -1) -> Any:
    """`exp(x) / sum(exp(x))` along `axis`: rows that sum to one."""
    return ops.softmax(x, axis=axis) if isinstance(x, KerasTensor) else softmax_of(x, axis)


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithm of `softmax(x)`, without its rounding."""
    return ops.log_softmax(x, axis=axis)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """`x` for positive x, `alpha * (exp(x) - 1)` below (Clevert et al. 2015)."""
    return ops.elu(x, alpha=alpha)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """`max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))` (Barron 2017)."""
    return ops.celu(x, alpha=alpha)


def selu(x: Any) -> Any:
    """`1.0507 * elu(x, 1.6733)`: keeps mean 0 and variance 1 with `lecun_normal` weights (Klambauer et al. 2017)."""
    return ops.selu(x)


def glu(x: Any, axis: int = -1) -> Any:
    """The first half of `axis` times the sigmoid of the second half."""
    return ops.glu(x, axis=axis)


def gelu(x: Any, approximate: bool = False) -> Any:
    """`x * P(X <= x)` for a standard normal X (Hendrycks & Gimpel 2016); `approximate` uses tanh."""
    return ops.gelu(x, approximate=approximate)


def softplus(x: Any) -> Any:
    """`log(exp(x) + 1)`."""
    return ops.softplus(x)


def softsign(x: Any) -> Any:
    """`x / (abs(x) + 1)`."""
    return ops.softsign(x)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` moved towards zero by `threshold`, zero within it."""
    return ops.soft_shrink(x, threshold=threshold)


def sparse_plus(x: Any) -> Any:
    """0 below -1, `(x + 1)^2 / 4` up to 1, `x` above."""
    return ops.sparse_plus(x)


def silu(x: Any) -> Any:
    """`x * sigmoid(x)`, also called swish."""
    return ops.silu(x)


def squareplus(x: Any, b: float = 4) -> Any:
    """`(x + sqrt(x^2 + b)) / 2`."""
    return ops.squareplus(x, b=b)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(x)


def tanh_shrink(x: Any) -> Any:
    """`x - tanh(x)`."""
    return ops.tanh_shrink(x)


def hard_tanh(x: Any) -> Any:
    """`x` clipped to [-1, 1]."""
    return ops.hard_tanh(x)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` where its absolute value exceeds `threshold`, else 0."""
    return ops.hard_shrink(x, threshold=threshold)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x` where it exceeds `threshold`, else `default_value`."""
    return ops.threshold(x, threshold=threshold, default_value=default_value)


def sigmoid(x: Any) -> Any:
    """`1 / (1 + exp(-x))`."""
    return ops.sigmoid(x)


def sparse_sigmoid(x: Any) -> Any:
    """0 below -1, `(x + 1) / 2` up to 1, 1 above."""
    return ops.sparse_sigmoid(x)


def log_sigmoid(x: Any) -> Any:
    """`log(sigmoid(x))`, without its rounding."""
    return ops.log_sigmoid(x)


def hard_sigmoid(x: Any) -> Any:
    """`x / 6 + 1/2` clipped to [0, 1]."""
    return ops.hard_sigmoid(x)


def hard_silu(x: Any) -> Any:
    """`x * hard_sigmoid(x)`, also called hard swish."""
    return ops.hard_silu(x)


def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (Misra 2019)."""
    return x * ops.tanh(ops.softplus(x))


def exponential(x: Any) -> Any:
    """`exp(x)`."""
    return ops.exp(x)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The point of the probability simplex that is nearest to `x` along `axis` (Martins & Astudillo 2016)."""
    return ops.sparsemax(x, axis=axis)


def get(identifier: Any) -> Any:
    """The activation function that `identifier` means: None (linear), a name, a config dict, or a callable."""
    if identifier is None:
        return linear
    return registry.resolve(identifier, "activations", "activation function")


def serialize(activation: Any) -> Any:
    """The name of a built-in activation, the configuration of any other; the reverse of `deserialize`."""
    config = registry.serialize_keras_object(activation)
    if not isinstance(config, dict) or "config" not in config:
        raise ValueError(
            f"Unknown activation function '{activation}' cannot be serialized due to invalid function name."
        )
    if isinstance(activation, types.FunctionType) and activation.__module__ == __name__:
        return activation.__name__
    return config


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The activation function that a name or configuration describes."""
    return registry.deserialize_keras_object(config, custom_objects, package="activations")
