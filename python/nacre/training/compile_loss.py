"""The loss of a whole model: one loss per output, weighted and summed."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

from nacre import ops
from nacre.core import tree
from nacre.core.config import floatx
from nacre.losses import identifiers
from nacre.losses.loss import Loss, LossFunctionWrapper
from nacre.metrics.metric import Mean


class _Output(NamedTuple):
    """One output that has a loss."""

    position: int  # among the flattened outputs
    name: str | None
    loss: Loss
    weight: float | None
    tracker: Mean | None


def get_loss(identifier: Any, y_true: Any, y_pred: Any) -> Loss | None:
    """The Loss for one output; `"crossentropy"` and `"ce"` are chosen by its shape. None stays None."""
    if identifier is None:
        return None
    name = identifier if isinstance(identifier, str) else None
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        found: Any = identifiers.get(f"{kind_of_labels(y_true, y_pred)}_crossentropy")
    else:
        found = identifiers.get(identifier)
    if isinstance(found, Loss):
        return found
    return LossFunctionWrapper(found, name=name or getattr(found, "__name__", type(found).__name__))


def kind_of_labels(y_true: Any, y_pred: Any) -> str:
    """`"binary"`, `"sparse_categorical"` or `"categorical"`, by the shapes of labels and predictions."""
    if len(y_pred.shape) and y_pred.shape[-1] == 1:
        return "binary"
    if y_true is not None and (len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1):
        return "sparse_categorical"
    return "categorical"


def output_paths(y_pred: Any) -> list[tuple[Any, ...]]:
    """Where each flattened output stands: keys of dicts and positions in lists."""
    if isinstance(y_pred, Mapping):
        return [(key, *rest) for key in sorted(y_pred) for rest in output_paths(y_pred[key])]
    if isinstance(y_pred, (list, tuple)):
        return [(i, *rest) for i, item in enumerate(y_pred) for rest in output_paths(item)]
    return [()]


def spread(value: Any, y_pred: Any, names: list[str] | None, what: str, complete: bool = True) -> list[Any]:
    """`value` (one for all outputs; or a list, a dict by output name, or the structure of the outputs) as one item
    per output.

    Raises ValueError for names that are no outputs, for a list of the wrong length, and, with `complete`, for outputs
    that are
    not named.
    """
    paths = output_paths(y_pred)
    n = len(paths)
    if isinstance(value, Mapping):
        by_key = isinstance(y_pred, Mapping) and (not names or set(value) <= set(y_pred))
        known = sorted(y_pred) if by_key else list(names or ())
        if not known:
            raise ValueError(
                f"{what}: got a dict with keys {list(value)}, but the model's outputs have no names; give a list"
            )
        wrong = [key for key in value if key not in known]
        if wrong or (complete and set(value) != set(known)):
            raise ValueError(f"Expected keys {known} in {what} dict, but found {what}.keys()={list(value)}")
        if by_key:
            return [
                item for key in sorted(y_pred) for item in spread(value.get(key), y_pred[key], None, what, complete)
            ]
        return [value.get(name) for name in known]
    if n == 1 and not isinstance(value, (list, tuple)):
        return [value]
    if isinstance(value, (list, tuple)):
        if n == 1 and len(value) == 1:
            return [value[0]]
        if isinstance(y_pred, (list, tuple)) and len(value) == len(y_pred):
            return [item for v, y in zip(value, y_pred, strict=True) for item in spread(v, y, None, what, complete)]
        if len(value) == n:
            return list(value)
        raise ValueError(
            f"`{what}` must match the number of outputs of the model, got {len(value)} items for {n} outputs"
            + (f" {names}" if names else "")
        )
    return [value] * n


def match_outputs(y: Any, y_pred: Any, names: list[str] | None, what: str = "y_true") -> list[Any]:
    """The arrays of `y` in the order of the flattened outputs: matched by name for a dict, else by position.

    Raises ValueError when the structures do not fit.
    """
    n = len(output_paths(y_pred))
    if y is None:
        return [None] * n
    if isinstance(y, Mapping):
        known = sorted(y_pred) if isinstance(y_pred, Mapping) else list(names or ())
        if known and all(key in known for key in y):
            if isinstance(y_pred, Mapping):
                return [item for key in known for item in match_outputs(y.get(key), y_pred[key], None, what)]
            return [y.get(name) for name in known]
        flat = tree.flatten(y)
        if len(flat) == n == 1:
            return flat
        raise ValueError(f"{what} and y_pred have different structures: got keys {list(y)}, expected {known or n}")
    flat = tree.flatten(y) if tree.is_nested(y) else [y]
    if len(flat) != n:
        raise ValueError(f"{what} and y_pred have different structures: got {len(flat)} arrays for {n} outputs")
    return flat


class CompileLoss:
    """The losses that `compile(loss=..., loss_weights=...)` asked for, bound to outputs at the first batch."""

    def __init__(self, loss: Any, loss_weights: Any = None, output_names: list[str] | None = None) -> None:
        if loss_weights is not None and not isinstance(loss_weights, (list, tuple, Mapping, float, int)):
            raise ValueError(
                f"Unsupported `loss_weights` argument. Expected a float, a list, or a dict. Received: {loss_weights!r}"
            )
        for item in tree.flatten(loss_weights) if tree.is_nested(loss_weights) else [loss_weights]:
            if item is not None and not isinstance(item, numbers.Real):
                raise ValueError(
                    f"loss_weights: expected numbers, got {item!r}. The third positional argument of `compile` is "
                    "`loss_weights`; name the others: compile(optimizer, loss, metrics=[...])"
                )
        for item in tree.flatten(loss) if tree.is_nested(loss) else [loss]:
            if isinstance(item, str) and item.lower() not in ("crossentropy", "ce"):
                identifiers.get(item)  # a name that is none is told at once
        self._loss = loss
        self._loss_weights = loss_weights
        self.output_names = output_names
        self.built = False
        self._outputs: list[_Output] = []

    @property
    def metrics(self) -> list[Mean]:
        """The means of the single losses, when several outputs have one."""
        return [o.tracker for o in self._outputs if o.tracker is not None]

    @property
    def outputs(self) -> list[_Output]:
        """The outputs that have a loss."""
        return list(self._outputs)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Binds losses to outputs; `y_true` and `y_pred` only need shapes."""
        names = self.output_names if not isinstance(y_pred, Mapping) else sorted(y_pred)
        found = spread(self._loss, y_pred, self.output_names, "loss")
        n = len(found)
        if names is not None and len(names) != n:
            names = None
        truths = match_outputs(y_true, y_pred, self.output_names)
        flat_pred = tree.flatten(y_pred) if tree.is_nested(y_pred) else [y_pred]
        weights = self._loss_weights
        if isinstance(weights, (list, tuple)) and len(weights) != n:
            raise ValueError(
                f"`loss_weights` must match the number of losses, got {n} losses and {len(weights)} weights."
            )
        spread_weights = spread(weights, y_pred, self.output_names, "loss_weights", complete=False)
        several = sum(item is not None for item in found) > 1
        self._outputs = []
        taken: dict[str, int] = {}
        for i, (item, weight) in enumerate(zip(found, spread_weights, strict=True)):
            loss = get_loss(item, truths[i], flat_pred[i])
            if loss is None:
                continue
            name = names[i] if names else None
            tracker = None
            if several:
                label = name or loss.name
                count = taken.get(label, 0)
                taken[label] = count + 1
                tracker = Mean(name=f"{label}_{count}_loss" if count else f"{label}_loss")
            self._outputs.append(_Output(i, name, loss, None if weight is None else float(weight), tracker))
        self.built = True

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The total loss as a scalar tensor; None when no output has one."""
        if not self.built:
            self.build(y_true, y_pred)
        if not self._outputs:
            return None
        flat_pred = tree.flatten(y_pred) if tree.is_nested(y_pred) else [y_pred]
        truths = match_outputs(y_true, y_pred, self.output_names)
        weights = match_weights(sample_weight, y_pred, self.output_names)
        total = None
        for index, name, loss, weight, tracker in self._outputs:
            if truths[index] is None:
                raise ValueError(
                    f"No target for output {name or index}, which has the loss {loss.name!r}: y is missing"
                )
            value = ops.cast(loss(truths[index], flat_pred[index], weights[index]), floatx())
            if len(value.shape):
                value = ops.mean(value) if loss.reduction in (None, "none") else ops.sum(value)
            if tracker is not None:
                tracker.update_state(value, sample_weight=float(flat_pred[index].shape[0]))
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total


def match_weights(sample_weight: Any, y_pred: Any, names: list[str] | None) -> list[Any]:
    """Sample weights in the order of the flattened outputs; one array serves them all."""
    n = len(output_paths(y_pred))
    if sample_weight is None or not tree.is_nested(sample_weight):
        return [sample_weight] * n
    return match_outputs(sample_weight, y_pred, names, "sample_weight")
