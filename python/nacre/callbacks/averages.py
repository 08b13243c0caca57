"""Evaluating and saving with averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nacre.callbacks.base import Callback
from nacre.callbacks.monitors import working_optimizers


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
        self._means: list[Any] = []

    def _averaging(self) -> list[Any]:
        return [o for o in working_optimizers(self.model.optimizer) if getattr(o, "use_ema", False)]

    @staticmethod
    def _pairs(optimizer: Any) -> Iterator[Any]:
        return zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)

    def _swap(self) -> None:
        averaging = self._averaging()
        if not averaging:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. Received: use_ema=False"
            )
        for optimizer in averaging:
            if not optimizer.built:
                continue
            for variable, average in self._pairs(optimizer):
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
            pairs = [p for o in self._averaging() if o.built for p in self._pairs(o)]
            self._means = [(variable, average, variable.numpy()) for variable, average in pairs]

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predictions come from the averages."""
        if not self._swapped:
            self._swap()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """The weights are back."""
        if self._swapped:
            self._swap()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """The averages are the weights for good."""
        if self._swapped:  # the optimizer has put what it took for averages in the place of the weights
            for variable, average, mean in self._means:
                variable.assign(mean)
                average.assign(mean)
            self._swapped = False
        self._means = []
