"""Callbacks that watch one result: stop when it no longer improves, or take smaller steps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nacre import ops
from nacre.callbacks.base import Callback
from nacre.callbacks.directions import direction
from nacre.utils.progbar import print_message


class MonitorCallback(Callback):
    """Remembers the best value of `monitor` so far; `mode` says which way is better."""

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0.0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", UserWarning, stacklevel=3
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op: Any = None  # ops.greater or ops.less, once it is known

    def _set_monitor_op(self) -> None:
        mode = self.mode if self.mode != "auto" else direction(self.model, self.monitor, type(self).__name__)
        self.monitor_op = ops.greater if mode == "max" else ops.less

    def _is_improvement(self, monitor_value: Any, reference_value: Any) -> bool:
        """Whether `monitor_value` is better than `reference_value` by more than `min_delta`."""
        if reference_value is None:
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        margin = -self.min_delta if self.monitor_op is ops.less else self.min_delta
        return bool(self.monitor_op(monitor_value - margin, reference_value))

    def value(self, logs: dict[str, Any] | None, what: str) -> Any:
        """The monitored value of an epoch; None, with a warning, when there is none.

        Raises ValueError for a result of which nothing says which way is better.
        """
        logs = logs or {}
        if self.monitor_op is None:
            self._set_monitor_op()
        found = logs.get(self.monitor)
        if found is None:
            warnings.warn(
                f"{what} conditioned on metric `{self.monitor}` which is not available. Available metrics are: "
                f"{','.join(logs)}",
                stacklevel=3,
            )
        return found


class EarlyStopping(MonitorCallback):
    """Stops training when `monitor` has not improved for `patience` epochs.

    Args:
        monitor: name of a result, such as "val_loss".
        min_delta: smaller changes are no improvement.
        patience: how many epochs without improvement are borne.
        verbose: 1 prints what happens.
        mode: "min", "max" or "auto".
        baseline: what must be bettered.
        restore_best_weights: put the weights of the best epoch back at the end.
        start_from_epoch: epochs before it do not count.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.wait = 0
        self.stopped_epoch = 0
        self.restore_best_weights = restore_best_weights
        self.best_weights: Any = None
        self.best_epoch = 0
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets an earlier run, so that the callback can be used again."""
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares, and stops when patience is at its end."""
        current = self.value(logs, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Puts the best weights back, if that was asked for."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_message(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    Args:
        monitor: name of a result, such as "val_loss".
        factor: between 0 and 1.
        patience: how many epochs without improvement are borne.
        verbose: 1 prints what happens.
        mode: "min", "max" or "auto".
        min_delta: smaller changes are no improvement.
        cooldown: epochs after a reduction that do not count.
        min_lr: the learning rate never falls below it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets an earlier run."""
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares, and reduces the learning rate when patience is at its end."""
        logs = logs if logs is not None else {}
        optimizers = optimizers_with_rates(self.model)
        logs["learning_rate"] = float(optimizers[0].learning_rate)
        current = self.value(logs, "Learning rate reduction is")
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience:
                for optimizer in optimizers:
                    self._reduce(optimizer, epoch)

    def _reduce(self, optimizer: Any, epoch: int) -> None:
        old = float(optimizer.learning_rate)
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0


def working_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that change variables: `optimizer` itself, or those that it hands them to."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(getattr(inner, "optimizers", None) or [inner])


def optimizers_with_rates(model: Any) -> list[Any]:
    """The model's optimizer, or each of a MultiOptimizer. Raises ValueError when one has no learning rate."""
    found = working_optimizers(getattr(model, "optimizer", None))
    if any(optimizer is None or not hasattr(optimizer, "learning_rate") for optimizer in found):
        raise ValueError('Optimizer must have a "learning_rate" attribute.')
    return found
