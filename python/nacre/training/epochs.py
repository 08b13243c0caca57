"""One pass over the data: several steps per call of C++ where nobody listens to single batches."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

from nacre.core.config import max_steps_per_epoch
from nacre.training.sources import ArraySource, GeneratorSource, Source

# A call of C++ takes about this long, then the progress bar and signals have their turn.
_CALL_SECONDS = 0.05
_RAN_OUT = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
    "`steps_per_epoch * epochs` batches. You may need to use the `.repeat()` function when building your dataset."
)


class EpochIterator:
    """The batches of each epoch: all of them, or `steps` at a time, going on where the last epoch ended."""

    def __init__(self, source: Source, steps: int | None = None) -> None:
        self.source = source
        most = max_steps_per_epoch()
        if most is not None:
            steps = min(most, steps or source.num_batches or most)
        self.steps = steps
        self._current: Iterator[Any] | None = None
        self._seen = 0  # batches of the current pass over the data

    @property
    def num_batches(self) -> int | None:
        """How many batches an epoch has; None when that is not known."""
        return self.steps if self.steps else self.source.num_batches

    def epoch(self, execution: int = 1) -> Iterator[Any]:
        """The batches of the next epoch, `steps` rounded up to whole executions of that many. Warns when the data end
        before the epoch does."""
        self.source.on_epoch_begin()
        count = 0
        if self.steps is None:
            for batch in self.source.batches():
                count += 1
                yield batch
        else:
            if self.source.num_batches is not None and self._seen >= self.source.num_batches:
                self._current = None  # the last epoch took the last batch
            whole = -(-self.steps // execution) * execution
            while count < whole:
                if self._current is None:
                    self._current = iter(self.source.batches())
                    self._seen = 0
                batch = next(self._current, None)
                if batch is None:
                    self._current = None
                    break
                count += 1
                self._seen += 1
                yield batch
        self.source.on_epoch_end()
        ended = isinstance(self.source, GeneratorSource) and not self.steps
        if ended or (self.steps and count < self.steps) or count == 0:
            warnings.warn(_RAN_OUT, stacklevel=4)


def run_epoch(model: Any, step: Any, iterator: EpochIterator, callbacks: Any, kind: str) -> Any:
    """Runs `step` over one epoch, with the hooks `on_<kind>_batch_*`; what the last step returned."""
    source = iterator.source
    whole = isinstance(source, ArraySource) and iterator.steps in (None, source.num_batches)
    if whole and isinstance(source, ArraySource):
        return _run_arrays(model, step, source, callbacks, kind)
    begin, end = getattr(callbacks, f"on_{kind}_batch_begin"), getattr(callbacks, f"on_{kind}_batch_end")
    logs: Any = {}
    for first, last, group in executions(iterator.epoch(model.steps_per_execution), model.steps_per_execution):
        begin(first)
        for data in group:
            logs = step(data)
        end(last, logs)
        if _stopped(model, kind):
            break
    return logs


def executions(batches: Iterator[Any], size: int) -> Iterator[tuple[int, int, list[Any]]]:
    """Batches `size` at a time, with the numbers of the first and the last; those of the last group count as if it were
    full."""
    first = 0
    while group := list(itertools.islice(batches, size)):
        yield first, first + size - 1, group
        first += size


def _stopped(model: Any, kind: str) -> bool:
    return bool(model.stop_training if kind == "train" else getattr(model, "stop_evaluating", False))


def _run_arrays(model: Any, step: Any, source: ArraySource, callbacks: Any, kind: str) -> Any:
    begin, end = getattr(callbacks, f"on_{kind}_batch_begin"), getattr(callbacks, f"on_{kind}_batch_end")
    order = source.order()
    size = source.batch_size
    assert size is not None
    assert source.num_batches is not None
    full = source.num_samples // size
    listens = callbacks.listens_to_batches(kind)
    chunk = model.steps_per_execution if listens else 1
    logs: Any = {}
    at = 0
    ragged = full < source.num_batches
    while at < full:
        begin(at)
        if listens:
            logs, count = step.run_steps(source.data, order, size, at, min(chunk, full - at))
        else:
            logs, count = step.run_steps(source.data, order, size, at, full - at, _CALL_SECONDS)
        if ragged and count < chunk and listens:
            logs = step(source.batch(order, full))
            ragged = False
        end(at + chunk - 1 if listens else at + count - 1, logs)
        at += count
        if _stopped(model, kind):
            return logs
    if ragged:
        begin(full)
        logs = step(source.batch(order, full))
        end(full + chunk - 1 if listens else full, logs)
    return logs
