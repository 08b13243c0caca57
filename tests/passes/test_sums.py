import numpy as np
import pytest

from nacre.core import trace
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.ops import elementwise as e
from nacre.passes.simplify import simplify
from nacre.passes.sums import absorb_into_sums
from nacre.runtime.compiled import CompiledFunction


def kinds(fn, *shapes):
    graph = Graph()
    inputs = [graph.add_input(Spec(s, "float32")) for s in shapes]
    with trace.tracing(graph):
        graph.outputs = list(fn(*inputs))
    simplify(graph)
    absorb_into_sums(graph)
    return [type(n.op).__name__ for n in graph.nodes]


def two_sums(x, dy, mean):
    centred = e.Sub()(x, mean)
    c = mean.shape
    return e.SumTo(c)(e.Mul()(dy, centred)), e.SumTo(c, 0.5)(dy), e.SumTo(())(e.Square()(centred))


@pytest.mark.parametrize("shape", [(70, 60), (3, 5, 7, 64), (4096, 1), (300, 17), (2, 3000), (9000, 16)])
def test_sums_with_their_producers_equal_float64(shape):
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, *shape)).astype("float32")
    mean = rng.standard_normal(shape[-1]).astype("float32")
    got = [t.numpy() for t in CompiledFunction(two_sums)(x, dy, mean)]
    a, b, c = (v.astype("float64") for v in (x, dy, mean))
    axes = tuple(range(len(shape) - 1))
    want = [(b * (a - c)).sum(axes), 0.5 * b.sum(axes), np.square(a - c).sum()]
    size = np.prod(shape)
    for g, w, scale in zip(got, want, (size, size, 2 * size)):
        # rounding of the terms, of sums of at most a tile in float32, and of the result
        np.testing.assert_allclose(g, w, rtol=4e-6, atol=2**-22 * scale**0.5)


def test_sums_over_the_same_rows_are_one_pass():
    # the scalar sum has other columns only in its own view: it joins, too
    assert kinds(two_sums, (128, 64), (128, 64), (64,)) == ["MapReduce"]


def test_a_value_needed_in_memory_is_not_computed_twice():
    def fn(x):
        y = e.Exp()(x)
        return y, e.SumTo((64,))(y)

    assert kinds(fn, (128, 64)) == ["Exp", "SumTo"]


def test_small_sums_stay_as_they_are():
    assert kinds(lambda x: (e.SumTo((4,))(e.Exp()(x)),), (3, 4)) == ["Exp", "SumTo"]


def test_the_sum_of_nothing_is_zero():
    x = np.zeros((0, 5), "float32")
    got = CompiledFunction(lambda x: e.SumTo((5,))(e.Exp()(x)))(x)
    np.testing.assert_array_equal(got.numpy(), np.zeros(5))


def test_a_sum_that_needs_another_sum_comes_after_it():
    def fn(x):
        mean = e.SumTo((1, 64), 1 / 128)(x)
        return mean, e.SumTo((1, 64), 1 / 128)(e.Square()(e.Sub()(x, mean)))

    x = np.random.default_rng(0).standard_normal((128, 64)).astype("float32")
    mean, variance = CompiledFunction(fn)(x)
    np.testing.assert_allclose(mean.numpy()[0], x.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance.numpy()[0], x.var(0), rtol=1e-5)


def per_sample(x, dy, mean, weight):
    centred = e.Sub()(x, mean)
    shape = (*mean.shape[:-1], x.shape[-1])
    return e.SumTo(shape)(e.Mul()(dy, centred)), e.SumTo(shape, 0.5)(e.Mul()(dy, weight))


@pytest.mark.parametrize(("n", "h", "w", "c"), [(3, 16, 16, 24), (5, 1, 300, 8), (2, 40, 40, 70), (70, 8, 8, 16)])
@pytest.mark.parametrize("mean_of", ["channels", "samples"])
def test_sums_over_axes_in_the_middle_equal_float64(n, h, w, c, mean_of):
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal((2, n, h, w, c)).astype("float32")
    mean = rng.standard_normal((n, 1, 1, c if mean_of == "channels" else 1)).astype("float32")
    weight = rng.standard_normal(c).astype("float32")
    got = [t.numpy() for t in CompiledFunction(per_sample)(x, dy, mean, weight)]
    a, b = x.astype("float64"), dy.astype("float64")
    want = [(b * (a - mean)).sum((1, 2), keepdims=True), 0.5 * (b * weight).sum((1, 2), keepdims=True)]
    for g, t in zip(got, want):
        np.testing.assert_allclose(g, t, rtol=4e-6, atol=2**-20 * (h * w) ** 0.5)
    assert kinds(per_sample, x.shape, dy.shape, mean.shape, weight.shape) == ["MapReduce"]


def test_sums_over_the_last_axes_stay_as_they_are():
    assert kinds(lambda x: (e.SumTo((64, 1))(e.Exp()(x)),), (64, 128)) == ["Exp", "SumTo"]


def test_a_leaf_with_some_of_the_rows_stays_outside():
    def fn(x, rows):
        return (e.SumTo((4, 1, 64))(e.Mul()(x, rows)),)

    assert kinds(fn, (4, 32, 64), (32, 1)) == ["Mul", "SumTo"]


def members(fn, *shapes):
    """The steps of the first sum."""
    graph = Graph()
    inputs = [graph.add_input(Spec(s, "float32")) for s in shapes]
    with trace.tracing(graph):
        graph.outputs = list(fn(*inputs))
    absorb_into_sums(graph)
    return [name for name, _ in next(n.op for n in graph.nodes if type(n.op).__name__ == "MapReduce").steps]


@pytest.mark.parametrize("waits", [True, False])
def test_what_waits_for_a_sum_of_it_is_read_by_that_sum(waits):
    def fn(x, v):
        y = e.Div()(x, e.Sqrt()(v))
        total = e.SumTo(())(e.Square()(y))
        return (e.Mul()(y, total),) if waits else (total, e.Mul()(y, x))

    assert members(fn, (128, 64), (128, 64)) == (["square"] if waits else ["sqrt", "div", "square"])
    x, v = np.random.default_rng(4).random((2, 128, 64), np.float32) + 0.5
    y = x.astype("float64") / np.sqrt(v.astype("float64"))
    want = y * np.square(y).sum() if waits else y * x
    np.testing.assert_allclose(CompiledFunction(fn)(x, v)[-1].numpy(), want, rtol=1e-5)


def test_what_costs_less_to_make_than_to_keep_is_made_in_the_sum():
    def fn(x, mean):
        y = e.Sub()(x, mean)
        return (e.Mul()(y, e.SumTo(())(e.Square()(y))),)

    assert members(fn, (128, 64), (64,)) == ["sub", "square"]


def test_a_sum_may_read_one_that_has_taken_in_what_it_is_made_of():
    def fn(x, w, z):
        first = e.SumTo((64,))(e.Square()(x))
        return first, e.SumTo((64,))(e.Mul()(w, z)), e.SumTo((64,))(e.Mul()(e.Sub()(x, first), w))

    shape = (128, 64)
    assert kinds(fn, shape, shape, shape) == ["MapReduce", "MapReduce"]
    x, w, z = np.random.default_rng(4).standard_normal((3, *shape)).astype("float32")
    got = [t.numpy() for t in CompiledFunction(fn)(x, w, z)]
    first = np.square(x.astype("float64")).sum(0)
    want = first, (w.astype("float64") * z).sum(0), ((x - first) * w).sum(0)
    for g, y in zip(got, want, strict=True):
        np.testing.assert_allclose(g, y, rtol=1e-4, atol=1e-3)
