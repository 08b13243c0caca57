"""The names of TensorFlow that say where and how something runs: there is one device, and everything runs at once."""

from __future__ import annotations

import functools
import glob
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nacre import random


class Strategy:
    """`tf.distribute.Strategy` of one replica: what is run in its scope runs as it stands."""

    num_replicas_in_sync = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @contextmanager
    def scope(self) -> Iterator[Strategy]:
        """Changes nothing."""
        yield self

    def run(self, fn: Callable[..., Any], args: Any = (), kwargs: Any = None, options: Any = None) -> Any:
        """`fn` of these arguments."""
        return fn(*args, **(kwargs or {}))

    def reduce(self, reduce_op: Any, value: Any, axis: Any = None) -> Any:
        """The value: that of the only replica. Raises ValueError when it would have to be reduced along an axis."""
        if axis is not None:
            raise ValueError("Strategy.reduce: axis is not supported, reduce the value itself")
        return value

    def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
        """The data set."""
        return dataset


class ReduceOp:
    """How values of replicas become one."""

    SUM, MEAN = "SUM", "MEAN"


class Generator:
    """`tf.random.Generator`: random numbers that go on from a seed."""

    def __init__(self, seed: int | None = None) -> None:
        self._seeds = random.SeedGenerator(seed)

    @classmethod
    def from_seed(cls, seed: int, alg: Any = None) -> Generator:
        """The generator of that seed."""
        return cls(seed)

    @classmethod
    def from_non_deterministic_state(cls, alg: Any = None) -> Generator:
        """A generator of its own seed."""
        return cls()

    def normal(self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, name: Any = None) -> Any:
        """Normally distributed numbers of that shape."""
        return random.normal(tuple(shape), mean, stddev, dtype, self._seeds)

    def uniform(self, shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = None, name: Any = None) -> Any:
        """Equally distributed numbers of that shape; whole ones when `dtype` says so."""
        if dtype is not None and "int" in str(dtype):
            return random.randint(tuple(shape), minval, maxval, dtype, self._seeds)
        return random.uniform(tuple(shape), minval, 1.0 if maxval is None else maxval, dtype, self._seeds)


def _assertion(name: str, holds: Callable[..., Any]) -> Callable[..., None]:
    def check(x: Any, y: Any, message: str | None = None, **kwargs: Any) -> None:
        if not np.all(holds(np.asarray(x), np.asarray(y))):
            raise ValueError(f"{name}: {message or 'the condition does not hold'}: x={x}, y={y}")

    return check


_CONDITIONS: dict[str, Callable[..., Any]] = {
    "assert_equal": np.equal,
    "assert_less": np.less,
    "assert_less_equal": np.less_equal,
    "assert_greater": np.greater,
    "assert_greater_equal": np.greater_equal,
    "assert_near": np.isclose,
}
ASSERTIONS = {name: _assertion(name, holds) for name, holds in _CONDITIONS.items()}


def _move(how: Callable[[Any, Any], object], source: Any, to: Any, overwrite: bool) -> None:
    if os.path.exists(to) and not overwrite:
        raise FileExistsError(f"there is a file {to} already: pass overwrite=True to replace it")
    how(source, to)


FILES: dict[str, Callable[..., Any]] = {
    "exists": os.path.exists,
    "isdir": os.path.isdir,
    "listdir": os.listdir,
    "glob": glob.glob,
    "makedirs": functools.partial(os.makedirs, exist_ok=True),
    "mkdir": functools.partial(os.makedirs, exist_ok=True),
    "remove": os.remove,
    "rename": lambda src, dst, overwrite=False: _move(os.replace, src, dst, overwrite),
    "copy": lambda src, dst, overwrite=False: _move(shutil.copyfile, src, dst, overwrite),
    "rmtree": shutil.rmtree,
    "walk": os.walk,
    "GFile": open,
}


def get_logger() -> logging.Logger:
    """The logger that TensorFlow would use."""
    return logging.getLogger("tensorflow")


def nothing(*args: Any, **kwargs: Any) -> None:
    """What a program may ask for, and what changes nothing here."""
