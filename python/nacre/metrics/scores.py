"""F scores: the weighted harmonic mean of precision and recall."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import config
from nacre.losses.loss import convert_pair
from nacre.metrics.metric import Metric

_AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """(1 + beta^2) * precision * recall / (beta^2 * precision + recall), per class or averaged over classes.

    Args:
        average: None (one score per class), `"micro"` (all classes counted together), `"macro"` (mean) or
            `"weighted"` (mean
            weighted by the number of true samples).
        beta: how much more recall counts than precision.
        threshold: predictions above it are 1; the largest one per sample when not given.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in _AVERAGES:
            raise ValueError(
                f"Invalid `average` argument value. Expected one of: {{None, 'micro', 'macro', 'weighted'}}. "
                f"Received: average={average}"
            )
        if not isinstance(beta, float):
            raise ValueError(
                f"Invalid `beta` argument value. It should be a Python float. Received: beta={beta} of type "
                f"'{type(beta)}'"
            )
        if beta <= 0.0:
            raise ValueError(f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}")
        if threshold is not None:
            if not isinstance(threshold, float):
                raise ValueError(
                    "Invalid `threshold` argument value. It should be a Python float. Received: "
                    f"threshold={threshold} of type '{type(threshold)}'"
                )
            if not 0.0 < threshold <= 1.0:
                raise ValueError(
                    "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. Received: "
                    f"threshold={threshold}"
                )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, true_shape: Any, pred_shape: Any) -> None:
        shapes = f"Received input shapes: y_pred.shape={tuple(pred_shape)} and y_true.shape={tuple(true_shape)}."
        if len(pred_shape) != 2 or len(true_shape) != 2:
            raise ValueError(f"FBetaScore expects 2D inputs with shape (batch_size, output_dim). {shapes}")
        if pred_shape[-1] is None or true_shape[-1] is None:
            raise ValueError(
                "FBetaScore expects 2D inputs with shape (batch_size, output_dim), with output_dim fully defined "
                f"(not None). {shapes}"
            )
        size = () if self.average == "micro" else (pred_shape[-1],)
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_variable(size, "zeros", self._dtype, name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of (batch, classes): labels 0 and 1, and predictions."""
        y_true, y_pred = convert_pair(y_true, y_pred)
        if not self._built:
            self._build(y_true.shape, y_pred.shape)
        if self.threshold is None:
            largest = ops.max(y_pred, axis=-1, keepdims=True)
            chosen = ops.logical_and(y_pred >= largest, ops.abs(y_pred) > 1e-9)
        else:
            chosen = y_pred > self.threshold
        y_pred = ops.cast(chosen, self._dtype)
        y_true = ops.cast(y_true, self._dtype)
        weight: Any = 1.0
        if sample_weight is not None:
            weight = ops.cast(ops.convert_to_tensor(sample_weight), self._dtype)
            if len(weight.shape) == 1:
                weight = ops.expand_dims(weight, 1)
        for name, value in (
            ("true_positives", y_pred * y_true),
            ("false_positives", y_pred * (1.0 - y_true)),
            ("false_negatives", (1.0 - y_pred) * y_true),
            ("intermediate_weights", y_true),
        ):
            variable = getattr(self, name)
            variable.assign(variable + ops.sum(value * weight, axis=self.axis))

    def result(self) -> Any:
        """The score so far: one per class without an average."""
        tp = self.true_positives.value  # type: ignore[attr-defined]
        precision = tp / (tp + self.false_positives + config.epsilon())  # type: ignore[attr-defined]
        recall = tp / (tp + self.false_negatives + config.epsilon())  # type: ignore[attr-defined]
        square = self.beta**2
        score = (1.0 + square) * precision * recall / (square * precision + recall + config.epsilon())
        if self.average == "weighted":
            weights = self.intermediate_weights.value  # type: ignore[attr-defined]
            return ops.sum(score * weights / (ops.sum(weights) + config.epsilon()))
        return score if self.average is None else ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        own = {"beta": self.beta, "average": self.average, "threshold": self.threshold}
        return {"name": self.name, "dtype": self._dtype, **own}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        config_ = super().get_config()
        del config_["beta"]
        return config_
