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
    def flat_values(self) -> Any:
        """The values of all rows, one after another."""
        return as_values(np.concatenate([np.asarray(row) for row in self])) if self else Tensor(np.zeros(0, np.int64))

    values = flat_values
