"""keras.ops.linalg: decompositions, inverses and norms of matrices (the last two axes; those before are a batch).

Decompositions run on NumPy's LAPACK in float64 and are rounded once; a compiled function that needs one runs eagerly.
Their gradients are written in ops, so that second derivatives follow."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nacre.core.autodiff import GradientTape
from nacre.core.errors import NotCompilable, told
from nacre.core.op import Op
from nacre.core.spec import Spec, normalize_axis
from nacre.core.tensor import Tensor
from nacre.ops.arrangement import diagonal, tril, triu
from nacre.ops.base import public, scalar, stand_ins, value
from nacre.ops.creation import zeros_like
from nacre.ops.elementwise import (
    Abs,
    Cast,
    Div,
    Gt,
    Log,
    Mul,
    Ne,
    Neg,
    Pow,
    Reciprocal,
    Select,
    Sqrt,
    Sub,
    SumTo,
    floating,
    same_float,
)
from nacre.ops.movement import permuted, reshaped, slice_axis
from nacre.ops.products import multiply_matrices
from nacre.ops.reduction import MaxTo, MinTo, SumSquaresTo, drop, reduced_shape


class Decomposition(Op):
    """What NumPy computes, eagerly: subclasses give `compute(*arrays in float64)`, and their public name for errors."""

    spoken: ClassVar[str] = ""

    def lower(self, k: Any, *operands: Any) -> None:
        raise NotCompilable(f"{type(self).__name__} runs on NumPy and cannot be part of a program: run eagerly")

    def compute(self, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError

    def view(self, *arrays: np.ndarray[Any, Any]) -> Any:
        specs = self.infer(*[Spec(a.shape, a.dtype.name) for a in arrays])
        try:
            results = self.compute(*[a.astype(np.float64) for a in arrays])
        except np.linalg.LinAlgError as error:
            raise ValueError(f"{self.spoken}: {error}") from None
        if type(specs) is Spec:
            return np.ascontiguousarray(results, specs.dtype).reshape(specs.shape)
        return tuple(np.ascontiguousarray(r, s.dtype).reshape(s.shape) for r, s in zip(results, specs))


def _t(x: Any) -> Any:
    """The transpose of the last two axes."""
    n = len(x.shape)
    return permuted(x, (*range(n - 2), n - 1, n - 2))


def _column(v: Any) -> Any:
    return reshaped(v, (*v.shape, 1))


def _row(v: Any) -> Any:
    return reshaped(v, (*v.shape[:-1], 1, v.shape[-1]))


def _eye(x: Any) -> Any:
    return Tensor(np.eye(x.shape[-1], dtype=x.dtype))


class Cholesky(Decomposition):
    """The lower triangle L with L L^T = x."""

    spoken = "cholesky"

    def infer(self, x: Spec) -> Spec:
        return x

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.cholesky(x)

    def grad(self, y: Any, dy: Any) -> Any:
        inner = multiply_matrices(_t(y), dy)
        phi = Sub()(tril(inner), Mul()(Mul()(inner, _eye(inner)), scalar(0.5, inner.dtype)))
        left = SolveTriangular(True, True)(y, phi)  # L^-T phi
        s = _t(SolveTriangular(True, True)(y, _t(left)))  # ... L^-1
        return Mul()(s + _t(s), scalar(0.5, s.dtype))


class Solve(Decomposition):
    """The y with a y = b."""

    spoken = "solve"

    def infer(self, a: Spec, b: Spec) -> Spec:
        return b

    def compute(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Any:
        return np.linalg.solve(a, b)

    def grad(self, a: Any, y: Any, dy: Any) -> Any:
        db = Solve()(_t(a), dy)
        return (lambda: Neg()(multiply_matrices(db, _t(y)))), db


class SolveTriangular(Decomposition):
    """The y with a y = b (a^T y = b if `transposed`), where only one triangle of a is looked at."""

    spoken = "solve_triangular"

    lower_triangle: bool
    transposed: bool = False

    def infer(self, a: Spec, b: Spec) -> Spec:
        return b

    def compute(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Any:
        a = np.tril(a) if self.lower_triangle else np.triu(a)
        return np.linalg.solve(np.swapaxes(a, -1, -2) if self.transposed else a, b)

    def grad(self, a: Any, y: Any, dy: Any) -> Any:
        db = SolveTriangular(self.lower_triangle, not self.transposed)(a, dy)
        triangle = tril if self.lower_triangle else triu

        def da() -> Any:
            full = Neg()(multiply_matrices(db, _t(y)))
            return triangle(_t(full) if self.transposed else full)

        return da, db


class Inverse(Decomposition):
    """The inverse."""

    spoken = "inv"

    def infer(self, x: Spec) -> Spec:
        return x

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.inv(x)

    def grad(self, y: Any, dy: Any) -> Any:
        return Neg()(multiply_matrices(multiply_matrices(_t(y), dy), _t(y)))


class SignLogDet(Decomposition):
    """The sign of the determinant, and the logarithm of its absolute value."""

    spoken = "slogdet"

    outputs = ("sign", "y")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        return Spec(x.shape[:-2], x.dtype), Spec(x.shape[:-2], x.dtype)

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.slogdet(x)

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(_t(Inverse()(x)), _column(_column(dy)))


class Determinant(Decomposition):
    """The determinant."""

    spoken = "det"

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape[:-2], x.dtype)

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.det(x)

    def grad(self, x: Any, y: Any, dy: Any) -> Any:
        return Mul()(_t(Inverse()(x)), _column(_column(Mul()(dy, y))))


class QR(Decomposition):
    """Orthonormal columns q and an upper triangle r with q r = x."""

    spoken = "qr"

    complete: bool

    outputs = ("q", "r")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        *batch, m, n = x.shape
        k = m if self.complete else min(m, n)
        return Spec((*batch, m, k), x.dtype), Spec((*batch, k, n), x.dtype)

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.qr(x, "complete" if self.complete else "reduced")

    def grad(self, x: Any, q: Any, r: Any, dq: Any, dr: Any) -> Any:
        m, n = x.shape[-2:]
        if m < n or (self.complete and m != n):
            raise NotImplementedError("qr: the gradient needs at least as many rows as columns, and mode='reduced'")
        inner = Sub()(multiply_matrices(r, _t(dr)), multiply_matrices(_t(dq), q))
        low = tril(inner, -1)
        mirrored = low + _t(low) + Mul()(inner, _eye(inner))
        return _t(SolveTriangular(False)(r, _t(dq + multiply_matrices(q, mirrored))))


class Eigh(Decomposition):
    """Eigenvalues w, rising, and eigenvectors v (columns) of a symmetric matrix."""

    spoken = "eigh"

    outputs = ("w", "v")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        return Spec(x.shape[:-1], x.dtype), x

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.eigh(x)

    def grad(self, w: Any, v: Any, dw: Any, dv: Any) -> Any:
        gaps = Sub()(_row(w), _column(w))
        same = value(np.eye(w.shape[-1], dtype=bool))
        f = Select()(same, scalar(0.0, w.dtype), Reciprocal()(Select()(same, scalar(1.0, w.dtype), gaps)))
        middle = Mul()(_eye(v), _row(dw)) + Mul()(f, multiply_matrices(_t(v), dv))
        full = multiply_matrices(multiply_matrices(v, middle), _t(v))
        return Mul()(full + _t(full), scalar(0.5, w.dtype))


class SVD(Decomposition):
    """u, s falling and vt with u diag(s) vt = x; with min(m, n) columns of u and rows of vt, or all of them."""

    spoken = "svd"

    full: bool

    outputs = ("u", "s", "vt")

    def infer(self, x: Spec) -> tuple[Spec, Spec, Spec]:
        *batch, m, n = x.shape
        k = min(m, n)
        rows, columns = (m, n) if self.full else (k, k)
        return (
            Spec((*batch, m, rows), x.dtype),
            Spec((*batch, k), x.dtype),
            Spec((*batch, columns, n), x.dtype),
        )

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        return np.linalg.svd(x, self.full)

    def grad(self, x: Any, u: Any, s: Any, vt: Any, du: Any, ds: Any, dvt: Any) -> Any:
        *_, m, n = x.shape
        if self.full and m != n:
            raise NotImplementedError("svd: the gradient needs full_matrices=False")
        v, dv = _t(vt), _t(dvt)
        k = s.shape[-1]
        same = value(np.eye(k, dtype=bool))
        gaps = Sub()(_row(s * s), _column(s * s))
        f = Select()(same, scalar(0.0, s.dtype), Reciprocal()(Select()(same, scalar(1.0, s.dtype), gaps)))
        left, right = multiply_matrices(_t(u), du), multiply_matrices(_t(v), dv)
        middle = (
            Mul()(Mul()(f, Sub()(left, _t(left))), _row(s))
            + Mul()(_eye(f), _row(ds))
            + Mul()(_column(s), Mul()(f, Sub()(right, _t(right))))
        )
        y = multiply_matrices(multiply_matrices(u, middle), vt)
        if m > k:
            rest = Sub()(du, multiply_matrices(u, left))
            y = y + multiply_matrices(Div()(rest, _row(s)), vt)
        if n > k:
            rest = Sub()(dv, multiply_matrices(v, right))
            y = y + multiply_matrices(Div()(u, _row(s)), _t(rest))
        return y


class LUFactor(Decomposition):
    """Both triangles of the LU decomposition in one matrix, and the row that each step exchanged with its own."""

    spoken = "lu_factor"

    outputs = ("lu", "pivots")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        return x, Spec((*x.shape[:-2], min(x.shape[-2:])), "int32")

    def compute(self, x: np.ndarray[Any, Any]) -> Any:
        *batch, m, n = x.shape
        lu = x.reshape(-1, m, n).copy()
        steps = min(m, n)
        pivots = np.zeros((len(lu), steps), np.int64)
        for matrix, pivot in zip(lu, pivots):
            for j in range(steps):
                p = j + int(np.argmax(np.abs(matrix[j:, j])))
                pivot[j] = p
                matrix[[j, p]] = matrix[[p, j]]
                if matrix[j, j]:
                    matrix[j + 1 :, j] /= matrix[j, j]
                    matrix[j + 1 :, j + 1 :] -= np.outer(matrix[j + 1 :, j], matrix[j, j + 1 :])
        return lu.reshape(x.shape), pivots.reshape(*batch, steps)


# --- public functions -----------------------------------------------------------------------------------------------


def _matrices(x: Any, name: str, square: bool = False) -> Any:
    x = floating(x)
    if len(x.shape) < 2:
        raise ValueError(f"Expected input to have rank >= 2. Received input with shape {x.shape}. ({name})")
    if square and x.shape[-1] != x.shape[-2]:
        raise ValueError(f"Expected a square matrix. Received non-square input with shape {x.shape} ({name})")
    return x


@public
def cholesky(x: Any, upper: bool = False) -> Any:
    """The lower triangle L with L L^T = x (with `upper` its transpose) of symmetric positive definite matrices.

    Raises ValueError when a matrix is not positive definite.

    >>> cholesky([[4.0, 2.0], [2.0, 5.0]]).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    y = Cholesky()(_matrices(x, "cholesky", True))
    return _t(y) if upper else y


@public
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of the matrix whose Cholesky triangle is `x`."""
    x = _matrices(x, "cholesky_inverse", True)
    triangle = _t(x) if upper else x
    inverse = SolveTriangular(True)(triangle, _eye_like(triangle))
    return multiply_matrices(_t(inverse), inverse)


def _eye_like(x: Any) -> Any:
    return zeros_like(x) + _eye(x)


@public
def inv(x: Any) -> Any:
    """The inverse of square matrices. Raises ValueError when there is none.

    >>> inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return Inverse()(_matrices(x, "inv", True))


@public
def det(x: Any) -> Any:
    """The determinants of square matrices."""
    return Determinant()(_matrices(x, "det", True))


@public
def slogdet(x: Any) -> Any:
    """The signs of the determinants, and the logarithms of their absolute values: a pair."""
    return SignLogDet()(_matrices(x, "slogdet", True))


@public
def logdet(x: Any) -> Any:
    """The logarithms of the determinants of positive definite matrices."""
    triangle = Cholesky()(_matrices(x, "logdet", True))
    logs = Log()(diagonal(triangle, 0, -2, -1))
    last = len(logs.shape) - 1
    return Mul()(drop(SumTo(reduced_shape(logs.shape, (last,)))(logs), (last,), False), scalar(2.0, logs.dtype))


def _right_sides(a: Any, b: Any, name: str) -> tuple[Any, Any, bool]:
    """Matrices, right sides as matrices, and whether those came as vectors."""
    a, b = same_float(a, b)
    a = _matrices(a, name, True)
    vector = len(b.shape) == len(a.shape) - 1
    wide = _column(b) if vector else b
    if wide.shape[:-1] != a.shape[:-1]:
        raise ValueError(
            f"{name}: expected right sides (..., M) or (..., M, K) for matrices {a.shape}, got shape {b.shape}"
        )
    return a, wide, vector


@public
def solve(a: Any, b: Any) -> Any:
    """The x with a x = b, for square matrices a.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 4.0]).tolist()
    [1.0, 1.0]
    """
    a, b, vector = _right_sides(a, b, "solve")
    y = Solve()(a, b)
    return reshaped(y, y.shape[:-1]) if vector else y


@public
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """The x with a x = b, for upper (or lower) triangles a; the other triangle is not looked at."""
    a, b, vector = _right_sides(a, b, "solve_triangular")
    y = SolveTriangular(bool(lower))(a, b)
    return reshaped(y, y.shape[:-1]) if vector else y


@public
def qr(x: Any, mode: str = "reduced") -> Any:
    """Orthonormal columns q and an upper triangle r with q r = x: a pair. `mode` is "reduced" or "complete"."""
    if mode not in ("reduced", "complete"):
        raise ValueError(
            f"`mode` argument value not supported. Expected one of {{'reduced', 'complete'}}. Received: mode={mode}"
        )
    return QR(mode == "complete")(_matrices(x, "qr"))


@public
def eigh(x: Any) -> Any:
    """Eigenvalues (rising) and eigenvectors (columns) of symmetric matrices: a pair."""
    return Eigh()(_matrices(x, "eigh", True))


@public
def eig(x: Any) -> Any:
    """Eigenvalues and eigenvectors (columns) of square matrices that have only real ones: a pair, eagerly.

    Raises ValueError for complex eigenvalues, which no tensor here can hold.
    """
    x = _matrices(x, "eig", True)
    if unknown := stand_ins([x], (x.shape[:-1], x.dtype), (x.shape, x.dtype)):
        return unknown
    array = np.asarray(x)
    w, v = np.linalg.eig(array.astype(np.float64))
    if np.iscomplexobj(w):
        raise ValueError("eig: the matrix has complex eigenvalues, and there are only real tensors")
    return Tensor(w.astype(array.dtype)), Tensor(np.ascontiguousarray(v.astype(array.dtype)))


@public
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """u, s (falling) and v^T with u diag(s) v^T = x; only s without `compute_uv`."""
    x = _matrices(x, "svd")
    if not compute_uv:
        return SVD(False)(x)[1]
    return SVD(bool(full_matrices))(x)


@public
def lu_factor(x: Any) -> Any:
    """The LU decomposition with row exchanges: both triangles in one matrix, and the exchanged row of each step."""
    return LUFactor()(_matrices(x, "lu_factor"))


def _significant(s: Any, shape: tuple[int, ...], rcond: Any) -> Any:
    """Which singular values count: those above `rcond` times the largest."""
    share = max(shape[-2:]) * float(np.finfo(s.dtype).eps) if rcond is None else float(rcond)
    return Gt()(s, Mul()(slice_axis(s, len(s.shape) - 1, 0, 1), scalar(share, s.dtype)))


@public
def pinv(x: Any, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values up to `rcond` times the largest count as 0."""
    x = _matrices(x, "pinv")
    if not x.size:
        return _t(x)
    u, s, vt = SVD(False)(x)
    counts = _significant(s, x.shape, 10 * max(x.shape[-2:]) * float(np.finfo(x.dtype).eps) if rcond is None else rcond)
    inverse = Select()(counts, Reciprocal()(Select()(counts, s, scalar(1.0, s.dtype))), scalar(0.0, s.dtype))
    return multiply_matrices(Mul()(_t(vt), _row(inverse)), _t(u))


@public
def matrix_rank(x: Any, tol: Any = None) -> Any:
    """How many singular values are above `tol` (by default what rounding can make of 0): int32."""
    x = _matrices(x, "matrix_rank")
    s = SVD(False)(x)[1]
    counts = _significant(s, x.shape, None) if tol is None else Gt()(s, scalar(float(tol), s.dtype))
    last = len(s.shape) - 1
    return drop(SumTo(reduced_shape(s.shape, (last,)))(Cast("int32")(counts)), (last,), False)


@public
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The x that makes the sum of squares of a x - b smallest; the shortest one where there are several."""
    a, b = same_float(a, b)
    if len(a.shape) != 2 or len(b.shape) not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError(f"lstsq: expected a (M, N) and b (M,) or (M, K), got shapes {a.shape} and {b.shape}")
    wide = b if len(b.shape) == 2 else _column(b)
    share = max(a.shape) * float(np.finfo(a.dtype).eps) if rcond is None else rcond
    y = multiply_matrices(pinv(a, share), wide)
    return y if len(b.shape) == 2 else reshaped(y, y.shape[:-1])


@told
def jvp(fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """`fun(*primals)`, and its directional derivative along `tangents`: a pair (and what else `fun` returned, with
    `has_aux`).

    >>> [float(v) for v in jvp(lambda x: x * x, (3.0,), (1.0,))]
    [9.0, 6.0]
    """
    xs = [floating(p) for p in primals]
    ts = [floating(t) for t in tangents]
    if len(xs) != len(ts) or any(x.shape != t.shape for x, t in zip(xs, ts)):
        raise ValueError("jvp: expected a tangent of the same shape for each primal")
    # The gradient is linear in the weights u of the outputs; the derivative of gradient . tangent by u is the answer.
    with GradientTape() as outer:
        with GradientTape() as inner:
            inner.watch(xs)
            result = fun(*xs)
            y, aux = result if has_aux else (result, None)
        u = zeros_like(y)
        outer.watch(u)
        grads = inner.gradient(y, xs, u, unconnected_gradients="zero")
        total = None
        for g, t in zip(grads, ts):
            part = reshaped(Mul()(g, t), (g.size,))
            part = SumTo((1,))(part)
            total = part if total is None else total + part
    tangent = outer.gradient(total, u, unconnected_gradients="zero")
    return (y, tangent, aux) if has_aux else (y, tangent)


# --- norms ----------------------------------------------------------------------------------------------------------


@public
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The length of vectors (one axis) or matrices (two axes); of the flattened tensor when neither is named.

    `ord` for vectors: any number, inf, -inf; for matrices: "fro", "nuc", 1, -1, 2, -2, inf, -inf.

    >>> float(norm([3.0, 4.0]))
    5.0
    """
    x = floating(x)
    rank = len(x.shape)
    if axis is None and ord is None:
        over = tuple(range(rank))
        return drop(Sqrt()(SumSquaresTo(reduced_shape(x.shape, over))(x)), over, keepdims)
    if axis is None:
        axes = tuple(range(rank))
    else:
        named = axis if isinstance(axis, (tuple, list)) else (axis,)
        axes = tuple(normalize_axis(a, rank, "norm: axis") for a in named)
    if len(axes) == 1:
        return drop(_vector_norm(x, ord, axes), axes, keepdims)
    if len(axes) == 2 and axes[0] != axes[1]:
        return drop(_matrix_norm(x, ord, axes), axes, keepdims)
    raise ValueError(f"norm: expected one axis (vectors) or two (matrices), got axis={axis!r} for shape {x.shape}")


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    shape = reduced_shape(x.shape, axes)
    if ord is None or ord == 2:
        return Sqrt()(SumSquaresTo(shape)(x))
    if isinstance(ord, str) or type(ord) is bool or not isinstance(ord, (int, float)):
        raise ValueError(f"norm: expected `ord` of a vector to be a number, got {ord!r}")
    if ord == math.inf:
        return MaxTo(shape)(Abs()(x))
    if ord == -math.inf:
        return MinTo(shape)(Abs()(x))
    if ord == 0:
        return SumTo(shape)(Cast(x.dtype)(Ne()(x, scalar(0.0, x.dtype))))
    if ord == 1:
        return SumTo(shape)(Abs()(x))
    total = SumTo(shape)(Pow()(Abs()(x), scalar(float(ord), x.dtype)))
    return Pow()(total, scalar(1.0 / ord, x.dtype))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    rows, columns = axes
    if ord is None or ord == "fro":
        return Sqrt()(SumSquaresTo(reduced_shape(x.shape, axes))(x))
    if ord in (1, -1, math.inf, -math.inf):
        inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = SumTo(reduced_shape(x.shape, (inner,)))(Abs()(x))
        return (MaxTo if ord > 0 else MinTo)(reduced_shape(sums.shape, (outer,)))(sums)
    if ord in (2, -2, "nuc"):
        rest = tuple(a for a in range(len(x.shape)) if a not in axes)
        s = SVD(False)(permuted(x, (*rest, rows, columns)))[1]
        shape = reduced_shape(s.shape, (len(s.shape) - 1,))
        y = SumTo(shape)(s) if ord == "nuc" else (MaxTo if ord == 2 else MinTo)(shape)(s)
        return reshaped(y, reduced_shape(x.shape, axes))
    raise ValueError(f"norm: expected `ord` of a matrix to be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")


__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "logdet", "lstsq", "lu_factor", "matrix_rank",
    "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd",
]  # fmt: skip
