"""Evaluating and saving with averaged weights."""

from __future__ import annotations

from typing import Any

from nacre.callbacks.base import Callback


class SwapEMAWeights(Callback):
    """Puts the optimizer's averages (EMA) in place of the weights during validation and, with `swap_on_epoch`, at
    epoch ends.

    Callbacks after this one in the list, such as ModelCheckpoint, then see the averages. The optimizer needs
    `use_ema=True`.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _swap(self) -> None:
        optimizer = self.model.optimizer
        if optimizer is None or not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. Received: use_ema=False"
            )
        if not optimizer.built:
            return
        for variable, average in zip(optimizer._trainable_variables, optimizer._averages, strict=True):
            value, mean = variable.numpy(), average.numpy()
            variable.assign(mean)
            average.assign(value)
        self._swapped = not self._swapped

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Training goes on with its own weights."""
        if self._swapped:
            self._swap()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validation sees the averages."""
        if not self._swapped:
            self._swap()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """The weights are back."""
        if self._swapped:
            self._swap()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Callbacks after this one see the averages, if that was asked for."""
        if self.swap_on_epoch and not self._swapped:
            self._swap()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predictions come from the averages."""
        if not self._swapped:
            self._swap()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """The weights are back."""
        if self._swapped:
            self._swap()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """The weights are back; the optimizer then puts the averages in their place for good."""
        if self._swapped:
            self._swap()
