"""Decompositions and solvers. Gradients are taken of what does not depend on the signs of vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from casebook import Casebook, x
from nacre import ops

case = Casebook()


def spd(a: Any, n: int) -> Any:
    """A symmetric positive definite matrix made of any one, for ops and NumPy alike."""
    return a @ a.swapaxes(-1, -2) + n * np.eye(n, dtype=np.float32) if isinstance(a, np.ndarray) else _spd(a, n)


def _spd(a: Any, n: int) -> Any:
    return ops.matmul(a, ops.swapaxes(a, -1, -2)) + n * np.eye(n, dtype=np.float32)


def near_eye(a: Any, n: int) -> Any:
    """A matrix that is far from singular."""
    return a + 4 * np.eye(n, dtype=np.float32)


def on(
    name: str, make: Callable[..., Any], truth: Callable[..., Any], *shapes: Any, roundings: float = 32, **kwargs: Any
) -> None:
    """A case of `ops.<name>` on a matrix that `make` prepares from the first argument."""
    function = getattr(ops, name)
    n = shapes[0][-1]
    case(
        lambda a, *rest: function(
            make(ops.convert_to_tensor(a) if isinstance(a, np.ndarray) else a, n), *rest, **kwargs
        ),
        *[x(*s, low=-1, high=1) for s in shapes],
        reference=lambda a, *rest: truth(make(a, n), *rest),
        name=name,
        roundings=roundings,
    )


for shape in ((1, 1), (4, 4), (2, 3, 3)):
    on("cholesky", spd, np.linalg.cholesky, shape)
    on("inv", near_eye, np.linalg.inv, shape)
    on("det", near_eye, np.linalg.det, shape, roundings=512)
    on("slogdet", near_eye, lambda a: list(np.linalg.slogdet(a)), shape)
    on("logdet", spd, lambda a: np.linalg.slogdet(a)[1], shape)
    on("cholesky_inverse", spd, lambda a: np.linalg.inv(np.tril(a) @ np.tril(a).swapaxes(-1, -2)), shape, roundings=256)
    on("pinv", near_eye, np.linalg.pinv, shape)
on("cholesky", spd, lambda a: np.linalg.cholesky(a).swapaxes(-1, -2), (3, 3), upper=True)
for vector in ((4,), (4, 2)):
    on("solve", near_eye, np.linalg.solve, (4, 4), vector)
    on("solve_triangular", near_eye, lambda a, b: np.linalg.solve(np.triu(a), b), (4, 4), vector)
    on("solve_triangular", near_eye, lambda a, b: np.linalg.solve(np.tril(a), b), (4, 4), vector, lower=True)
    case(
        ops.lstsq,
        x(6, 4),
        x(6, *vector[1:]),
        reference=lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
        roundings=64,
    )
case(ops.pinv, x(5, 3), reference=np.linalg.pinv, roundings=64)
case(ops.pinv, x(3, 5), reference=np.linalg.pinv, roundings=64)
case(ops.matrix_rank, x(5, 3), reference=np.linalg.matrix_rank)
case(ops.matrix_rank, np.ones((2, 4, 3), np.float32), reference=np.linalg.matrix_rank)

# Vectors are unique but for their signs, and so are products of them.
case(lambda a: [q @ r for q, r in [ops.qr(a)]] + [ops.absolute(ops.qr(a)[1])], x(5, 3), name="qr", roundings=32,
     reference=lambda a: [a, np.abs(np.linalg.qr(a)[1])])  # fmt: skip
case(lambda a: ops.qr(a, mode="complete")[0] @ ops.qr(a, mode="complete")[1], x(4, 4), name="qr", roundings=32,
     reference=lambda a: a)  # fmt: skip
case(lambda a: (lambda w, v: [w, v * v])(*ops.eigh(_spd(a, 4))), x(4, 4), name="eigh", roundings=64,
     reference=lambda a: (lambda w, v: [w, v * v])(*np.linalg.eigh(spd(a, 4))))  # fmt: skip
case(lambda a: (lambda u, s, vt: [u * u, s, vt * vt])(*ops.svd(a, full_matrices=False)), x(5, 3), name="svd",
     roundings=128, reference=lambda a: (lambda u, s, vt: [u * u, s, vt * vt])(*np.linalg.svd(a, False)))  # fmt: skip
case(lambda a: (lambda u, s, vt: [u * u, s, vt * vt])(*ops.svd(a, full_matrices=False)), x(3, 5), name="svd",
     roundings=128, reference=lambda a: (lambda u, s, vt: [u * u, s, vt * vt])(*np.linalg.svd(a, False)))  # fmt: skip
case(
    lambda a: ops.svd(a, compute_uv=False),
    x(2, 4, 3),
    name="svd",
    roundings=32,
    reference=lambda a: np.linalg.svd(a, compute_uv=False),
)
for ord in (2, -2, "nuc"):
    case(ops.norm, x(2, 4, 3), ord=ord, axis=(1, 2), roundings=32,
         reference=lambda a, ord, axis: np.linalg.norm(a, ord, axis))  # fmt: skip
