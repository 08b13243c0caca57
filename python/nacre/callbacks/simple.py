"""Small callbacks: functions as hooks, learning rates by epoch, results in a CSV file, a stop at NaN."""

from __future__ import annotations

import csv
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nacre.callbacks.base import Callback
from nacre.callbacks.monitors import optimizers_with_rates
from nacre.utils.atomic import adding
from nacre.utils.progbar import print_message


class LambdaCallback(Callback):
    """A callback of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: ...)`; any hook by its name."""

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in {**hooks, **kwargs}.items():
            if function is not None:
                setattr(self, name, function)


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to `schedule(epoch, lr)` (or `schedule(epoch)`)."""

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the learning rate."""
        for optimizer in optimizers_with_rates(self.model):
            try:
                new = self.schedule(epoch, float(optimizer.learning_rate))
            except TypeError:  # a schedule of the epoch alone
                new = self.schedule(epoch)
            if isinstance(new, bool) or not isinstance(new, (float, int, np.floating)):
                raise ValueError(f"The output of the `schedule` function should be a float. Got: {new!r}")
            optimizer.learning_rate = float(new)
            if self.verbose > 0:
                print_message(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {float(new)}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the learning rate to the results."""
        if logs is not None:
            logs["learning_rate"] = float(optimizers_with_rates(self.model)[0].learning_rate)


class TerminateOnNaN(Callback):
    """Stops training when the loss is NaN or infinite; with `raise_error` by a RuntimeError."""

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}")
            print_message(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class CSVLogger(Callback):
    """Writes the results of each epoch as a line of a CSV file.

    Args:
        filename: where.
        separator: between values.
        append: add to an existing file.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None
        self.csv_file: Any = None
        self._writer: Any = None
        self._write_header = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the file."""
        self._write_header = True
        cut = False
        if self.append and os.path.exists(self.filename):
            with open(self.filename, "rb") as f:
                self._write_header = not bool(f.readline())
                if not self._write_header:
                    f.seek(-1, os.SEEK_END)
                    cut = f.read() != b"\n"  # a killed run left half a line
        mode = "a" if self.append else "w"
        self.csv_file = open(self.filename, mode, newline="", encoding="utf-8")  # noqa: SIM115
        if cut:
            self.csv_file.write("\r\n")
        self._writer = None
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes a line."""
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):  # validation may come at a later epoch
                self.keys += [f"val_{key}" for key in self.keys]
        with adding(self.csv_file) as file:
            if self._writer is None:
                self._writer = csv.DictWriter(
                    file, fieldnames=["epoch", *self.keys], delimiter=self.sep, extrasaction="ignore"
                )
                if self._write_header:
                    self._writer.writeheader()
            self._writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
            file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file."""
        if self.csv_file is not None:
            self.csv_file.close()
        self._writer = None


def _cell(value: Any) -> Any:
    if (isinstance(value, Iterable) and not isinstance(value, (str, np.ndarray))) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    ):
        return f'"[{", ".join(map(str, value))}]"'
    return value


class RemoteMonitor(Callback):
    """Posts the results of each epoch to a server, by means of the package requests.

    Args:
        root: the address of the server.
        path: below it, where to.
        field: the name of the form's field that holds the results, as JSON.
        headers: of the request.
        send_as_json: send the results themselves as JSON, and no form.

    A server that does not answer is a warning. Raises ImportError when requests is not installed.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Posts the results."""
        try:
            import requests  # type: ignore[import-untyped]
        except ImportError:
            raise ImportError("RemoteMonitor requires the `requests` library.") from None
        plain = {name: v.item() if isinstance(v, (np.ndarray, np.generic)) else v for name, v in (logs or {}).items()}
        send = {"epoch": epoch, **plain}
        try:
            if self.send_as_json:
                requests.post(self.root + self.path, json=send, headers=self.headers)
            else:
                requests.post(self.root + self.path, {self.field: json.dumps(send)}, headers=self.headers)
        except requests.exceptions.RequestException:
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2)
