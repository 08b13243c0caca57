"""The hooks that a callback may have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nacre.core.errors import Told


def tell(hook: Callable[..., Any], batch: int, logs: Any) -> None:
    """Calls a hook of a batch with its logs by name, as Keras does; by position where they have another name, as in
    older programs."""
    code = getattr(hook, "__code__", None)  # of a method that of its function
    names = () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if code is None or "logs" in names or code.co_flags & inspect.CO_VARKEYWORDS:
        hook(batch, logs=logs)
    else:
        hook(batch, logs)


class Callback(Told):
    """Base class of callbacks: override the hooks that you need.

    Attributes: `model`, the model that is trained, and `params` (`verbose`, `epochs`, `steps`).

    Training runs many batches in one call of C++ unless a callback overrides a batch hook.
    """

    params: dict[str, Any] | None = None
    _model: Any = None

    def __init__(self) -> None:
        self.params = None
        self._model = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called once before training."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called before each epoch of training."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after each epoch of training; `logs` are its results, `val_*` those of validation."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called before each batch of training."""
        tell(self.on_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after each batch of training; `logs` are the running results of the epoch."""
        tell(self.on_batch_end, batch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called before each batch of `evaluate` and of validation."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after each batch of `evaluate` and of validation."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called before each batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after each batch of `predict`; `logs` holds its `outputs`."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the start of `fit`."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of `fit`; `logs` are those of the last epoch."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the start of `evaluate` and of validation."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of `evaluate` and of validation, with its results."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the start of `predict`."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Called at the end of `predict`."""


def overrides(callback: Any, hook: str) -> bool:
    """Whether a callback has a `hook` of its own, by class or on the instance."""
    method = getattr(callback, hook, None)
    return method is not None and getattr(method, "__func__", method) is not getattr(Callback, hook)
