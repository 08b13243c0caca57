"""Metrics of the curve that a moving threshold draws: the area under it, and one rate at a bound on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.registry import deserialize_keras_object
from nacre.metrics.metric import Metric, divide_no_nan
from nacre.metrics.thresholds import check_few, count_at, even_thresholds, select

_CURVES = {"roc": "ROC", "pr": "PR", "prgain": "PRGAIN"}
_SUMMATIONS = ("interpolation", "minoring", "majoring")
_NAMES = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class _Curve(Metric):
    """Counts at many thresholds."""

    true_positives: Any
    false_positives: Any
    true_negatives: Any
    false_negatives: Any

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        for name in _NAMES:
            setattr(self, name, self.add_variable(shape, "zeros", self._dtype, name=name))

    def _take(self, counts: tuple[Any, Any, Any, Any]) -> None:
        for name, count in zip(_NAMES, counts):
            variable = getattr(self, name)
            variable.assign(variable + count)


class AUC(_Curve):
    """The area under the ROC curve or the precision-recall curve, by sums over thresholds.

    Args:
        num_thresholds: how many thresholds, evenly spaced over [0, 1].
        curve: `"ROC"`, `"PR"` or `"PRGAIN"`.
        summation_method: `"interpolation"` (trapezoids; for PR the formula of Davis and Goadrich 2006), `"minoring"`,
            `"majoring"`.
        thresholds: thresholds of one's own in place of even ones.
        multi_label: one curve per column of y_pred, then the mean (weighted by `label_weights`).
        num_labels: the number of columns, if it is not to be taken from the first batch.
        from_logits: predictions are logits.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | dict[str, Any] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if str(curve).lower() not in _CURVES:
            raise ValueError(f'Invalid AUC curve value: "{curve}". Expected values are {list(_CURVES.values())}')
        if str(summation_method).lower() not in _SUMMATIONS:
            raise ValueError(
                f'Invalid AUC summation method value: "{summation_method}". Expected values are {list(_SUMMATIONS)}'
            )
        if num_labels is not None and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        if thresholds is not None:
            wrong = [t for t in thresholds if not 0 <= t <= 1]
            if wrong:
                raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
            inner = sorted(thresholds)
            self._init_thresholds: list[float] | None = inner
            self._thresholds = [0.0 - 1e-7, *inner, 1.0 + 1e-7]
            self.num_thresholds = len(self._thresholds)
        else:
            self._init_thresholds = None
            self._thresholds = even_thresholds(num_thresholds)
            self.num_thresholds = num_thresholds
        self.curve = _CURVES[str(curve).lower()]
        self.summation_method = str(summation_method).lower()
        self.multi_label = multi_label
        self.num_labels = num_labels
        if isinstance(label_weights, dict):  # Keras writes them as a tensor
            label_weights = deserialize_keras_object(label_weights)
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float32)
        self._from_logits = from_logits
        self._built = False
        if not multi_label:
            self._build(None)
        elif num_labels:
            self._build((None, num_labels))

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, the two outer ones included."""
        return list(self._thresholds)

    def _build(self, shape: Any) -> None:
        if self.multi_label:
            if len(shape) != 2:
                raise ValueError(
                    f"`y_pred` must have rank 2 when `multi_label=True`. Received: y_pred.shape={tuple(shape)}."
                )
            self._num_labels = shape[1]
            if self.label_weights is not None and len(self.label_weights) != shape[1]:
                raise ValueError(f"`label_weights` must have one weight for each of the {shape[1]} labels")
            self._add_counts((self.num_thresholds, shape[1]))
        else:
            self._add_counts((self.num_thresholds,))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1 and predictions."""
        y_true, y_pred = select(y_true, y_pred, None, None)
        if not self._built:
            self._build(y_pred.shape)
        if self._from_logits:
            y_pred = ops.sigmoid(y_pred)
        weights = None if self.multi_label else self.label_weights
        self._take(count_at(y_true, y_pred, self._thresholds, sample_weight, self.multi_label, weights))

    def result(self) -> Any:
        """The area so far."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._pr_areas()
        else:
            areas = self._areas_of(*self._coordinates())
        if not self.multi_label:
            return ops.sum(areas)
        per_label = ops.sum(areas, axis=0)
        if self.label_weights is None:
            return ops.mean(per_label)
        return divide_no_nan(
            ops.sum(per_label * self.label_weights), ops.sum(ops.convert_to_tensor(self.label_weights))
        )

    def _coordinates(self) -> tuple[Any, Any]:
        tp, fp, tn, fn = (getattr(self, name).value for name in _NAMES)
        recall = divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            return divide_no_nan(fp, fp + tn), recall
        if self.curve == "PR":
            return recall, divide_no_nan(tp, tp + fp)
        odds = divide_no_nan(tp + fn, fp + tn)  # of a positive
        none = ops.equal(tp, 0.0)
        recall_gain = ops.where(none, 0.0, 1.0 - odds * divide_no_nan(fn, tp))
        precision_gain = ops.where(none, 1.0, 1.0 - odds * divide_no_nan(fp, tp))
        return ops.maximum(recall_gain, 0.0), precision_gain

    def _areas_of(self, x: Any, y: Any) -> Any:
        left, right = y[:-1], y[1:]
        if self.summation_method == "interpolation":
            heights = (left + right) / 2.0
        elif self.summation_method == "minoring":
            heights = ops.minimum(left, right)
        else:
            heights = ops.maximum(left, right)
        return (x[:-1] - x[1:]) * heights

    def _pr_areas(self) -> Any:
        """Between two thresholds precision is a hyperbola of the true positives, not a straight line."""
        tp, fp, fn = self.true_positives.value, self.false_positives.value, self.false_negatives.value
        predicted = tp + fp
        d_tp = tp[:-1] - tp[1:]
        d_predicted = predicted[:-1] - predicted[1:]
        slope = divide_no_nan(d_tp, ops.maximum(d_predicted, 0.0))
        intercept = tp[1:] - slope * predicted[1:]
        both = ops.logical_and(predicted[:-1] > 0, predicted[1:] > 0)
        ratio = divide_no_nan(predicted[:-1], ops.maximum(predicted[1:], 0.0))
        ratio = ops.where(both, ratio, ops.ones_like(ratio))
        integral = slope * (d_tp + intercept * ops.log(ratio))
        return divide_no_nan(integral, ops.maximum(tp[1:] + fn[1:], 0.0))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self._from_logits,
        }
        if self._init_thresholds is not None:
            config["thresholds"] = self._init_thresholds
        return config


class _RateAtBound(_Curve):
    """The best of one rate among the thresholds where another is at least `value`."""

    _argument = ""

    def __init__(self, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ValueError(
                f"Argument `{self._argument}` must be in the range [0, 1]. Received: {self._argument}={value}"
            )
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        check_few(num_thresholds)
        setattr(self, self._argument, value)
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self.thresholds = (
            [0.5]
            if num_thresholds == 1
            else [0.0, *((i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)), 1.0]
        )
        self._add_counts((len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1 and predictions in [0, 1]."""
        y_true, y_pred = select(y_true, y_pred, None, self.class_id)
        self._take(count_at(y_true, y_pred, self.thresholds, sample_weight))

    def _rates(self) -> dict[str, Any]:
        tp, fp, tn, fn = (getattr(self, name).value for name in _NAMES)
        return {
            "sensitivity": divide_no_nan(tp, tp + fn),
            "specificity": divide_no_nan(tn, tn + fp),
            "precision": divide_no_nan(tp, tp + fp),
            "recall": divide_no_nan(tp, tp + fn),
        }

    _wanted = ""

    def result(self) -> Any:
        """The best rate so far; 0 where no threshold meets the bound."""
        rates = self._rates()
        feasible = rates[self._argument] >= self.value
        wanted = rates[self._wanted]
        return ops.max(ops.where(feasible, wanted, ops.zeros_like(wanted)))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        own = {"num_thresholds": self.num_thresholds, self._argument: self.value, "class_id": self.class_id}
        return {**super().get_config(), **own}


class SensitivityAtSpecificity(_RateAtBound):
    """The best sensitivity (true positive rate) where the specificity is at least the given one."""

    _argument, _wanted = "specificity", "sensitivity"

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_RateAtBound):
    """The best specificity (true negative rate) where the sensitivity is at least the given one."""

    _argument, _wanted = "sensitivity", "specificity"

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_RateAtBound):
    """The best precision where the recall is at least the given one."""

    _argument, _wanted = "recall", "precision"

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_RateAtBound):
    """The best recall where the precision is at least the given one."""

    _argument, _wanted = "precision", "recall"

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(precision, num_thresholds, class_id, name, dtype)
