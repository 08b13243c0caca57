"""How far numbers are off, and how well they go together."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import config
from nacre.core.errors import tell
from nacre.losses.loss import convert_pair
from nacre.metrics.metric import Mean, MeanMetricWrapper, Metric


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between y_true and y_pred along `axis`."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Pearson's correlation along `axis`: (..., d) -> (...)."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    a = y_true - ops.mean(y_true, axis=axis, keepdims=True)
    b = y_pred - ops.mean(y_pred, axis=axis, keepdims=True)
    a = a / ops.std(a, axis=axis, keepdims=True)
    b = b / ops.std(b, axis=axis, keepdims=True)
    return ops.mean(a * b, axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Lin's concordance correlation along `axis`: 1 only for equal values."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    mean_a, mean_b = ops.mean(y_true, axis=axis, keepdims=True), ops.mean(y_pred, axis=axis, keepdims=True)
    var_a, var_b = ops.var(y_true, axis=axis), ops.var(y_pred, axis=axis)
    covariance = ops.mean((y_true - mean_a) * (y_pred - mean_b), axis=axis)
    shift = ops.squeeze(ops.square(mean_a - mean_b), axis)
    return 2.0 * covariance / (var_a + var_b + shift + config.epsilon())


class RootMeanSquaredError(Mean):
    """The root of the mean squared difference over all batches."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds a batch."""
        y_true, y_pred = convert_pair(y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Any:
        """The root of the mean so far."""
        return ops.sqrt(super().result())


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine similarity along `axis`."""

    def __init__(self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration; `axis` only where it is not the last one."""
        config_ = super().get_config()
        if config_["axis"] == -1:
            del config_["axis"]
        return config_


class PearsonCorrelation(MeanMetricWrapper):
    """The mean of Pearson's correlation along `axis`."""

    def __init__(self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)
        self.axis = axis


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean of Lin's concordance correlation along `axis`."""

    def __init__(self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
        self.axis = axis


class R2Score(Metric):
    """1 - residual sum of squares / total sum of squares, per output, then combined by `class_aggregation`.

    `num_regressors` > 0 gives the adjusted score.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueError(
                "Invalid value for argument `class_aggregation`. Expected one of (None, 'uniform_average', "
                f"'variance_weighted_average'). Received: class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"num_regressors={num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), "zeros", "int32", name="num_samples")
        self._built = False

    def _build(self, shape: Any) -> None:
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(
                "R2Score expects 2D inputs with shape (batch_size, output_dim), with output_dim fully defined (not "
                f"None). Received input shapes: y_pred.shape={tuple(shape)}"
            )
        n = shape[-1]
        self.squared_sum = self.add_variable((n,), "zeros", self._dtype, name="squared_sum")
        self.sum = self.add_variable((n,), "zeros", self._dtype, name="sum")
        self.total_mse = self.add_variable((n,), "zeros", self._dtype, name="residual")
        self.count = self.add_variable((n,), "zeros", self._dtype, name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of (batch, outputs)."""
        y_true, y_pred = convert_pair(y_true, y_pred)
        if not self._built:
            if len(y_pred.shape) != 2 or len(y_true.shape) != 2:
                raise ValueError(
                    "R2Score expects 2D inputs with shape (batch_size, output_dim). Received input shapes: "
                    f"y_pred.shape={y_pred.shape} and y_true.shape={y_true.shape}."
                )
            self._build(y_pred.shape)
        if sample_weight is None:
            weight: Any = ops.ones_like(y_true)
        else:
            weight = ops.cast(sample_weight, self._dtype)
            if len(weight.shape) == 1:
                weight = ops.expand_dims(weight, -1)
            weight = ops.broadcast_to(weight, y_true.shape)
        weighted = y_true * weight
        self.sum.assign(self.sum + ops.sum(weighted, axis=0))
        self.squared_sum.assign(self.squared_sum + ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign(self.total_mse + ops.sum(ops.square(y_true - y_pred) * weight, axis=0))
        self.count.assign(self.count + ops.sum(weight, axis=0))
        self.num_samples.assign(self.num_samples + y_true.size)  # elements, as in Keras

    def result(self) -> Any:
        """The score so far."""
        mean = ops.divide(self.sum, self.count)
        total = self.squared_sum - self.sum * mean
        raw = 1.0 - self.total_mse / total
        raw = ops.where(ops.isinf(raw), ops.zeros_like(raw), raw)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(raw)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.sum(total * raw) / ops.sum(total)
        else:
            score = raw
        if self.num_regressors:
            n = ops.cast(self.num_samples, self._dtype)
            p = float(self.num_regressors)
            adjusted = 1.0 - (1.0 - score) * (n - 1.0) / (n - p - 1.0)
            score = ops.where(n > p + 1.0, adjusted, score)
        return score

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {"name": self.name, "dtype": self._dtype, **own}


tell(globals())
