"""Going on after a training that was interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from typing import Any, NamedTuple

from nacre.callbacks.base import Callback
from nacre.saving.archive import Window
from nacre.utils.atomic import replacing


class _Step(NamedTuple):
    """Where training was; `crc32` is that of the weights file which belongs to it. Keras writes none."""

    epoch: int
    batch: int
    crc32: int | None = None

    @classmethod
    def read(cls, found: Any) -> _Step:
        """What stands in a dict. Raises TypeError for anything else than ints."""
        step = cls(found["epoch"], found["batch"], found.get("crc32"))
        if not all(isinstance(n, int) for n in (step.epoch, step.batch, step.crc32 or 0)):
            raise TypeError(f"expected ints, got {step}")
        return step


def _crc32(path: str) -> int:
    with open(path, "rb", buffering=0) as file:
        return Window(file, 0, os.fstat(file.fileno()).st_size).checksum()


def _keep(now: str, then: str) -> None:
    """Makes the file `then` the same as `now`, in one step."""
    part = f"{then}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    try:
        os.link(now, part)
    except OSError:  # no hard links on this file system
        shutil.copyfile(now, part)
    os.replace(part, then)


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
        self._saved: _Step | None = None
        self._training_metadata_path = os.path.join(self.backup_dir, "training_metadata.json")
        self._weights_path = os.path.join(self.backup_dir, "latest.weights.h5")
        self._next_path = os.path.join(self.backup_dir, "next.weights.h5")
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
        """Goes on from a backup, if there is one. A damaged one is passed over when there is an older one."""
        self._saved = None
        found = [
            (weights, metadata)
            for weights, metadata in ((self._weights_path, self._training_metadata_path), self._older())
            if os.path.exists(weights) and os.path.exists(metadata)
        ]
        for i, (weights, metadata) in enumerate(found):
            try:
                self._restore(weights, metadata)
                return
            except ValueError as error:
                if i + 1 == len(found):
                    raise
                warnings.warn(f"BackupAndRestore: going on from the older backup: {error}", stacklevel=2)

    def _older(self) -> tuple[str, str]:
        return os.path.join(self.backup_dir, "backup.weights.h5"), self._training_metadata_path + ".backup"

    def _restore(self, weights: str, metadata: str) -> None:
        with open(metadata, encoding="utf-8") as file:
            try:
                found = json.load(file)
                steps = [_Step.read(found), *([_Step.read(found["before"])] if "before" in found else [])]
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ValueError(f"{metadata} is damaged: {error}") from error
        # The weights take their place last. If that was interrupted, they are still those of the step before.
        crc32 = _crc32(weights)
        step = next((s for s in steps if s.crc32 in (None, crc32)), None)
        if step is None:
            raise ValueError(f"{weights} is damaged or of another save than {metadata}: its checksum is wrong")
        self.model.load_weights(weights)
        # An epoch that was cut short begins again.
        self.model._initial_epoch = step.epoch + (1 if step.batch == 0 else 0)
        self._saved = step

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
            for now, then in zip((self._weights_path, self._training_metadata_path), self._older()):
                if os.path.exists(now):
                    _keep(now, then)
        self.model.save_weights(self._next_path, overwrite=True)
        step = _Step(epoch, batch, _crc32(self._next_path))
        before = {} if self._saved is None else {"before": self._saved._asdict()}
        with replacing(self._training_metadata_path) as file:
            file.write(json.dumps({**step._asdict(), **before}).encode())
        os.replace(self._next_path, self._weights_path)
        self._saved = step

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Removes the backup: training ended well."""
        if self.delete_checkpoint and os.path.exists(self.backup_dir):
            shutil.rmtree(self.backup_dir)
