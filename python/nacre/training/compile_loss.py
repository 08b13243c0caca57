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
    """One output, or one structure of outputs, that has a loss."""

    path: tuple[Any, ...]  # keys and positions that lead to it
    name: str
    loss: Loss
    weight: Any  # a factor in the total, or None
    tracker: Mean | None


class _Weighted(NamedTuple):
    """A leaf of a structure of losses."""

    loss: Any
    weight: Any


def get_loss(identifier: Any, y_true: Any, y_pred: Any) -> Loss | None:
    """The Loss for one output; `"crossentropy"` and `"ce"` are chosen by its shape. None stays None."""
    if identifier is None:
        return None
    if y_true is not None and not hasattr(y_true, "shape") and not tree.is_nested(y_true):
        raise ValueError("y: expected numbers for the loss, got text. Give each word a number (layers.StringLookup)")
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


def item_at(structure: Any, path: tuple[Any, ...]) -> Any:
    """What keys and positions lead to; a value that is no structure stands for every place."""
    for key in path:
        if not tree.is_nested(structure):
            return structure
        structure = structure[key]
    return structure


def match_outputs(
    y: Any, y_pred: Any, names: list[str] | None, what: str = "y_true", wanted: list[bool] | None = None
) -> list[Any]:
    """The arrays of `y` in the order of the flattened outputs: matched by name for a dict, else by position.

    With `wanted` (per output, whether it needs one), `y` may hold the arrays of those outputs alone.

    Raises ValueError when the structures do not fit.
    """
    n = len(tree.paths(y_pred))
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
        raise ValueError(f"{what} and y_pred have different structures. Got keys {list(y)}, expected {known or n}")
    flat = tree.flatten(y) if tree.is_nested(y) else [y]
    if len(flat) == n:
        return flat
    if wanted is not None and len(flat) == sum(wanted) and len(wanted) == n:  # only for the outputs that have a loss
        given = iter(flat)
        return [next(given) if has_loss else None for has_loss in wanted]
    raise ValueError(
        f"{what} and y_pred have different structures. Got {len(flat)} arrays for {n} outputs.\n"
        f"{what}: {_stars(y)}\ny_pred: {_stars(y_pred)}"
    )


def _stars(structure: Any) -> Any:
    return tree.map_structure(lambda _: "*", structure)


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
        self._structure: Any = None  # of the outputs that losses were bound to

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
        loss, weights = self._by_position(y_pred)
        loss = _with_weights(loss, weights)
        y_true = self.matched(y_true, y_pred)
        paths = tree.paths(y_pred)
        names: Any = self.output_names if self.output_names and len(self.output_names) == len(paths) else None
        names = (
            tree.pack_sequence_as(y_pred, names or [None] * len(paths))
            if tree.is_nested(y_pred)
            else (names or [None])[0]
        )
        if isinstance(loss, _Weighted):
            loss = tree.map_structure(lambda _: loss, y_pred)
        found: list[_Output] = []
        _bind(loss, y_true, y_pred, names, (), found)
        if len(found) > 1:  # outputs without names have the same one: the last is what logs show
            found = [output._replace(tracker=Mean(name=f"{output.name}_loss")) for output in found]
        self._outputs = found
        self._structure = tree.map_structure(lambda _: None, y_pred)
        self.built = True

    def _by_position(self, y_pred: Any) -> tuple[Any, Any]:
        """Losses and their weights; dicts by output name as lists, where the outputs themselves are no dict."""
        loss, weights, names = self._loss, self._loss_weights, self.output_names
        if not isinstance(loss, Mapping) or isinstance(y_pred, Mapping):
            return loss, weights
        if not names:
            raise ValueError(
                f"loss: got a dict with keys {list(loss)}, but the model's outputs have no names; give a list"
            )
        if set(names) != set(loss):
            raise ValueError(f"Expected keys {names} in loss dict, but found loss.keys()={list(loss)}")
        if isinstance(weights, Mapping):
            weights = [weights.get(name) for name in names]
        losses = [loss[name] for name in names]
        return (losses, weights) if tree.is_nested(y_pred) else (losses[0], weights)

    def matched(self, y_true: Any, y_pred: Any) -> Any:
        """The labels in the structure of the outputs; None for an output that has none."""
        wanted = [item is not None for item in tree.flatten(self._loss)] if tree.is_nested(self._loss) else None
        flat = match_outputs(y_true, y_pred, self.output_names, wanted=wanted)
        return tree.pack_sequence_as(y_pred, flat) if tree.is_nested(y_pred) else flat[0]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The total loss as a scalar tensor; None when no output has one."""
        if not self.built:
            self.build(y_true, y_pred)
        if not self._outputs:
            return None
        y_true = self.matched(y_true, y_pred)
        weights = match_weights(sample_weight, y_pred, self.output_names)
        weights = tree.pack_sequence_as(y_pred, weights) if tree.is_nested(y_pred) else weights[0]
        if tree.map_structure(lambda _: None, y_pred) != self._structure:  # a list where a dict was, and the like
            y_true, y_pred, weights = (
                tree.pack_sequence_as(self._structure, tree.flatten(y)) for y in (y_true, y_pred, weights)
            )
        total = None
        for path, name, loss, weight, tracker in self._outputs:
            target, prediction, its_weights = (item_at(y, path) for y in (y_true, y_pred, weights))
            if any(t is None for t in tree.flatten(target)):
                raise ValueError(f"No target for output {name!r}, which has the loss {loss.name!r}: y is missing")
            if tree.is_nested(its_weights):  # one loss of several outputs
                its_weights = tree.flatten(its_weights)[0]
            value = ops.cast(loss(target, prediction, its_weights), floatx())
            if len(value.shape):
                value = ops.mean(value) if loss.reduction in (None, "none") else ops.sum(value)
            if tracker is not None:
                tracker.update_state(value, sample_weight=float(tree.flatten(prediction)[0].shape[0]))
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total


def _with_weights(loss: Any, weights: Any) -> Any:
    """The structure of losses with a _Weighted in place of each; None where there is no loss."""

    def pair(item: Any, weight: Any) -> Any:
        return None if item is None else _Weighted(item, weight)

    if weights is None:
        return _map(lambda item: pair(item, None), loss)
    flat = tree.flatten(loss) if tree.is_nested(loss) else [loss]
    if isinstance(loss, Mapping) and isinstance(weights, Mapping) and set(weights) <= set(loss):
        return {key: _with_weights(item, weights.get(key)) for key, item in loss.items()}
    given = tree.flatten(weights) if tree.is_nested(weights) else [weights]
    if len(given) != len(flat):
        raise ValueError(
            f"`loss_weights` must match the number of losses, got {len(flat)} losses and {len(given)} weights."
        )
    paired = iter([pair(item, weight) for item, weight in zip(flat, given)])
    ordered = tree.pack_sequence_as(loss, [next(paired) for _ in flat]) if tree.is_nested(loss) else next(paired)
    return ordered


def _map(fn: Any, structure: Any) -> Any:
    return tree.map_structure(fn, structure) if tree.is_nested(structure) else fn(structure)


def _bind(loss: Any, y_true: Any, y_pred: Any, names: Any, path: tuple[Any, ...], found: list[_Output]) -> None:
    """Goes down losses and outputs together: each loss that is met belongs to the output, or outputs, at that place."""
    if loss is None:
        return
    if isinstance(loss, _Weighted):
        item = get_loss(loss.loss, y_true, y_pred)
        if item is not None:
            found.append(_Output(path, _label(path, names, item), item, loss.weight, None))
        return
    if not isinstance(loss, Mapping):
        leaves = all(item is None or isinstance(item, _Weighted) for item in loss)
        if leaves and len(loss) == len(tree.paths(y_pred)):
            loss = tree.pack_sequence_as(y_pred, list(loss)) if tree.is_nested(y_pred) else loss[0]
            if not tree.is_nested(loss) or isinstance(loss, _Weighted):
                _bind(loss, y_true, y_pred, names, path, found)
                return
        elif not isinstance(y_pred, type(loss)):  # several losses of the same outputs
            for item in loss:
                _bind(item, y_true, y_pred, names, path, found)
            return
    if not isinstance(loss, type(y_pred)):
        raise KeyError(f"The path: {path} in the `loss` argument, can't be found in the model's output (`y_pred`).")
    for key, item in loss.items() if isinstance(loss, Mapping) else enumerate(loss):
        if item is None:
            continue
        if not (key in y_pred if isinstance(y_pred, Mapping) else key < len(y_pred)):
            raise KeyError(
                f"The path: {(*path, key)} in the `loss` argument, can't be found in either the model's output "
                "(`y_pred`) or in the labels (`y_true`)."
            )
        _bind(item, y_true[key], y_pred[key], names[key], (*path, key), found)


def _label(path: tuple[Any, ...], names: Any, loss: Loss) -> str:
    """What the loss is called in logs: by the keys that lead to it, or the name of the output."""
    if not tree.is_nested(names):
        own = names if names is not None else loss.name
        if not path:
            path = (own,)
        elif isinstance(path[-1], int):
            path = (*path[:-1], own)
    elif not path:
        keys = list(names) if isinstance(names, Mapping) else tree.flatten(names)
        return "_".join(str(key) for key in keys)
    return "/".join(str(key) for key in path)


def match_weights(sample_weight: Any, y_pred: Any, names: list[str] | None) -> list[Any]:
    """Sample weights in the order of the flattened outputs; one array serves them all."""
    n = len(tree.paths(y_pred))
    if sample_weight is None or not tree.is_nested(sample_weight):
        return [sample_weight] * n
    return match_outputs(sample_weight, y_pred, names, "sample_weight")
