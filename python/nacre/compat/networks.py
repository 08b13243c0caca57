"""What TensorFlow has of networks and their mathematics: `tf.math`, `tf.nn`, `tf.linalg`, and the reductions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nacre
from nacre import ops
from nacre import random as _random
from nacre.compat import candidates as _candidates
from nacre.compat import forms as _forms
from nacre.compat import sounds as _sounds
from nacre.compat import special as _special
from nacre.compat.machinery import module as _module
from nacre.compat.ragged import Ragged, reduce_rows
from nacre.compat.sparse import SparseTensor
from nacre.core.room import check_room
from nacre.core.tensor import Symbol, Tensor

abs = _sounds.of_complex(np.abs, ops.abs)


def add_n(inputs: Any, name: str | None = None) -> Any:
    """The sum of several tensors."""
    if not len(inputs):
        raise ValueError("add_n: expected at least one tensor")
    total = inputs[0]
    for x in inputs[1:]:
        total = ops.add(total, x)
    return ops.convert_to_tensor(total)


def global_norm(t_list: Any, name: str | None = None) -> Any:
    """The norm of all tensors together."""
    return ops.sqrt(add_n([ops.sum(ops.square(t)) for t in t_list if t is not None]))


def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = False, name: Any = None) -> Any:
    """The norm along `axis`; that of all numbers by default."""
    if axis is None and ord != "euclidean":
        x = ops.convert_to_tensor(tensor)
        found = ops.norm(ops.reshape(x, (-1,)), ord)
        return ops.reshape(found, (1,) * x.ndim) if keepdims else found
    return ops.norm(tensor, None if ord == "euclidean" else ord, axis, keepdims)


def _reduction(name: str) -> Callable[..., Any]:
    function = getattr(ops, name)

    def reduce(input_tensor: Any, axis: Any = None, keepdims: Any = False, name: str | None = None) -> Any:
        if isinstance(input_tensor, Ragged):
            return reduce_rows(function, input_tensor, axis, bool(keepdims))
        return function(input_tensor, axis=axis, keepdims=keepdims)

    return reduce


reduce_sum, reduce_mean, reduce_max, reduce_min = (_reduction(n) for n in ("sum", "mean", "max", "min"))
reduce_prod, reduce_any, reduce_all = (_reduction(n) for n in ("prod", "any", "all"))
reduce_logsumexp = _reduction("logsumexp")


_MATH = "sigmoid softplus softsign softmax log_softmax tan tanh bincount"
_ARCS = {f"a{name}": getattr(ops, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}


def _no_nan(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(x, y)`, 0 where `x` is 0."""

    def call(x: Any, y: Any, name: str | None = None) -> Any:
        nothing = ops.equal(x, 0)
        return ops.where(nothing, ops.zeros_like(x), function(x, ops.where(nothing, 1, y)))

    return call


def _polyval(coeffs: Any, x: Any, name: str | None = None) -> Any:
    return functools.reduce(lambda total, c: total * x + c, coeffs, ops.zeros_like(x))


def _top_k(input: Any, k: int = 1, sorted: Any = True, name: str | None = None) -> Any:
    return _TopK(*ops.top_k(input, k, sorted))


class _TopK(NamedTuple):
    values: Any
    indices: Any


def _confusion_matrix(
    labels: Any, predictions: Any, num_classes: int | None = None, weights: Any = None, dtype: Any = "int32",
    name: str | None = None,
) -> Any:  # fmt: skip
    true, predicted = np.asarray(labels).ravel().astype(int), np.asarray(predictions).ravel().astype(int)
    n = int(max(true.max(initial=-1), predicted.max(initial=-1))) + 1 if num_classes is None else int(num_classes)
    if len(true) != len(predicted) or not all(((c >= 0) & (c < n)).all() for c in (true, predicted)):
        raise ValueError(f"confusion_matrix: expected as many labels as predictions, from 0 to {n - 1}")
    check_room((n, n), str(np.dtype(dtype)), "confusion_matrix: a result")
    counts = np.zeros(n * n, str(dtype))
    np.add.at(counts, true * n + predicted, 1 if weights is None else np.ravel(np.asarray(weights)).astype(str(dtype)))
    return Tensor(counts.reshape(n, n))


def _moments(x: Any, axes: Any, shift: Any = None, keepdims: Any = False, name: str | None = None) -> Any:
    return ops.moments(x, axes, keepdims)


def _layout(data_format: str | None) -> str:
    """Where Keras would say that the channels are."""
    if data_format is not None and data_format.upper() not in ("NWC", "NHWC", "NDHWC", "NCW", "NCHW", "NCDHW"):
        raise ValueError(f"data_format: expected 'NHWC', 'NCHW' or the like, got {data_format!r}")
    return "channels_first" if data_format is not None and data_format[1].upper() == "C" else "channels_last"


def _inner(sizes: Any, x: Any, layout: str) -> Any:
    """The sizes along the spatial axes, of those along these or along all axes of `x`."""
    if not isinstance(sizes, (list, tuple)) or len(sizes) != len(ops.shape(x)):
        return int(sizes[0]) if isinstance(sizes, (list, tuple)) and len(sizes) == 1 else sizes
    of, others = (sizes[2:], sizes[:2]) if layout == "channels_first" else (sizes[1:-1], (sizes[0], sizes[-1]))
    if any(n != 1 for n in others):
        raise ValueError(f"expected 1 along the batch and the channels, got {sizes}")
    return tuple(of)


def _convolution(
    input: Any, filters: Any, strides: Any = 1, padding: Any = "VALID", data_format: str | None = None,
    dilations: Any = None, name: str | None = None,
) -> Any:  # fmt: skip
    layout = _layout(data_format)
    strides, rate = (_inner(1 if n is None else n, input, layout) for n in (strides, dilations))
    if not isinstance(padding, str):  # how much stands before and behind, for each axis
        input, padding = ops.pad(ops.convert_to_tensor(input), [tuple(p) for p in padding]), "VALID"
    return ops.conv(input, filters, strides, padding.lower(), layout, rate)


def _pooling(function: Callable[..., Any]) -> Callable[..., Any]:
    def pool(
        input: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None = None, name: str | None = None
    ) -> Any:
        layout = _layout(data_format)
        if not isinstance(padding, str):
            raise ValueError(f"expected padding 'SAME' or 'VALID', got {padding!r}")
        return function(input, _inner(ksize, input, layout), _inner(strides, input, layout), padding.lower(), layout)

    return pool


_max_pool, _avg_pool = _pooling(ops.max_pool), _pooling(ops.average_pool)


def _pool(
    input: Any, window_shape: Any, pooling_type: str, strides: Any = None, padding: str = "VALID",
    data_format: str | None = None, dilations: Any = None, name: str | None = None,
) -> Any:  # fmt: skip
    if pooling_type not in ("MAX", "AVG") or not all(n == 1 for n in np.ravel(1 if dilations is None else dilations)):
        raise ValueError(f"pool: expected 'MAX' or 'AVG' without dilations, got {pooling_type!r}, {dilations}")
    reduce = _max_pool if pooling_type == "MAX" else _avg_pool
    return reduce(input, tuple(window_shape), 1 if strides is None else tuple(strides), padding, data_format)


def _separable(
    input: Any, depthwise_filter: Any, pointwise_filter: Any, strides: Any, padding: str,
    data_format: str | None = None, dilations: Any = None, name: str | None = None,
) -> Any:  # fmt: skip
    layout = _layout(data_format)
    strides, rate = (_inner(1 if n is None else n, input, layout) for n in (strides, dilations))
    return ops.separable_conv(input, depthwise_filter, pointwise_filter, strides, padding.lower(), layout, rate)


def _bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    value, bias = ops.convert_to_tensor(value), ops.convert_to_tensor(bias)
    axis = 1 if _layout(data_format) == "channels_first" else value.ndim - 1
    if bias.ndim != 1 or bias.shape[0] != value.shape[axis]:
        raise ValueError(f"bias_add: expected ({value.shape[axis]},) for values {value.shape}, got {bias.shape}")
    return ops.add(value, ops.reshape(bias, (-1, *[1] * (value.ndim - 1 - axis))))


def _embedding_lookup(params: Any, ids: Any, max_norm: Any = None, name: str | None = None) -> Any:
    if isinstance(params, (list, tuple)):
        if len(params) != 1:
            raise ValueError(f"embedding_lookup: expected one table, got {len(params)} parts of one")
        params = params[0]
    found = ops.take(params, ids, axis=0)
    if max_norm is None:
        return found
    length = ops.sqrt(ops.sum(ops.square(found), axis=-1, keepdims=True))
    return ops.multiply(found, max_norm / ops.maximum(length, max_norm))


def _invert_permutation(x: Any, name: str | None = None) -> Any:
    if not isinstance(x, Symbol) and (np.sort(np.asarray(x)) != np.arange(np.size(x))).any():
        raise ValueError(f"invert_permutation: expected each of the numbers from 0 to {np.size(x) - 1} once, got {x}")
    return ops.cast(ops.argsort(x), "int32")


def _max_pool_with_argmax(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC", output_dtype: Any = "int64",
    include_batch_in_index: bool = False, name: str | None = None,
) -> Any:  # fmt: skip
    """The maxima of windows, and where they stand: `(y * W + x) * C + c`."""
    x = ops.convert_to_tensor(input)
    n, height, width, channels = ops.shape(x)
    windows, steps = (
        (int(v),) * 2 if np.ndim(v) == 0 else tuple(int(i) for i in (v[1:3] if len(v) == 4 else v))
        for v in (ksize, strides)
    )
    outs, before = [], []
    for size, window, step in zip((height, width), windows, steps):
        same = padding.upper() == "SAME"
        outs.append(-(-size // step) if same else (size - window) // step + 1)
        before.append(max((outs[-1] - 1) * step + window - size, 0) // 2 if same else 0)
    behind = [max((o - 1) * s + w - n - b, 0) for o, s, w, n, b in zip(outs, steps, windows, (height, width), before)]
    edges = ((0, 0), *zip(before, behind), (0, 0))
    wide = ops.pad(x, edges, constant_values=float("-inf")) if any(map(any, edges)) else x
    parts = [
        wide[:, i : i + (outs[0] - 1) * steps[0] + 1 : steps[0], j : j + (outs[1] - 1) * steps[1] + 1 : steps[1]]
        for i in range(windows[0])
        for j in range(windows[1])
    ]
    stacked = ops.stack(parts, -1)
    tap = ops.cast(ops.argmax(stacked, -1), "int64")
    y = ops.reshape(ops.arange(outs[0], dtype="int64") * steps[0] - before[0], (1, -1, 1, 1)) + tap // windows[1]
    across = ops.reshape(ops.arange(outs[1], dtype="int64") * steps[1] - before[1], (1, 1, -1, 1)) + tap % windows[1]
    place = (y * width + across) * channels + ops.arange(channels, dtype="int64")
    if include_batch_in_index:
        place = place + ops.reshape(ops.arange(n, dtype="int64"), (-1, 1, 1, 1)) * (height * width * channels)
    return _Pooled(ops.max(stacked, -1), ops.cast(place, output_dtype))


class _Pooled(NamedTuple):
    output: Any
    argmax: Any


def _ctc_decoder(strategy: str) -> Callable[..., Any]:
    """The labels of (steps, batch, classes), as sparse tensors, of which the last class is blank by default."""

    def decode(
        inputs: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1, merge_repeated: bool = True,
        blank_index: int | None = None,
    ) -> Any:  # fmt: skip
        scores = ops.swapaxes(inputs, 0, 1)
        classes = scores.shape[-1]
        blank = classes - 1 if blank_index is None else blank_index % classes
        paths, told = ops.ctc_decode(
            scores, sequence_length, strategy, beam_width=beam_width, top_paths=top_paths,
            merge_repeated=merge_repeated, mask_index=blank,
        )  # fmt: skip
        found = []
        for path in np.asarray(paths):
            places = np.stack(np.nonzero(path >= 0), -1).astype(np.int64)
            shape = [len(path), int((path >= 0).sum(1).max(initial=0))]
            found.append(SparseTensor(*map(Tensor, (places, path[path >= 0].astype(np.int64), np.array(shape)))))
        return found, told

    return decode


_greedy, _beams = _ctc_decoder("greedy"), _ctc_decoder("beam_search")


def _weighted_moments(
    x: Any, axes: Any, frequency_weights: Any, keepdims: bool = False, name: str | None = None
) -> Any:
    x, axes = ops.convert_to_tensor(x), tuple(axes) if isinstance(axes, (list, tuple)) else axes
    weights = ops.broadcast_to(ops.cast(frequency_weights, x.dtype), ops.shape(x))
    total = ops.sum(weights, axes, True)
    mean = ops.sum(x * weights, axes, True) / total
    variance = ops.sum(ops.square(x - mean) * weights, axes, True) / total
    return (mean, variance) if keepdims else (ops.squeeze(mean, axes), ops.squeeze(variance, axes))


def _log_poisson_loss(targets: Any, log_input: Any, compute_full_loss: bool = False, name: str | None = None) -> Any:
    loss = ops.exp(log_input) - ops.multiply(log_input, targets)
    if not compute_full_loss:
        return loss
    z = ops.maximum(targets, 1)
    rest = targets * ops.log(z) - targets + 0.5 * ops.log(2 * np.pi * z)
    return loss + ops.where(ops.logical_and(ops.greater_equal(targets, 0), ops.less_equal(targets, 1)), 0.0, rest)


def _zero_fraction(value: Any, name: str | None = None) -> Any:
    return ops.mean(ops.cast(ops.equal(value, 0), "float32"))


def _ctc_loss(
    labels: Any, logits: Any, label_length: Any, logit_length: Any, logits_time_major: bool = True, unique: Any = None,
    blank_index: int | None = None, name: str | None = None,
) -> Any:  # fmt: skip
    logits = ops.swapaxes(logits, 0, 1) if logits_time_major else ops.convert_to_tensor(logits)
    return ops.ctc_loss(labels, logits, label_length, logit_length, (blank_index or 0) % logits.shape[-1])


def _local_response_normalization(
    input: Any, depth_radius: int = 5, bias: float = 1, alpha: float = 1, beta: float = 0.5, name: str | None = None
) -> Any:
    x = ops.convert_to_tensor(input)
    wide = ops.pad(ops.square(x), ((0, 0),) * (x.ndim - 1) + ((depth_radius, depth_radius),))
    near = add_n([wide[..., i : i + x.shape[-1]] for i in range(2 * depth_radius + 1)])
    return x / (bias + alpha * near) ** beta


_NN = "relu relu6 sigmoid softmax log_softmax softplus softsign silu elu selu tanh"
math = _module(
    "math",
    reduce_sum=reduce_sum,
    reduce_mean=reduce_mean,
    reduce_max=reduce_max,
    reduce_min=reduce_min,
    reduce_prod=reduce_prod,
    reduce_any=reduce_any,
    reduce_all=reduce_all,
    reduce_logsumexp=reduce_logsumexp,
    reduce_std=_reduction("std"),
    reduce_variance=_reduction("var"),
    pow=_forms.RENAMED["power"],
    real=_sounds.of_complex(np.real, ops.convert_to_tensor),
    imag=_sounds.of_complex(np.imag, ops.imag),
    floormod=_forms.RENAMED["mod"],
    floordiv=_forms.RENAMED["floor_divide"],
    log_sigmoid=ops.log_sigmoid,
    top_k=_top_k,
    add_n=add_n,
    in_top_k=lambda targets, predictions, k, name=None: ops.in_top_k(targets, predictions, k),
    confusion_matrix=_confusion_matrix,
    l2_normalize=nacre.backend.l2_normalize,
    count_nonzero=lambda input, axis=None, keepdims=None, dtype="int64", name=None: ops.sum(
        ops.cast(ops.not_equal(input, 0), dtype), axis, keepdims or False
    ),
    erfinv=ops.erfinv,
    erfc=lambda x, name=None: 1.0 - ops.erf(x),
    rint=ops.round,
    atan2=lambda y, x, name=None: ops.arctan2(y, x),
    truediv=_forms.RENAMED["divide"],
    scalar_mul=_forms.FORMS["scalar_mul"],
    polyval=_polyval,
    reduce_euclidean_norm=lambda input_tensor, axis=None, keepdims=False, name=None: ops.sqrt(
        ops.sum(ops.square(input_tensor), axis, keepdims)
    ),
    xlogy=_no_nan(lambda x, y: x * ops.log(y)),
    xlog1py=_no_nan(lambda x, y: x * ops.log1p(y)),
    xdivy=_no_nan(ops.divide),
    multiply_no_nan=lambda x, y, name=None: _no_nan(ops.multiply)(y, x),
    reciprocal_no_nan=lambda x, name=None: ops.divide_no_nan(ops.ones_like(x), x),
    invert_permutation=_invert_permutation,
    **_ARCS,
    zero_fraction=_zero_fraction,
    divide_no_nan=lambda x, y, name=None: ops.divide_no_nan(x, y),
    squared_difference=lambda x, y, name=None: ops.square(ops.subtract(x, y)),
    is_nan=ops.isnan,
    is_finite=ops.isfinite,
    is_inf=ops.isinf,
    **{name: getattr(ops, name) for name in _MATH.split()},
    **{**_forms.RENAMED, "abs": abs},
    **_forms.SEGMENTS,
    **_special.SPECIAL,
    accumulate_n=add_n,
    **{name: getattr(_forms, name) for name in ("argmax", "argmin", "cumsum", "cumprod")},
)
nn = _module(
    "nn",
    **{name: getattr(ops, name) for name in _NN.split()},
    swish=ops.silu,
    gelu=nacre.activations.gelu,  # not the approximation
    l2_normalize=nacre.backend.l2_normalize,
    dropout=lambda x, rate, noise_shape=None, seed=None, name=None: _random.dropout(x, rate, noise_shape, seed),
    softmax_cross_entropy_with_logits=lambda labels, logits, axis=-1, name=None: ops.categorical_crossentropy(
        labels, logits, from_logits=True, axis=axis
    ),
    sparse_softmax_cross_entropy_with_logits=lambda labels, logits, name=None: ops.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    ),
    sigmoid_cross_entropy_with_logits=lambda labels=None, logits=None, name=None: ops.binary_crossentropy(
        labels, logits, from_logits=True
    ),
    weighted_cross_entropy_with_logits=lambda labels, logits, pos_weight, name=None: (
        (1 - labels) * logits + (1 + (pos_weight - 1) * labels) * ops.softplus(-logits)
    ),
    ctc_loss=_ctc_loss,
    zero_fraction=_zero_fraction,
    in_top_k=lambda targets, predictions, k, name=None: ops.in_top_k(targets, predictions, k),
    crelu=lambda features, axis=-1, name=None: ops.relu(ops.concatenate([features, -features], axis)),
    local_response_normalization=_local_response_normalization,
    separable_conv2d=_separable,
    leaky_relu=lambda features, alpha=0.2, name=None: ops.leaky_relu(features, alpha),
    moments=_moments,
    l2_loss=lambda t, name=None: ops.sum(ops.square(t)) / 2.0,
    top_k=_top_k,
    embedding_lookup=_embedding_lookup,
    bias_add=_bias_add,
    conv2d=_convolution,
    conv1d=_convolution,
    conv3d=_convolution,
    convolution=_convolution,
    atrous_conv2d=lambda value, filters, rate, padding, name=None: ops.conv(
        value, filters, 1, padding.lower(), dilation_rate=rate
    ),
    pool=_pool,
    **{f"max_pool{n}d": _max_pool for n in (1, 3)},
    **{f"avg_pool{n}d": _avg_pool for n in (1, 3)},
    lrn=_local_response_normalization,
    **_candidates.LOSSES,
    max_pool_with_argmax=_max_pool_with_argmax,
    ctc_greedy_decoder=lambda inputs, sequence_length, merge_repeated=True, blank_index=None: _greedy(
        inputs, sequence_length, merge_repeated=merge_repeated, blank_index=blank_index
    ),
    ctc_beam_search_decoder=lambda inputs, sequence_length, beam_width=100, top_paths=1: _beams(
        inputs, sequence_length, beam_width, top_paths
    ),
    weighted_moments=_weighted_moments,
    log_poisson_loss=_log_poisson_loss,
    conv2d_transpose=_forms.conv2d_transpose,
    depthwise_conv2d=_forms.depthwise_conv2d,
    batch_normalization=_forms.batch_normalization,
    compute_average_loss=_forms.compute_average_loss,
    scale_regularization_loss=lambda regularization_loss: ops.sum(regularization_loss),
    max_pool2d=_max_pool,
    max_pool=_max_pool,
    avg_pool2d=_avg_pool,
    avg_pool=_avg_pool,
    depth_to_space=lambda input, block_size, data_format="NHWC", name=None: ops.depth_to_space(
        input, block_size, _layout(data_format)
    ),
    space_to_depth=lambda input, block_size, data_format="NHWC", name=None: ops.space_to_depth(
        input, block_size, _layout(data_format)
    ),
)


def _expm(input: Any, name: str | None = None) -> Any:
    """The exponential of square matrices: a series of the matrix made small, squared as often as it was halved."""
    x = ops.convert_to_tensor(input)
    halvings = ops.clip(ops.ceil(ops.log2(ops.max(ops.sum(ops.abs(x), -1)))) + 4.0, 0.0, _MOST_HALVINGS)
    x = x / 2.0**halvings
    out = term = ops.eye(x.shape[-1], dtype=x.dtype) + ops.zeros_like(x)
    for n in range(1, 13):
        term = ops.matmul(term, x) / n
        out = out + term
    for n in range(_MOST_HALVINGS if isinstance(halvings, Symbol) else int(halvings)):
        out = ops.where(n < halvings, ops.matmul(out, out), out)
    return out


_MOST_HALVINGS = 32  # of a matrix whose exponential float32 can still hold there are fewer


def _svd(tensor: Any, full_matrices: bool = False, compute_uv: bool = True, name: str | None = None) -> Any:
    if not compute_uv:
        return ops.svd(tensor, full_matrices, False)
    u, s, v = ops.svd(tensor, full_matrices)
    return s, u, ops.swapaxes(v, -1, -2)


def _triangular_solve(matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None) -> Any:
    matrix = ops.swapaxes(matrix, -1, -2) if adjoint else matrix
    return ops.solve_triangular(matrix, rhs, lower=lower != adjoint)


def _solve(matrix: Any, rhs: Any, adjoint: bool = False, name: str | None = None) -> Any:
    return ops.solve(ops.swapaxes(matrix, -1, -2) if adjoint else matrix, rhs)


def _lstsq(matrix: Any, rhs: Any, l2_regularizer: float = 0.0, fast: bool = True, name: str | None = None) -> Any:
    """The x of least squares; the shortest one where many are as good. `fast` solves the normal equations, which
    matrices of full rank have; otherwise there is no regularizer."""
    if not fast:
        return ops.matmul(ops.pinv(matrix), rhs)
    rows, columns = ops.shape(matrix)[-2:]
    penalty = l2_regularizer * ops.eye(min(rows, columns))
    if rows < columns:
        dual = _solve(_forms.matmul(matrix, matrix, transpose_b=True) + penalty, rhs)
        return _forms.matmul(matrix, dual, transpose_a=True)
    return _solve(
        _forms.matmul(matrix, matrix, transpose_a=True) + penalty, _forms.matmul(matrix, rhs, transpose_a=True)
    )


def _on_diagonals(diagonal: Any, k: int = 0, name: str | None = None) -> Any:
    """Matrices with the last axis on their diagonals; a vector on the `k`-th above that."""
    x = ops.convert_to_tensor(diagonal)
    if x.ndim == 1:
        return ops.diag(x, k)
    if k:
        raise ValueError(f"diag: expected a vector for k={k}, got shape {tuple(x.shape)}")
    return ops.where(ops.eye(x.shape[-1], dtype="bool"), ops.expand_dims(x, -1), ops.zeros((), x.dtype))


def _tensor_diag(diagonal: Any, name: str | None = None) -> Any:
    """A tensor with twice the axes, zeros but where both halves of the places are equal."""
    x = ops.convert_to_tensor(diagonal)
    return ops.reshape(ops.diag(ops.reshape(x, (-1,))), (*x.shape, *x.shape))


def _tensor_diag_part(input: Any, name: str | None = None) -> Any:
    """What stands where both halves of the places are equal."""
    x = ops.convert_to_tensor(input)
    half = x.shape[: x.ndim // 2]
    if x.shape != (*half, *half):
        raise ValueError(f"tensor_diag_part: expected a shape whose halves are equal, got {x.shape}")
    count = int(np.prod(half, dtype=np.int64))
    return ops.reshape(ops.diagonal(ops.reshape(x, (count, count))), half)


def _set_diag(input: Any, diagonal: Any, name: str | None = None) -> Any:
    x, diagonal = ops.convert_to_tensor(input), ops.convert_to_tensor(diagonal)
    rows, columns = x.shape[-2:]
    if diagonal.shape[-1] != min(rows, columns):
        raise ValueError(f"set_diag: expected {min(rows, columns)} numbers for {x.shape}, got {diagonal.shape}")
    along = ops.expand_dims(diagonal, -1 if rows <= columns else -2)
    return ops.where(ops.eye(rows, columns, dtype="bool"), along, x)


def _matvec(a: Any, b: Any, transpose_a: bool = False, name: str | None = None) -> Any:
    return ops.squeeze(_forms.matmul(a, ops.expand_dims(b, -1), transpose_a), -1)


linalg = _module(
    "linalg",
    svd=_svd,
    solve=_solve,
    triangular_solve=_triangular_solve,
    qr=lambda input, full_matrices=False, name=None: ops.qr(input, "complete" if full_matrices else "reduced"),
    eigh=lambda tensor, name=None: ops.eigh(tensor),
    eigvalsh=lambda tensor, name=None: ops.eigh(tensor)[0],
    lstsq=_lstsq,
    pinv=lambda a, rcond=None, validate_args=False, name=None: ops.pinv(a, rcond),
    slogdet=lambda input, name=None: ops.slogdet(input),
    cross=lambda a, b, name=None: ops.cross(a, b),
    tensordot=_forms.RENAMED["tensordot"],
    l2_normalize=nacre.backend.l2_normalize,
    normalize=lambda tensor, ord="euclidean", axis=None, name=None: (
        ops.divide(tensor, norm(tensor, ord, axis, True)),
        norm(tensor, ord, axis, True),
    ),
    matrix_transpose=lambda a, name="", conjugate=False: ops.swapaxes(a, -1, -2),
    adjoint=lambda matrix, name=None: ops.swapaxes(matrix, -1, -2),
    global_norm=global_norm,
    tensor_diag=_tensor_diag,
    tensor_diag_part=_tensor_diag_part,
    matmul=_forms.matmul,
    einsum=ops.einsum,
    matvec=_matvec,
    norm=norm,
    diag=_on_diagonals,
    diag_part=lambda input, k=0, name=None: ops.diagonal(input, k, axis1=-2, axis2=-1),
    det=ops.det,
    logdet=ops.logdet,
    set_diag=_set_diag,
    inv=ops.inv,
    expm=_expm,
    trace=lambda x, name=None: ops.trace(x, axis1=-2, axis2=-1),
    cholesky=ops.cholesky,
    eye=_forms.eye,
    band_part=lambda input, num_lower, num_upper, name=None: (
        ops.tril(input, num_upper if num_upper >= 0 else input.shape[-1])
        if num_lower < 0
        else ops.triu(input if num_upper < 0 else ops.tril(input, num_upper), -num_lower)
    ),
)
