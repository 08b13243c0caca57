"""Every fused op against the pattern that it replaces."""

import numpy as np
import pytest

from nacre.core.autodiff import GradientTape
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops.convolution import Conv2D
from nacre.ops.movement import Reshape, Transpose
from nacre.ops.pooling import MaxPool2D
from nacre.ops.products import MatMul
from nacre.passes.combine import combine
from nacre.passes.pooled import fuse_pooled_convolutions
from nacre.passes.simplify import simplify
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(7)
VALID = ((0, 0), (0, 0))
SAME3 = ((1, 1), (1, 1))


def weights(*shapes):
    return [
        Variable(RNG.standard_normal(s).astype("float32") / np.float32(max(1, np.prod(s[:-1])) ** 0.5)) for s in shapes
    ]


def mlp(x, w):
    h = e.Relu()(e.Add()(MatMul()(x, w[0]), w[1]))
    h = e.Relu()(e.Add()(MatMul()(h, w[2]), w[3]))
    return e.Add()(MatMul()(h, w[4]), w[5])


def cnn(x, w):
    h = e.Relu()(e.Add()(Conv2D((1, 1), VALID)(x, w[0]), w[1]))
    h, _ = MaxPool2D((2, 2), (2, 2), VALID)(h)
    h = e.Relu()(e.Add()(Conv2D((1, 1), SAME3)(h, w[2]), w[3]))
    h = e.Relu()(e.Add()(Conv2D((2, 2), SAME3)(h, w[4]), w[5]))
    n = x.shape[0]
    return Reshape((n, h.size // n))(h)


MODELS = {
    "mlp": (mlp, (5, 7), ((7, 9), (9,), (9, 33), (33,), (33, 3), (3,))),
    "cnn": (cnn, (3, 10, 9, 2), ((3, 3, 2, 5), (5,), (3, 3, 5, 16), (16,), (3, 3, 16, 6), (6,))),
}


def loss_and_gradients(fn, w):
    def step(x):
        with GradientTape() as tape:
            y = fn(x, w)
            loss = e.SumTo(())(e.Square()(y))
        return [loss, y, *tape.gradient(loss, w)]

    return step


@pytest.mark.parametrize("name", MODELS)
def test_compiled_step_equals_eager_step(name):
    fn, shape, shapes = MODELS[name]
    w = weights(*shapes)
    x = RNG.standard_normal(shape).astype("float32")
    step = loss_and_gradients(fn, w)
    eager = step(Tensor.of(x))
    compiled = CompiledFunction(step)(x)
    for a, b in zip(eager, compiled):
        # the fused kernels add the same numbers, possibly starting from the bias
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=3e-5, atol=3e-5 * np.abs(a.numpy()).max())


@pytest.mark.parametrize("name", MODELS)
def test_no_pattern_is_left_over(name):
    fn, shape, shapes = MODELS[name]
    w = weights(*shapes)
    graph = Graph()
    x = graph.add_input(Spec(shape, "float32"))
    from nacre.core import trace

    with trace.tracing(graph):
        graph.outputs = list(loss_and_gradients(fn, w)(x))
    simplify(graph)
    fuse_pooled_convolutions(graph)
    combine(graph)
    left = {type(n.op).__name__ for n in graph.nodes}
    assert not left & {"Relu", "Add", "Conv2D", "Conv2DGradW"}, left


@pytest.mark.parametrize("m", [96, 97, 300, 401])
def test_symmetric_products_compute_half(m):
    x = RNG.standard_normal((m, 257)).astype("float32")

    def step(a):
        gram = MatMul()(a, Transpose((1, 0))(a))
        return [gram, MatMul()(gram, gram) if m > 256 else gram, MatMul(False, True)(a, a)]

    compiled = CompiledFunction(step)
    got = [y.numpy() for y in compiled(x)]
    ops = [r["op"] for r in compiled.profile(x, repeats=1)]
    assert "MatMul" not in ops and ops.count("Gram") >= 6, ops
    for eager, y in zip(step(Tensor.of(x)), got):
        np.testing.assert_array_equal(y, y.T)
        np.testing.assert_allclose(y, eager.numpy(), rtol=0, atol=400 * 6e-8 * np.abs(eager.numpy()).max())


def test_products_of_others_are_no_symmetric_ones():
    x, z = (RNG.standard_normal((260, 260)).astype("float32") for _ in range(2))
    narrow = RNG.standard_normal((400, 40)).astype("float32")

    def step(a, b):
        return [MatMul()(a, Transpose((1, 0))(b)), MatMul()(a, a), MatMul(True, False)(a, a), MatMul(False, True)(a, b)]

    compiled = CompiledFunction(step)
    got = compiled(x, z)
    assert "Gram" not in {r["op"] for r in compiled.profile(x, z, repeats=1)}
    few = CompiledFunction(lambda a: MatMul(False, True)(a, a))
    assert "Gram" not in {r["op"] for r in few.profile(narrow, repeats=1)}  # the mirror would cost more
    for expected, y in zip((x @ z.T, x @ x, x.T @ x, x @ z.T), got):
        np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=3e-4)


def pooled_net(x, w, pool=2, relu=True, dilation=(1, 1)):
    h = e.Add()(Conv2D((1, 1), SAME3 if dilation == (1, 1) else VALID, dilation)(x, w[0]), w[1])
    h = e.Relu()(h) if relu else h
    h, _ = MaxPool2D((pool, pool), (pool, pool), VALID)(h)
    h = e.Relu()(e.Add()(Conv2D((1, 1), VALID)(h, w[2]), w[3]))
    h, _ = MaxPool2D((2, 2), (2, 2), VALID)(h)
    n = x.shape[0]
    return Reshape((n, h.size // n))(h)


@pytest.mark.parametrize(
    ("pool", "relu", "dilation"), [(2, True, (1, 1)), (2, False, (1, 1)), (3, True, (1, 1)), (2, True, (2, 2))]
)
@pytest.mark.parametrize("channels", [(1, 8, 5), (3, 32, 16), (16, 17, 64)])
def test_pooled_convolutions_and_their_sparse_gradients(pool, relu, dilation, channels):
    a, b, c = channels
    w = weights((3, 3, a, b), (b,), (3, 3, b, c), (c,))
    x = RNG.standard_normal((3, 17, 15, a)).astype("float32")
    step = loss_and_gradients(lambda x, w: pooled_net(x, w, pool, relu, dilation), w)
    compiled = CompiledFunction(step)
    got = compiled(x)
    kernels = {r["kernel"] for r in compiled.profile(x, repeats=1)}
    assert {"conv2d_pool", "conv2d_pool_grad_w", "conv2d_pool_grad_x"} <= kernels
    assert not kernels & {"conv2d", "max_pool2d", "max_pool2d_grad_x", "conv2d_grad_w", "conv2d_grad_x"}, kernels
    for eager, fused in zip(step(Tensor.of(x)), got):
        np.testing.assert_allclose(eager.numpy(), fused.numpy(), rtol=5e-5, atol=5e-5 * np.abs(eager.numpy()).max())


@pytest.mark.parametrize("relu", [True, False])
def test_gradients_by_tiles_take_all_elements_where_those_of_the_winners_cost_more(relu):
    w = weights((3, 3, 96, 96), (96,))
    x = RNG.standard_normal((16, 19, 19, 96)).astype("float32")

    def net(x, w):
        h = e.Add()(Conv2D((1, 1), SAME3)(e.Mul()(x, e.Sigmoid()(w[1])), w[0]), w[1])
        h, _ = MaxPool2D((2, 2), (2, 2), VALID)(e.Relu()(h) if relu else h)
        return e.Mul()(h, h)

    step = loss_and_gradients(net, w)
    compiled = CompiledFunction(step)
    got = compiled(x)
    kernels = {r["kernel"] for r in compiled.profile(x, repeats=1)}
    assert {"max_pool2d_grad_x", "conv2d_winograd_grad_w", "conv2d_winograd"} <= kernels
    assert not kernels & {"conv2d", "max_pool2d", "conv2d_pool_grad_w", "conv2d_pool_grad_x"}, kernels
    for eager, fused in zip(step(Tensor.of(x)), got):
        np.testing.assert_allclose(eager.numpy(), fused.numpy(), rtol=5e-5, atol=5e-5 * np.abs(eager.numpy()).max())


def test_pooling_that_overlaps_is_left_alone():
    w = weights((3, 3, 2, 4), (4,))

    def fn(x):
        h = e.Relu()(e.Add()(Conv2D((1, 1), SAME3)(x, w[0]), w[1]))
        return MaxPool2D((3, 3), (1, 1), VALID)(h)[0]

    compiled = CompiledFunction(fn)
    x = RNG.standard_normal((1, 6, 6, 2)).astype("float32")
    compiled(x)
    assert [r["kernel"] for r in compiled.profile(x, repeats=1)] == ["conv2d", "max_pool2d"]


def test_a_convolution_whose_output_is_also_returned_is_left_alone():
    w = weights((3, 3, 2, 4), (4,))

    def fn(x):
        h = e.Relu()(e.Add()(Conv2D((1, 1), SAME3)(x, w[0]), w[1]))
        return MaxPool2D((2, 2), (2, 2), VALID)(h)[0], h

    compiled = CompiledFunction(fn)
    x = RNG.standard_normal((1, 6, 6, 2)).astype("float32")
    y, h = compiled(x)
    np.testing.assert_array_equal(y.numpy()[0, 0, 0], h.numpy()[0, :2, :2].max((0, 1)))


def test_a_value_that_somebody_else_reads_is_not_swallowed():
    w = weights((4, 4), (4,))

    def fn(x):
        z = MatMul()(x, w[0])
        y = e.Relu()(e.Add()(z, w[1]))
        return y, z

    x = RNG.standard_normal((2, 4)).astype("float32")
    y, z = CompiledFunction(fn)(x)
    np.testing.assert_allclose(z.numpy(), x @ w[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y.numpy(), np.maximum(x @ w[0].numpy() + w[1].numpy(), 0), rtol=1e-5, atol=1e-6)


def test_a_bias_that_is_used_before_the_relu_keeps_its_own_node():
    w = weights((4, 4), (4,))

    def fn(x):
        z = e.Add()(MatMul()(x, w[0]), w[1])
        return e.Mul()(e.Relu()(z), e.Sigmoid()(z))

    x = RNG.standard_normal((2, 4)).astype("float32")
    z = x @ w[0].numpy() + w[1].numpy()
    got = CompiledFunction(fn)(x).numpy()
    np.testing.assert_allclose(got, np.maximum(z, 0) / (1 + np.exp(-z)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("k", "n"), [(7, 5), (33, 64), (130, 300), (64, 900), (1, 1)])
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
def test_an_update_in_the_epilogue_equals_the_update_afterwards(k, n, rule):
    x = RNG.standard_normal((9, k)).astype("float32")
    dy = RNG.standard_normal((9, n)).astype("float32")

    def make():
        rng = np.random.default_rng(1)
        return [Variable(rng.random((k, n), np.float32)) for _ in range(3)] + [Variable(np.float32(0.1))]

    def update(state, x, dy):
        w, m, v, rate = state
        g = MatMul(True, False)(x, dy)
        if rule == "sgd":
            w.assign(w - g * rate)
        elif rule == "momentum":
            m.assign(m * 0.9 - g * rate)
            w.assign(w + m)
        else:
            m.assign(m + (g - m) * 0.1)
            v.assign(v + (e.Square()(g) - v) * 0.001)
            w.assign(w - m * rate / (e.Sqrt()(v) + 1e-7))

    one, two = make(), make()
    update(one, Tensor.of(x), Tensor.of(dy))
    compiled = CompiledFunction(lambda x, dy: update(two, x, dy))
    compiled(x, dy)
    assert [r["kernel"] for r in compiled.profile(x, dy, repeats=1)] == ["dense_grad_w_map"]
    two = make()
    CompiledFunction(lambda x, dy: update(two, x, dy))(x, dy)
    for a, b in zip(one, two):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5)
