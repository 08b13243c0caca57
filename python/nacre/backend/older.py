"""Functions of the `keras.backend` of Keras 2, in terms of `keras.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import activations, losses, ops, random
from nacre.backend.renaming import renamed
from nacre.core.autodiff import GradientTape
from nacre.core.config import epsilon, floatx, image_data_format
from nacre.core.errors import tell
from nacre.core.naming import name_scope as name_scope
from nacre.core.variable import Variable

# What differs in the names of arguments alone.
clip = renamed(ops.clip, "x min_value max_value")
equal, not_equal = renamed(ops.equal, "x y"), renamed(ops.not_equal, "x y")
greater, greater_equal = renamed(ops.greater, "x y"), renamed(ops.greater_equal, "x y")
less, less_equal = renamed(ops.less, "x y"), renamed(ops.less_equal, "x y")
maximum, minimum = renamed(ops.maximum, "x y"), renamed(ops.minimum, "x y")
one_hot = renamed(ops.one_hot, "indices")
ones, zeros = renamed(ops.ones, "shape"), renamed(ops.zeros, "shape")
ones_like, zeros_like = renamed(ops.ones_like, "x"), renamed(ops.zeros_like, "x")
reshape, tile = renamed(ops.reshape, "x shape"), renamed(ops.tile, "x n")


def _axes(x: Any) -> int:
    return len(x.shape)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Any:
    """Whole numbers from `start` (or from 0 to it) in steps."""
    return ops.arange(start, stop, step, dtype)


def eye(size: int, dtype: Any = None, name: str | None = None) -> Any:
    """The identity matrix of that many rows."""
    return ops.eye(size, dtype=dtype or floatx())


def stop_gradient(variables: Any) -> Any:
    """The value, or each of a list, as a constant of the gradient."""
    many = isinstance(variables, (list, tuple))
    return [ops.stop_gradient(x) for x in variables] if many else ops.stop_gradient(variables)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1, ignore_class: int | None = None
) -> Any:
    """-log of the probability of each true class; 0 where that is `ignore_class`."""
    return losses.sparse_categorical_crossentropy(target, output, from_logits, ignore_class, axis)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """The product of each sample of `x` with that of `y`, summed over the axes `axes` (one each)."""
    if axes is None:
        axes = (_axes(x) - 1, _axes(y) - 2 if _axes(y) > 2 else 1)
    a, b = (axes, axes) if isinstance(axes, int) else axes
    x = ops.moveaxis(ops.convert_to_tensor(x), a, -1)
    y = ops.moveaxis(ops.convert_to_tensor(y), b, 1)
    rows, columns = "abcdef"[: _axes(x) - 2], "ghijkl"[: _axes(y) - 2]
    out = ops.einsum(f"n{rows}z,nz{columns}->n{rows}{columns}", x, y)
    return ops.expand_dims(out, -1) if _axes(out) == 1 else out


def batch_flatten(x: Any) -> Any:
    """All axes but the first as one."""
    return ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))


def batch_get_value(tensors: Any) -> list[Any]:
    """NumPy arrays of the values."""
    return [np.asarray(x) for x in tensors]


def batch_set_value(tuples: Any) -> None:
    """Assigns to each variable of (variable, value) pairs."""
    for variable, value in tuples:
        variable.assign(value)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """`x + bias`, the bias along the channels."""
    if data_format == "channels_first" and _axes(x) > 2:
        bias = ops.reshape(bias, (1, -1, *[1] * (_axes(x) - 2)))
    return ops.add(x, bias)


def cast_to_floatx(x: Any) -> Any:
    """`x` as floats of the default precision: an array stays a NumPy array."""
    return ops.cast(x, floatx()) if hasattr(x, "numpy") else np.asarray(x, dtype=floatx())


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of the given value (repeated to `shape`)."""
    out = ops.convert_to_tensor(value, dtype=dtype or floatx())
    return out if shape is None else ops.broadcast_to(out, shape)


def conv1d(
    x: Any, kernel: Any, strides: int = 1, padding: str = "valid", data_format: Any = None, dilation_rate: int = 1
) -> Any:
    """Convolution over steps."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """Convolution over pictures."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """What a convolution of these strides would have read from arrays of `output_shape`: its gradient."""
    if (data_format or image_data_format()) == "channels_first":
        shape = [output_shape[i] for i in (0, 2, 3, 1)]
        x = ops.transpose(x, (0, 2, 3, 1))
        return ops.transpose(conv2d_transpose(x, kernel, shape, strides, padding, "channels_last"), (0, 3, 1, 2))
    if tuple(np.ravel(dilation_rate)) not in ((1,), (1, 1)):
        raise ValueError(f"conv2d_transpose: expected no dilation, got {dilation_rate}")
    steps, wanted, same = tuple(strides), [int(n) for n in output_shape[1:3]], padding.lower() == "same"
    if same and wanted == [n * s for n, s in zip(x.shape[1:3], steps, strict=True)]:
        return ops.conv_transpose(x, kernel, steps, "same", data_format="channels_last")
    whole = ops.conv_transpose(x, kernel, steps, "valid", data_format="channels_last")
    for axis, (n, s, k, out) in enumerate(zip(x.shape[1:3], steps, kernel.shape[:2], wanted, strict=True), 1):
        first = max((n - 1) * s + k - out, 0) // 2 if same else 0
        more = [(0, 0)] * 4
        more[axis] = (0, max(first + out - whole.shape[axis], 0))
        whole = ops.pad(whole, more)
        whole = whole[:, first : first + out] if axis == 1 else whole[:, :, first : first + out]
    return whole


conv3d = renamed(ops.conv, "x kernel strides")
depthwise_conv2d = renamed(ops.depthwise_conv, "x depthwise_kernel strides")
separable_conv2d = renamed(ops.separable_conv, "x depthwise_kernel pointwise_kernel strides")


def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest"
) -> Any:
    """Pictures enlarged by whole factors."""
    height, width = x.shape[2:] if data_format == "channels_first" else x.shape[1:3]
    size = (height * height_factor, width * width_factor)
    return ops.image.resize(x, size, interpolation, data_format=data_format)


def rnn(
    step_function: Callable[..., Any],
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: Any = None,
    constants: Any = None,
    unroll: bool = False,
    input_length: Any = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """`step_function(x, states) -> (output, states)` step by step: the last output, all of them, the last states.

    Where `mask` (samples, steps) is false, states stay, and so does the output (or it is 0, with
    `zero_output_for_mask`).
    """
    axis = 0 if time_major else 1
    steps = ops.unstack(ops.convert_to_tensor(inputs), axis=axis)
    valid = None if mask is None else ops.unstack(ops.cast(mask, "bool"), axis=axis)
    order = range(len(steps))[::-1] if go_backwards else range(len(steps))
    states, output, outputs = list(initial_states), None, []
    for i in order:
        made, after = step_function(steps[i], states + list(constants or ()))
        if valid is not None:
            keep = valid[i]
            stays = ops.zeros_like(made) if output is None or zero_output_for_mask else output
            made = _where_rows(keep, made, stays)
            after = [_where_rows(keep, new, old) for new, old in zip(after, states, strict=True)]
        output, states = made, list(after)
        outputs.append(output)
    return output, ops.stack(outputs if return_all_outputs else [output], axis=axis), states


def _where_rows(keep: Any, new: Any, old: Any) -> Any:
    return ops.where(ops.reshape(keep, (-1, *[1] * (_axes(new) - 1))), new, old)


def is_sparse(tensor: Any) -> bool:
    """False: there are no sparse tensors."""
    return False


def to_dense(tensor: Any) -> Any:
    """The tensor itself, which is dense."""
    return tensor


def count_params(x: Any) -> int:
    """The number of elements."""
    return int(np.prod(x.shape, dtype=np.int64))


def dot(x: Any, y: Any) -> Any:
    """The product over the last axis of `x` and the last but one of `y`."""
    return ops.dot(x, y)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """`x` with a share `level` of elements set to zero, the rest scaled up."""
    return random.dropout(x, level, noise_shape, seed)


def dtype(x: Any) -> str:
    """The name of the dtype."""
    return str(x.dtype)


def eval(x: Any) -> Any:
    """The value as a NumPy array."""
    return np.asarray(x)


get_value = eval


def set_value(x: Any, value: Any) -> None:
    """Assigns to a variable."""
    x.assign(np.asarray(value, dtype=x.dtype))


def update(x: Any, new_x: Any) -> Any:
    """Assigns to a variable, which is returned."""
    return x.assign(new_x)


def update_add(x: Any, increment: Any) -> Any:
    """Adds to a variable, which is returned."""
    return x.assign_add(increment)


def update_sub(x: Any, decrement: Any) -> Any:
    """Subtracts from a variable, which is returned."""
    return x.assign_sub(decrement)


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    """`x * momentum + value * (1 - momentum)`, assigned to the variable."""
    return x.assign(x * momentum + value * (1 - momentum))


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Variable:
    """A variable with that first value."""
    made = Variable(np.asarray(value), dtype=dtype or floatx(), name=name)
    made.constraint = constraint
    return made


def flatten(x: Any) -> Any:
    """All axes as one."""
    return ops.reshape(x, (-1,))


def foldl(fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """`fn(fn(first, second), third)`... over the first axis."""
    items = list(ops.unstack(elems))
    total = items.pop(0) if initializer is None else initializer
    for item in items:
        total = fn(total, item)
    return total


def foldr(fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """As `foldl`, from the end."""
    items = list(ops.unstack(elems))[::-1]
    total = items.pop(0) if initializer is None else initializer
    for item in items:
        total = fn(total, item)
    return total


def map_fn(fn: Callable[..., Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """`fn` of each part along the first axis, stacked."""
    return ops.stack([fn(item) for item in ops.unstack(elems)])


def gather(reference: Any, indices: Any) -> Any:
    """The rows of `reference` at `indices`."""
    return ops.take(reference, ops.cast(indices, "int32"), axis=0)


def gradients(loss: Any, variables: Any) -> Any:
    """Not possible after the fact; the error says what is."""
    raise NotImplementedError(
        "K.gradients looks back at a graph, which is not kept. Compute inside `with keras.GradientTape() as tape:` and "
        f"ask `tape.gradient(loss, variables)`. ({GradientTape.__name__} works in custom training loops, too.)"
    )


def int_shape(x: Any) -> tuple[Any, ...]:
    """The shape as a tuple."""
    return tuple(x.shape)


def shape(x: Any) -> tuple[Any, ...]:
    """The shape as a tuple."""
    return tuple(ops.shape(x))


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """`x` divided by its Euclidean norm along `axis`."""
    square = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square, 1e-12))


def permute_dimensions(x: Any, pattern: Any) -> Any:
    """`x` with its axes in the order `pattern`."""
    return ops.transpose(x, pattern)


def pool2d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: Any = None,
    pool_mode: str = "max",
) -> Any:
    """The largest or the average number of each window."""
    if pool_mode not in ("max", "avg"):
        raise ValueError(f"pool2d: expected pool_mode 'max' or 'avg', got {pool_mode!r}")
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, data_format)


def pow(x: Any, a: Any) -> Any:
    """`x` to the power of `a`."""
    return ops.power(x, a)


def random_bernoulli(shape: Any, p: float = 0.0, dtype: Any = None, seed: Any = None) -> Any:
    """1 with probability `p`, else 0."""
    return ops.cast(random.uniform(shape, seed=seed) <= p, dtype or floatx())


def random_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of a normal distribution."""
    return random.normal(shape, mean, stddev, dtype, seed)


def random_uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of [minval, maxval)."""
    return random.uniform(shape, minval, maxval, dtype, seed)


def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of a normal distribution within two standard deviations."""
    return random.truncated_normal(shape, mean, stddev, dtype, seed)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element `rep` times along `axis`."""
    return ops.repeat(x, rep, axis=axis)


def reverse(x: Any, axes: Any) -> Any:
    """`x` the other way round along `axes`."""
    return ops.flip(x, axes)


def spatial_2d_padding(x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around pictures."""
    sides = [tuple(p) for p in padding]
    around = [(0, 0), (0, 0), *sides] if data_format == "channels_first" else [(0, 0), *sides, (0, 0)]
    return ops.pad(x, around)


def temporal_padding(x: Any, padding: Any = (1, 1)) -> Any:
    """Zeros before and after the steps."""
    return ops.pad(x, [(0, 0), tuple(padding), (0, 0)])


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """One or the other, element by element; functions are called."""
    a = then_expression() if callable(then_expression) else then_expression
    b = else_expression() if callable(else_expression) else else_expression
    return ops.where(condition, a, b)


def argmax(x: Any, axis: int | None = -1) -> Any:
    """The places of the largest values along `axis`."""
    return ops.argmax(x, axis)


def argmin(x: Any, axis: int | None = -1) -> Any:
    """The places of the smallest values along `axis`."""
    return ops.argmin(x, axis)


def concatenate(tensors: Any, axis: int = -1) -> Any:
    """The tensors one after another along `axis`."""
    return ops.concatenate(tensors, axis)


def cumsum(x: Any, axis: int = 0) -> Any:
    """The sums up to each element along `axis`."""
    return ops.cumsum(x, axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    """The products up to each element along `axis`."""
    return ops.cumprod(x, axis)


def expand_dims(x: Any, axis: int = -1) -> Any:
    """With an axis of size 1 at `axis`."""
    return ops.expand_dims(x, axis)


def repeat(x: Any, n: int) -> Any:
    """`x` (samples, size) as n equal steps (samples, n, size)."""
    if len(x.shape) != 2:
        raise ValueError(f"repeat: expected x with 2 axes, (samples, size), got shape {tuple(x.shape)}")
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether each target is among the k classes with the largest predictions."""
    return ops.in_top_k(targets, predictions, k)


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """`x` less `mean`, over the deviation, times `gamma`, plus `beta`."""
    return ops.batch_normalization(x, mean, var, axis, beta, gamma, epsilon)


def hard_sigmoid(x: Any) -> Any:
    """0.2 x + 0.5 between 0 and 1: the slope that Keras 2 had."""
    return ops.clip(0.2 * ops.convert_to_tensor(x) + 0.5, 0.0, 1.0)


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`x` from `threshold` on, `alpha * (x - threshold)` below it, and no more than `max_value`."""
    return activations.relu(x, alpha, max_value, threshold)


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """The CTC loss (B, 1) of labels (B, L) and probabilities (B, T, C), whose last class is blank; lengths (B, 1)."""
    classes = y_pred.shape[-1]
    lengths = (ops.cast(ops.squeeze(n, -1), "int32") for n in (label_length, input_length))
    steps = ops.log(y_pred + epsilon())
    return ops.expand_dims(ops.ctc_loss(ops.cast(y_true, "int32"), steps, *lengths, mask_index=classes - 1), 1)


def ctc_decode(
    y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[Any], Any]:
    """The likeliest labels of probabilities (B, T, C), whose last class is the blank: for each path (B, T) ended by -1;
    and their scores."""
    labels, scores = ops.ctc_decode(
        ops.log(ops.convert_to_tensor(y_pred) + epsilon()),
        ops.cast(input_length, "int32"),
        "greedy" if greedy else "beam_search",
        beam_width,
        1 if greedy else top_paths,
        mask_index=y_pred.shape[-1] - 1,
    )
    return list(ops.unstack(labels)), scores


tell(globals())
