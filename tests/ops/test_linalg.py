"""What the cases of linalg leave open: decompositions without a unique result, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nacre import ops

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 3, 3)])
def test_lu_factor_multiplies_back(shape: tuple[int, ...]) -> None:
    a = RNG.standard_normal(shape).astype(np.float32)
    lu, pivots = (np.asarray(v) for v in ops.lu_factor(a))
    for matrix, factors, exchanged in zip(
        a.reshape(-1, *shape[-2:]), lu.reshape(-1, *shape[-2:]), pivots.reshape(-1, pivots.shape[-1])
    ):
        k = min(shape[-2:])
        lower = np.tril(factors, -1)[:, :k] + np.eye(shape[-2], k)
        upper = np.triu(factors)[:k]
        rows = np.arange(shape[-2])
        for i, j in enumerate(exchanged):
            rows[[i, j]] = rows[[j, i]]
        np.testing.assert_allclose(lower @ upper, matrix[rows], atol=1e-5)


def test_eig_of_real_eigenvalues() -> None:
    a = np.array([[2.0, 1.0], [0.0, 3.0]], np.float32)
    w, v = (np.asarray(t) for t in ops.eig(a))
    np.testing.assert_allclose(a @ v, v * w, atol=1e-6)
    with pytest.raises(ValueError, match="complex"):
        ops.eig(np.array([[0.0, -1.0], [1.0, 0.0]], np.float32))


def test_jvp_is_the_directional_derivative() -> None:
    def f(a: Any, b: Any) -> Any:
        return ops.sin(a) * ops.matmul(a, b)

    a, b, da, db = (RNG.standard_normal((3, 3)).astype(np.float32) for _ in range(4))
    y, dy = ops.jvp(f, (a, b), (da, db))
    want = np.cos(a) * da * (a @ b) + np.sin(a) * (da @ b + a @ db)
    np.testing.assert_allclose(y, np.sin(a) * (a @ b), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dy, want, rtol=1e-4, atol=1e-5)
    *_, aux = ops.jvp(lambda v: (v * v, "extra"), (a,), (da,), has_aux=True)
    assert aux == "extra"


@pytest.mark.parametrize("name", ["inv", "cholesky", "solve"])
def test_a_matrix_without_result_is_a_value_error(name: str) -> None:
    singular = np.array([[1.0, 2.0], [2.0, 4.0]], np.float32) * -1
    with pytest.raises(ValueError, match=name[:3]):
        getattr(ops, name)(singular, *([np.ones(2, np.float32)] if name == "solve" else []))


@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigh", "slogdet"])
def test_matrices_must_be_square(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        getattr(ops, name)(np.ones((2, 3), np.float32))
