"""What a program leaves out."""

import numpy as np

from nacre import ops
from nacre.core import trace
from nacre.core.autodiff import GradientTape
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol, Tensor
from nacre.core.variable import Variable
from nacre.passes.simplify import simplify
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(3)


def ops_of(compiled, *args):
    return [row["op"] for row in compiled.profile(*args, repeats=1)]


def test_the_imaginary_part_of_a_real_signal_costs_nothing():
    x = Variable(RNG.standard_normal((4, 16, 12)).astype("float32"))

    def step(scale):
        with GradientTape() as tape:
            y = x * scale
            real = ops.fft2((y, ops.zeros_like(y)))[0]
            loss = ops.sum(real**3)
        return [real, *tape.gradient(loss, [x])]

    scale = Tensor.of(np.float32(0.5))
    compiled = CompiledFunction(step)
    for eager, y in zip(step(scale), compiled(scale)):
        np.testing.assert_allclose(y.numpy(), eager.numpy(), rtol=1e-5, atol=1e-5 * np.abs(eager.numpy()).max())
    assert ops_of(compiled, scale).count("MatMul") == 4 + 4  # two along each axis, and their gradients


def test_zeros_added_vanish_and_products_with_them_are_zeros():
    x = RNG.standard_normal((3, 5)).astype("float32")
    ones = np.ones((5, 5), "float32")
    compiled = CompiledFunction(lambda x: [x * 2 + ops.matmul(ops.zeros_like(x), ones), x * 3 - 0.0])
    twice, thrice = (y.numpy() for y in compiled(x))
    np.testing.assert_array_equal(twice, x * 2)
    np.testing.assert_array_equal(thrice, x * 3)
    assert ops_of(compiled, x) == ["Fused", "Fused"]


def test_what_is_not_finite_times_zero_is_computed():
    bad = np.full((3, 4), np.inf, "float32")
    x = RNG.standard_normal((2, 3)).astype("float32")
    np.testing.assert_array_equal(CompiledFunction(lambda x: 0.0 - x)(x).numpy(), -x)
    assert np.isnan(CompiledFunction(lambda x: ops.matmul(ops.zeros_like(x), bad))(x).numpy()).all()


def test_a_mask_joined_with_itself_is_that_mask():
    def both(x):
        mask, number = x > 0, ops.abs(x)
        mask = ops.logical_and(ops.logical_or(mask, mask), mask)
        return [ops.where(mask, x, number), ops.maximum(number, number), ops.logical_or(x, x)]

    x = RNG.standard_normal((3, 5)).astype("float32")
    for eager, y in zip(both(Tensor.of(x)), CompiledFunction(both)(x)):
        np.testing.assert_array_equal(y.numpy(), eager.numpy())
    graph = Graph()
    with trace.tracing(graph), trace.no_tapes():
        graph.outputs = [graph.symbol(s) for s in both(graph.add_input(Spec((3, 5), "float32")))]
    simplify(graph)
    assert [type(node.op).__name__ for node in graph.nodes] == ["Gt", "Abs", "Select", "LogicalOr"]


def test_axes_turned_twice_are_turned_once_or_not_at_all():
    x = RNG.standard_normal((2, 3, 4)).astype("float32")

    def turned(x):
        y = ops.transpose(x, (1, 0, 2))
        return [ops.transpose(y, (1, 0, 2)) * 2, ops.transpose(y, (2, 0, 1)) * 3]

    compiled = CompiledFunction(turned)
    back, other = (y.numpy() for y in compiled(x))
    np.testing.assert_array_equal(back, x * 2)
    np.testing.assert_array_equal(other, x.transpose(2, 1, 0) * 3)
    assert ops_of(compiled, x).count("Transpose") == 1


def test_a_constant_of_equal_elements_is_one_number():
    ones = Tensor(np.full((64, 48), 0.5, np.float32))
    mixed = Tensor(np.array([0.0, -0.0], np.float32))  # equal numbers, but other bits
    x, y = RNG.standard_normal((64, 48)).astype("float32"), RNG.standard_normal(2).astype("float32")

    def fn(a, b):
        return a * ones + ones, b * mixed

    graph = Graph()
    inputs = [graph.add_input(Spec(v.shape, "float32")) for v in (x, y)]
    with trace.tracing(graph):
        graph.outputs = list(fn(*inputs))
    simplify(graph)
    constants = [s for node in graph.nodes for s in node.inputs if s.kind == "constant"]
    assert sorted(s.spec.size for s in constants) == [1, 2]
    got = CompiledFunction(fn)(x, y)
    for one, eager in zip(got, fn(Tensor(x), Tensor(y))):
        assert one.numpy().tobytes() == eager.numpy().tobytes()


def test_the_penalty_of_weights_is_a_number_in_their_gradient():
    w = Variable(RNG.standard_normal((64, 48)).astype("float32"))

    def step(x):
        with GradientTape() as tape:
            loss = ops.sum(x * w) + 0.01 * ops.sum(ops.square(w))
        return tape.gradient(loss, [w])

    graph = Graph()
    x = graph.add_input(Spec((64, 48), "float32"))
    with trace.tracing(graph):
        graph.outputs = list(step(x))
    simplify(graph)
    assert all(s.spec.size == 1 for node in graph.nodes for s in node.inputs if s.kind == "constant")


def test_symbols_live_as_long_as_their_graph_as_passes_tell_them_by_their_ids():
    graph = Graph()
    x = graph.add_input(Spec((4, 8), "float32"))
    assert len({id(Symbol(graph, x.spec)) for _ in range(100)}) == 100
