"""What all losses share: conversion of arguments, masks, sample weights and the reduction to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import ops
from nacre.core import config, naming, tree
from nacre.core.errors import Told
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.spec import is_float, standardize_dtype
from nacre.runtime.taped_call import TapedCall, under_one_tape

REDUCTIONS = ("sum_over_batch_size", "sum", None, "none", "mean", "mean_with_sample_weight")


class Reduction:
    """The names of reductions, as tf.keras spells them."""

    AUTO = SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    NONE = "none"
    SUM = "sum"


def standardize_reduction(reduction: str | None) -> str | None:
    """`reduction` itself. Raises ValueError for a name that is none."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"Invalid value for argument `reduction`. Expected one of {list(REDUCTIONS)}. Received: {reduction!r}"
        )
    return reduction


def dtype_name(dtype: Any) -> str:
    """The name of the dtype that `dtype` (a name, a dtype policy or None for `floatx()`) computes in."""
    if dtype is None:
        return config.floatx()
    return standardize_dtype(getattr(dtype, "compute_dtype", dtype))


class Loss(Told):
    """Turns `(y_true, y_pred)` into one number (or one per sample, with `reduction="none"`).

    Subclasses define `call(y_true, y_pred)`, which gives a tensor of losses: of shape (batch,), or (batch, d1, ...).

    Args:
        name: name of the loss; numbered by class when not given.
        reduction: `"sum_over_batch_size"` (= `"mean"`: the sum by the number of elements), `"sum"`,
            `"mean_with_sample_weight"` (the sum by the sum of the weights), or `"none"`/None.
        dtype: what the loss computes in; `floatx()` when not given.
    """

    keeps_integer_labels = False
    _taped: TapedCall | None = None

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or naming.auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._given_dtype = dtype
        self._dtype = dtype_name(dtype)

    @property
    def dtype(self) -> str:
        """What the loss computes in."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss; `sample_weight` broadcasts to the tensor of losses."""
        if under_one_tape() and self._is_ours():
            taped = self._taped
            if taped is None:
                taped = self._taped = TapedCall(lambda x, _: self._reduced(*x))
            data = (y_true, y_pred) if sample_weight is None else (y_true, y_pred, sample_weight)
            found = taped(data, self.reduction)
            if found is not None:
                return found
        return self._reduced(y_true, y_pred, sample_weight)

    def _is_ours(self) -> bool:
        """Whether only this package's own code takes part; that of users may do anything."""
        return type(self).__module__.startswith("nacre.")

    def _reduced(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        in_mask = getattr(y_pred, "_keras_mask", None)
        y_true, y_pred = (ops.convert_to_tensor(y) if is_numbers(y) else y for y in (y_true, y_pred))
        y_pred = tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=self._dtype), y_pred)
        y_true = tree.map_structure(self._convert_truth, y_true)
        losses = self.call(y_true, y_pred)
        out_mask = getattr(losses, "_keras_mask", None)
        if in_mask is not None and out_mask is not None:
            mask = ops.logical_and(in_mask, out_mask)
        else:
            mask = in_mask if in_mask is not None else out_mask
        return reduce_weighted(losses, sample_weight, mask, self.reduction, self._dtype)

    def _convert_truth(self, y: Any) -> Any:
        y = ops.convert_to_tensor(y)
        if self.keeps_integer_labels and not is_float(y.dtype):
            return y
        return ops.cast(y, self._dtype) if y.dtype != self._dtype else y

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define `call(y_true, y_pred)`")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_taped"}

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal loss."""
        config_: dict[str, Any] = {"name": self.name, "reduction": self.reduction}
        if self._given_dtype is not None:
            config_["dtype"] = self._dtype
        return config_

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The loss that `config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, reduction={self.reduction}>"


class LossFunctionWrapper(Loss):
    """A Loss of a function `fn(y_true, y_pred, **kwargs)` that gives one value per sample."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def _is_ours(self) -> bool:
        return super()._is_ours() and str(getattr(self.fn, "__module__", "")).startswith("nacre.")

    def __getattr__(self, name: str) -> Any:
        # The options of the function (from_logits, delta, axis, ...) are attributes, too.
        options = self.__dict__.get("_fn_kwargs", {})
        if name in options:
            return options[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One loss per sample: shape of `y_pred` without its last axis, as a rule."""
        if tree.is_nested(y_true) or tree.is_nested(y_pred):
            if len(tree.flatten(y_true)) != len(tree.flatten(y_pred)) or tree.is_nested(y_true) != tree.is_nested(
                y_pred
            ):
                raise ValueError(
                    f"{self.name}: y_true and y_pred must be alike, got {y_true!r:.200} and {y_pred!r:.200}"
                )
            pairs = tree.map_structure(lambda a, b: _Pair(*same_rank(a, b)), y_true, y_pred)
            y_true, y_pred = (tree.map_structure(lambda p, i=i: p.pair[i], pairs) for i in (0, 1))
        else:
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """The options of the function beside those of Loss; a bare wrapper also names its function."""
        config_ = {**super().get_config(), **self._fn_kwargs}
        if type(self) is LossFunctionWrapper:
            config_["fn"] = serialize_keras_object(self.fn)
        return config_

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The loss that `config` describes."""
        if "fn" in config:
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)


_MOST_AXES = 64  # of a NumPy array


def is_numbers(x: Any) -> bool:
    """Whether `x` is a list of numbers, or of such lists: one array, not a structure of several."""
    for _ in range(_MOST_AXES + 1):  # a list may hold itself
        if not isinstance(x, (list, tuple)) or not x or hasattr(x, "_fields"):
            break
        x = x[0]
    return isinstance(x, (bool, int, float, np.number, np.bool_))


class _Pair:
    """Two values as one leaf of a nested structure."""

    def __init__(self, first: Any, second: Any) -> None:
        self.pair = first, second


def same_rank(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Both with the same rank where they differ by a last axis of size 1: (n,) beside (n, 1) becomes (n, 1)."""
    r1, r2 = len(x1.shape), len(x2.shape)
    if r1 == r2 + 1 and x1.shape[-1] == 1:
        return (x1, ops.expand_dims(x2, -1)) if r2 == 1 else (ops.squeeze(x1, -1), x2)
    if r2 == r1 + 1 and x2.shape[-1] == 1:
        return (ops.expand_dims(x1, -1), x2) if r1 == 1 else (x1, ops.squeeze(x2, -1))
    return x1, x2


def convert_pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as tensors of the dtype of `y_pred` (float) and of the same rank."""
    y_pred = ops.convert_to_tensor(y_pred)
    if not is_float(y_pred.dtype):
        y_pred = ops.cast(y_pred, config.floatx())
    y_true = ops.convert_to_tensor(y_true)
    if y_true.dtype != y_pred.dtype:
        y_true = ops.cast(y_true, y_pred.dtype)
    return same_rank(y_true, y_pred)


def _count(x: Any) -> float:
    n = 1
    for d in x.shape:
        n *= d
    return float(n)


def apply_mask(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """`sample_weight` with zeros where `mask` is false; for means scaled so that the mean is that of the valid
    entries."""
    if mask is None:
        return sample_weight
    mask = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        mask = mask * (_count(mask) / (ops.sum(mask) + config.epsilon()))
    if sample_weight is None:
        return mask
    mask, sample_weight = same_rank(mask, ops.cast(sample_weight, dtype))
    return broadcast_weights(sample_weight, mask) * mask


def reduce_weighted(values: Any, sample_weight: Any, mask: Any, reduction: str | None, dtype: str) -> Any:
    """`values`, masked and weighted, as one number; as they are for no reduction."""
    values = ops.convert_to_tensor(values, dtype=dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
    sample_weight = apply_mask(sample_weight, mask, dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = same_rank(values, ops.cast(sample_weight, values.dtype))
        sample_weight = broadcast_weights(sample_weight, values)
        values = values * sample_weight
    if reduction in (None, "none") or not values.shape:
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        # One weight per element: a weight that broadcasts over an axis counts once for each element there.
        repeated = _count(values) / max(_count(sample_weight), 1.0)
        weight = ops.sum(sample_weight) * repeated
        zero = ops.equal(weight, 0.0)
        return ops.where(zero, ops.zeros_like(total), total / ops.where(zero, ops.ones_like(weight), weight))
    count = _count(values)
    return total / count if count else ops.zeros_like(total)


def broadcast_weights(sample_weight: Any, values: Any) -> Any:
    """`sample_weight` with trailing axes of size 1 up to the rank of `values`: (batch,) weights every step of (batch,
    time)."""
    missing = len(values.shape) - len(sample_weight.shape)
    if missing > 0 and sample_weight.shape and sample_weight.shape[0] == values.shape[0]:
        return ops.reshape(sample_weight, (*sample_weight.shape, *([1] * missing)))
    return sample_weight
