"""The names of TensorFlow that say where and how something runs: there is one device, and everything runs at once."""

from __future__ import annotations

import functools
import glob
import logging
import os
import shutil
import types
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nacre import _core, ops, random
from nacre.core.errors import told
from nacre.utils.atomic import replacing


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
        """The value, that of the only replica: its sum or mean along `axis` where there is one."""
        if axis is None:
            return value
        return (ops.mean if str(reduce_op).upper() == "MEAN" else ops.sum)(value, axis)

    def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
        """The data set."""
        return dataset

    def distribute_datasets_from_function(self, dataset_fn: Callable[..., Any], options: Any = None) -> Any:
        """The data set that `dataset_fn` makes for the only pipeline."""
        return dataset_fn(InputContext())

    def experimental_local_results(self, value: Any) -> tuple[Any, ...]:
        """The values of all replicas."""
        return (value,)


class InputContext:
    """Which part of the data a pipeline reads: all of it."""

    num_input_pipelines, input_pipeline_id, num_replicas_in_sync = 1, 0, 1

    def get_per_replica_batch_size(self, global_batch_size: int) -> int:
        """What one replica takes of a batch."""
        return global_batch_size


def no_tpu(*args: Any, **kwargs: Any) -> Any:
    """What asks for a TPU hears ValueError, as programs expect that go on without one."""
    raise ValueError("there is no TPU, nacre runs on the CPU")


class PhysicalDevice(NamedTuple):
    """A device by its name."""

    name: str
    device_type: str


def devices(name: str) -> Callable[..., list[PhysicalDevice]]:
    """The CPU, for what asks for all devices or for that type, under `name`."""

    def listed(device_type: str | None = None) -> list[PhysicalDevice]:
        return [PhysicalDevice(name, "CPU")] if device_type in (None, "CPU") else []

    return listed


class Anything:
    """Options of which every one can be read and set, and none changes anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, Anything())
        return self.__dict__[name]


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
_SIGNS: dict[str, Callable[..., Any]] = {
    "assert_positive": np.greater,
    "assert_negative": np.less,
    "assert_non_negative": np.greater_equal,
    "assert_non_positive": np.less_equal,
}


def _sign(name: str, holds: Callable[..., Any]) -> Callable[..., None]:
    check = _assertion(name, holds)
    return lambda x, message=None, **kwargs: check(x, 0, message)


def _rank(name: str, holds: Callable[[int, int], bool]) -> Callable[..., None]:
    def check(x: Any, rank: Any, message: str | None = None, **kwargs: Any) -> None:
        if not holds(len(ops.shape(x)), int(rank)):
            raise ValueError(f"{name}: {message or f'got {len(ops.shape(x))} axes'}, expected {int(rank)}")

    return check


def _assert(condition: Any, data: Any, summarize: int | None = None, name: str | None = None) -> None:
    if not np.all(np.asarray(condition)):
        raise ValueError(f"Assert: the condition does not hold: {data}")


ASSERTIONS: dict[str, Callable[..., None]] = {
    **{name: _assertion(name, holds) for name, holds in _CONDITIONS.items()},
    **{name: _sign(name, holds) for name, holds in _SIGNS.items()},
    "assert_none_equal": _assertion("assert_none_equal", np.not_equal),
    "assert_rank": _rank("assert_rank", lambda n, wanted: n == wanted),
    "assert_rank_at_least": _rank("assert_rank_at_least", lambda n, wanted: n >= wanted),
    "Assert": _assert,
}
# Failures by TensorFlow's names; what nacre raises in such a case, or Python would.
ERRORS: dict[str, type[BaseException]] = {
    "OpError": Exception, "UnknownError": Exception, "InternalError": RuntimeError, "AbortedError": RuntimeError,
    "InvalidArgumentError": ValueError, "FailedPreconditionError": ValueError, "DataLossError": ValueError,
    "OutOfRangeError": StopIteration, "NotFoundError": FileNotFoundError, "AlreadyExistsError": FileExistsError,
    "PermissionDeniedError": PermissionError, "ResourceExhaustedError": MemoryError, "UnavailableError": OSError,
    "DeadlineExceededError": TimeoutError, "UnimplementedError": NotImplementedError,
    "OperatorNotAllowedInGraphError": TypeError,
}  # fmt: skip


class TestCase(unittest.TestCase):
    """A test, which compares tensors, too."""

    main = staticmethod(unittest.main)

    def assertAllClose(self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6, msg: str = "") -> None:
        """Whether all numbers are near each other."""
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol, atol, err_msg=msg)

    def assertAllEqual(self, a: Any, b: Any, msg: str = "") -> None:
        """Whether all elements are equal."""
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), msg)


THREADS: dict[str, Callable[..., Any]] = {
    "set_intra_op_parallelism_threads": lambda num_threads: _core.set_threads(num_threads) if num_threads else None,
    "get_intra_op_parallelism_threads": _core.get_threads,
    "set_inter_op_parallelism_threads": lambda num_threads: None,
    "get_inter_op_parallelism_threads": lambda: 1,
}


def _copy(source: Any, to: Any) -> None:
    with open(source, "rb") as old, replacing(to) as new:
        shutil.copyfileobj(old, new)


def _move(how: Callable[[Any, Any], object], source: Any, to: Any, overwrite: bool) -> None:
    if os.path.exists(to) and not overwrite:
        raise FileExistsError(f"there is a file {to} already: pass overwrite=True to replace it")
    how(source, to)


FILES: dict[str, Callable[..., Any]] = {
    "exists": os.path.exists,
    "isdir": os.path.isdir,
    "join": os.path.join,
    "stat": os.stat,
    "listdir": os.listdir,
    "glob": glob.glob,
    "makedirs": functools.partial(os.makedirs, exist_ok=True),
    "mkdir": functools.partial(os.makedirs, exist_ok=True),
    "remove": os.remove,
    "rename": lambda src, dst, overwrite=False: _move(os.replace, src, dst, overwrite),
    "copy": lambda src, dst, overwrite=False: _move(_copy, src, dst, overwrite),
    "rmtree": shutil.rmtree,
    "walk": os.walk,
    "GFile": open,
}


def get_logger() -> logging.Logger:
    """The logger that TensorFlow would use."""
    return logging.getLogger("tensorflow")


# Parts of TensorFlow that programs ask for, and what to do without them.
ABSENT = {
    "saved_model": ": nacre writes no SavedModel. model.save('model.keras') keeps a model, which Keras on TensorFlow "
    "can export; model.export('model.onnx', format='onnx') writes one for ONNX Runtime",
    "lite": ": nacre writes no TFLite files. Save the model as .keras and convert it with TensorFlow, or use "
    "model.export('model.onnx', format='onnx')",
    "feature_column": ": Keras 3 has no feature columns. keras.layers.Normalization, Discretization, StringLookup and "
    "CategoryEncoding, or keras.utils.FeatureSpace, do this",
    "estimator": ": TensorFlow itself has no estimators any more; keras.Model trains with fit()",
    "contrib": ": TensorFlow itself has had no contrib since version 2",
    "raw_ops": ": use the function of the same name in tf, tf.math or tf.nn",
    "Session": ": there are no sessions; values are there at once",
    "Graph": ": there are no graphs to build; values are there at once, and tf.function compiles",
}


def nothing(*args: Any, **kwargs: Any) -> None:
    """What a program may ask for, and what changes nothing here."""


def module(name: str, **members: Any) -> types.ModuleType:
    """What stands for `tensorflow.<name>`."""
    made = types.ModuleType(f"nacre.compat.tensorflow.{name}")
    for key, value in members.items():
        if isinstance(value, types.FunctionType) and value.__module__.startswith("nacre.compat"):
            if "<" in value.__qualname__:  # made within another function, or without a name
                value.__qualname__ = key
            value = told(value)
        setattr(made, key, value)
    return made
