"""Attention as one op: what its parts would give, and gradients of any order."""

import numpy as np
import pytest

import nacre
from nacre import ops
from nacre.core import trace
from nacre.core.autodiff import GradientTape
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.ops.attention import Attention, attention, fits
from nacre.ops.elementwise import Square, SumTo
from nacre.runtime.compiled import CompiledFunction

STATE = Tensor(np.array([7, 1], np.int64))


def drawn(rng, *shapes):
    return [Tensor(rng.standard_normal(s).astype("float32")) for s in shapes]


def gradients(fn, xs, dy):
    with GradientTape() as tape:
        tape.watch(xs)
        y = fn(*xs)
    return [y, *tape.gradient([y], xs, [dy])]


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("mask", [None, (2, 1, 70, 9), (1, 1, 70, 1), (1, 3, 1, 9)], ids=str)
def test_one_kernel_does_what_its_parts_do(mask, rate):
    rng = np.random.default_rng(5)
    q, k, v, dy = drawn(rng, (2, 70, 3, 8), (2, 9, 3, 8), (2, 9, 3, 5), (2, 70, 3, 5))
    seen = None if mask is None else Tensor(rng.random(mask) < 0.6)
    rest = ([] if seen is None else [ops.broadcast_to(seen, (*mask[:3], 9))]) + ([STATE] if rate else [])
    state = STATE if rate else None
    got = gradients(lambda *xs: attention(*xs, seen, rate, state), [q, k, v], dy)
    want = gradients(lambda *xs: Attention(rate, True, seen is not None).composed(*xs, *rest), [q, k, v], dy)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=3e-6)
    # without a tape no weights are stored; the result is the same
    np.testing.assert_array_equal(attention(q, k, v, seen, rate, state).numpy(), got[0].numpy())


def test_a_gradient_of_a_gradient_sees_the_same_holes():
    rng = np.random.default_rng(6)
    q, k, v = drawn(rng, (1, 4, 2, 3), (1, 5, 2, 3), (1, 5, 2, 3))

    def slope(fn):
        with GradientTape() as outer:
            outer.watch([q])
            with GradientTape() as inner:
                inner.watch([q])
                y = SumTo(())(Square()(fn(q, k, v)))
            first = inner.gradient(y, q)
            total = SumTo(())(Square()(first))
        return outer.gradient(total, q).numpy()

    got = slope(lambda *xs: attention(*xs, None, 0.4, STATE))
    np.testing.assert_allclose(got, slope(lambda *xs: Attention(0.4, True).composed(*xs, STATE)), rtol=1e-3, atol=1e-5)


def test_compiled_and_eager_agree_bit_for_bit():
    rng = np.random.default_rng(7)
    q, k, v = drawn(rng, (2, 65, 2, 8), (2, 33, 2, 8), (2, 33, 2, 8))
    np.testing.assert_array_equal(CompiledFunction(attention)(q, k, v).numpy(), attention(q, k, v).numpy())


def test_a_mask_that_does_not_fit_is_refused():
    q = Tensor(np.zeros((2, 3, 1, 4), "float32"))
    with pytest.raises(
        ValueError, match=r"attention: expected a mask that broadcasts to scores of shape \(2, 1, 3, 3\)"
    ):
        attention(q, q, q, Tensor(np.ones((2, 1, 2, 3), bool)))


def test_scores_beyond_the_caches_and_other_dtypes_take_the_long_way():
    def fit(rows, heads=1, dtype="float32"):
        x = Tensor(np.zeros((1, rows, heads, 1), dtype))
        return fits(x, x)

    assert fit(2048) and not fit(2049) and not fit(2, dtype="float64")
    with nacre.GradientTape():  # a head is the unit of the gradient
        assert fit(1024) and not fit(1025) and fit(2048, heads=4) and not fit(2049, heads=4)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_dot_product_attention_in_float32_equals_float64(groups, causal):
    rng = np.random.default_rng(8)
    q, k, v = (rng.standard_normal((2, 6, n, 3)) for n in (4, groups, groups))
    want = ops.dot_product_attention(q, k, v, is_causal=causal).numpy()
    got = ops.dot_product_attention(*(x.astype("float32") for x in (q, k, v)), is_causal=causal).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_layer_gives_the_same_with_and_without_scores(dropout):
    nacre.utils.set_random_seed(3)
    layer = nacre.layers.MultiHeadAttention(2, 8, dropout=dropout)
    x = np.random.default_rng(9).standard_normal((3, 7, 12)).astype("float32")
    mask = np.random.default_rng(10).random((3, 7, 7)) < 0.7
    short = layer(x, x, attention_mask=mask)
    long, scores = layer(x, x, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(short.numpy(), long.numpy(), rtol=1e-5, atol=1e-6)
    assert scores.shape == (3, 2, 7, 7)
    if dropout:
        a, b = (layer(x, x, training=True).numpy() for _ in range(2))
        assert not np.array_equal(a, b)


def test_einsum_gives_scores_without_turning_them():
    graph = Graph()
    k, q = (graph.add_input(Spec(s, "float32")) for s in ((2, 9, 3, 8), (2, 7, 3, 8)))
    with trace.tracing(graph):
        scores = ops.einsum("aecd,abcd->acbe", k, q)
    assert scores.shape == (2, 3, 7, 9)
    turned = [n for n in graph.nodes if type(n.op).__name__ == "Transpose" and n.outputs[0].spec.size == 2 * 3 * 7 * 9]
    assert not turned
