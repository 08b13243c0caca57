"""Rows of different lengths, which no tensor can hold: what words of texts come as."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.room import check_bytes
from nacre.core.tensor import Tensor
from nacre.utils.dataset import Text, as_values


class Ragged(list[Any]):
    """A list of rows, tensors or arrays of strings, with the methods that TensorFlow's ragged tensors have."""

    @classmethod
    def from_row_lengths(cls, values: Any, row_lengths: Any, **kwargs: Any) -> Ragged:
        """Rows of these lengths out of values that stand one after another."""
        ends = np.cumsum(np.asarray(row_lengths))
        if (ends[-1] if len(ends) else 0) != len(values) or (np.asarray(row_lengths) < 0).any():
            raise ValueError(f"from_row_lengths: lengths {np.asarray(row_lengths).tolist()} for {len(values)} values")
        return cls(as_values(row) for row in np.split(np.asarray(values), ends)[:-1])

    @classmethod
    def from_row_splits(cls, values: Any, row_splits: Any, **kwargs: Any) -> Ragged:
        """Rows out of values that stand one after another, each from one of these places to the next."""
        splits = np.asarray(row_splits)
        if not splits.size or splits[0] != 0:
            raise ValueError(f"from_row_splits: expected places from 0 on, got {splits.tolist()!r:.200}")
        return cls.from_row_lengths(values, np.diff(splits))

    @classmethod
    def from_value_rowids(cls, values: Any, value_rowids: Any, nrows: Any = None, **kwargs: Any) -> Ragged:
        """Rows out of values that stand one after another, each with the number of its row."""
        rows = np.asarray(value_rowids)
        count = int(rows.max(initial=-1)) + 1 if nrows is None else int(nrows)
        return cls.from_row_lengths(values, np.bincount(rows, minlength=count))

    @classmethod
    def from_tensor(cls, tensor: Any, lengths: Any = None, padding: Any = None, **kwargs: Any) -> Ragged:
        """The rows of a matrix: so long as `lengths` says, or without the `padding` at their ends."""
        x = np.asarray(tensor)
        if padding is not None:
            lengths = [max(np.flatnonzero(row != padding), default=-1) + 1 for row in x]
        sizes = [x.shape[1]] * len(x) if lengths is None else np.asarray(lengths).tolist()
        return cls(as_values(row[:n]) for row, n in zip(x, sizes, strict=True))

    @classmethod
    def from_sparse(cls, st_input: Any, name: str | None = None) -> Ragged:
        """The rows of a sparse matrix that has no gaps."""
        places = np.asarray(st_input.indices)
        return cls.from_value_rowids(st_input.values, places[:, 0], st_input.shape[0])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, *inside = key
            if isinstance(rows, slice):
                return Ragged(row[tuple(inside)] for row in self[rows])
            return self[rows][tuple(inside)]
        if isinstance(key, slice):
            return Ragged(super().__getitem__(key))
        return super().__getitem__(int(key))

    def with_values(self, new_values: Any) -> Ragged:
        """Rows of the same lengths with other values."""
        return Ragged.from_row_lengths(new_values, self.row_lengths())

    with_flat_values = with_values

    def _combine(self, other: Any, function: Any) -> Any:
        if isinstance(other, Ragged):
            if list(map(len, self)) != list(map(len, other)):
                raise ValueError(
                    f"expected rows of the same lengths, got {list(map(len, self))} and {list(map(len, other))}"
                )
            return Ragged(function(a, b) for a, b in zip(self, other))
        each = np.asarray(other)
        return Ragged(function(row, each[i] if each.ndim == 2 else other) for i, row in enumerate(self))

    def __add__(self, other: Any) -> Any:
        return self._combine(other, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._combine(other, lambda a, b: b + a)

    def __sub__(self, other: Any) -> Any:
        return self._combine(other, lambda a, b: a - b)

    def __mul__(self, other: Any) -> Any:
        return self._combine(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._combine(other, lambda a, b: a / b)

    def __repr__(self) -> str:
        return f"<Ragged {self.to_list()}>"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The number of rows, and None."""
        return (len(self), None)

    @property
    def dtype(self) -> Any:
        """The dtype of the rows."""
        return "string" if self._strings() else self[0].dtype

    def _strings(self) -> bool:
        return not self or isinstance(self[0], Text)

    def to_tensor(self, default_value: Any = None, name: str | None = None, shape: Any = None) -> Any:
        """One array, the rows filled up to the longest with `default_value`: an empty string or 0.

        With `shape` there are as many rows as its first size says, filled up, or cut, to its second one.
        """
        strings = self._strings()
        missing = ("" if strings else 0) if default_value is None else default_value
        length = max(map(len, self), default=0) if shape is None or shape[1] is None else shape[1]
        dtype = object if strings else self[0].dtype
        if not strings and np.asarray(missing).dtype.kind == "f" and "int" in str(dtype):
            raise TypeError(f"to_tensor: {missing!r} is no default value for rows of {dtype}")
        count = len(self) if shape is None or shape[0] is None else shape[0]
        check_bytes(8 * int(count) * int(length), f"to_tensor: a result of shape {(count, length)}")
        out = np.full((count, length), missing, dtype)
        for filled, row in zip(out, self):
            filled[: len(row)] = np.asarray(row)[:length]
        return out.view(Text) if strings else Tensor(out)

    def to_list(self) -> list[Any]:
        """Lists of Python's own values, strings as bytes."""
        return [row.numpy().tolist() for row in self]

    def nrows(self, out_type: Any = "int64", name: str | None = None) -> Tensor:
        """The number of rows."""
        return Tensor(np.array(len(self), out_type))

    def row_lengths(self, axis: int = 1, name: str | None = None) -> Tensor:
        """The length of each row."""
        return Tensor(np.array([len(row) for row in self], np.int64))

    @property
    def row_splits(self) -> Tensor:
        """Where each row begins among all values, and where the last one ends."""
        return Tensor(np.cumsum([0, *map(len, self)]))

    def row_starts(self, name: str | None = None) -> Tensor:
        """Where each row begins among all values."""
        return Tensor(np.cumsum([0, *map(len, self)])[:-1])

    def value_rowids(self, name: str | None = None) -> Tensor:
        """Per value the number of its row."""
        return Tensor(np.repeat(np.arange(len(self)), [len(row) for row in self]))

    def bounding_shape(self, axis: int | None = None, **kwargs: Any) -> Any:
        """The number of rows, and the length of the longest."""
        sizes = np.array([len(self), max(map(len, self), default=0)])
        return Tensor(sizes if axis is None else sizes[axis])

    def numpy(self) -> Any:
        """An array of rows, which is a matrix where they are as long."""
        rows = [row.numpy() for row in self]
        if len({len(row) for row in rows}) == 1:
            return np.stack(rows)
        out = np.empty(len(rows), object)
        out[:] = rows
        return out

    @property
    def ragged_rank(self) -> int:
        """How many axes have rows of different lengths."""
        return 1

    def get_shape(self) -> tuple[int | None, ...]:
        """The number of rows, and None."""
        return self.shape

    @property
    def flat_values(self) -> Any:
        """The values of all rows, one after another."""
        return as_values(np.concatenate([np.asarray(row) for row in self])) if self else Tensor(np.zeros(0, np.int64))

    values = flat_values
