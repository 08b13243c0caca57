"""Every metric with data that it is made for: one list for the tests of behaviour and against Keras."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

rng = np.random.RandomState(1)
BINARY = rng.randint(0, 2, (6, 4)).astype("float32")
SHARES = rng.rand(6, 4).astype("float32")
CLASSES = rng.randint(0, 4, 6)
FOUND = np.array([0, 1, 2, 3, 0, 1])
ONE_HOT = np.eye(4, dtype="float32")[CLASSES]
PROBABILITIES = (SHARES / SHARES.sum(-1, keepdims=True)).astype("float32")
LOGITS = rng.randn(6, 4).astype("float32")
NUMBERS = rng.randn(6, 4).astype("float32")
WEIGHTS = rng.rand(6).astype("float32")


class Case(NamedTuple):
    """One metric: its class, arguments and data."""

    cls: str
    arguments: dict[str, Any]
    data: tuple[Any, ...]

    def __str__(self) -> str:
        return "-".join([self.cls, *(str(v) for v in self.arguments.values())])


_SHARES, _NUMBERS = (BINARY, SHARES), (NUMBERS, LOGITS)
_COUNTS = ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives", "Precision", "Recall")
_AT = {
    "SensitivityAtSpecificity": "specificity",
    "SpecificityAtSensitivity": "sensitivity",
    "PrecisionAtRecall": "recall",
    "RecallAtPrecision": "precision",
}
ALL = [
    Case("Mean", {}, (NUMBERS,)),
    Case("Sum", {}, (NUMBERS,)),
    Case("Accuracy", {}, (CLASSES[:, None], FOUND[:, None])),
    Case("BinaryAccuracy", {}, _SHARES),
    Case("BinaryAccuracy", {"threshold": 0.3}, _SHARES),
    Case("CategoricalAccuracy", {}, (ONE_HOT, PROBABILITIES)),
    Case("SparseCategoricalAccuracy", {}, (CLASSES, PROBABILITIES)),
    Case("TopKCategoricalAccuracy", {"k": 2}, (ONE_HOT, PROBABILITIES)),
    Case("SparseTopKCategoricalAccuracy", {"k": 2}, (CLASSES, PROBABILITIES)),
    Case("MeanSquaredError", {}, _NUMBERS),
    Case("MeanAbsoluteError", {}, _NUMBERS),
    Case("MeanAbsolutePercentageError", {}, _NUMBERS),
    Case("MeanSquaredLogarithmicError", {}, _SHARES),
    Case("RootMeanSquaredError", {}, _NUMBERS),
    Case("LogCoshError", {}, _NUMBERS),
    Case("CosineSimilarity", {}, _NUMBERS),
    Case("PearsonCorrelation", {}, _NUMBERS),
    Case("ConcordanceCorrelation", {}, _NUMBERS),
    Case("R2Score", {}, _NUMBERS),
    Case("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 1}, _NUMBERS),
    Case("R2Score", {"class_aggregation": None}, _NUMBERS),
    Case("BinaryCrossentropy", {}, _SHARES),
    Case("CategoricalCrossentropy", {}, (ONE_HOT, PROBABILITIES)),
    Case("SparseCategoricalCrossentropy", {}, (CLASSES, PROBABILITIES)),
    Case("KLDivergence", {}, (ONE_HOT, PROBABILITIES)),
    Case("Poisson", {}, _SHARES),
    Case("Hinge", {}, (BINARY, LOGITS)),
    Case("SquaredHinge", {}, (BINARY, LOGITS)),
    Case("CategoricalHinge", {}, (ONE_HOT, LOGITS)),
    *(Case(name, {}, _SHARES) for name in _COUNTS),
    *(Case(name, {"thresholds": [0.2, 0.5, 0.8]}, _SHARES) for name in _COUNTS),
    Case("Precision", {"top_k": 2}, _SHARES),
    Case("Recall", {"top_k": 2, "class_id": 1}, _SHARES),
    *(
        Case("AUC", {"curve": c, "summation_method": s}, _SHARES)
        for c in ("ROC", "PR")
        for s in ("interpolation", "minoring", "majoring")
    ),
    Case("AUC", {"curve": "PRGAIN"}, _SHARES),
    Case("AUC", {"multi_label": True, "num_labels": 4}, _SHARES),
    Case("AUC", {"thresholds": [0.1, 0.5, 0.9]}, _SHARES),
    Case("AUC", {"from_logits": True}, (BINARY, LOGITS)),
    *(Case(name, {argument: 0.5}, _SHARES) for name, argument in _AT.items()),
    *(Case(name, {argument: 0.5, "num_thresholds": 5}, _SHARES) for name, argument in _AT.items()),
    *(Case("F1Score", {"average": a}, (ONE_HOT, PROBABILITIES)) for a in (None, "micro", "macro", "weighted")),
    Case("FBetaScore", {"average": "macro", "beta": 2.0, "threshold": 0.4}, _SHARES),
    Case("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, (CLASSES, FOUND)),
    Case("MeanIoU", {"num_classes": 4}, (CLASSES, FOUND)),
    Case("MeanIoU", {"num_classes": 4, "ignore_class": 1}, (CLASSES, FOUND)),
    Case("BinaryIoU", {}, (BINARY[:, 0], SHARES[:, 0])),
    Case("OneHotIoU", {"num_classes": 4, "target_class_ids": [0, 1]}, (ONE_HOT, PROBABILITIES)),
    Case("OneHotMeanIoU", {"num_classes": 4}, (ONE_HOT, PROBABILITIES)),
]


def batches(case: Case, weighted: bool) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The data in two batches of 4 and 2 samples."""
    parts = []
    for part in (slice(0, 4), slice(4, 6)):
        options = {"sample_weight": WEIGHTS[part]} if weighted else {}
        parts.append((tuple(a[part] for a in case.data), options))
    return parts


def results(metric: Any, case: Case, weighted: bool) -> list[Any]:
    """The value after each batch, and after a reset and the first batch."""
    found = []
    parts = batches(case, weighted)
    for args, options in parts:
        metric.update_state(*args, **options)
        found.append(np.asarray(metric.result()))
    metric.reset_state()
    args, options = parts[0]
    metric.update_state(*args, **options)
    return [*found, np.asarray(metric.result())]
