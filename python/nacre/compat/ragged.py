"""`tf.ragged`, and what functions of tensors do with rows of different lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import ops
from nacre.utils.dataset import as_values
from nacre.utils.ragged import Ragged as Ragged


def concat(values: Any, axis: int) -> Ragged:
    """Rows one after another, or, along axis 1, made longer by those of the same number."""
    parts = [value if isinstance(value, Ragged) else Ragged.from_tensor(value) for value in values]
    if axis == 0:
        return Ragged(row for part in parts for row in part)
    if axis not in (1, -1) or len({len(part) for part in parts}) != 1:
        raise ValueError(
            f"concat: expected axis 0, or 1 of as many rows each, got axis {axis} of {list(map(len, parts))}"
        )
    return Ragged(as_values(np.concatenate([np.asarray(row) for row in rows])) for rows in zip(*parts, strict=True))


def reduce_rows(function: Callable[..., Any], rows: Ragged, axis: Any, keepdims: bool) -> Any:
    """`function` of all values, of each row (axis 1), or of what has the same place in the rows (axis 0)."""
    if axis is None:
        return function(rows.flat_values)
    if axis in (1, -1):
        return ops.stack([function(row, axis=0, keepdims=keepdims) for row in rows], 0)
    if axis != 0:
        raise ValueError(f"expected axis 0 or 1 of rows of different lengths, got {axis}")
    longest = max(map(len, rows), default=0)
    return ops.stack([function(ops.stack([row[i] for row in rows if len(row) > i]), axis=0) for i in range(longest)])


def stack(values: Any, axis: int = 0, name: str | None = None) -> Ragged:
    """The tensors as rows."""
    if axis != 0:
        raise ValueError(f"tf.ragged.stack: expected axis=0, got {axis}")
    return Ragged(as_values(value) for value in values)


def boolean_mask(data: Any, mask: Any, name: str | None = None) -> Ragged:
    """Per row what `mask` holds for."""
    pairs = zip(data, mask, strict=True)
    return Ragged(as_values(np.asarray(row)[np.asarray(kept, bool)]) for row, kept in pairs)


def map_flat_values(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Ragged:
    """`op` of the values of all rows, as rows of the same lengths."""
    first = next(x for x in args if isinstance(x, Ragged))
    return first.with_values(op(*(x.flat_values if isinstance(x, Ragged) else x for x in args), **kwargs))


def numbers(starts: Any, limits: Any = None, deltas: Any = 1, dtype: Any = None, name: str | None = None) -> Ragged:
    """Per row the numbers from one to another."""
    begins, ends = (0, starts) if limits is None else (starts, limits)
    rows = np.broadcast_arrays(*(np.asarray(x) for x in (begins, ends, deltas)))
    made = [np.arange(a, b, d) for a, b, d in zip(*(r.ravel() for r in rows))]
    return Ragged(as_values(row if dtype is None else row.astype(str(dtype))) for row in made)


ROWS: dict[str, Callable[..., Any]] = {
    "stack": stack,
    "boolean_mask": boolean_mask,
    "map_flat_values": map_flat_values,
    "range": numbers,
    "row_splits_to_segment_ids": lambda splits, **kwargs: as_values(
        np.repeat(np.arange(len(splits) - 1), np.diff(np.asarray(splits)))
    ),
    "segment_ids_to_row_splits": lambda segment_ids, **kwargs: as_values(
        np.cumsum([0, *np.bincount(np.asarray(segment_ids))])
    ),
}
