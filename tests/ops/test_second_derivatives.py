"""Gradients of gradients: the fused ops give way to compositions when another tape listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nacre import GradientTape, Variable, ops
from nacre.core.tensor import Tensor
from nacre.layers import GroupNormalization
from nacre.ops.fused_rows import gru_step, lstm_step

RNG = np.random.default_rng(5)


def draw(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


LABELS = np.array([0, 2, 1, 1], np.int32)
W = draw(3, 3, 2, 3)
GROUPS = GroupNormalization(2)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], np.ndarray[Any, Any]]] = {
    "tanh": (lambda x: ops.tanh(x) * x, draw(4, 3)),
    "matmul": (lambda x: ops.matmul(x, x), draw(3, 3)),
    "softmax": (lambda x: ops.softmax(x) ** 2, draw(4, 3)),
    "log_softmax": (lambda x: ops.log_softmax(x) ** 2, draw(4, 3)),
    "xent": (lambda x: ops.sparse_categorical_crossentropy(LABELS, x, from_logits=True), draw(4, 3)),
    "layer_norm": (lambda x: ops.layer_normalization(x, draw_once, draw_once) ** 3, draw(4, 3)),
    "rms_norm": (lambda x: ops.rms_normalization(x) ** 3, draw(4, 3)),
    "lstm": (lambda x: lstm_step(x, x[:, :2])[0] ** 2, draw(3, 8)),
    "gru": (lambda x: gru_step(x, x * 0.5, x[:, :2]) ** 2, draw(3, 6)),
    "conv": (lambda x: ops.conv(x, W, padding="same") ** 2, draw(1, 4, 4, 2)),
    "avg_pool": (lambda x: ops.average_pool(x, 2) ** 3, draw(1, 4, 4, 2)),
    "max_pool": (lambda x: ops.max_pool(x, 2) ** 3, draw(1, 4, 4, 2)),
    "prod": (lambda x: ops.prod(x, axis=1), draw(4, 3)),
    "take": (lambda x: ops.take(x, [0, 0, 2], axis=1) ** 3, draw(4, 3)),
    "slice": (lambda x: x[1:, ::-2] ** 3, draw(4, 3)),
    "max": (lambda x: ops.max(x, axis=1) ** 3, draw(4, 3)),
    "var": (lambda x: ops.var(x, axis=1) ** 2, draw(4, 3)),
    "moments": (lambda x: ops.multiply(*ops.moments(x, axes=[1])) ** 2, draw(4, 3)),
    "group_norm": (lambda x: GROUPS(x) ** 3, draw(2, 3, 4)),
}
draw_once = np.array([0.5, 1.5, 0.7], np.float32)


def first(f: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
    """The directional derivative of sum(f) as a tensor, and the gradient."""
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(f(x))
    gradient = tape.gradient(y, x)
    return ops.sum(gradient * v), gradient


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_second_derivative_is_that_of_the_gradient(name: str) -> None:
    f, start = FUNCTIONS[name]
    v = draw(*start.shape)
    x = Tensor.of(start)
    with GradientTape() as outer:
        outer.watch(x)
        slope, _ = first(f, x, v)
    second = np.asarray(outer.gradient(slope, x), np.float64)
    # Along v: how the gradient changes, by central differences of float32 gradients (their error is about 1e-4).
    step = 1e-2
    ahead, behind = (np.asarray(first(f, Tensor.of(start + s * v), v)[1], np.float64) for s in (step, -step))
    np.testing.assert_allclose(second, (ahead - behind) / (2 * step), rtol=2e-2, atol=5e-3)


def test_lstm_and_gru_steps_are_their_formulas() -> None:
    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    z, c = draw(3, 8), draw(3, 2)
    i, f, g, o = np.split(z.astype(np.float64), 4, axis=1)
    new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h, c_out = lstm_step(Tensor.of(z), Tensor.of(c))
    np.testing.assert_allclose(c_out, new_c, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h, sigmoid(o) * np.tanh(new_c), rtol=1e-5, atol=1e-6)
    x, r, state = draw(3, 6), draw(3, 6), draw(3, 2)
    (xz, xr, xh), (rz, rr, rh) = (np.split(a.astype(np.float64), 3, axis=1) for a in (x, r))
    update = sigmoid(xz + rz)
    want = update * state + (1 - update) * np.tanh(xh + sigmoid(xr + rr) * rh)
    np.testing.assert_allclose(gru_step(Tensor.of(x), Tensor.of(r), Tensor.of(state)), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm", "rms_norm"])
def test_fused_gradients_equal_the_composed_ones(name: str) -> None:
    f, start = FUNCTIONS[name]
    x = Tensor.of(start)
    v = draw(*start.shape)
    _, fused = first(f, x, v)
    with GradientTape() as outer:  # listens, so that the composition is taken
        outer.watch(x)
        _, composed = first(f, x, v)
    np.testing.assert_allclose(fused, composed, rtol=1e-4, atol=1e-5)


def test_the_jacobian_has_a_row_per_element() -> None:
    x, w = Tensor.of(draw(3)), Tensor.of(draw(3, 2))
    with GradientTape() as tape:
        tape.watch([x, w])
        y = ops.matmul(ops.square(x), w)
    dx, dw = tape.jacobian(y, [x, w])
    np.testing.assert_allclose(dx, (2 * np.asarray(x)[:, None] * np.asarray(w)).T, rtol=1e-5)
    want = np.einsum("a,bc->bac", np.asarray(x) ** 2, np.eye(2))
    np.testing.assert_allclose(dw, want, rtol=1e-5)
    with pytest.raises(RuntimeError, match="persistent"):
        tape.jacobian(y, x)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_running_products_are_exact_at_zeros_and_take_no_square_of_memory(reverse: bool) -> None:
    n, zero = 3000, 1200
    x = np.ones((64, n), "float32")
    x[:, zero] = 0.0
    order = slice(None, None, -1 if reverse else 1)
    variable = Variable(x[:, order])
    with GradientTape() as tape:
        products = ops.cumprod(variable[:, order], axis=1)
    want = np.where(np.arange(n) < zero, zero - np.arange(n), np.where(np.arange(n) == zero, n - zero, 0))
    np.testing.assert_array_equal(tape.gradient(products, variable).numpy()[:, order], np.tile(want, (64, 1)))
