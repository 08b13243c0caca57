"""Activations, normalizations and one-hot rows: compositions of elementwise ops, sums and products."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import numpy as np

from nacre.core.config import epsilon as default_epsilon
from nacre.core.config import floatx
from nacre.core.spec import normalize_axes, normalize_axis, standardize_dtype
from nacre.core.tensor import Tensor
from nacre.ops.arithmetic import relu, sigmoid, softplus, tanh
from nacre.ops.attention import dot_product_attention
from nacre.ops.base import pair, public, scalar, value
from nacre.ops.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from nacre.ops.elementwise import (
    Abs,
    Add,
    BroadcastTo,
    Cast,
    Clip,
    Div,
    Eq,
    Erf,
    Expm1,
    Gt,
    Le,
    Max,
    Min,
    Mul,
    Neg,
    Relu,
    Rsqrt,
    Select,
    Sigmoid,
    Softplus,
    Sqrt,
    Square,
    Sub,
    SumTo,
    Tanh,
    cast_to,
    floating,
    same_dtype,
)
from nacre.ops.fused_rows import normalized_rows
from nacre.ops.indexing import as_index
from nacre.ops.movement import axis_back, axis_last, reshaped, slice_axis
from nacre.ops.pooling import average_pool, max_pool
from nacre.ops.probabilities import (
    binary_crossentropy,
    categorical_crossentropy,
    log_softmax,
    softmax,
    sparse_categorical_crossentropy,
)
from nacre.ops.reduction import MaxTo, moments, reduced_shape
from nacre.ops.sorting import counts_in_rows


def _c(number: float, x: Any) -> Any:
    return scalar(number, x.dtype)


@public
def relu6(x: Any) -> Any:
    """x limited to the range from 0 to 6."""
    x = floating(x)
    return Clip()(x, _c(0.0, x), _c(6.0, x))


@public
def silu(x: Any) -> Any:
    """x * sigmoid(x).

    >>> float(silu(0.0))
    0.0
    """
    x = floating(x)
    return Mul()(x, Sigmoid()(x))


@public
def swish(x: Any) -> Any:
    """x * sigmoid(x): `silu` under its other name."""
    return silu(x)


@public
def softsign(x: Any) -> Any:
    """x / (1 + abs(x))."""
    x = floating(x)
    return Div()(x, Add()(Abs()(x), _c(1.0, x)))


@public
def log_sigmoid(x: Any) -> Any:
    """The logarithm of sigmoid(x), exact where that is tiny."""
    return Neg()(Softplus()(Neg()(floating(x))))


@public
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is positive, else negative_slope * x."""
    x = floating(x)
    return Select()(Gt()(x, _c(0.0, x)), x, Mul()(x, _c(float(negative_slope), x)))


@public
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    x = floating(x)
    below = Expm1()(Min()(x, _c(0.0, x)))  # exp of a large x would make the unused side infinite
    return Select()(Gt()(x, _c(0.0, x)), x, below if alpha == 1.0 else Mul()(below, _c(float(alpha), x)))


@public
def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))."""
    x = floating(x)
    below = Mul()(Expm1()(Div()(Min()(x, _c(0.0, x)), _c(float(alpha), x))), _c(float(alpha), x))
    return Add()(Relu()(x), below)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, equation 14


@public
def selu(x: Any) -> Any:
    """The scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    x = floating(x)
    return Mul()(elu(x, _SELU_ALPHA), _c(_SELU_SCALE, x))


@public
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function of x; `approximate` takes it from tanh (Hendrycks and Gimpel 2016)."""
    x = floating(x)
    if approximate:
        inner = Mul()(Mul()(x, Add()(Mul()(Square()(x), _c(0.044715, x)), _c(1.0, x))), _c(math.sqrt(2.0 / math.pi), x))
        return Mul()(Mul()(x, Add()(Tanh()(inner), _c(1.0, x))), _c(0.5, x))
    return Mul()(Mul()(x, Add()(Erf()(Mul()(x, _c(math.sqrt(0.5), x))), _c(1.0, x))), _c(0.5, x))


@public
def hard_sigmoid(x: Any) -> Any:
    """x / 6 + 1 / 2, limited to the range from 0 to 1."""
    x = floating(x)
    shifted = Clip()(Add()(x, _c(3.0, x)), _c(0.0, x), _c(6.0, x))
    return Mul()(shifted, _c(1.0 / 6.0, x))


@public
def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x)."""
    x = floating(x)
    return Mul()(x, hard_sigmoid(x))


@public
def hard_swish(x: Any) -> Any:
    """x * hard_sigmoid(x): `hard_silu` under its other name."""
    return hard_silu(x)


@public
def hard_tanh(x: Any) -> Any:
    """x limited to the range from -1 to 1."""
    x = value(x)
    x = Cast("int32")(x) if x.dtype == "bool" else x
    return Clip()(x, _c(-1, x), _c(1, x))


@public
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where abs(x) is above `threshold`, else 0."""
    x = floating(x)
    return Select()(Gt()(Abs()(x), _c(float(threshold), x)), x, _c(0.0, x))


@public
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by `threshold`, and 0 within it."""
    x = floating(x)
    t = _c(float(threshold), x)
    return Sub()(x, Clip()(x, Neg()(t), t))


@public
def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)."""
    x = floating(x)
    return Sub()(x, Tanh()(x))


@public
def threshold(x: Any, threshold: Any, default_value: Any) -> Any:
    """x where it is above `threshold`, else `default_value`."""
    return Select()(Gt()(*pair(x, threshold)), *pair(x, default_value))


@public
def squareplus(x: Any, b: float = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2: a smooth relu."""
    x = floating(x)
    return Mul()(Add()(x, Sqrt()(Add()(Square()(x), _c(float(b), x)))), _c(0.5, x))


@public
def sparse_plus(x: Any) -> Any:
    """0 up to -1, x from 1, and (x + 1)**2 / 4 between."""
    x = floating(x)
    bow = Mul()(Square()(Add()(x, _c(1.0, x))), _c(0.25, x))
    return Select()(Le()(x, _c(-1.0, x)), _c(0.0, x), Select()(Gt()(_c(1.0, x), x), bow, x))


@public
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, 1 from 1, and (x + 1) / 2 between."""
    x = floating(x)
    return Clip()(Mul()(Add()(x, _c(1.0, x)), _c(0.5, x)), _c(0.0, x), _c(1.0, x))


@public
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The point of the simplex nearest to x along `axis`: like softmax, with exact zeros (Martins and Astudillo
    2016).
    """
    from nacre.ops.reduction import Cumulative
    from nacre.ops.sorting import sort

    x = floating(x)
    at = normalize_axis(axis, len(x.shape), "sparsemax: axis")
    z = axis_last(x, at)
    n = z.shape[-1]
    last = len(z.shape) - 1
    falling = Neg()(sort(Neg()(z), -1))
    running = Cumulative("sum", last)(falling)
    k = Tensor(np.arange(1, n + 1).astype(x.dtype))
    inside = Cast(x.dtype)(Gt()(Add()(Mul()(k, falling), _c(1.0, x)), running))
    rows = reduced_shape(z.shape, (last,))
    count = SumTo(rows)(inside)
    tau = Div()(Sub()(SumTo(rows)(Mul()(falling, inside)), _c(1.0, x)), count)
    return axis_back(Relu()(Sub()(z, tau)), at)


@public
def glu(x: Any, axis: int = -1) -> Any:
    """The first half along `axis` times the sigmoid of the second."""
    x = floating(x)
    at = normalize_axis(axis, len(x.shape), "glu: axis")
    n = x.shape[at]
    if n % 2:
        raise ValueError(f"glu: axis {axis} of shape {x.shape} cannot be halved")
    return Mul()(slice_axis(x, at, 0, n // 2), Sigmoid()(slice_axis(x, at, n // 2, n)))


# --- one-hot --------------------------------------------------------------------------------------------------------


def _class_count(num_classes: Any, name: str) -> int:
    if isinstance(num_classes, bool) or not hasattr(num_classes, "__index__") or num_classes.__index__() < 0:
        raise ValueError(f"{name}: expected num_classes to be an int of at least 0, got {num_classes!r}")
    return int(num_classes.__index__())


@public
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at the place that each int of `x` names on a new axis of `num_classes`, 0 elsewhere; all 0 for one outside.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if sparse:
        raise ValueError("one_hot: there are only dense tensors here")
    n = _class_count(num_classes, "one_hot")
    name = standardize_dtype(dtype, floatx())
    x = value(x)
    index = as_index(x, "one_hot", floats=True)
    rank = len(index.shape) + 1
    at = normalize_axis(axis, rank, "one_hot: axis")
    wide = reshaped(index, (*index.shape[:at], 1, *index.shape[at:]))
    classes = np.arange(n, dtype=index.dtype).reshape(tuple(n if i == at else 1 for i in range(rank)))
    return Cast(name)(Eq()(wide, Tensor(classes)))


@public
def multi_hot(
    inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False, **kwargs: Any
) -> Any:
    """1 at every place that the ints along the last axis of `inputs` name, 0 elsewhere.

    >>> multi_hot([0, 2], 3).tolist()
    [1.0, 0.0, 1.0]
    """
    count = kwargs.pop("num_tokens", num_classes)
    if kwargs:
        raise TypeError(f"multi_hot: unexpected arguments {sorted(kwargs)}")
    if count is None:
        raise ValueError("multi_hot: num_classes must be given")
    index = as_index(inputs, "multi_hot", floats=True)
    over = 1 if len(index.shape) > 1 else 0
    if not index.shape or index.shape[over] == 0:
        raise ValueError(f"multi_hot: expected at least one int in each row, got shape {index.shape}")
    n = _class_count(count, "multi_hot")
    if over and normalize_axis(axis, 3, "multi_hot: axis") == 2 == len(index.shape) and index.shape[0] * n < 1 << 31:
        ones = BroadcastTo(index.shape)(scalar(1, "int32"))
        hits = counts_in_rows(index, ones, n)
        return Cast(standardize_dtype(dtype, floatx()))(Gt()(hits, scalar(0, "int32")))
    rows = one_hot(index, count, axis, dtype, sparse)
    shape = reduced_shape(rows.shape, (over,))
    return reshaped(MaxTo(shape)(rows), tuple(d for i, d in enumerate(rows.shape) if i != over))


# --- normalization --------------------------------------------------------------------------------------------------


@public
def normalize(x: Any, axis: Any = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """`x` over its norm of `order` along `axis`; the norm counts as `epsilon` where it is smaller.

    >>> [round(v, 3) for v in normalize([3.0, 4.0]).tolist()]
    [0.6, 0.8]
    """
    from nacre.ops.linalg import norm

    x = floating(x)
    eps = default_epsilon() if epsilon is None else float(epsilon)
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1. Received: order={order}")
    if order == 2:
        axes = normalize_axes(axis, len(x.shape), "normalize: axis")
        squares = SumTo(reduced_shape(x.shape, axes))(Square()(x))
        return Mul()(x, Rsqrt()(Max()(squares, _c(eps * eps, x))))
    return Div()(x, Max()(norm(x, order, axis, True), _c(eps, x)))


@public
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, where each of them is a vector along `axis`."""
    x, centre, spread = same_dtype(floating(x), mean, variance)
    at = normalize_axis(axis, len(x.shape), "batch_normalization: axis")

    def along(v: Any, what: str) -> Any:
        v = cast_to(v, x.dtype)
        if v.size != x.shape[at] or len(v.shape) != 1:
            if v.shape == tuple(d if i == at else 1 for i, d in enumerate(x.shape)):
                return v
            raise ValueError(
                f"batch_normalization: `{what}` must be a vector of length {x.shape[at]} for x of shape {x.shape} with "
                f"axis={axis}, got {v.shape}"
            )
        return reshaped(v, tuple(x.shape[at] if i == at else 1 for i in range(len(x.shape))))

    factor = Rsqrt()(Add()(along(spread, "variance"), _c(float(epsilon), x)))
    if scale is not None:
        factor = Mul()(factor, along(scale, "scale"))
    # x - mean first: the gradient of the factor is then a sum of small numbers, not a difference of large ones
    y = Mul()(Sub()(x, along(centre, "mean")), factor)
    return y if offset is None else Add()(y, along(offset, "offset"))


def _trailing(axis: Any, x: Any, name: str) -> tuple[int, ...]:
    return normalize_axes(axis, len(x.shape), f"{name}: axis")


def _parameter(v: Any, x: Any, axes: tuple[int, ...], name: str) -> Any:
    """`v` as a value of the dtype of `x`, checked to have the sizes of the normalized axes."""
    v = cast_to(v, x.dtype)
    sizes = tuple(x.shape[a] for a in axes)
    if v.shape != sizes:
        raise ValueError(f"{name}: expected a scale or offset of shape {sizes} for x of shape {x.shape}, got {v.shape}")
    return v


def _over(v: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """`v`, shaped as the normalized axes of `x`, ready to broadcast against it."""
    return reshaped(v, tuple(d if i in axes else 1 for i, d in enumerate(x.shape)))


def _is_tail(axes: tuple[int, ...], x: Any) -> bool:
    """Whether the axes are the last ones of a tensor that the row kernels take."""
    return bool(x.size) and x.dtype == "float32" and axes == tuple(range(len(x.shape) - len(axes), len(x.shape)))


@public
def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    """`x` with mean 0 and variance 1 along `axis`, times gamma, plus beta.

    >>> layer_normalization([[1.0, 3.0]], epsilon=1e-12).tolist()
    [[-1.0, 1.0]]
    """
    if kwargs.pop("rms_scaling", False):
        warnings.warn(
            "You passed `rms_scaling=True`, which is deprecated. This argument incorrectly scales the input by the "
            "variance, not the root mean square. To correctly use RMS Normalization, please use "
            "`keras.ops.rms_normalization` / `keras.ops.nn.rms_normalization` instead.",
            stacklevel=3,
        )
    if kwargs:
        raise TypeError(f"layer_normalization: unexpected arguments {sorted(kwargs)}")
    x = floating(x)
    axes = _trailing(axis, x, "layer_normalization")
    eps = default_epsilon() if epsilon is None else float(epsilon)
    if _is_tail(axes, x):
        scale, offset = (None if p is None else _parameter(p, x, axes, "layer_normalization") for p in (gamma, beta))
        return normalized_rows(x, scale, offset, eps, False, len(axes))
    shape = reduced_shape(x.shape, axes)
    share = 1.0 / max(math.prod(x.shape[a] for a in axes), 1)
    centred = Sub()(x, SumTo(shape, share)(x))
    spread = SumTo(shape, share)(Square()(centred))
    y = Mul()(centred, Rsqrt()(Add()(spread, _c(eps, x))))
    if gamma is not None:
        y = Mul()(y, _over(_parameter(gamma, x, axes, "layer_normalization"), x, axes))
    if beta is not None:
        y = Add()(y, _over(_parameter(beta, x, axes, "layer_normalization"), x, axes))
    return y


@public
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """`x` over the root of its mean square along `axis`, times `scale`."""
    x = floating(x)
    axes = _trailing(axis, x, "rms_normalization")
    eps = default_epsilon() if epsilon is None else float(epsilon)
    if _is_tail(axes, x):
        factor = None if scale is None else _parameter(scale, x, axes, "rms_normalization")
        return normalized_rows(x, factor, None, eps, True, len(axes))
    share = 1.0 / max(math.prod(x.shape[a] for a in axes), 1)
    squares = SumTo(reduced_shape(x.shape, axes), share)(Square()(x))
    y = Mul()(x, Rsqrt()(Add()(squares, _c(eps, x))))
    return y if scale is None else Mul()(y, _over(_parameter(scale, x, axes, "rms_normalization"), x, axes))


__all__ = [
    "average_pool", "batch_normalization", "binary_crossentropy", "categorical_crossentropy", "celu", "conv",
    "conv_transpose",
    "depthwise_conv", "dot_product_attention", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish",
    "hard_tanh", "layer_normalization", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool", "moments", "multi_hot",
    "normalize", "one_hot", "relu", "relu6", "rms_normalization", "selu", "separable_conv", "sigmoid", "silu",
    "soft_shrink",
    "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "sparse_plus", "sparse_sigmoid", "sparsemax",
    "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Keras has further functions here that nacre has in other modules."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("nacre.ops"), name)
