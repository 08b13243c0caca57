"""A step function that is compiled where that is possible, and run eagerly where it is not."""

from __future__ import annotations

import math
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import nacre
from nacre.core import tree
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.tensor import Tensor, as_array
from nacre.runtime.compiled import CompiledFunction
from nacre.training.arrays import rows
from nacre.training.profile import Profile
from nacre.utils.data import pack_x_y_sample_weight

_HOME = os.path.dirname(os.path.abspath(nacre.__file__)) + os.sep


class Mode:
    """Whether the steps of a model run eagerly; shared, so that one warning says it for all of them."""

    def __init__(self, eager: bool = False) -> None:
        self.eager = eager


class StepRunner:
    """`fn(data)` for a batch of arrays. A function that cannot be compiled is run eagerly from then on, with one
    warning."""

    def __init__(self, fn: Callable[[Any], Any], mode: Mode | None = None) -> None:
        self.fn = fn
        self.mode = mode or Mode()
        self._compiled = CompiledFunction(fn)

    def __call__(self, data: Any, room: Any = None) -> Any:
        """What `fn` returns for one batch, as Tensors; see `CompiledFunction.run` for `room`."""
        if not self.mode.eager and not _has_text(data):
            try:
                return self._compiled(data) if room is None else self._compiled.run(((data,), {}), room)
            except (TracedBranch, NotCompilable) as error:
                self._give_up(error)
        return self.fn(_as_tensors(data))

    def again(self, x: Any) -> Any:
        """What `fn` returns for the inputs of one more batch like the last one: see `CompiledFunction.again`."""
        if self.mode.eager:
            return None
        return self._compiled.again(x if type(x) is np.ndarray else pack_x_y_sample_weight(x))

    def run_steps(
        self,
        data: Any,
        order: np.ndarray[Any, Any] | None,
        batch_size: int,
        begin: int,
        count: int,
        seconds: float = math.inf,
    ) -> tuple[Any, int]:
        """What `fn` returns for the last of `count` full batches, from batch number `begin` on, and how many were run:
        fewer where more are likely to take longer than `seconds`."""
        if not self.mode.eager and not _has_text(data):
            try:
                return self._compiled.run_steps((data,), order, batch_size, begin, count, seconds)
            except (TracedBranch, NotCompilable) as error:
                self._give_up(error)
        result = None
        count = count if seconds == math.inf else 1
        for i in range(begin, begin + count):
            part = slice(i * batch_size, (i + 1) * batch_size)
            result = self.fn(_as_tensors(rows(data, part if order is None else order[part])))
        return result, count

    @property
    def count(self) -> int:
        """How many programs there are: one for each kind of batch."""
        return self._compiled.count

    def saved(self, data: Any) -> bytes:
        """The compiled step for such a batch as a file for `nacre_bench_model`."""
        return self._compiled.saved(data)

    def profile(self, data: Any, repeats: int = 20) -> Profile:
        """Where the time of a step goes. Raises NotCompilable for a step that runs eagerly."""
        if self.mode.eager or _has_text(data):
            raise NotCompilable("the step of this model runs eagerly, operation by operation")
        return Profile(self._compiled.profile(data, repeats=repeats), self._compiled.memory(data))

    def _give_up(self, error: Exception) -> None:
        self.mode.eager = True
        frame = user_frame(error)
        line = f", because of {frame.filename}, line {frame.lineno}: {(frame.line or '').strip()}" if frame else ""
        warnings.warn(
            f"This model cannot be compiled and runs eagerly, which is slower{line}\n  ({error})",
            UserWarning,
            stacklevel=4,
        )


def user_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost line of the traceback that is not nacre's own."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [f for f in frames if not os.path.abspath(f.filename).startswith(_HOME)]
    return users[-1] if users else None


def _has_text(data: Any) -> bool:
    if isinstance(data, np.ndarray):
        return data.dtype.kind in "SUO"
    if type(data) is tuple:
        return any(_has_text(part) for part in data)
    return tree.is_nested(data) and any(_has_text(leaf) for leaf in tree.flatten(data))


def _as_tensors(data: Any) -> Any:
    def convert(a: Any) -> Any:
        if a is None or isinstance(a, Tensor) or (isinstance(a, np.ndarray) and a.dtype.kind in "SUO"):
            return a
        return Tensor(as_array(a))

    return tree.map_structure(convert, data)
