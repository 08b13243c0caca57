"""Slow, obvious float64 NumPy: what the functions of `ops` mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


# --- elementwise ----------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softplus(x: Array) -> Array:
    return np.log1p(np.exp(x))


def erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[float])(x)


def normal_distribution(x: Array) -> Array:
    return 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu(x: Array, approximate: bool = True) -> Array:
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * normal_distribution(x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x: Array) -> Array:
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def celu(x: Array, alpha: float = 1.0) -> Array:
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(x / 6 + 0.5, 0, 1)


def sparse_plus(x: Array) -> Array:
    return np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))


def sparsemax(x: Array, axis: int = -1) -> Array:
    z = np.moveaxis(x, axis, -1)
    falling = -np.sort(-z, axis=-1)
    k = np.arange(1, z.shape[-1] + 1)
    totals = np.cumsum(falling, axis=-1)
    count = np.sum(1 + k * falling > totals, axis=-1, keepdims=True)
    tau = (np.take_along_axis(totals, count - 1, -1) - 1) / count
    return np.moveaxis(np.maximum(z - tau, 0), -1, axis)


def glu(x: Array, axis: int = -1) -> Array:
    a, b = np.split(x, 2, axis)
    return a * sigmoid(b)


def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    big = float(np.finfo(np.float32).max)
    return np.nan_to_num(
        x, nan=nan, posinf=big if posinf is None else posinf, neginf=-big if neginf is None else neginf
    )


# --- sums -----------------------------------------------------------------------------------------------------------


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def softmax(x: Array, axis: Any = -1) -> Array:
    axis = tuple(axis) if isinstance(axis, list) else axis
    e = np.exp(x - (np.max(x, axis=axis, keepdims=True) if x.size else 0))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: Any = -1) -> Array:
    return x - logsumexp(x, axis, True)


def moments(x: Array, axes: Any, keepdims: bool = False) -> list[Array]:
    axes = tuple(axes)
    return [np.mean(x, axes, keepdims=keepdims), np.var(x, axes, keepdims=keepdims)]


def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    return np.asarray(np.linalg.norm(x if axis is not None or ord is not None else x.ravel(), ord, axis, keepdims))


def one_hot(index: Array, num_classes: int, axis: int = -1) -> Array:
    wide = np.expand_dims(index, axis)
    shape = [1] * wide.ndim
    shape[axis] = num_classes
    return (wide == np.arange(num_classes).reshape(shape)).astype(float)


# --- losses ---------------------------------------------------------------------------------------------------------

_EPSILON = 1e-7


def categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    if from_logits:
        return -np.sum(target * log_softmax(output, axis), axis)
    p = np.clip(output / np.sum(output, axis, keepdims=True), _EPSILON, 1 - _EPSILON)
    return -np.sum(target * np.log(p), axis)


def sparse_categorical_crossentropy(target: Array, output: Array, from_logits: bool = False, axis: int = -1) -> Array:
    if target.ndim == output.ndim:
        target = np.squeeze(target, axis)
    return categorical_crossentropy(one_hot(target.astype(int), output.shape[axis], axis), output, from_logits, axis)


def binary_crossentropy(target: Array, output: Array, from_logits: bool = False) -> Array:
    p = sigmoid(output) if from_logits else np.clip(output, _EPSILON, 1 - _EPSILON)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


# --- normalization --------------------------------------------------------------------------------------------------


def _along(v: Array, rank: int, axis: int) -> Array:
    return v.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def batch_normalization(
    x: Array, mean: Array, variance: Array, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Array:
    y = (x - _along(mean, x.ndim, axis)) / np.sqrt(_along(variance, x.ndim, axis) + epsilon)
    if scale is not None:
        y = y * _along(scale, x.ndim, axis)
    return y if offset is None else y + _along(offset, x.ndim, axis)


def layer_normalization(x: Array, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float = 1e-7) -> Array:
    axes = tuple(a % x.ndim for a in (axis if isinstance(axis, (list, tuple)) else [axis]))
    y = (x - np.mean(x, axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + epsilon)
    shape = [d if i in axes else 1 for i, d in enumerate(x.shape)]
    if gamma is not None:
        y = y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def rms_normalization(x: Array, scale: Any = None, axis: int = -1, epsilon: float = 1e-7) -> Array:
    y = x / np.sqrt(np.mean(x**2, axis, keepdims=True) + epsilon)
    return y if scale is None else y * scale


def normalize(x: Array, axis: int = -1, order: Any = 2, epsilon: float = 1e-7) -> Array:
    return x / np.maximum(np.linalg.norm(x, order, axis, True), epsilon)


# --- windows --------------------------------------------------------------------------------------------------------


def _channels_last(x: Array, data_format: str | None) -> Array:
    return np.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def _channels_back(y: Array, data_format: str | None) -> Array:
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def _per_axis(v: Any, rank: int) -> list[int]:
    return [v] * rank if isinstance(v, int) else list(v)


def windows(n: int, size: int, step: int, gap: int, same: bool) -> list[list[int]]:
    """The positions that each window meets; -1 where it stands over padding."""
    reach = (size - 1) * gap + 1
    if same:
        count = -(-n // step)
        before = max((count - 1) * step + reach - n, 0) // 2
    else:
        count, before = max((n - reach) // step + 1, 0), 0
    places = [[i * step - before + t * gap for t in range(size)] for i in range(count)]
    return [[p if 0 <= p < n else -1 for p in row] for row in places]


def _all_windows(x: Array, size: Any, strides: Any, gaps: Any, padding: str) -> Any:
    """For each output place: its index and, for each tap, the place that it meets (or None)."""
    rank = x.ndim - 2
    axes = [windows(n, k, s, g, padding == "same") for n, k, s, g in zip(x.shape[1:-1], size, strides, gaps)]
    for out in np.ndindex(*(len(a) for a in axes)):
        taps = []
        for tap in np.ndindex(*size):
            place = tuple(axes[a][out[a]][tap[a]] for a in range(rank))
            taps.append((tap, None if -1 in place else place))
        yield out, taps
    return


def _out_shape(x: Array, size: Any, strides: Any, gaps: Any, padding: str) -> list[int]:
    return [len(windows(n, k, s, g, padding == "same")) for n, k, s, g in zip(x.shape[1:-1], size, strides, gaps)]


def conv(
    x: Array, w: Array, strides: Any = 1, padding: str = "valid", data_format: str | None = None, dilation_rate: Any = 1
) -> Array:
    x = _channels_last(x, data_format)
    rank = x.ndim - 2
    size, steps, gaps = w.shape[:rank], _per_axis(strides, rank), _per_axis(dilation_rate, rank)
    inputs, outputs = w.shape[-2:]
    groups = x.shape[-1] // inputs
    y = np.zeros((x.shape[0], *_out_shape(x, size, steps, gaps, padding), outputs))
    each = outputs // groups
    for out, taps in _all_windows(x, size, steps, gaps, padding):
        for tap, place in taps:
            if place is not None:
                for g in range(groups):
                    part = x[(slice(None), *place)][:, g * inputs : (g + 1) * inputs]
                    y[(slice(None), *out)][:, g * each : (g + 1) * each] += part @ w[tap][:, g * each : (g + 1) * each]
    return _channels_back(y, data_format)


def depthwise_conv(x: Array, w: Array, *args: Any, **kwargs: Any) -> Array:
    return conv(x, w.reshape(*w.shape[:-2], 1, -1), *args, **kwargs)


def separable_conv(x: Array, depthwise: Array, pointwise: Array, strides: Any = 1, padding: str = "valid") -> Array:
    return conv(depthwise_conv(x, depthwise, strides, padding), pointwise)


def conv_transpose(
    x: Array,
    w: Array,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Array:
    x = _channels_last(x, data_format)
    rank = x.ndim - 2
    steps, gaps = _per_axis(strides, rank), _per_axis(dilation_rate, rank)
    extra = [None] * rank if output_padding is None else _per_axis(output_padding, rank)
    shape, first = [], []
    for n, k, s, g, e in zip(x.shape[1:-1], w.shape, steps, gaps, extra):
        reach = (k - 1) * g + 1
        full = (n - 1) * s + reach
        if padding == "same":
            shape.append(n * s if e is None else full - 2 * (reach // 2) + e)
            # What the full result has more is cut, in front first; padding counts from the far side of the window.
            padded = shape[-1] - 1 - (n - 1) * s + reach - 1
            cut = max(reach - 1 - math.ceil(padded / 2), 0)
        else:
            shape.append(n * s + max(reach - s, 0) if e is None else full + e)
            cut = 0
        first.append(cut)
    y = np.zeros((x.shape[0], *shape, w.shape[-2]))
    for place in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*w.shape[:rank]):
            to = tuple(p * s + t * g - c for p, s, t, g, c in zip(place, steps, tap, gaps, first))
            if all(0 <= t < n for t, n in zip(to, shape)):
                y[(slice(None), *to)] += x[(slice(None), *place)] @ w[tap].T
    return _channels_back(y, data_format)


def _pool(x: Array, pool_size: Any, strides: Any, padding: str, data_format: str | None, reduce: Any) -> Array:
    x = _channels_last(x, data_format)
    rank = x.ndim - 2
    size = _per_axis(pool_size, rank)
    steps = size if strides is None else _per_axis(strides, rank)
    y = np.zeros((x.shape[0], *_out_shape(x, size, steps, [1] * rank, padding), x.shape[-1]))
    for out, taps in _all_windows(x, size, steps, [1] * rank, padding):
        seen = [x[(slice(None), *place)] for _, place in taps if place is not None]
        y[(slice(None), *out)] = reduce(np.stack(seen), axis=0)
    return _channels_back(y, data_format)


def max_pool(
    x: Array, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    return _pool(x, pool_size, strides, padding, data_format, np.max)


def average_pool(
    x: Array, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Array:
    return _pool(x, pool_size, strides, padding, data_format, np.mean)


# --- positions ------------------------------------------------------------------------------------------------------


def scatter(index: Array, values: Array, shape: Any) -> Array:
    y = np.zeros(shape, values.dtype)
    np.add.at(y, tuple(np.moveaxis(index, -1, 0)), values)
    return y


def scatter_update(x: Array, index: Array, updates: Array, reduction: str | None = None) -> Array:
    y = x.copy()
    at = tuple(np.moveaxis(index, -1, 0))
    if reduction is None:
        y[at] = updates
    else:
        {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}[reduction].at(y, at, updates)
    return y


def slice_part(x: Array, start: Any, shape: Any) -> Array:
    return x[tuple(np.s_[a : a + (n if n != -1 else d - a)] for a, n, d in zip(start, shape, x.shape))]


def slice_update(x: Array, start: Any, updates: Array) -> Array:
    y = x.copy()
    y[tuple(np.s_[a : a + n] for a, n in zip(start, updates.shape))] = updates
    return y


def segment(data: Array, ids: Array, num_segments: int, op: Any, start: float) -> Array:
    y = np.full((num_segments, *data.shape[1:]), start, data.dtype)
    for row, i in zip(data, ids):
        if 0 <= i < num_segments:
            y[i] = op(y[i], row)
    return y


# --- attention ------------------------------------------------------------------------------------------------------


def dot_product_attention(
    q: Array, k: Array, v: Array, bias: Any = None, mask: Any = None, scale: Any = None, is_causal: bool = False
) -> Array:
    heads = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, heads, 2), np.repeat(v, heads, 2)
    logits = np.einsum("btnh,bsnh->bnts", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        logits = np.where(mask, logits, -1e30)
    if is_causal:
        logits = np.where(np.tri(*logits.shape[-2:], dtype=bool), logits, -1e30)
    return np.einsum("bnts,bsnh->btnh", softmax(logits), v)
