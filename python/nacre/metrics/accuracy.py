"""How often predictions are right."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import config
from nacre.core.errors import tell
from nacre.core.spec import is_float
from nacre.losses.loss import convert_pair
from nacre.metrics.metric import MeanMetricWrapper


def _as_float(matches: Any) -> Any:
    return ops.cast(matches, config.floatx())


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the two are equal, element by element."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return _as_float(ops.equal(y_true, y_pred))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where the prediction is on the right side of `threshold`, element by element."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return _as_float(ops.equal(y_true, ops.cast(y_pred > threshold, y_pred.dtype)))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is at the 1 of the one-hot label: (..., classes) -> (...)."""
    y_true = ops.argmax(ops.convert_to_tensor(y_true), axis=-1)
    return _as_float(ops.equal(y_true, ops.argmax(ops.convert_to_tensor(y_pred), axis=-1)))


def _labels(y_true: Any, y_pred: Any) -> Any:
    y_true = ops.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    return y_true


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is that of the class number `y_true`: (..., classes) -> (...)."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _labels(y_true, y_pred)
    best = ops.argmax(y_pred, axis=-1)
    if is_float(y_true.dtype):
        matches = ops.equal(y_true, ops.cast(best, y_true.dtype))
    else:
        matches = ops.equal(ops.cast(y_true, best.dtype), best)
    if len(matches.shape) > 1 and matches.shape[-1] == 1:
        matches = ops.squeeze(matches, -1)
    return _as_float(matches)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the class of the one-hot label is among the `k` largest predictions."""
    return sparse_top_k_categorical_accuracy(ops.argmax(ops.convert_to_tensor(y_true), axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Any:
    """1 where the class number `y_true` is among the `k` largest predictions; or among the first `k` ids given."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(_labels(y_true, y_pred), "int32")
    shape = y_true.shape
    labels = ops.reshape(y_true, (-1,))
    rows = ops.reshape(y_pred, (-1, y_pred.shape[-1]))
    if from_sorted_ids:
        found = ops.any(ops.equal(ops.expand_dims(labels, -1), ops.cast(rows[:, :k], "int32")), axis=1)
    else:
        found = ops.in_top_k(labels, rows, k=k)
    return ops.reshape(_as_float(found), shape)


class Accuracy(MeanMetricWrapper):
    """The share of predictions equal to the labels."""

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """Name and dtype."""
        return {"name": self.name, "dtype": self._dtype}


class BinaryAccuracy(MeanMetricWrapper):
    """The share of predictions on the right side of `threshold`."""

    def __init__(self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(
                "Invalid value for argument `threshold`. Expected a value in interval (0, 1). Received: "
                f"threshold={threshold}"
            )
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose largest prediction is right; one-hot labels."""

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose largest prediction is right; labels are class numbers."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose class is among the `k` largest predictions; one-hot labels."""

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose class is among the `k` largest predictions; labels are class numbers."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration; `from_sorted_ids` only where it is set."""
        config_ = super().get_config()
        if not config_["from_sorted_ids"]:
            del config_["from_sorted_ids"]
        return config_


tell(globals())
