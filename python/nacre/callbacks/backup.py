"""Going on after a training that was interrupted."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from nacre.callbacks.base import Callback


class BackupAndRestore(Callback):
    """Saves weights, optimizer and epoch during training; a `fit` that finds them goes on from there.

    Args:
        backup_dir: a folder of its own.
        save_freq: "epoch", or a number of batches.
        double_checkpoint: keep the backup before the last one, too.
        delete_checkpoint: remove the backup when training ended well.
    """

    def __init__(
        self, backup_dir: Any, save_freq: Any = "epoch", double_checkpoint: bool = False, delete_checkpoint: bool = True
    ) -> None:
        super().__init__()
        if not backup_dir or not os.fspath(backup_dir):
            raise ValueError("Empty `backup_dir` argument passed")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._batches_seen = 0
        self._current_epoch = 0
        self._training_metadata_path = os.path.join(self.backup_dir, "training_metadata.json")
        self._weights_path = os.path.join(self.backup_dir, "latest.weights.h5")
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise ValueError(
                "Invalid value for argument `save_freq`. Expected either 'epoch' or an integer value. Received: "
                f"save_freq={save_freq}"
            )

    @property
    def wants_every_batch(self) -> bool:
        """Only with a `save_freq` in batches."""
        return bool(self.save_freq != "epoch")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Goes on from a backup, if there is one."""
        for suffix in ("", ".backup"):
            metadata, weights = self._training_metadata_path + suffix, self._backup_name(suffix)
            if os.path.exists(metadata) and os.path.exists(weights):
                self.model.load_weights(weights)
                with open(metadata) as f:
                    found = json.load(f)
                # An epoch that was cut short begins again.
                self.model._initial_epoch = int(found["epoch"]) + (1 if found["batch"] == 0 else 0)
                return
        self.model._initial_epoch = None

    def _backup_name(self, suffix: str) -> str:
        return self._weights_path if not suffix else os.path.join(self.backup_dir, "backup.weights.h5")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._current_epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, unless batches are counted."""
        if self.save_freq == "epoch":
            self._save(epoch, 0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves when enough batches have passed."""
        if self.save_freq == "epoch":
            return
        self._batches_seen += 1
        if self._batches_seen >= self.save_freq:
            self._batches_seen = 0
            self._save(self._current_epoch, batch + 1)

    def _save(self, epoch: int, batch: int) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._weights_path):
            os.replace(self._weights_path, self._backup_name(".backup"))
            os.replace(self._training_metadata_path, self._training_metadata_path + ".backup")
        self.model.save_weights(self._weights_path, overwrite=True)
        with open(self._training_metadata_path, "w") as f:
            json.dump({"epoch": epoch, "batch": batch}, f)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Removes the backup: training ended well."""
        if self.delete_checkpoint and os.path.exists(self.backup_dir):
            shutil.rmtree(self.backup_dir)
        self.model._initial_epoch = None
