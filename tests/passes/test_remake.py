import numpy as np

from nacre.core import trace
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.ops import arithmetic
from nacre.ops import elementwise as e
from nacre.passes.fuse import Fused, fuse
from nacre.passes.remake import remake
from nacre.passes.simplify import remove_dead, simplify
from nacre.runtime.compiled import CompiledFunction

LARGE, SMALL = (1024, 1024), (16, 16)


def fused(fn, *shapes):
    graph = Graph()
    inputs = [graph.add_input(Spec(s, "float32")) for s in shapes]
    with trace.tracing(graph):
        result = fn(*inputs)
    graph.outputs = list(result) if isinstance(result, tuple) else [result]
    simplify(graph)
    fuse(graph)
    remove_dead(graph)
    remake(graph)
    return graph


def programs(graph):
    return [node for node in graph.nodes if isinstance(node.op, Fused)]


def in_two_halves(cheap, dear):
    """Two groups, since the second one needs a sum of what the first one makes."""

    def fn(x):
        a = cheap(x)
        b = dear(a)
        y = x * b
        return y, e.SumTo(())(y) * a * b

    return fn


def test_a_value_a_step_away_from_another_is_not_kept_for_a_later_group():
    first, last = programs(fused(in_two_halves(lambda x: x * 0.7, lambda a: arithmetic.erf(a) + 1.0), LARGE))
    assert [name for name, _ in first.op.steps] == ["mul", "erf", "add", "mul"]
    assert len(first.outputs) == 2  # erf + 1 and y, not x * 0.7
    assert len(last.inputs) == 3  # x, erf + 1 and the sum


def test_what_takes_long_to_compute_is_kept():
    for node in programs(fused(in_two_halves(arithmetic.tanh, arithmetic.exp), LARGE))[1:]:
        assert not {"tanh", "erf"} & {name for name, _ in node.op.steps}


def test_small_values_are_kept():
    first, _ = programs(fused(in_two_halves(lambda x: x * 0.7, lambda a: arithmetic.erf(a) + 1.0), SMALL))
    assert len(first.outputs) == 3


def test_what_others_read_is_kept_and_read():
    def fn(x):
        a = x * 0.7
        y = x * arithmetic.erf(a)
        return y, a, e.SumTo(())(y) * a

    graph = fused(fn, LARGE)
    (first,) = programs(graph)
    assert len(first.outputs) == 2
    assert any(s is graph.outputs[1] for s in graph.nodes[-1].inputs)


def test_a_value_made_of_small_ones_beside_what_is_read_frees_its_memory():
    def fn(x, mean, scale):
        a = (x - mean) * scale
        y = arithmetic.tanh(a)
        return y, e.SumTo(())(y) * a

    first, last = programs(fused(fn, LARGE, (1, 1024), (1, 1024)))
    assert len(first.outputs) == 1
    assert sum(s.shape == LARGE for s in last.inputs) == 1  # x, which is kept in place of a


def test_what_only_leaves_the_graph_is_kept():
    def fn(x):
        a = x * 0.7
        b = arithmetic.exp(a)
        y = b * arithmetic.erf(a)
        return y, e.SumTo(())(b) * a

    graph = fused(fn, LARGE)
    assert all(any(s is out for node in graph.nodes for s in node.outputs) for out in graph.outputs)


def test_the_bits_stay_the_same():
    rng = np.random.default_rng(0)
    x, mean, scale = rng.standard_normal(LARGE, np.float32), *rng.standard_normal((2, 1, 1024), np.float32)

    def fn(x, mean, scale):
        a = (x - mean) * scale
        s = arithmetic.sigmoid(a)
        y = a * s
        return y, e.SumTo(())(y) * (s * a + (1.0 - s) * a)

    y, z = CompiledFunction(fn)(x, mean, scale)
    a = (x - mean) * scale
    s = np.asarray(arithmetic.sigmoid(a))
    total = np.asarray(e.SumTo(())(arithmetic.multiply(a, s)))
    np.testing.assert_array_equal(np.asarray(y), a * s)
    np.testing.assert_array_equal(np.asarray(z), total * (s * a + (np.float32(1) - s) * a))
