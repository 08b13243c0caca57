"""The metrics of a whole model: which belong to which output, and what they are called in logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nacre.core import tree
from nacre.metrics import identifiers
from nacre.metrics.metric import MeanMetricWrapper, Metric, Stateless
from nacre.training.compile_loss import kind_of_labels, match_outputs, match_weights


def get_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """The Metric for one output; `"accuracy"` and `"acc"` are chosen by its shape, names are kept as they were
    given."""
    if identifier is None:
        raise ValueError("Expected metric, received `None`")
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        found: Any = identifiers.get(f"{kind_of_labels(y_true, y_pred)}_accuracy")
        name: Any = identifier
    elif isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        found = identifiers.get(f"{kind_of_labels(y_true, y_pred)}_crossentropy")
        name = identifier
    else:
        found = identifiers.get(identifier)
        name = identifier if isinstance(identifier, str) else None
    if not is_metric(found):
        label = getattr(found, "__name__", None) or getattr(found, "name", None) or type(found).__name__
        found = MeanMetricWrapper(found, name=name or str(label).replace("<lambda>", "lambda"))
    elif name is not None:
        found.name = name
    return found  # type: ignore[no-any-return]


def is_metric(x: Any) -> bool:
    """Whether `x` is a Metric, or behaves like one."""
    return isinstance(x, Metric) or (hasattr(x, "update_state") and hasattr(x, "result") and not isinstance(x, type))


def _is_lone(y_true: Any, y_pred: Any) -> bool:
    """Whether there is one array of truth and more than one output."""
    return (
        y_true is not None
        and not isinstance(y_true, Mapping)
        and len(tree.flatten(y_true)) == 1 < len(tree.paths(y_pred))
    )


class CompileMetrics(Stateless):
    """The metrics that `compile(metrics=..., weighted_metrics=...)` asked for, bound to outputs at the first batch."""

    name = "compile_metrics"

    def __init__(self, metrics: Any, weighted_metrics: Any, output_names: list[str] | None = None) -> None:
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given is not None and not isinstance(given, (list, tuple, Mapping)):
                raise ValueError(
                    f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: {what}={given} of "
                    f"type {type(given)}"
                )
        self._user_metrics = metrics
        self._user_weighted_metrics = weighted_metrics
        self.output_names = output_names
        self.built = False
        self._plain: list[list[Metric]] = []
        self._weighted: list[list[Metric]] = []
        self._labels: list[str | None] = []
        self._keys: list[str] | None = None  # of the outputs, in the order of the metrics, where they are a dict

    @property
    def metrics(self) -> list[Metric]:
        """All metrics, output by output."""
        return [m for group in (self._plain, self._weighted) for of_output in group for m in of_output]

    @property
    def variables(self) -> list[Any]:
        """The state of all metrics."""
        return [v for m in self.metrics for v in m.variables]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Binds metrics to outputs; `y_true` and `y_pred` only need shapes."""
        n = len(tree.paths(y_pred))
        flat = tree.is_nested(y_pred) and len(y_pred) == n
        names = self.output_names
        self._keys = None
        if flat and isinstance(y_pred, Mapping):
            # The model's order where its names are the keys, else that in which structures are flattened.
            names = list(names) if names and set(names) == set(y_pred) else sorted(y_pred)
            self._keys = names
        if names is not None and len(names) != n:
            names = None
        truths, preds = self._ordered(self._truths(y_true, y_pred), y_pred)
        with_truth = [t is not None or not _is_lone(y_true, y_pred) for t in truths]
        self._labels = list(names) if names is not None and n > 1 else [None] * n
        self._plain, self._weighted = (
            [
                [get_metric(m, t, p) for m in chosen if has_truth]
                for chosen, t, p, has_truth in zip(
                    self._assign(given, names, y_pred, flat, what), truths, preds, with_truth, strict=True
                )
            ]
            for given, what in ((self._user_metrics, "metrics"), (self._user_weighted_metrics, "weighted_metrics"))
        )
        self.built = True

    def _truths(self, y_true: Any, y_pred: Any) -> list[Any]:
        """The truth of each output. One array for several outputs, which a `compute_loss` of the model's own can take,
        is the first one's."""
        if _is_lone(y_true, y_pred):
            return [*tree.flatten(y_true), *[None] * (len(tree.paths(y_pred)) - 1)]
        return match_outputs(y_true, y_pred, self.output_names)

    def _ordered(self, flat: list[Any], y_pred: Any) -> tuple[list[Any], list[Any]]:
        """`flat` (in the order of the flattened outputs) and the outputs, both in the order of the metrics."""
        preds = tree.flatten(y_pred) if tree.is_nested(y_pred) else [y_pred]
        if self._keys is None or not isinstance(y_pred, Mapping):
            return flat, preds
        order = [sorted(y_pred).index(key) for key in self._keys]
        return [flat[i] for i in order], [preds[i] for i in order]

    def _assign(self, given: Any, names: list[str] | None, y_pred: Any, flat: bool, what: str) -> list[list[Any]]:
        """The identifiers for each output."""
        n = len(tree.paths(y_pred))
        if not given:
            return [[] for _ in range(n)]
        if n == 1 and (not isinstance(given, Mapping) or (names and set(given) <= set(names)) or not names):
            return [[m for m in tree.flatten(given) if m is not None]]
        if isinstance(given, Mapping) and names and set(given) <= set(names):
            return [_as_list(given.get(name)) for name in names]
        if flat and isinstance(given, (list, tuple)) and len(given) == n:
            return [_as_list(item) for item in given]
        try:
            return _by_structure(given, y_pred)
        except ValueError as error:
            of_names = (
                f"either be a dict or a list matching the output names of the functional model {self.output_names} or "
            )
            raise ValueError(
                f"{error}\nInvalid `{what}`. `{what}` should contain metrics objects and "
                f"{of_names if self.output_names else ''}match the output structure of the model: "
                f"{tree.map_structure(lambda _: 'X', y_pred)}.\nReceived: {what}={given}"
            ) from None

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to every metric; only weighted ones see `sample_weight`."""
        if not self.built:
            self.build(y_true, y_pred)
        truths, preds = self._ordered(self._truths(y_true, y_pred), y_pred)
        weights, _ = self._ordered(match_weights(sample_weight, y_pred, self.output_names), y_pred)
        for i, (t, p) in enumerate(zip(truths, preds, strict=True)):
            for m in self._plain[i]:
                m.update_state(t, p)
            for m in self._weighted[i]:
                m.update_state(t, p, sample_weight=weights[i])

    def reset_state(self) -> None:
        """Forgets all batches."""
        for m in self.metrics:
            m.reset_state()

    def result(self) -> dict[str, Any]:
        """The values by their names in logs: `<output>_<metric>` with several outputs, numbered where names clash."""
        if not self.built:
            raise ValueError(
                "Cannot get result() since the metric has not yet been built. The model must be fit or evaluated first"
            )
        results: dict[str, Any] = {}
        for group, weighted in ((self._plain, False), (self._weighted, True)):
            for label, metrics in zip(self._labels, group, strict=True):
                for m in metrics:
                    name = f"{label}_{m.name}" if label else m.name
                    if weighted and name in results:
                        name = f"{label}_weighted_{m.name}" if label else f"weighted_{m.name}"
                    results[_unused(name, results)] = m.result()
        return results


def _by_structure(given: Any, y_pred: Any) -> list[list[Any]]:
    """Metrics that nest as the outputs do. Raises ValueError where they do not."""
    if not tree.is_nested(y_pred):
        if isinstance(given, Mapping) and len(given) == 1:  # a single output has no other name
            (given,) = given.values()
        if any(tree.is_nested(item) for item in _as_list(given)):
            raise ValueError(f"Expected metrics of one output, got the structure {given!r}")
        return [_as_list(given)]
    if isinstance(y_pred, Mapping):
        if not isinstance(given, Mapping) or set(given) != set(y_pred):
            raise ValueError(f"Expected a dict with keys {sorted(y_pred)}, got {given!r}")
        return [item for key in sorted(y_pred) for item in _by_structure(given[key], y_pred[key])]
    if not isinstance(given, (list, tuple)) or len(given) != len(y_pred):
        raise ValueError(f"Expected a list with an entry for each of the {len(y_pred)} outputs, got {given!r}")
    return [item for m, y in zip(given, y_pred) for item in _by_structure(m, y)]


def _as_list(item: Any) -> list[Any]:
    if item is None:
        return []
    return list(item) if isinstance(item, (list, tuple)) else [item]


def _unused(name: str, results: dict[str, Any]) -> str:
    if name not in results:
        return name
    i = 1
    while f"{name}_{i}" in results:
        i += 1
    return f"{name}_{i}"
