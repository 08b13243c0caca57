"""Losses between numbers: squares, absolute values, logarithms and angles."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import config
from nacre.core.errors import tell
from nacre.losses.loss import LossFunctionWrapper, convert_pair


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """mean((y_true - y_pred)^2) over the last axis: (..., d) -> (...)."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """mean(|y_true - y_pred|) over the last axis: (..., d) -> (...)."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """100 * mean(|y_true - y_pred| / |y_true|) over the last axis; small |y_true| count as epsilon."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), config.epsilon())), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """mean((log(y_true + 1) - log(y_pred + 1))^2) over the last axis; values below epsilon count as epsilon."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    first, second = (ops.log(ops.maximum(y, config.epsilon()) + 1.0) for y in (y_pred, y_true))
    return ops.mean(ops.square(first - second), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between y_true and y_pred along `axis`: -1 for equal directions."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Mean over the last axis of e^2 / 2 where |e| <= delta, and of delta * |e| - delta^2 / 2 beyond."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    square, linear = 0.5 * ops.square(error), delta * error - 0.5 * delta * delta
    return ops.mean(ops.where(error <= delta, square, linear), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """mean(log(cosh(y_pred - y_true))) over the last axis, safe for large differences."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    x = y_pred - y_true
    return ops.mean(x + ops.softplus(-2.0 * x) - 0.6931471805599453, axis=-1)  # log 2


class MeanSquaredError(LossFunctionWrapper):
    """The mean of squared differences."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The mean of absolute differences."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The mean of absolute differences in percent of `y_true`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction=reduction, name=name, dtype=dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The mean of squared differences of logarithms."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction=reduction, name=name, dtype=dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine similarity along `axis`."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction=reduction, name=name, dtype=dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration; `axis` only where it is not the last one."""
        config_ = super().get_config()
        if config_["axis"] == -1:
            del config_["axis"]
        return config_


class Huber(LossFunctionWrapper):
    """Squares for errors up to `delta`, absolute values beyond."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction=reduction, name=name, dtype=dtype, delta=delta)

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration; `delta` only where it is not 1."""
        config_ = super().get_config()
        if config_["delta"] == 1.0:
            del config_["delta"]
        return config_


class LogCosh(LossFunctionWrapper):
    """The mean of log(cosh(difference)): squares near zero, absolute values far away."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, reduction=reduction, name=name, dtype=dtype)


tell(globals())
