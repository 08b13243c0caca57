"""Intersection over union of classes, from a confusion matrix."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core import config
from nacre.core.spec import is_float, standardize_dtype
from nacre.metrics.metric import Metric


class _ConfusionMatrix(Metric):
    """Counts of (true class, predicted class)."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "int")
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", self._dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: class numbers, or scores along `axis` where the matching `sparse_` flag is false."""
        if not self.sparse_y_true:
            y_true = ops.argmax(ops.convert_to_tensor(y_true), axis=self.axis)
        if not self.sparse_y_pred:
            y_pred = ops.argmax(ops.convert_to_tensor(y_pred), axis=self.axis)
        shape = tuple(ops.convert_to_tensor(y_true).shape)
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        found = ops.reshape(ops.cast(y_pred, "int32"), (-1,))
        weight = ops.reshape(self._weights(sample_weight, shape), (-1,))
        n = self.num_classes
        valid = ops.logical_and(labels >= 0, labels < n)
        valid = ops.logical_and(valid, ops.logical_and(found >= 0, found < n))
        if self.ignore_class is not None:
            valid = ops.logical_and(valid, ops.not_equal(labels, self.ignore_class))
        cells = ops.where(valid, labels * n + found, -1)
        counts = ops.segment_sum(weight, cells, num_segments=n * n)
        self.total_cm.assign(self.total_cm + ops.reshape(counts, (n, n)))

    def _weights(self, sample_weight: Any, shape: tuple[int, ...]) -> Any:
        if sample_weight is None:
            return ops.ones(shape, self._dtype)
        if is_float(standardize_dtype(getattr(sample_weight, "dtype", "bool"))) and not is_float(self._dtype):
            warnings.warn(
                "You are passing weight as `float`, but dtype is `int`. This may result in an incorrect weight due to "
                "type casting. Consider using integer weights.",
                stacklevel=3,
            )
        weight = ops.cast(ops.convert_to_tensor(sample_weight), self._dtype)
        missing = len(shape) - len(weight.shape)
        if missing > 0:
            weight = ops.reshape(weight, (*weight.shape, *([1] * missing)))
        return ops.broadcast_to(weight, shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        return {
            "name": self.name,
            "dtype": self._dtype,
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


class IoU(_ConfusionMatrix):
    """The mean, over `target_class_ids`, of true positives / (true positives + false positives + false negatives)."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        if max(target_class_ids) >= num_classes:
            raise ValueError(f"Target class id {max(target_class_ids)} is out of range, which is [0, {num_classes}).")
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        """The mean so far, over the target classes that occurred."""
        matrix = ops.cast(self.total_cm.value, config.floatx())
        index = ops.convert_to_tensor(self.target_class_ids, dtype="int32")
        eye = ops.eye(self.num_classes, dtype=matrix.dtype)
        hits = ops.take(ops.sum(matrix * eye, axis=0), index, axis=0)
        rows = ops.take(ops.sum(matrix, axis=1), index, axis=0)
        columns = ops.take(ops.sum(matrix, axis=0), index, axis=0)
        union = rows + columns - hits
        occurred = ops.cast(union > 0, matrix.dtype)
        ratio = hits * occurred / (union + config.epsilon())
        return ops.sum(ratio) / (ops.sum(occurred) + config.epsilon())

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        return {**super().get_config(), "target_class_ids": self.target_class_ids}


class BinaryIoU(IoU):
    """Intersection over union for predictions of one class: above `threshold` is class 1."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes=2, target_class_ids=target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), config.floatx())
        super().update_state(y_true, ops.cast(y_pred >= self.threshold, "int32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        own = {"target_class_ids": self.target_class_ids, "threshold": self.threshold}
        return {"name": self.name, "dtype": self._dtype, **own}


class MeanIoU(IoU):
    """The mean of IoU over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        config_ = super().get_config()
        del config_["target_class_ids"]
        return config_


class OneHotIoU(IoU):
    """IoU for one-hot labels."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        config_ = super().get_config()
        del config_["sparse_y_true"]
        return config_


class OneHotMeanIoU(MeanIoU):
    """MeanIoU for one-hot labels."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        config_ = super().get_config()
        del config_["sparse_y_true"]
        return config_
