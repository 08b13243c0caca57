"""`tf.sparse`, as far as programs hand labels of different lengths on with it: on values, not in models."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nacre import ops
from nacre.core.room import check_bytes
from nacre.core.tensor import Tensor
from nacre.utils.dataset import as_values
from nacre.utils.elements import lists_as_arrays


class _Parts(NamedTuple):
    indices: Any
    values: Any
    dense_shape: Any


class SparseTensor(_Parts):
    """The numbers `values` (n,) at `indices` (n, rank) of a tensor of shape `dense_shape`; zeros elsewhere."""

    def __new__(cls, indices: Any, values: Any, dense_shape: Any) -> SparseTensor:
        whole = (np.asarray(x, np.int64) if isinstance(x, (list, tuple)) else x for x in (indices, dense_shape))
        places, shape = (Tensor(x.astype(np.int64)) if isinstance(x, np.ndarray) else x for x in whole)
        return super().__new__(cls, places, as_values(lists_as_arrays(values)) if _plain(values) else values, shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all."""
        return tuple(int(n) for n in np.asarray(self.dense_shape))

    def get_shape(self) -> tuple[int, ...]:
        """The shape of all."""
        return self.shape

    def with_values(self, new_values: Any) -> SparseTensor:
        """Other numbers at the same places."""
        return self._replace(values=ops.convert_to_tensor(new_values))

    def __mul__(self, other: Any) -> SparseTensor:
        return self.with_values(ops.multiply(self.values, self._at(other)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return self.with_values(ops.divide(self.values, self._at(other)))

    def __neg__(self) -> SparseTensor:
        return self.with_values(ops.negative(self.values))

    def __add__(self, other: Any) -> Any:
        raise TypeError(f"a SparseTensor and {type(other).__name__}: tf.sparse.add adds them")

    def _at(self, other: Any) -> Any:
        """Of what is multiplied with all numbers, what stands where these do."""
        if np.ndim(other) == 0:
            return other
        return np.broadcast_to(np.asarray(other), self.shape)[tuple(np.asarray(self.indices).T)]

    @property
    def dtype(self) -> Any:
        """The dtype of the numbers."""
        return ops.convert_to_tensor(self.values).dtype


def _plain(values: Any) -> bool:
    return isinstance(values, (list, tuple, np.ndarray))


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


def add(a: Any, b: Any, threshold: float = 0) -> Any:
    """The sum: sparse where both are, places with nothing in it among them."""
    if not (isinstance(a, SparseTensor) and isinstance(b, SparseTensor)):
        dense = [to_dense(x) if isinstance(x, SparseTensor) else ops.convert_to_tensor(x) for x in (a, b)]
        return ops.add(*dense)
    places = np.concatenate([np.asarray(a.indices), np.asarray(b.indices)])
    found, where = np.unique(places, axis=0, return_inverse=True)
    numbers = [ops.convert_to_tensor(x.values) for x in (a, b)]
    total = ops.segment_sum(ops.concatenate(numbers, 0), where.ravel().astype(np.int32), len(found))
    return SparseTensor(Tensor(found), total, a.dense_shape)


def _reduction(name: str) -> Any:
    def reduce(sp_input: SparseTensor, axis: Any = None, keepdims: Any = None, **kwargs: Any) -> Any:
        x = to_dense(sp_input)
        return getattr(ops, name)(x, axis, keepdims=bool(keepdims))

    return reduce


reduce_sum, reduce_max = _reduction("sum"), _reduction("max")


def transpose(sp_input: SparseTensor, perm: Any = None, name: str | None = None) -> SparseTensor:
    """The axes in the order `perm`; reversed by default."""
    order = list(range(len(sp_input.shape)))[::-1] if perm is None else list(perm)
    turned = SparseTensor(
        Tensor(np.ascontiguousarray(np.asarray(sp_input.indices)[:, order])),
        sp_input.values,
        Tensor(np.array([sp_input.shape[i] for i in order], np.int64)),
    )
    return reorder(turned)


def concat(axis: int, sp_inputs: Any, expand_nonconcat_dims: bool = False, name: str | None = None) -> SparseTensor:
    """The tensors one after another along `axis`."""
    parts, begin = [], 0
    for sparse in sp_inputs:
        places = np.array(sparse.indices)
        places[:, axis] += begin
        begin += sparse.shape[axis]
        parts.append(places)
    shape = np.max([sparse.shape for sparse in sp_inputs], axis=0)
    shape[axis] = begin
    values = as_values(np.concatenate([np.asarray(sparse.values) for sparse in sp_inputs]))
    return reorder(SparseTensor(Tensor(np.concatenate(parts)), values, Tensor(shape)))


def eye(num_rows: int, num_columns: int | None = None, dtype: Any = "float32", name: Any = None) -> SparseTensor:
    """The unit matrix."""
    count = min(num_rows, num_columns or num_rows)
    places = np.repeat(np.arange(count, dtype=np.int64)[:, None], 2, axis=1)
    return SparseTensor(
        Tensor(places), ops.ones((count,), dtype), Tensor(np.array([num_rows, num_columns or num_rows]))
    )


def reshape(sp_input: SparseTensor, shape: Any, name: str | None = None) -> SparseTensor:
    """The same numbers in another shape."""
    count = int(np.prod(sp_input.shape))
    sizes = [int(n) for n in np.asarray(shape)]
    known = int(np.prod([n for n in sizes if n != -1]))
    sizes = [count // max(known, 1) if n == -1 else n for n in sizes]
    if int(np.prod(sizes)) != count:
        raise ValueError(f"reshape: {count} numbers of shape {sp_input.shape} do not fit into {tuple(sizes)}")
    flat = np.ravel_multi_index(tuple(np.asarray(sp_input.indices).T), sp_input.shape)
    places = np.stack(np.unravel_index(flat, sizes), -1)
    return SparseTensor(Tensor(places.astype(np.int64)), sp_input.values, Tensor(np.array(sizes, np.int64)))


def retain(sp_input: SparseTensor, to_retain: Any) -> SparseTensor:
    """The numbers for which `to_retain` holds."""
    kept = np.asarray(to_retain, bool)
    values = as_values(np.asarray(sp_input.values)[kept])
    return SparseTensor(Tensor(np.asarray(sp_input.indices)[kept]), values, sp_input.dense_shape)


def map_values(op: Any, *args: Any, **kwargs: Any) -> SparseTensor:
    """`op` of the numbers, at their places."""
    first = next(x for x in args if isinstance(x, SparseTensor))
    return first.with_values(op(*(x.values if isinstance(x, SparseTensor) else x for x in args), **kwargs))


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
