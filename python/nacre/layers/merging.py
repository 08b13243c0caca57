"""Layers that join several inputs: elementwise, side by side, or as a dot product."""

from __future__ import annotations

import math
from typing import Any

from nacre import ops
from nacre.core.tree import is_shape
from nacre.layers.arguments import config_of, is_int
from nacre.layers.layer import Layer


def _joined(a: Any, b: Any) -> tuple[Any, ...]:
    """The shape of an elementwise function of shapes without batch axis. Raises ValueError when they do not fit."""
    if len(a) < len(b):
        a, b = b, a
    out = list(a[: len(a) - len(b)])
    for i, j in zip(a[len(a) - len(b) :], b):
        if i is None or j is None:
            known = j if i is None else i
            out.append(known if known != 1 else None)
        elif i == 1:
            out.append(j)
        elif j == 1 or i == j:
            out.append(i)
        else:
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {tuple(a)} and {tuple(b)}")
    return tuple(out)


class Merge(Layer):
    """Base class of elementwise merging: a list of tensors, broadcast behind the batch axis, becomes one."""

    _EXACTLY: int | None = None
    _CALLED = "merge"  # in messages

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def _check(self, input_shape: Any) -> None:
        if (
            is_shape(input_shape)
            or not isinstance(input_shape, (list, tuple))
            or not all(is_shape(s) for s in input_shape)
        ):
            raise ValueError(
                "A merge layer should be called on a list of inputs. Received: "
                f"input_shape={input_shape} (not a list of shapes)"
            )
        if self._EXACTLY is not None and len(input_shape) != self._EXACTLY:
            raise ValueError(
                f"A `{type(self).__name__}` layer should be called on exactly {self._EXACTLY} inputs. "
                f"Received: input_shape={input_shape}"
            )

    def build(self, input_shape: Any) -> None:
        """Checks that the inputs can be merged."""
        self._check(input_shape)
        batches = {shape[0] for shape in input_shape if shape} - {None}
        if len(batches) > 1 and 1 not in batches:
            raise ValueError(
                f"Cannot merge tensors with different batch sizes. Received tensors with shapes {input_shape}"
            )
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """The merged tensor."""
        return self._merge(_same_rank(self._listed(inputs)))

    def _listed(self, inputs: Any) -> list[Any]:
        """The inputs of a call, which a built layer gets without a look at their shapes."""
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"A {self._CALLED} layer should be called on a list of inputs. Received: inputs={inputs} (not a list "
                "of tensors)"
            )
        if self._EXACTLY is not None and len(inputs) != self._EXACTLY:
            raise ValueError(
                f"A `{type(self).__name__}` layer should be called on exactly {self._EXACTLY} inputs. "
                f"Received {len(inputs)}: inputs={inputs}"
            )
        return list(inputs)

    def _merge(self, inputs: list[Any]) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The broadcast shape."""
        self._check(input_shape)
        shapes = list(input_shape)
        output = tuple(shapes[0][1:])
        for shape in shapes[1:]:
            output = _joined(output, tuple(shape[1:]))
        batches = {shape[0] for shape in shapes if shape} - {None}
        return (batches.pop() if len(batches) == 1 else max(batches) if 1 in batches else None, *output)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Where any of the inputs is valid; None when one of them has no mask."""
        masks = _masks_of(inputs, mask)
        if not masks or any(m is None for m in masks):
            return None
        output = masks[0]
        for m in masks[1:]:
            output = ops.logical_or(output, m)
        return output


def _masks_of(inputs: Any, mask: Any) -> list[Any]:
    """The masks, one per input; an empty list where there is none. Raises ValueError for anything else."""
    if mask is None:
        return []
    for name, value in (("mask", mask), ("inputs", inputs)):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"`{name}` should be a list. Received: {name}={value}")
    if len(mask) != len(inputs):
        raise ValueError(
            f"The lists `inputs` and `mask` should have the same length. Received: inputs={inputs} of length "
            f"{len(inputs)}, and mask={mask} of length {len(mask)}"
        )
    return list(mask)


def _spread(mask: Any, x: Any) -> Any:
    """The mask in the shape of `x`, whose last axes it may lack."""
    if len(mask.shape) == len(x.shape):
        return mask
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return ops.logical_or(mask, ops.zeros_like(x, dtype="bool"))


def _kept(inputs: list[Any]) -> list[Any]:
    """Which entries of each input are valid; None for one without a mask."""
    return [None if (m := getattr(x, "_keras_mask", None)) is None else _spread(m, x) for x in inputs]


def _joined_where_valid(inputs: list[Any], function: Any) -> Any:
    """`function` joins the entries that are not masked; where all are, it is that of the first input."""
    output, *rest = inputs
    before, *masks = _kept(inputs)
    for x, valid in zip(rest, masks):
        if valid is not None:
            x = ops.where(valid, x, output)
        output = function(output if before is None else ops.where(before, output, x), x)
        before = None if before is None or valid is None else ops.logical_or(before, valid)
    return output


def _joined_by(values: Any, function: Any) -> Any:
    output = values[0]
    for x in values[1:]:
        output = function(output, x)
    return output


def _same_rank(inputs: Any) -> list[Any]:
    """Inputs of lower rank get axes of size 1 behind the batch axis."""
    rank = max(len(x.shape) for x in inputs)
    out = []
    for x in inputs:
        missing = rank - len(x.shape)
        if missing and x.shape:
            x = ops.reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:]))
        out.append(x)
    return out


class Add(Merge):
    """The sum of a list of tensors."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _joined_by(inputs, ops.add)


class Subtract(Merge):
    """The first of two tensors minus the second."""

    _EXACTLY = 2

    def _merge(self, inputs: list[Any]) -> Any:
        return ops.subtract(inputs[0], inputs[1])


class Multiply(Merge):
    """The product, element by element, of a list of tensors."""

    def _merge(self, inputs: list[Any]) -> Any:
        kept = _kept(inputs)
        factors = [x if k is None else ops.where(k, x, ops.ones_like(x)) for x, k in zip(inputs, kept)]
        output = _joined_by(factors, ops.multiply)
        if any(k is None for k in kept):
            return output
        return ops.where(_joined_by(kept, ops.logical_or), output, ops.zeros_like(output))


class Average(Merge):
    """The mean of a list of tensors."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _joined_by(inputs, ops.add) / float(len(inputs))


class Maximum(Merge):
    """The largest, element by element, of a list of tensors."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _joined_where_valid(inputs, ops.maximum)


class Minimum(Merge):
    """The smallest, element by element, of a list of tensors."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _joined_where_valid(inputs, ops.minimum)


class Concatenate(Merge):
    """A list of tensors side by side along `axis`; all other sizes must agree."""

    _CALLED = "`Concatenate`"

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def _check(self, input_shape: Any) -> None:
        if not input_shape or is_shape(input_shape) or not all(is_shape(s) for s in input_shape):
            raise ValueError(
                "A `Concatenate` layer should be called on a list of at least 1 input. Received: "
                f"input_shape={input_shape}"
            )
        ranks = {len(s) for s in input_shape}
        rank = max(ranks)
        if not is_int(self.axis) or not -rank <= self.axis < rank:
            raise ValueError(
                f"Concatenate '{self.name}': axis {self.axis} is out of bounds for inputs of rank {rank}: {input_shape}"
            )
        axis = self.axis % rank
        others = [s[:axis] + s[axis + 1 :] for s in map(tuple, input_shape)]
        fits = len(ranks) == 1 and all(len({n for n in sizes if n is not None}) <= 1 for sizes in zip(*others))
        if not fits:
            raise ValueError(
                "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
                f"Received: input_shape={list(input_shape)}"
            )

    def build(self, input_shape: Any) -> None:
        """Checks that the inputs can be joined."""
        self._check(input_shape)

    def call(self, inputs: Any) -> Any:
        """The joined tensor."""
        return ops.concatenate(self._listed(inputs), axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape with the sizes along `axis` added up."""
        self._check(input_shape)
        axis = self.axis % len(input_shape[0])
        lengths = [s[axis] for s in input_shape]
        known = [next((n for n in sizes if n is not None), None) for sizes in zip(*input_shape)]
        known[axis] = None if any(n is None for n in lengths) else sum(lengths)
        return tuple(known)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks side by side; True for inputs that have none."""
        masks = _masks_of(inputs, mask)
        if all(m is None for m in masks):
            return None
        parts = [ops.ones_like(x, dtype="bool") if m is None else _spread(m, x) for x, m in zip(inputs, masks)]
        return ops.any(ops.concatenate(parts, axis=self.axis), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "axis")}


class Dot(Merge):
    """The dot product of two tensors along an axis of each, sample by sample.

    Args:
        axes: the axis to sum over, or one for each input; the batch axis counts, so 1 is the first behind it.
        normalize: whether to scale to unit length first: cosine similarity.

    >>> import nacre as keras
    >>> keras.layers.Dot(axes=1)([keras.ops.ones((4, 3)), keras.ops.ones((4, 3))]).shape
    (4, 1)
    """

    _EXACTLY = 2
    _CALLED = "`Dot`"

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_int(axes):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(
                    f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes}"
                )
            if len(axes) != 2 or not all(is_int(a) for a in axes):
                raise ValueError(
                    f"Invalid format for argument `axes`: it should contain two elements. Received: axes={axes}"
                )
        self.axes = axes
        self.normalize = normalize

    def _two(self, shapes: Any) -> tuple[int, int]:
        pair = (self.axes, self.axes) if is_int(self.axes) else self.axes
        for axis, shape in zip(pair, shapes):
            if not -len(shape) <= axis < len(shape) or axis % len(shape) == 0:
                raise ValueError(
                    f"Dot '{self.name}': axis {axis} is no axis behind the batch axis of an input of shape "
                    f"{tuple(shape)}"
                )
        return pair[0] % len(shapes[0]), pair[1] % len(shapes[1])

    def build(self, input_shape: Any) -> None:
        """Checks that the inputs can be multiplied."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """The product."""
        a, b = self._listed(inputs)
        axis_a, axis_b = self._two([a.shape, b.shape])
        if self.normalize:
            a, b = (
                x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))
                for x, axis in ((a, axis_a), (b, axis_b))
            )
        return _batch_dot(a, b, axis_a, axis_b)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, remaining axes of the first, remaining axes of the second), (N, 1) when none remains."""
        self._check(input_shape)
        a, b = map(tuple, input_shape)
        axis_a, axis_b = self._two([a, b])
        if a[axis_a] is not None and b[axis_b] is not None and a[axis_a] != b[axis_b]:
            raise ValueError(
                f"Incompatible input shapes: axis values {a[axis_a]} (at axis {axis_a}) != {b[axis_b]} (at axis "
                f"{axis_b}). Full input shapes: {a}, {b}"
            )
        rest = (*a[1:axis_a], *a[axis_a + 1 :], *b[1:axis_b], *b[axis_b + 1 :])
        return (a[0], *(rest or (1,)))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: the masked axis may be gone."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "axes", "normalize")}


def _batch_dot(a: Any, b: Any, axis_a: int, axis_b: int) -> Any:
    """The sum over one axis of each, sample by sample, as a batch of matrix products."""
    rest_a = [i for i in range(1, len(a.shape)) if i != axis_a]
    rest_b = [i for i in range(1, len(b.shape)) if i != axis_b]
    shape = (a.shape[0], *(a.shape[i] for i in rest_a), *(b.shape[i] for i in rest_b))
    k = a.shape[axis_a]
    if axis_a != len(a.shape) - 1:
        a = ops.transpose(a, (0, *rest_a, axis_a))
    if axis_b != 1:
        b = ops.transpose(b, (0, axis_b, *rest_b))
    m, n = math.prod(shape[1 : 1 + len(rest_a)]), math.prod(shape[1 + len(rest_a) :])
    product = ops.matmul(ops.reshape(a, (shape[0], m, k)), ops.reshape(b, (shape[0], k, n)))
    return ops.reshape(product, shape if len(shape) > 1 else (shape[0], 1))


def add(inputs: Any, **kwargs: Any) -> Any:
    """The sum of a list of tensors: `Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """The first of two tensors minus the second: `Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """The product of a list of tensors: `Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """The mean of a list of tensors: `Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """The largest, element by element, of a list of tensors: `Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """The smallest, element by element, of a list of tensors: `Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """A list of tensors side by side along `axis`: `Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """The dot product of two tensors: `Dot(axes, **kwargs)(inputs)`."""
    return Dot(axes=axes, **kwargs)(inputs)
