"""All callbacks of one run, called one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.callbacks.base import Callback, overrides, tell
from nacre.callbacks.progress import History, ProgbarLogger
from nacre.core import tree
from nacre.core.tensor import Tensor

_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class CallbackList(Callback):
    """A callback that passes every hook on to others.

    Args:
        callbacks: a Callback or a list of them.
        add_history, add_progbar: append a History, a ProgbarLogger, unless there is one.
        model: the model they get.
        params: what else they get as `params`.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = tree.flatten(callbacks) if callbacks else []
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                raise TypeError(f"callbacks: expected Callbacks, got {callback!r} of type {type(callback).__name__}")
        self._listeners = {
            kind: [c for c in self.callbacks if any(overrides(c, hook) for hook in hooks)]
            for kind, hooks in _HOOKS.items()
        }
        self._progbar = self._find_or_add(ProgbarLogger, False)
        self._history = self._find_or_add(History, add_history)  # a new one does not listen to batches
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.append(self._progbar)
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def _find_or_add(self, cls: type, add: bool) -> Any:
        for callback in self.callbacks:
            if isinstance(callback, cls):
                return callback
        if not add:
            return None
        self.callbacks.append(cls())
        return self.callbacks[-1]

    def append(self, callback: Any) -> None:
        """Adds a callback."""
        self.callbacks.append(callback)
        for kind, hooks in _HOOKS.items():
            if any(overrides(callback, hook) for hook in hooks):
                self._listeners[kind].append(callback)

    def __iter__(self) -> Any:
        return iter(self.callbacks)

    def listens_to_batches(self, kind: str) -> bool:
        """Whether a callback other than the progress bar wants to hear of every batch."""
        return any(getattr(c, "wants_every_batch", True) for c in self._listeners[kind])

    def set_params(self, params: dict[str, Any]) -> None:
        """Hands `params` to all."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Hands the model to all; its `history` becomes that of this run."""
        super().set_model(model)
        if self._history is not None:
            object.__setattr__(model, "history", self._history)  # no change of its structure
        for callback in self.callbacks:
            callback.set_model(model)

    def _batch(self, kind: str, hook: str, batch: int, logs: Any) -> None:
        listeners = self._listeners[kind]
        if not listeners:
            return
        logs = python_logs(logs)
        for callback in listeners:
            tell(getattr(callback, hook), batch, logs)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch("train", "on_train_batch_begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch("train", "on_train_batch_end", batch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch("train", "on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch("train", "on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch("test", "on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch("test", "on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch("predict", "on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        for callback in self._listeners["predict"]:
            tell(callback.on_predict_batch_end, batch, logs)

    def _all(self, hook: str, *args: Any, logs: Any) -> None:
        logs = python_logs(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*args, logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._all("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._all("on_epoch_end", epoch, logs=logs)

    def on_train_begin(self, logs: Any = None) -> None:
        self._all("on_train_begin", logs=logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._all("on_train_end", logs=logs)

    def on_test_begin(self, logs: Any = None) -> None:
        self._all("on_test_begin", logs=logs)

    def on_test_end(self, logs: Any = None) -> None:
        self._all("on_test_end", logs=logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        self._all("on_predict_begin", logs=logs)

    def on_predict_end(self, logs: Any = None) -> None:
        self._all("on_predict_end", logs=logs)


def python_logs(logs: Any) -> dict[str, Any]:
    """Logs by name in alphabetical order, numbers as Python floats; dicts inside are spread out."""
    found: dict[str, Any] = {}
    for name in sorted(logs) if logs else ():
        value = logs[name]
        if isinstance(value, dict):
            found.update(python_logs(value))
        elif isinstance(value, (Tensor, np.ndarray)):
            array = value._array if isinstance(value, Tensor) else value
            found[name] = float(array) if array.ndim == 0 and array.dtype.kind in "biuf" else array.copy()
        else:
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                found[name] = value
    return found
