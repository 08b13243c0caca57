"""Saving the model as training goes on."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from nacre.callbacks.monitors import MonitorCallback
from nacre.utils.progbar import print_message


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, after epochs or every so many batches.

    Args:
        filepath: where; may name the epoch and results, as in `"model.{epoch:02d}-{val_loss:.2f}.keras"`.
        monitor: the result that `save_best_only` looks at.
        verbose: 1 prints what happens.
        save_best_only: save only when the result improved.
        save_weights_only: save weights (`.weights.h5`) in place of the model (`.keras`).
        mode: "min", "max" or "auto".
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: what must be bettered.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.verbose = verbose
        self.filepath: str = os.fspath(filepath)
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches_seen = 0
        self._last_batch = 0
        self._current_epoch = 0
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values")
        if save_weights_only:
            if not self.filepath.endswith(".weights.h5"):
                raise ValueError(
                    "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided must end in "
                    f"`.weights.h5` (Keras weights format). Received: filepath={self.filepath}"
                )
        elif not self.filepath.endswith((".keras", ".h5")):
            raise ValueError(
                f"The filepath provided must end in `.keras` (Keras model format). Received: filepath={self.filepath}"
            )

    @property
    def wants_every_batch(self) -> bool:
        """Only with a `save_freq` in batches."""
        return bool(self.save_freq != "epoch")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves when enough batches have passed."""
        if self.save_freq == "epoch":
            return
        self._batches_seen += batch + 1 if batch <= self._last_batch else batch - self._last_batch
        self._last_batch = batch
        if self._batches_seen >= self.save_freq:
            self._batches_seen = 0
            self._save(self._current_epoch, batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._current_epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, unless batches are counted."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any] | None) -> None:
        path = self._path(epoch, batch, logs or {})
        if self.save_best_only and not self._is_best(epoch, path, logs or {}):
            return
        if self.verbose > 0 and not self.save_best_only:
            print_message(f"\nEpoch {epoch + 1}: saving model to {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _is_best(self, epoch: int, path: str, logs: dict[str, Any]) -> bool:
        if self.monitor_op is None:
            self._set_monitor_op()
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=4)
            return True
        if np.size(current) != 1:
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {current}. Falling back to "
                "`save_best_only=False`.",
                stacklevel=4,
            )
            return True
        if not self._is_improvement(current, self.best):
            if self.verbose > 0:
                print_message(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
            return False
        if self.verbose > 0:
            before = "None" if self.best is None else f"{self.best:.5f}"
            print_message(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}, saving model to {path}"
            )
        self.best = current
        return True

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        try:
            named = {"batch": batch + 1} if batch is not None and "{batch" in self.filepath else {}
            return self.filepath.format(epoch=epoch + 1, **named, **logs)
        except (KeyError, IndexError, AttributeError, ValueError, TypeError) as error:
            kind = type(error) if isinstance(error, (KeyError, ValueError)) else KeyError
            raise kind(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. Known: epoch, '
                f"{', '.join(logs)}"
            ) from None
