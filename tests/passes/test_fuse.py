import numpy as np
import pytest

import nacre as keras
from nacre import ops
from nacre.core.graph import Graph
from nacre.core.op import _interned
from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.ops import arithmetic
from nacre.ops import elementwise as e
from nacre.ops.base import scalar
from nacre.ops.products import MatMul
from nacre.passes.fuse import Fused, fuse
from nacre.passes.simplify import remove_dead, simplify
from nacre.runtime.compiled import CompiledFunction


def traced(fn, *shapes):
    from nacre.core import trace

    graph = Graph()
    inputs = [graph.add_input(Spec(s, "float32")) for s in shapes]
    with trace.tracing(graph):
        result = fn(*inputs)
    graph.outputs = list(result) if isinstance(result, tuple) else [result]
    return graph


def kinds(graph):
    return [type(n.op).__name__ for n in graph.nodes]


def test_a_chain_becomes_one_node():
    graph = traced(lambda x: arithmetic.tanh(arithmetic.exp(x) * 2.0 + 1.0), (4, 5))
    simplify(graph)
    fuse(graph)
    assert kinds(graph) == ["Fused"]
    assert [name for name, _ in graph.nodes[0].op.steps] == ["exp", "mul", "add", "tanh"]


def test_two_chains_that_meet_become_one_node():
    graph = traced(lambda x, y: arithmetic.exp(x) + arithmetic.tanh(y), (4,), (4,))
    simplify(graph)
    fuse(graph)
    assert kinds(graph) == ["Fused"]


def test_readers_make_cheap_values_themselves_where_a_group_would_have_too_many_outputs():
    rng = np.random.default_rng(0)
    x, t = (rng.random((64, 300), dtype=np.float32) for _ in range(2))

    def fn(x, t):  # binary cross-entropy, of whose values the gradient reads four
        p = arithmetic.sigmoid(x)
        q = ops.clip(p, 1e-7, 1 - 1e-7)
        losses = t * arithmetic.log(q) + (1.0 - t) * arithmetic.log(1.0 - q)
        total = e.SumTo((64, 1))(losses)
        return p, (t / q - (1.0 - t) / (1.0 - q)) * (p * (1.0 - p)) * total

    graph = traced(fn, x.shape, x.shape)
    simplify(graph)
    fuse(graph)
    assert kinds(graph) == ["Fused", "SumTo", "Fused"]
    assert [len(n.outputs) for n in graph.nodes] == [3, 1, 1]
    wide = x.astype(np.float64)
    p = 1 / (1 + np.exp(-wide))
    total = (t * np.log(p) + (1 - t) * np.log(1 - p)).sum(1, keepdims=True)
    got = CompiledFunction(fn)(Tensor(x), Tensor(t))
    np.testing.assert_allclose(got[1].numpy(), (t - p) * total, rtol=1e-4, atol=1e-4)  # 300 terms, eps 6e-8, quotients


def test_a_value_needed_earlier_is_not_pulled_behind_its_reader():
    def fn(x):
        a = arithmetic.exp(x)
        total = e.SumTo(())(a)  # reads a before b exists
        b = a * total
        return b

    graph = traced(fn, (6,))
    simplify(graph)
    fuse(graph)
    assert kinds(graph) == ["Exp", "SumTo", "Mul"]


def test_an_integer_result_is_rounded_before_its_reader_sees_it():
    graph = traced(lambda x: arithmetic.cast(arithmetic.cast(x * 2.5, "int32"), "float32") + 0.5, (3,))
    simplify(graph)
    fuse(graph)
    f = CompiledFunction(lambda x: arithmetic.cast(arithmetic.cast(x * 2.5, "int32"), "float32") + 0.5)
    x = np.array([1.0, 2.0, -1.0], "float32")
    np.testing.assert_array_equal(f(x).numpy(), np.trunc(x * 2.5) + 0.5)


def test_a_broadcast_is_read_where_it_comes_from():
    graph = traced(lambda x, b: x * e.BroadcastTo((4, 5))(b), (4, 5), (5,))
    simplify(graph)
    fuse(graph)
    remove_dead(graph)
    assert kinds(graph) == ["Fused"]
    assert [s.shape for s in graph.nodes[0].inputs] == [(4, 5), (5,)]


def test_simplify_shares_equal_nodes_and_drops_what_nobody_reads():
    def fn(x):
        arithmetic.exp(x)  # nobody reads it
        return arithmetic.sin(x) * arithmetic.sin(x)

    graph = traced(fn, (3,))
    simplify(graph)
    assert kinds(graph) == ["Sin", "Mul"]


def test_constants_are_computed_while_planning():
    graph = traced(lambda x: x + arithmetic.exp(Tensor.of([1.0, 2.0])), (2,))
    simplify(graph)
    assert kinds(graph) == ["Add"]


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1000])
def test_fused_results_are_those_of_the_single_ops_bit_for_bit(n):
    def fn(x, y):
        a = arithmetic.tanh(x) * y
        b = arithmetic.where(a > 0.1, a, arithmetic.exp(y) - 0.5)
        return b / (arithmetic.square(x) + 1.0), a

    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((2, n)).astype("float32")
    eager = fn(Tensor.of(x), Tensor.of(y))
    compiled = CompiledFunction(fn)(x, y)
    for a, b in zip(eager, compiled):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_state_is_updated_in_place_and_snapshots_keep_their_value():
    v, m = Variable(np.ones(5, "float32")), Variable(np.zeros(5, "float32"))

    def step(g):
        m.assign(m * 0.9 - g * 0.1)
        v.assign(v + m)
        return v

    f = CompiledFunction(step)
    before = v.value
    first = f(np.full(5, 2.0, "float32"))
    np.testing.assert_array_equal(before.numpy(), np.ones(5))
    np.testing.assert_allclose(first.numpy(), 0.8, rtol=1e-6)
    f(np.full(5, 2.0, "float32"))
    np.testing.assert_allclose(v.numpy(), 1 - 0.2 - 0.38, rtol=1e-6)
    np.testing.assert_allclose(first.numpy(), 0.8, rtol=1e-6)


def test_variables_that_swap_their_values():
    a, b = Variable([1.0, 2.0]), Variable([3.0, 4.0])

    def swap():
        old_a, old_b = a.value, b.value
        a.assign(old_b)
        b.assign(old_a)
        return old_a

    out = CompiledFunction(swap)()
    assert a.numpy().tolist() == [3.0, 4.0]
    assert b.numpy().tolist() == [1.0, 2.0]
    assert out.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("part", [lambda x: ops.reshape(x, (2, 3)), lambda x: x[None, 1:][0, 1:]])
def test_a_view_of_a_value_is_not_what_is_written_later(part):
    a, b = Variable(np.arange(6, dtype="float32")), Variable(np.zeros(2, "float32"))

    def step():
        old = part(a)
        b.assign(ops.reshape(old, (-1,))[:2])
        a.assign(a * 2.0)
        return old

    want = part(a.value).numpy()
    assert CompiledFunction(step)().numpy().tolist() == want.tolist()
    assert b.numpy().tolist() == want.reshape(-1)[:2].tolist()
    assert a.numpy().tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_fused_is_an_ordinary_op():
    op = Fused((("exp", (0,)),), (1,), (2,), ("float32",), "elementwise")
    np.testing.assert_allclose(op(Tensor.of([0.0, 1.0])).numpy(), np.exp([0.0, 1.0]), rtol=1e-6)


def test_an_alias_of_a_value_that_moved_into_a_variable_follows_it():
    from nacre.ops.movement import Reshape

    v = Variable(np.zeros(6, "float32"))

    def fn(x):
        y = e.Exp()(x)
        v.assign(y)
        return Reshape((2, 3))(y)

    x = np.arange(6, dtype="float32") / 7
    got = CompiledFunction(fn)(x)
    np.testing.assert_allclose(got.numpy(), np.exp(x).reshape(2, 3), rtol=1e-6)
    np.testing.assert_allclose(v.numpy(), np.exp(x), rtol=1e-6)


def test_truth_values_join_the_numbers_that_they_come_from():
    def between(x, dy):
        return e.Select()(
            e.LogicalAnd()(e.Ge()(x, scalar(0.0)), e.Le()(x, scalar(6.0))),
            dy,
            scalar(0.0),
        )

    graph = traced(between, (7, 3), (7, 3))
    simplify(graph)
    fuse(graph)
    assert kinds(graph) == ["Fused"]
    x = np.linspace(-3, 9, 21, dtype="float32").reshape(7, 3)
    y = CompiledFunction(between)(x, x + 20)
    np.testing.assert_array_equal(y.numpy(), np.where((x >= 0) & (x <= 6), x + 20, 0))


WHOLE = {
    "a fraction is compared with": lambda x: arithmetic.greater_equal(x, 0.5),
    "fractions between": lambda x: arithmetic.cast(x, "float32") * 0.3 > 0.5,
    "rounded in the end": lambda x: arithmetic.cast(arithmetic.cast(x, "float32") * 0.6 + 0.5, "int32"),
    "truth of a fraction": lambda x: arithmetic.logical_and(x, 0.25),
    "no number": lambda x: arithmetic.not_equal(x, float("nan")),
    "float64 between": lambda x: arithmetic.cast(arithmetic.cast(x, "float64") / 3.0 * 3e9, "int64"),
}


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("case", WHOLE)
def test_whole_numbers_in_and_out_have_fractions_between(case, dtype):
    x = np.array([0, 1, 2, 3], dtype)
    np.testing.assert_array_equal(CompiledFunction(WHOLE[case])(x), WHOLE[case](Tensor(x)))


def test_zeros_keep_their_sign_in_programs():
    x = np.float32([-1.0, 1.0])
    for zero in (0.0, -0.0):
        y = CompiledFunction(lambda x, zero=zero: arithmetic.arctan2(zero, x) * 2.0)(x)
        np.testing.assert_allclose(y, np.arctan2(zero, x) * 2.0, rtol=1e-6)


def test_the_sum_of_truth_values_is_one_alone_and_in_a_chain():
    def fn(x):
        return arithmetic.cast(x + x, "int32") * 3

    x = np.array([True, False])
    np.testing.assert_array_equal(fn(Tensor(x)), [3, 0])
    np.testing.assert_array_equal(CompiledFunction(fn)(x), [3, 0])


def test_the_negative_of_a_truth_value_is_a_number_alone_and_in_a_chain():
    def fn(x):
        return arithmetic.cast(arithmetic.negative(x), "uint8")

    x = np.array([True, False])
    np.testing.assert_array_equal(fn(x), CompiledFunction(fn)(x))
    assert arithmetic.negative(x).dtype == "int32"


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("floats", ["float32", "float64"])
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: arithmetic.cast(x * 0.5, "int32"),
        lambda x: arithmetic.cast(arithmetic.sqrt(x / 3.0), "int64"),
        lambda x: x * 0.5 > 1.2,
        lambda x: (x * 0.25 > 0.3, arithmetic.cast(arithmetic.exp(x), "uint8")),
    ],
)
def test_numbers_between_whole_ones_are_not_rounded(dtype, floats, fn):
    x = Tensor(np.arange(6).reshape(2, 3).astype(dtype))
    whole = CompiledFunction(lambda x: fn(arithmetic.cast(x, floats)))(x)
    one_by_one = fn(arithmetic.cast(x, floats))
    for a, b in zip(*((y if isinstance(y, tuple) else (y,)) for y in (whole, one_by_one))):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_two_chains_that_read_a_large_value_become_one_node_unless_one_is_needed_earlier():
    def apart(x, y):
        return arithmetic.exp(x) * 2.0, arithmetic.tanh(x) + y

    def in_turn(x, y):
        total = e.SumTo(())(arithmetic.exp(x) * 2.0)
        return arithmetic.tanh(x) + y * total

    for fn, shape, expected in (
        (apart, (64, 64), ["Fused"]),
        (apart, (8, 8), ["Fused", "Fused"]),
        (in_turn, (64, 64), ["Fused", "SumTo", "Fused"]),
    ):
        graph = traced(fn, shape, shape)
        simplify(graph)
        fuse(graph)
        assert kinds(graph) == expected, (fn.__name__, shape)


def test_a_gradient_that_slot_and_weights_read_apart_is_never_stored():
    x, dy, w, m = (Tensor(np.random.default_rng(i).standard_normal(s).astype("float32"))
                   for i, s in enumerate(((32, 96), (32, 64), (96, 64), (96, 64))))  # fmt: skip

    def update(x, dy, w, m):
        g = MatMul(True, False)(x, dy)
        return w - ops.sign(m * 0.9 + g * 0.1), m * 0.99 + g * 0.01

    compiled = CompiledFunction(update)
    for got, want in zip(compiled(x, dy, w, m), update(x, dy, w, m)):
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert [row["op"] for row in compiled.profile(x, dy, w, m, repeats=1)] == ["DenseGradWMap"]


def test_a_program_that_comes_again_makes_no_new_ops() -> None:
    """Ops are kept for good, and a NaN among their attributes, as behind a division by no weights, equals no other."""
    counts = []
    for _ in range(3):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(np.ones((4, 4), "float32"), np.array([0, 1, 2, 0]), verbose=0)
        counts.append(len(_interned))
    assert counts[1] == counts[2]
