"""Every loss with data that it is made for: one list for the tests against NumPy, of configurations, and against
Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

rng = np.random.RandomState(0)
BINARY = rng.randint(0, 2, (6, 4)).astype("float32")
SHARES = rng.rand(6, 4).astype("float32")
CLASSES = rng.randint(0, 4, 6)
ONE_HOT = np.eye(4, dtype="float32")[CLASSES]
PROBABILITIES = (SHARES / SHARES.sum(-1, keepdims=True)).astype("float32")
LOGITS = rng.randn(6, 4).astype("float32")
NUMBERS = rng.randn(6, 4).astype("float32")
WEIGHTS = rng.rand(6).astype("float32")
UNIT = (LOGITS / np.linalg.norm(LOGITS, axis=-1, keepdims=True)).astype("float32")
EPSILON = 1e-7


class Case(NamedTuple):
    """One loss: its class, arguments, data, and what it is in float64 NumPy, per sample (None: only compared with
    Keras)."""

    cls: str
    arguments: dict[str, Any]
    y_true: Any
    y_pred: Any
    reference: Callable[[Any, Any], Any] | None

    def __str__(self) -> str:
        return "-".join([self.cls, *map(str, self.arguments.values())])


def _log(p: Any) -> Any:
    return np.log(np.clip(p, EPSILON, 1 - EPSILON))


def _bce(t: Any, p: Any) -> Any:
    return -(t * _log(p) + (1 - t) * _log(1 - p))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _focal(t: Any, p: Any) -> Any:
    p_t = t * p + (1 - t) * (1 - p)
    return ((1 - p_t) ** 2 * _bce(t, p)).mean(-1)


def _huber(delta: float) -> Callable[[Any, Any], Any]:
    def reference(t: Any, p: Any) -> Any:
        e = np.abs(t - p)
        return np.where(e <= delta, 0.5 * e * e, delta * e - 0.5 * delta**2).mean(-1)

    return reference


ALL = [
    Case("MeanSquaredError", {}, NUMBERS, LOGITS, lambda t, p: ((t - p) ** 2).mean(-1)),
    Case("MeanAbsoluteError", {}, NUMBERS, LOGITS, lambda t, p: np.abs(t - p).mean(-1)),
    Case("MeanAbsolutePercentageError", {}, NUMBERS, LOGITS, lambda t, p: 100 * np.abs((t - p) / t).mean(-1)),
    Case(
        "MeanSquaredLogarithmicError",
        {},
        SHARES,
        BINARY,
        lambda t, p: ((np.log1p(np.maximum(t, EPSILON)) - np.log1p(np.maximum(p, EPSILON))) ** 2).mean(-1),
    ),
    Case("CosineSimilarity", {}, NUMBERS, LOGITS, lambda t, p: -(_unit(t) * _unit(p)).sum(-1)),
    Case("CosineSimilarity", {"axis": 0}, NUMBERS, LOGITS, None),
    Case("Huber", {}, NUMBERS, LOGITS, _huber(1.0)),
    Case("Huber", {"delta": 0.3}, NUMBERS, LOGITS, _huber(0.3)),
    Case("LogCosh", {}, NUMBERS, LOGITS, lambda t, p: np.log(np.cosh(p - t)).mean(-1)),
    Case("BinaryCrossentropy", {}, BINARY, SHARES, lambda t, p: _bce(t, p).mean(-1)),
    Case("BinaryCrossentropy", {"from_logits": True}, BINARY, LOGITS, lambda t, p: _bce(t, _sigmoid(p)).mean(-1)),
    Case("BinaryCrossentropy", {"label_smoothing": 0.1}, BINARY, SHARES, lambda t, p: _bce(t * 0.9 + 0.05, p).mean(-1)),
    Case("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES, lambda t, p: -(t * _log(p)).sum(-1)),
    Case(
        "CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, LOGITS, lambda t, p: -(t * _log(_softmax(p))).sum(-1)
    ),
    Case(
        "CategoricalCrossentropy",
        {"label_smoothing": 0.2},
        ONE_HOT,
        PROBABILITIES,
        lambda t, p: -((t * 0.8 + 0.05) * _log(p)).sum(-1),
    ),
    Case(
        "SparseCategoricalCrossentropy", {}, CLASSES, PROBABILITIES, lambda t, p: -_log(p)[np.arange(6), t.astype(int)]
    ),
    Case(
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        CLASSES,
        LOGITS,
        lambda t, p: -_log(_softmax(p))[np.arange(6), t.astype(int)],
    ),
    Case("SparseCategoricalCrossentropy", {"ignore_class": 2}, CLASSES, PROBABILITIES, None),
    Case("BinaryFocalCrossentropy", {}, BINARY, SHARES, _focal),
    Case("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}, BINARY, SHARES, None),
    Case(
        "CategoricalFocalCrossentropy",
        {},
        ONE_HOT,
        PROBABILITIES,
        lambda t, p: -(0.25 * (1 - p) ** 2 * t * _log(p)).sum(-1),
    ),
    Case("CategoricalFocalCrossentropy", {"from_logits": True}, ONE_HOT, LOGITS, None),
    Case(
        "CategoricalGeneralizedCrossEntropy",
        {"q": 0.7},
        CLASSES,
        PROBABILITIES,
        lambda t, p: (1 - p[np.arange(6), t.astype(int)] ** 0.7) / 0.7,
    ),
    Case("KLDivergence", {}, PROBABILITIES, ONE_HOT, lambda t, p: (t * np.log(t / np.clip(p, EPSILON, 1))).sum(-1)),
    Case("Poisson", {}, BINARY, SHARES, lambda t, p: (p - t * np.log(p + EPSILON)).mean(-1)),
    Case("Hinge", {}, BINARY, LOGITS, lambda t, p: np.maximum(1 - (2 * t - 1) * p, 0).mean(-1)),
    Case("SquaredHinge", {}, BINARY, LOGITS, lambda t, p: (np.maximum(1 - (2 * t - 1) * p, 0) ** 2).mean(-1)),
    Case(
        "CategoricalHinge",
        {},
        ONE_HOT,
        LOGITS,
        lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0),
    ),
    Case("Circle", {}, np.array([0, 0, 1, 1, 2, 0]), UNIT, None),
    Case("Circle", {"gamma": 2.0, "margin": 0.2, "remove_diagonal": False}, np.array([0, 0, 1, 1, 2, 0]), UNIT, None),
    Case("Circle", {"gamma": 2.0}, np.array([0, 0, 1, 1, 2, 0]), 1.5 * UNIT, None),
]


def inside(y_pred: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Predictions that are not at an end of a range, where a loss has a corner and no slope."""
    return 0.98 * y_pred + 0.01


OVER_ALL = [  # these give one number for the whole batch
    Case("Dice", {}, BINARY, SHARES, None),
    Case("Tversky", {"alpha": 0.3, "beta": 0.7}, BINARY, SHARES, None),
]
