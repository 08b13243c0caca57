"""Products that sum over axes: matmul and everything that reshapes into it (dot, tensordot, einsum, ...).

float32 and float64 run on the matrix kernels. Other dtypes multiply with broadcasting and sum, which is exact for
integers and slow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.op import Op
from nacre.core.spec import Spec, broadcast_shapes, normalize_axis
from nacre.core.tensor import install_operators
from nacre.ops.base import public
from nacre.ops.elementwise import BroadcastTo, Cast, Mul, SumTo, same_dtype
from nacre.ops.lowering import SUM, lower_reduce
from nacre.ops.movement import Concat, Slice, axis_last, permuted, reshaped

__all__ = [
    "cross", "dot", "einsum", "inner", "kron", "matmul", "outer", "tensordot", "vdot",
]  # fmt: skip


class _Product(Op):
    ta: bool = False
    tb: bool = False

    def infer(self, a: Spec, b: Spec) -> Spec:
        m, ka = a.shape[-2:] if not self.ta else a.shape[:-3:-1]
        kb, n = b.shape[-2:] if not self.tb else b.shape[:-3:-1]
        batch = a.shape[:-2] or b.shape[:-2]
        if ka != kb or (len(a.shape) == len(b.shape) == 3 and a.shape[0] != b.shape[0]):
            raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit (transposed: {self.ta}, {self.tb})")
        return Spec((*batch, m, n), a.dtype)

    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        product, ta, tb = type(self), self.ta, self.tb
        return (
            lambda: _summed(product(tb, True)(b, dy) if ta else product(False, not tb)(dy, b), a),
            lambda: _summed(product(True, ta)(dy, a) if tb else product(not ta, False)(a, dy), b),
        )


class MatMul(_Product):
    """y[b] = a'[b] b'[b], where ' is the transpose if `ta` or `tb`; an operand without the batch axis serves every b.

    a (B, M, K) or (M, K), b (B, K, N) or (K, N) -> y (B, M, N) or (M, N). float32.
    """

    def by_columns(self, a: Spec, b: Spec) -> tuple[bool, ...]:
        if len(a.shape) != 2 or len(b.shape) != 2 or (self.ta and self.tb):
            return ()
        return (True, True) if self.ta else (True, False, True)

    def lower(self, k: Any, a: Any, b: Any, y: Any) -> None:
        m, n = y.shape[-2:]
        inner = a.shape[-2] if self.ta else a.shape[-1]
        if y.ndim == 3 or (self.ta and self.tb):
            k.matmul(_matmul_fields(self, a, b, y), a, b, y)
        elif self.ta:
            lower_grad_w(k, inner, m, n, a, b, y)
        elif self.tb:
            rows = dict(M=m, N=inner, K=n, mask=0, ldy=a.ld, y0=0, ldx=y.ld, x0=0, ldh=0, h0=0)
            k.dense_grad_x(rows, a, b, None, y)
        else:
            k.dense(dict(M=m, K=inner, N=n, bias=0, act=0, ldx=a.ld, x0=0, ldy=y.ld, y0=0), a, b, None, y)


class WideMatMul(_Product):
    """MatMul in float64, where no pass looks for patterns."""

    def lower(self, k: Any, a: Any, b: Any, y: Any) -> None:
        k.matmul_f64(_matmul_fields(self, a, b, y), a, b, y)


def grad_w_chunks(rows: int, inputs: int, outputs: int) -> int:
    """Into how many parts the sum over the rows is cut; below 2 it is not."""
    tiles = -(-inputs // 64) * -(-outputs // 64)
    return min(64 // tiles if tiles else 1, rows // 1024)


def lower_grad_w(k: Any, rows: int, inputs: int, outputs: int, x: Any, dy: Any, dw: Any) -> None:
    """dw = x^T dy; many rows for a small dw are cut into parts that a sum joins, so that there is work for many
    cores.
    """
    chunks = grad_w_chunks(rows, inputs, outputs)
    fields = dict(M=rows, N=outputs, K=inputs, chunks=0, ldx=x.ld, x0=0, ldy=dy.ld, y0=0)
    if chunks < 2:
        k.dense_grad_w(fields, x, dy, dw)
        return
    parts = k.temp((chunks, inputs, outputs), dw.dtype)
    k.dense_grad_w({**fields, "chunks": chunks}, x, dy, parts)
    lower_reduce(k, SUM, parts, dw, 1, chunks, inputs * outputs)


def _matmul_fields(op: _Product, a: Any, b: Any, y: Any) -> dict[str, int]:
    m, n = y.shape[-2:]
    inner = a.shape[-2] if op.ta else a.shape[-1]
    return dict(
        B=y.shape[0] if y.ndim == 3 else 1,
        M=m,
        K=inner,
        N=n,
        TA=int(op.ta),
        TB=int(op.tb),
        SA=m * inner if a.ndim == 3 else 0,
        SB=inner * n if b.ndim == 3 else 0,
    )


def _summed(d: Any, x: Any) -> Any:
    return d if d.shape == x.shape else SumTo(x.shape)(d)


def multiply_matrices(a: Any, b: Any) -> Any:
    """a (..., M, K) times b (..., K, N), of one dtype; the leading axes broadcast."""
    if a.dtype == "bool":
        return Cast("bool")(multiply_matrices(Cast("int32")(a), Cast("int32")(b)))
    # A product over one element is no sum, and what groups of a single channel ask for.
    if a.dtype not in ("float32", "float64") or (a.dtype == "float64" and a.shape[-1] == 1):
        left = reshaped(a, (*a.shape, 1))
        right = reshaped(b, (*b.shape[:-2], 1, *b.shape[-2:]))
        wide = Mul()(left, right)
        shape = (*wide.shape[:-2], 1, wide.shape[-1])
        return reshaped(SumTo(shape)(wide), (*shape[:-2], shape[-1]))
    product = (MatMul if a.dtype == "float32" else WideMatMul)()
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    batch = broadcast_shapes(batch_a, batch_b)
    (m, inner), n = a.shape[-2:], b.shape[-1]
    count = math.prod(batch)
    if math.prod(batch_b) == 1 and len(b.shape) >= 2:
        # One matrix b for all: the rows of all a are one taller matrix.
        y = product(reshaped(a, (math.prod(batch_a) * m, inner)), reshaped(b, (inner, n)))
        return reshaped(y, (*batch, m, n))
    if math.prod(batch_a) == 1:
        a = reshaped(a, (m, inner))
    else:
        a = reshaped(a if batch_a == batch else BroadcastTo((*batch, m, inner))(a), (count, m, inner))
    b = reshaped(b if batch_b == batch else BroadcastTo((*batch, inner, n))(b), (count, inner, n))
    return reshaped(product(a, b), (*batch, m, n))


def _numbers(*xs: Any) -> list[Any]:
    values = same_dtype(*xs)
    return values


@public
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product over the last axis of `x1` and the last but one of `x2`; leading axes broadcast.

    A tensor with one axis is a row on the left and a column on the right.

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    a, b = _numbers(x1, x2)
    if not a.shape or not b.shape:
        raise ValueError(f"matmul: expected tensors with at least one axis, got shapes {a.shape} and {b.shape}")
    row, column = len(a.shape) == 1, len(b.shape) == 1
    wide_a = reshaped(a, (1, *a.shape)) if row else a
    wide_b = reshaped(b, (*b.shape, 1)) if column else b
    try:
        if wide_a.shape[-1] != wide_b.shape[-2]:
            raise ValueError
        broadcast_shapes(wide_a.shape[:-2], wide_b.shape[:-2])
    except ValueError:
        raise ValueError(
            "matmul: the last axis of x1 must match the last but one of x2 and leading axes must broadcast, got "
            f"shapes {a.shape} and {b.shape}"
        ) from None
    y = multiply_matrices(wide_a, wide_b)
    shape = y.shape
    if row or column:
        shape = (*shape[:-2], *(() if row else shape[-2:-1]), *(() if column else shape[-1:]))
    return reshaped(y, shape)


@public
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of `x1` and the last but one of `x2` (the only one of a vector).

    >>> float(dot([1.0, 2.0], [3.0, 4.0]))
    11.0
    """
    a, b = _numbers(x1, x2)
    if not a.shape or not b.shape:
        return Mul()(a, b)
    at = max(len(b.shape) - 2, 0)
    if a.shape[-1] != b.shape[at]:
        raise ValueError(f"dot: shapes {a.shape} and {b.shape} do not fit: {a.shape[-1]} against {b.shape[at]}")
    return contract(a, b, (len(a.shape) - 1,), (at,))


def contract(a: Any, b: Any, axes_a: tuple[int, ...], axes_b: tuple[int, ...]) -> Any:
    """The sum of products over paired axes; the result has the other axes of `a`, then those of `b`."""
    rest_a = tuple(i for i in range(len(a.shape)) if i not in axes_a)
    rest_b = tuple(i for i in range(len(b.shape)) if i not in axes_b)
    shape = (*(a.shape[i] for i in rest_a), *(b.shape[i] for i in rest_b))
    inner = math.prod(a.shape[i] for i in axes_a)
    left = reshaped(permuted(a, (*rest_a, *axes_a)), (math.prod(a.shape[i] for i in rest_a), inner))
    right = reshaped(permuted(b, (*axes_b, *rest_b)), (inner, math.prod(b.shape[i] for i in rest_b)))
    return reshaped(multiply_matrices(left, right), shape)


@public
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over `axes`: a number n (the last n of `x1` with the first n of `x2`) or a pair of axis
    lists.

    >>> tensordot(np.ones((2, 3, 4), "float32"), np.ones((3, 4, 5), "float32")).shape
    (2, 5)
    """
    a, b = _numbers(x1, x2)
    rank_a, rank_b = len(a.shape), len(b.shape)
    if isinstance(axes, (int, np.integer)):
        n = int(axes)
        if not 0 <= n <= min(rank_a, rank_b):
            raise ValueError(f"tensordot: axes={n} needs that many axes in shapes {a.shape} and {b.shape}")
        axes_a, axes_b = tuple(range(rank_a - n, rank_a)), tuple(range(n))
    else:
        try:
            first, second = axes
        except (TypeError, ValueError):
            raise ValueError(f"tensordot: expected axes to be an int or a pair of axis lists, got {axes!r}") from None
        axes_a, axes_b = (
            tuple(normalize_axis(i, rank, "tensordot: axes") for i in ([part] if isinstance(part, int) else part))
            for part, rank in ((first, rank_a), (second, rank_b))
        )
    if len(axes_a) != len(axes_b) or any(a.shape[i] != b.shape[j] for i, j in zip(axes_a, axes_b)):
        raise ValueError(f"tensordot: axes={axes!r} do not pair equal sizes of shapes {a.shape} and {b.shape}")
    return contract(a, b, axes_a, axes_b)


@public
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axes of both."""
    a, b = _numbers(x1, x2)
    if not a.shape or not b.shape:
        return Mul()(a, b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"inner: the last dimension of both must be equal, got shapes {a.shape} and {b.shape}")
    return contract(a, b, (len(a.shape) - 1,), (len(b.shape) - 1,))


@public
def outer(x1: Any, x2: Any) -> Any:
    """Every product of an element of `x1` with one of `x2`, both flattened: (size1, size2).

    >>> outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """
    a, b = _numbers(x1, x2)
    return Mul()(reshaped(a, (a.size, 1)), reshaped(b, (1, b.size)))


@public
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of both, flattened."""
    a, b = _numbers(x1, x2)
    if a.size != b.size:
        raise ValueError(f"vdot: expected as many elements in both, got shapes {a.shape} and {b.shape}")
    return contract(reshaped(a, (a.size,)), reshaped(b, (b.size,)), (0,), (0,))


@public
def kron(x1: Any, x2: Any) -> Any:
    """The Kronecker product: each element of `x1` times the whole of `x2`, side by side."""
    a, b = _numbers(x1, x2)
    rank = max(len(a.shape), len(b.shape))
    sa = (1,) * (rank - len(a.shape)) + a.shape
    sb = (1,) * (rank - len(b.shape)) + b.shape
    left = reshaped(a, tuple(d for n in sa for d in (n, 1)))
    right = reshaped(b, tuple(d for n in sb for d in (1, n)))
    return reshaped(Mul()(left, right), tuple(m * n for m, n in zip(sa, sb)))


@public
def cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of 2 or 3 elements along an axis; of two 2-vectors only the third element.

    >>> cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]).tolist()
    [0.0, 0.0, 1.0]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _numbers(x1, x2)
    a = axis_last(a, normalize_axis(axisa, len(a.shape), "cross: axisa"))
    b = axis_last(b, normalize_axis(axisb, len(b.shape), "cross: axisb"))
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: expected vectors of 2 or 3 elements, got shapes {a.shape} and {b.shape}")

    def part(x: Any, i: int) -> Any:
        return x[..., i] if i < x.shape[-1] else 0

    def minor(i: int, j: int) -> Any:
        return part(a, i) * part(b, j) - part(a, j) * part(b, i)

    third = minor(0, 1)
    if a.shape[-1] == b.shape[-1] == 2:
        return third
    parts = [reshaped(p, (*third.shape, 1)) for p in (minor(1, 2), minor(2, 0), third)]
    y = Concat(len(third.shape))(*same_dtype(*parts))
    rank = len(y.shape)
    order = list(range(rank - 1))
    order.insert(normalize_axis(axisc, rank, "cross: axisc"), rank - 1)
    return permuted(y, tuple(order))


install_operators({"matmul": matmul})


# --- einsum ---------------------------------------------------------------------------------------------------------


@public
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """The sum of products that `subscripts` spells, such as "bij,bjk->bik"; "..." stands for broadcast axes.

    Without "->" the result has the letters that stand once, in alphabetical order.

    >>> einsum("ij,jk->ik", np.ones((2, 3), "float32"), np.ones((3, 4), "float32")).shape
    (2, 4)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: expected the subscripts to be a string, got {type(subscripts).__name__}")
    values = _numbers(*operands)
    terms, out = _parse(subscripts, values)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, values):
        for letter, n in zip(term, x.shape):
            if sizes.setdefault(letter, n) not in (n, 1) and n != 1:
                raise ValueError(f"einsum: '{letter}' of {subscripts!r} has sizes {sizes[letter]} and {n}")
            sizes[letter] = max(sizes[letter], n)
    pieces = [_diagonal(term, x) for term, x in zip(terms, values)]
    term, x = pieces[0]
    for i, (other_term, other) in enumerate(pieces[1:]):
        needed = set(out).union(*(t for t, _ in pieces[i + 2 :])) if i + 2 < len(pieces) else set(out)
        if _leads(other_term, term, out):
            term, x, other_term, other = other_term, other, term, x
        term, x = _join(term, x, other_term, other, needed)
    term, x = _sum_out(term, x, set(out))
    y = permuted(x, tuple(term.index(letter) for letter in out))
    shape = tuple(sizes[letter] for letter in out)
    return BroadcastTo(shape)(y) if y.shape != shape else y


def _parse(subscripts: str, values: list[Any]) -> tuple[list[str], str]:
    """Letters per operand and of the result; "..." becomes digits-like private letters."""
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(values):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(values)}")
    spare = 0
    ranks = []
    for term, x in zip(terms, values):
        letters = term.replace("...", "", 1)
        if not letters.isalpha() and letters:
            raise ValueError(f"einsum: expected letters, ',', '->' and '...', got {subscripts!r}")
        extra = len(x.shape) - len(letters)
        if extra < 0 or (extra and "..." not in term):
            raise ValueError(f"einsum: '{term}' of {subscripts!r} does not fit an operand of shape {x.shape}")
        ranks.append(extra)
        spare = max(spare, extra)
    private = "".join(chr(0x370 + i) for i in range(spare))
    full = [t.replace("...", private[spare - n :]) for t, n in zip(terms, ranks)]
    if not arrow:
        joined = "".join(terms).replace(".", "")
        out = "..." + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    out = out.replace("...", private)
    known = set("".join(full))
    if len(set(out)) != len(out) or not set(out) <= known:
        raise ValueError(f"einsum: the result of {subscripts!r} may name each letter of the operands once")
    return full, out


def _diagonal(term: str, x: Any) -> tuple[str, Any]:
    """A letter that stands twice in one operand takes the diagonal of its two axes."""
    for letter in term:
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            x = diagonal_last(x, i, j, 0)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + letter
    return term, x


def diagonal_last(x: Any, axis1: int, axis2: int, offset: int) -> Any:
    """The diagonal of two axes, as a new last axis: a stride of columns + 1 through the flattened matrix."""
    rest = tuple(a for a in range(len(x.shape)) if a not in (axis1, axis2))
    x = permuted(x, (*rest, axis1, axis2))
    *lead, rows, cols = x.shape
    length = max(min(rows, cols - offset) if offset >= 0 else min(rows + offset, cols), 0)
    first = offset if offset >= 0 else -offset * cols
    flat = reshaped(x, (*lead, rows * cols))
    n = len(lead)
    start = first if length else 0
    return Slice((*(0,) * n, start), (*lead, length), (*(1,) * n, cols + 1))(flat)


def _sum_out(term: str, x: Any, needed: set[str]) -> tuple[str, Any]:
    gone = [i for i, letter in enumerate(term) if letter not in needed]
    if not gone:
        return term, x
    x = SumTo(tuple(1 if i in gone else d for i, d in enumerate(x.shape)))(x)
    x = reshaped(x, tuple(d for i, d in enumerate(x.shape) if i not in gone))
    return "".join(letter for i, letter in enumerate(term) if i not in gone), x


def _leads(ta: str, tb: str, out: str) -> bool:
    """Whether letters that only `ta` has stand in the result before all those that only `tb` has: it is the left factor
    then, so that no product need be turned."""
    only_a, only_b = ([out.index(c) for c in t if c in out and c not in u] for t, u in ((ta, tb), (tb, ta)))
    return bool(only_a and only_b) and max(only_a) < min(only_b)


def _join(ta: str, a: Any, tb: str, b: Any, needed: set[str]) -> tuple[str, Any]:
    """The product of two operands, summed over what nothing later needs: one batched matmul."""
    ta, a = _sum_out(ta, a, needed | set(tb))
    tb, b = _sum_out(tb, b, needed | set(ta))
    shared = [c for c in ta if c in tb]
    sizes_a, sizes_b = dict(zip(ta, a.shape)), dict(zip(tb, b.shape))
    summed = [c for c in shared if c not in needed]
    for c in summed:  # a size of 1 against another one broadcasts
        if sizes_a[c] != sizes_b[c]:
            n = max(sizes_a[c], sizes_b[c])
            a = BroadcastTo(tuple(n if k == c else d for k, d in zip(ta, a.shape)))(a)
            b = BroadcastTo(tuple(n if k == c else d for k, d in zip(tb, b.shape)))(b)
            sizes_a[c] = sizes_b[c] = n
    batch = [c for c in shared if c in needed]
    only_a = [c for c in ta if c not in tb]
    only_b = [c for c in tb if c not in ta]
    order_a, order_b = [*batch, *only_a, *summed], [*batch, *summed, *only_b]
    left = permuted(a, tuple(ta.index(c) for c in order_a))
    right = permuted(b, tuple(tb.index(c) for c in order_b))
    inner = math.prod(sizes_a[c] for c in summed)
    m, n = math.prod(sizes_a[c] for c in only_a), math.prod(sizes_b[c] for c in only_b)
    left = reshaped(left, (*(sizes_a[c] for c in batch), m, inner))
    right = reshaped(right, (*(sizes_b[c] for c in batch), inner, n))
    if not summed:
        y = Mul()(left, right)  # K = 1: an outer product
    else:
        y = multiply_matrices(left, right)
    lead = y.shape[:-2]
    shape = (*lead, *(sizes_a[c] for c in only_a), *(sizes_b[c] for c in only_b))
    return "".join([*batch, *only_a, *only_b]), reshaped(y, shape)
