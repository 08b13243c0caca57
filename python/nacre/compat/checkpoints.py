"""`tf.train.Checkpoint` and what belongs to it: models, optimizers and variables together in one `.weights.h5` file."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.variable import Variable
from nacre.optimizers import Optimizer
from nacre.saving import api, state

_ENDING = ".weights.h5"


class Status:
    """What `restore` gives. What had no variables yet is filled as soon as it gets them; all else has been by then."""

    def __init__(self, waiting: Sequence[Any] = ()) -> None:
        self._waiting = waiting

    def assert_consumed(self) -> Status:
        """Itself. Raises AssertionError when something still waits for its variables."""
        names = [str(getattr(obj, "name", obj)) for obj in self._waiting if not obj.built]
        if names:
            raise AssertionError(f"not built yet, and therefore not restored: {', '.join(names)}")
        return self

    def expect_partial(self) -> Status:
        """Itself."""
        return self

    assert_existing_objects_matched = assert_nontrivial_match = expect_partial


class Checkpoint:
    """Objects by name; `save` writes them into `<prefix>-<number>.weights.h5`, `restore` reads them back."""

    def __init__(self, root: Any = None, **kwargs: Any) -> None:
        if root is not None:
            kwargs["root"] = root
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.save_counter = Variable(0, dtype="int64", trainable=False, name="save_counter")

    @property
    def variables(self) -> list[Variable]:
        """The Variables that are held by name; those of models and optimizers are theirs."""
        return [value for _, value in sorted(vars(self).items()) if isinstance(value, Variable)]

    def save_own_variables(self, store: Any) -> None:
        """Puts the Variables that are held by name into `store`."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = np.asarray(variable)

    def load_own_variables(self, store: Any) -> None:
        """Sets them from `store`. Raises ValueError when there are more or fewer."""
        mine = self.variables
        if len(store.keys()) != len(mine):
            raise ValueError(f"Checkpoint: expected {len(mine)} variables, but received {len(store.keys())}")
        for i, variable in enumerate(mine):
            variable.assign(store[str(i)])

    def save(self, file_prefix: Any, options: Any = None) -> str:
        """Writes the next file; what it gives is a name for `restore`."""
        self.save_counter.assign_add(1)
        return self.write(f"{os.fspath(file_prefix)}-{int(self.save_counter)}")

    def write(self, file_prefix: Any, options: Any = None) -> str:
        """Writes a file under just that name."""
        path = str(os.fspath(file_prefix))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        api.save_weights(self, path + _ENDING)
        return path

    def restore(self, save_path: Any, options: Any = None) -> Status:
        """Reads what was saved under that name; None is no checkpoint yet, and changes nothing."""
        return Status() if save_path is None else Status(self._fill(os.fspath(save_path) + _ENDING, self))

    read = restore

    def _fill(self, path: str, root: Any) -> list[Any]:
        """Fills `root` and what is in it from the file; what has no variables yet is left for later, and returned."""
        below = {id(obj): obj for _, obj in state.walk(root)}
        waiting = [obj for obj in below.values() if not getattr(obj, "built", True)]
        optimizers = [obj for obj in below.values() if isinstance(obj, Optimizer)]
        others = [obj for _, obj in state.walk(self) if id(obj) not in below]
        others += [obj for obj in waiting if not state.own_variables(obj)]
        for obj in optimizers:
            vars(obj)["load_own_variables"] = functools.partial(_fill_optimizer, obj)
        try:
            api.load_weights(self, path, objects_to_skip=others)
        finally:
            for obj in optimizers:
                del vars(obj)["load_own_variables"]
        for obj in waiting:
            self._fill_when_built(path, obj)
        return waiting

    def _fill_when_built(self, path: str, obj: Any) -> None:
        build = type(obj).build.__get__(obj)

        @functools.wraps(build)
        def build_and_fill(*args: Any, **kwargs: Any) -> Any:
            vars(obj).pop("build", None)  # the method is itself again
            built = build(*args, **kwargs)
            with trace.tracing(None):  # the values are read now, also where the build is part of a function
                self._fill(path, obj)
            return built

        vars(obj)["build"] = build_and_fill


def _fill_optimizer(obj: Any, store: Any) -> None:
    """Fills an optimizer; one that is not built has but the first of the variables. Raises ValueError otherwise."""
    mine, theirs = obj.variables, len(store.keys())
    if theirs < len(mine) or (obj.built and theirs != len(mine)):  # as when it is in the file under another path
        raise ValueError(f"optimizer {obj.name!r} has {len(mine)} variables, the saved one {theirs}")
    for i, variable in enumerate(mine):
        variable.assign(store[str(i)])


def _saved(directory: Any, name: str = "") -> list[str]:
    """The names of the checkpoints in a folder, the oldest first."""
    found = []
    for path in Path(directory).glob(f"{name}*{_ENDING}"):
        number = re.search(r"-(\d+)\.weights\.h5$", path.name)
        if number:
            found.append((path.stat().st_mtime_ns, int(number[1]), str(path)[: -len(_ENDING)]))
    return [path for _, _, path in sorted(found)]


def latest_checkpoint(checkpoint_dir: Any, latest_filename: Any = None) -> str | None:
    """The name of the newest checkpoint in a folder, None when there is none."""
    return (_saved(checkpoint_dir) or [None])[-1]  # type: ignore[list-item]


class CheckpointManager:
    """Saves checkpoints into a folder, and keeps the newest ones."""

    def __init__(
        self, checkpoint: Checkpoint, directory: Any, max_to_keep: int | None = None, checkpoint_name: str = "ckpt"
    ) -> None:
        self.checkpoint, self.max_to_keep, self.directory = checkpoint, max_to_keep, os.fspath(directory)
        self._prefix = checkpoint_name

    @property
    def checkpoints(self) -> list[str]:
        """Their names, the oldest first."""
        return _saved(self.directory, f"{self._prefix}-")

    @property
    def latest_checkpoint(self) -> str | None:
        """The name of the newest, None when there is none."""
        return (self.checkpoints or [None])[-1]  # type: ignore[list-item]

    def save(self, checkpoint_number: int | None = None, **kwargs: Any) -> str:
        """Writes the next checkpoint and removes the oldest beyond `max_to_keep`."""
        prefix = Path(self.directory) / self._prefix
        numbered = checkpoint_number is not None
        path = self.checkpoint.write(f"{prefix}-{checkpoint_number}") if numbered else self.checkpoint.save(prefix)
        if self.max_to_keep is not None:
            for old in self.checkpoints[: -self.max_to_keep]:
                Path(old + _ENDING).unlink()
        return path

    def restore_or_initialize(self) -> str | None:
        """Reads the newest checkpoint, when there is one; its name."""
        self.checkpoint.restore(self.latest_checkpoint)
        return self.latest_checkpoint
