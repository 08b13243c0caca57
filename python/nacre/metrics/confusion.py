"""Metrics of the confusion matrix at one or several thresholds."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.metrics.metric import Metric, divide_no_nan
from nacre.metrics.thresholds import NONE_SELECTED, count_at, parse_thresholds, select


class _Count(Metric):
    """One cell of the confusion matrix, per threshold."""

    _cell = 0

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = parse_thresholds(thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", self._dtype, name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1 and predictions in [0, 1]."""
        y_true, y_pred = select(y_true, y_pred, None, None)
        counts = count_at(y_true, y_pred, self.thresholds, sample_weight)
        self.accumulator.assign(self.accumulator + counts[self._cell])

    def result(self) -> Any:
        """The count so far: a number for one threshold, else one per threshold."""
        return self.accumulator[0] if len(self.thresholds) == 1 else ops.convert_to_tensor(self.accumulator)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How many 1s were predicted as 1."""

    _cell = 0


class FalsePositives(_Count):
    """How many 0s were predicted as 1."""

    _cell = 1


class TrueNegatives(_Count):
    """How many 0s were predicted as 0."""

    _cell = 2


class FalseNegatives(_Count):
    """How many 1s were predicted as 0."""

    _cell = 3


class _Share(Metric):
    """True positives by true positives and one kind of error."""

    def __init__(
        self,
        error: str,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = parse_thresholds(thresholds, 0.5 if top_k is None else NONE_SELECTED)
        shape = (len(self.thresholds),)
        self.true_positives = self.add_variable(shape, "zeros", self._dtype, name="true_positives")
        self._errors = self.add_variable(shape, "zeros", self._dtype, name=error)

    _cell = 1

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1 and predictions in [0, 1]."""
        y_true, y_pred = select(y_true, y_pred, self.top_k, self.class_id)
        counts = count_at(y_true, y_pred, self.thresholds, sample_weight)
        self.true_positives.assign(self.true_positives + counts[0])
        self._errors.assign(self._errors + counts[self._cell])

    def result(self) -> Any:
        """The share so far: a number for one threshold, else one per threshold."""
        hits = self.true_positives.value
        share = divide_no_nan(hits, hits + self._errors)
        return share[0] if len(self.thresholds) == 1 else share

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        own = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


class Precision(_Share):
    """The share of predicted 1s that are 1."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("false_positives", thresholds, top_k, class_id, name, dtype)
        self.false_positives = self._errors


class Recall(_Share):
    """The share of 1s that were predicted as 1."""

    _cell = 3

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("false_negatives", thresholds, top_k, class_id, name, dtype)
        self.false_negatives = self._errors
