"""Batched products of matrices that were turned."""

import numpy as np
import pytest

from nacre import layers, ops
from nacre.core.autodiff import GradientTape
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(29)
LAST = {3: (0, 2, 1), 4: (0, 1, 3, 2)}


def turned(x):
    return ops.transpose(x, LAST[len(x.shape)])


def right(a, b):
    return ops.matmul(a, turned(b))


def left(a, b):
    return ops.matmul(turned(a), turned(turned(b)))


def both(a, b):
    return ops.matmul(turned(a), turned(b))


def result(a, b):
    return turned(ops.matmul(a, b)) * 2.0


def twice_read(a, b):
    product = ops.matmul(a, b)
    return ops.concatenate([ops.reshape(turned(product), (-1,)), ops.reshape(product, (-1,))], 0)


def dots(a, b):
    return layers.Dot(2)([a, b])


CASES = [
    (right, (5, 3, 8), (5, 4, 8), 0), (right, (2, 3, 5, 8), (2, 3, 4, 8), 0), (right, (7, 1, 33), (7, 6, 33), 0),
    (left, (5, 8, 3), (5, 8, 4), 0), (left, (2, 3, 8, 5), (2, 3, 8, 4), 0), (both, (5, 8, 3), (5, 4, 8), 0),
    (result, (5, 3, 8), (5, 8, 4), 0), (result, (2, 3, 5, 8), (2, 3, 8, 4), 0), (twice_read, (5, 3, 8), (5, 8, 4), 1),
    (dots, (5, 1, 8), (5, 6, 8), 0),
]  # fmt: skip


@pytest.mark.parametrize(("fn", "a", "b", "turns"), CASES, ids=lambda c: getattr(c, "__name__", str(c)))
def test_products_and_their_gradients_read_matrices_as_they_lie(fn, a, b, turns):
    a, b = (ops.convert_to_tensor(RNG.standard_normal(s).astype("float32")) for s in (a, b))

    def step(a, b):
        with GradientTape() as tape:
            tape.watch([a, b])
            y = fn(a, b)
            loss = ops.sum(y * ops.sin(y))
        return [y, *tape.gradient(loss, [a, b])]

    compiled = CompiledFunction(step)
    for got, want in zip(compiled(a, b), step(a, b)):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-5, atol=2e-5)
    forward = CompiledFunction(fn)
    assert sum(row["op"] == "Transpose" for row in forward.profile(a, b, repeats=1)) == turns
    if not turns:
        assert not any(row["op"] == "Transpose" for row in compiled.profile(a, b, repeats=1))


def test_axes_other_than_the_last_two_are_turned():
    a, b = RNG.standard_normal((4, 3, 5)).astype("float32"), RNG.standard_normal((3, 5, 2)).astype("float32")
    moved = CompiledFunction(lambda a, b: ops.matmul(ops.transpose(a, (1, 0, 2)), b))
    np.testing.assert_allclose(moved(a, b).numpy(), a.transpose(1, 0, 2) @ b, rtol=1e-5, atol=1e-5)


def test_a_product_that_is_an_output_itself_stays():
    a, b = RNG.standard_normal((4, 3, 5)).astype("float32"), RNG.standard_normal((4, 5, 2)).astype("float32")

    def fn(a, b):
        product = ops.matmul(a, b)
        return product, turned(product)

    y, t = CompiledFunction(fn)(a, b)
    np.testing.assert_allclose(y.numpy(), a @ b, rtol=1e-5, atol=1e-5)
    assert np.array_equal(y.numpy().transpose(0, 2, 1), t.numpy())
