"""`tf.sparse`, as far as programs hand labels of different lengths on with it: on values, not in models."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nacre import ops
from nacre.core.room import check_bytes
from nacre.core.tensor import Tensor
from nacre.utils.dataset import as_values


class SparseTensor(NamedTuple):
    """The numbers `values` (n,) at `indices` (n, rank) of a tensor of shape `dense_shape`; zeros elsewhere."""

    indices: Any
    values: Any
    dense_shape: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all."""
        return tuple(int(n) for n in np.asarray(self.dense_shape))

    @property
    def dtype(self) -> Any:
        """The dtype of the numbers."""
        return ops.convert_to_tensor(self.values).dtype


def from_dense(tensor: Any, name: str | None = None) -> SparseTensor:
    """What is not zero."""
    x = np.asarray(tensor)
    some = x != ("" if x.dtype.kind in "SUO" else 0)
    places = np.stack(np.nonzero(some), axis=-1).astype(np.int64)
    return SparseTensor(Tensor(places), as_values(x[some]), Tensor(np.array(x.shape, np.int64)))


def _checked(sparse: SparseTensor, what: str) -> np.ndarray[Any, Any]:
    """The places. Raises ValueError where one is outside of the shape, or there are not as many as numbers."""
    places, sizes = np.asarray(sparse.indices), np.asarray(sparse.dense_shape)
    count = len(np.asarray(sparse.values))
    if places.shape != (count, len(sizes)) or not ((places >= 0) & (places < sizes)).all():
        raise ValueError(f"{what}: expected {count} places within {sizes.tolist()}, got {places.tolist()!r:.200}")
    return places


def to_dense(sp_input: SparseTensor, default_value: Any = None, name: str | None = None) -> Any:
    """All numbers; `default_value` (0) where there is none."""
    values = np.asarray(sp_input.values)
    values = values.astype(object) if values.dtype.kind in "SU" else values
    nothing = "" if values.dtype == object else 0
    places = _checked(sp_input, "sparse.to_dense")
    if len(np.unique(places, axis=0)) < len(places):
        raise ValueError(f"sparse.to_dense: expected each place once, got {places.tolist()!r:.200}")
    check_bytes(values.itemsize * math.prod(sp_input.shape), f"sparse.to_dense: a result of shape {sp_input.shape}")
    out = np.full(sp_input.shape, nothing if default_value is None else default_value, values.dtype)
    out[tuple(places.T)] = values
    return as_values(out)


def sparse_dense_matmul(
    sp_a: SparseTensor, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Any:
    """The product of a sparse matrix, or of the transpose, and another one."""
    rows, columns = _checked(sp_a, "sparse_dense_matmul").T[:: -1 if adjoint_a else 1]
    b = ops.convert_to_tensor(b)
    if sp_a.shape[0 if adjoint_a else 1] != b.shape[1 if adjoint_b else 0]:
        raise ValueError(f"sparse_dense_matmul: matrices of shapes {sp_a.shape} and {b.shape} do not fit together")
    parts = ops.expand_dims(ops.convert_to_tensor(sp_a.values), 1) * ops.take(
        ops.transpose(b) if adjoint_b else b, columns, 0
    )
    return ops.segment_sum(parts, rows.astype(np.int32), sp_a.shape[1 if adjoint_a else 0])


def reorder(sp_input: SparseTensor, name: str | None = None) -> SparseTensor:
    """The same numbers in the order of their places."""
    order = np.lexsort(np.asarray(sp_input.indices).T[::-1])
    return sp_input._replace(**{n: ops.take(getattr(sp_input, n), order, 0) for n in ("indices", "values")})


def _rows(sparse: SparseTensor) -> dict[tuple[int, ...], list[Any]]:
    found: dict[tuple[int, ...], list[Any]] = {}
    for place, value in zip(np.asarray(sparse.indices).tolist(), np.asarray(sparse.values).tolist()):
        found.setdefault(tuple(place[:-1]), []).append(value)
    return found


def _distance(a: list[Any], b: list[Any]) -> int:
    """How many values to put in, take out or change make `a` from `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def edit_distance(hypothesis: SparseTensor, truth: SparseTensor, normalize: bool = True, name: Any = None) -> Tensor:
    """The distances of Levenshtein of the rows along the last axis; `normalize` divides by the lengths of `truth`."""
    shape = np.maximum(hypothesis.shape[:-1], truth.shape[:-1])
    out, found, true = np.zeros(shape, np.float32), _rows(hypothesis), _rows(truth)
    for place in np.ndindex(*shape):
        a, b = found.get(place, []), true.get(place, [])
        count = _distance(a, b)
        out[place] = count if not normalize else count / len(b) if b else float("inf") if a else 0.0
    return Tensor(out)
