"""What is joined lies where it was joined, what is cut out where it was cut: random graphs with it and without, and
what is left alone."""

import random

import numpy as np
import pytest

from nacre.core.autodiff import GradientTape
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops.base import scalar
from nacre.ops.convolution import Conv2D
from nacre.ops.movement import Concat, Pad, Reshape, Slice, Split
from nacre.ops.pooling import AvgPool2D, MaxPool2D
from nacre.ops.products import MatMul
from nacre.passes import layout, strips
from nacre.runtime import compiled as runtime
from nacre.runtime.compiled import CompiledFunction

NONE, AROUND = ((0, 0), (0, 0)), ((1, 1), (1, 1))


SHAPING = ("concat", "concat", "concat", "split", "slice", "pad", "batch", "cast")
KINDS = ("conv", "conv", "dense", "pool", "map", "add", *SHAPING)


class Net:
    """A random function of images: every value is (N, H, W, some channels), 0 among them where nothing forbids it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.shape = tuple(self.random.choice((1, 2, 3)) for _ in range(3))
        self.rng = np.random.default_rng(seed)
        self.variables = []
        self.seed = seed

    def inputs(self):
        return [self.rng.standard_normal((*self.shape, c)).astype("float32") for c in (1, 5, 16)]

    def variable(self, *shape):
        rng = np.random.default_rng(len(self.variables))
        self.variables.append(Variable(rng.standard_normal(shape).astype("float32")))
        return self.variables[-1]

    def conv(self, x, side):
        channels = self.random.choice((1, 3, 8, 17, 32))
        pad = AROUND if side == 3 else NONE
        y = Conv2D((1, 1), pad)(x, self.variable(side, side, x.shape[3], channels))
        return e.Relu()(e.Add()(y, self.variable(channels))) if self.random.random() < 0.7 else y

    def dense(self, x):
        n = self.random.choice((1, 4, 16))
        y = MatMul()(Reshape((x.shape[0] * x.shape[1] * x.shape[2], x.shape[3]))(x), self.variable(x.shape[3], n))
        return Reshape((*self.shape, n))(e.Add()(y, self.variable(n)))

    def step(self, values):
        r = self.random
        x = r.choice(values)
        c = x.shape[3]
        kind = r.choice(KINDS)
        if kind == "concat" or c == 0:
            parts = [r.choice(values) for _ in range(r.randrange(1, 5))]
            if r.random() < 0.2:
                parts.append(self.variable(*self.shape, r.choice((0, 2))).value)
            return [Concat(3)(*parts)]
        if kind == "conv":
            return [self.conv(x, r.choice((1, 3)))]
        if kind == "dense":
            return [self.dense(x)]
        if kind == "pool":
            pool = ((3, 3), (1, 1), AROUND)
            return [MaxPool2D(*pool)(x)[0] if r.random() < 0.5 else AvgPool2D(*pool)(x)]
        if kind == "map":
            return [e.Tanh()(e.Mul()(x, self.variable(c)))]
        if kind == "add":
            same = [v for v in values if v.shape == x.shape]
            return [e.Relu()(e.Sub()(x, r.choice(same)))]
        if kind == "split":
            at = sorted(r.randrange(c + 1) for _ in range(2))
            return list(Split((at[0], at[1] - at[0], c - at[1]), 3)(x))
        if kind == "batch":  # joined along another axis, worked on, and apart again
            axis, other = r.randrange(3), r.choice([v for v in values if v.shape == x.shape])
            y = self.conv(Concat(axis)(x, e.Tanh()(other)), 1)
            return list(Split((self.shape[axis],) * 2, axis)(y))
        if kind == "cast":
            to = r.choice(("int32", "bool", "float64"))
            return [e.Cast("float32")(Concat(3)(*[e.Cast(to)(v) for v in (x, r.choice(values), x)]))]
        if kind == "slice":
            first = r.randrange(c)
            return [Slice((0, 0, 0, first), (*self.shape, r.randrange(1, c - first + 1)), (1,) * 4)(x)]
        return [Pad(((0, 0),) * 3 + ((1, 2),))(x)]

    def __call__(self, *xs):
        self.random.seed(self.seed)
        self.variables, made = [], list(xs)
        state = self.variable(*self.shape, 4)
        made.append(state.value)
        for _ in range(14):
            made += [v for v in self.step(made) if v.shape[3] <= 200]
        new = self.random.choice([v for v in made if v.shape == state.shape])
        state.assign(new)
        made.append(state.value)
        return [v for v in made[len(xs) :] if v.shape[3] and self.random.random() < 0.25] + [made[-1]]


def run(net, xs, gradients=False):
    def fn(*xs):
        if not gradients:
            return net(*xs)
        with GradientTape() as tape:
            for x in xs:
                tape.watch(x)
            total = scalar(0.0)
            for y in net(*xs):
                total = e.Add()(total, e.SumTo(())(e.Mul()(y, y)))
        return [total, *[g for g in tape.gradient(total, [*xs, *net.variables]) if g is not None]]

    compiled = CompiledFunction(fn)
    results = [np.asarray(y) for y in compiled(*xs)]
    return [*results, net.variables[0].numpy()]


@pytest.fixture(params=["everything", "what pays", "in strips"])
def eager_to_place(request, monkeypatch):
    if request.param != "what pays":
        monkeypatch.setattr(layout, "_pays", lambda v, whole: True)
    if request.param == "in strips":
        monkeypatch.setattr(strips, "NEAR", 1)


@pytest.mark.parametrize("seed", range(120))
def test_random_graphs_give_the_same_bits(seed, eager_to_place, monkeypatch):
    net = Net(seed)
    xs = net.inputs()
    got = run(net, xs)
    with monkeypatch.context() as m:
        m.setattr(runtime, "layout", lambda graph: {})
        m.setattr(runtime, "widen", lambda graph: None)
        want = run(net, xs)
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(60))
def test_gradients_of_random_graphs(seed, eager_to_place, monkeypatch):
    net = Net(seed)
    xs = net.inputs()
    got = run(net, xs, gradients=True)
    with monkeypatch.context() as m:
        m.setattr(runtime, "layout", lambda graph: {})
        m.setattr(runtime, "widen", lambda graph: None)
        want = run(net, xs, gradients=True)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(b).max(initial=0.0)))


def variable(*shape):
    return Variable(np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32"))


IMAGES = np.random.default_rng(0).standard_normal((2, 4, 4, 8)).astype("float32")
W = [variable(1, 1, 8, 8), variable(3, 3, 8, 24), variable(1, 1, 16, 8), variable(1, 1, 24, 8), variable(1, 1, 32, 8)]


def conv(x, i):
    w = W[i]
    return e.Relu()(Conv2D((1, 1), AROUND if w.shape[0] == 3 else NONE)(x, w))


def branches(x):
    return conv(Concat(3)(conv(x, 0), conv(x, 1)), 4)


def nested(x):
    y = Concat(3)(conv(x, 0), e.Tanh()(x))
    z = Concat(3)(y, conv(y, 2))
    return conv(Concat(3)(z, e.Exp()(conv(z, 3))), 4)


def tall(x):
    return conv(Concat(0)(conv(x, 0), e.Exp()(x), x), 0)


def cut(x):
    a, b, c = Split((3, 0, 5), 3)(conv(x, 0))
    return e.Exp()(a), e.Tanh()(Concat(3)(b, c)), Slice((0, 0, 0, 2), (2, 4, 4, 4), (1,) * 4)(e.Exp()(conv(x, 0)))


def through_other_shapes(x):
    flat = Reshape((32, 8))(conv(x, 0))
    other = MatMul()(Reshape((32, 8))(x), Reshape((8, 8))(W[0].value))
    return MatMul()(Concat(1)(flat, other), Reshape((16, 8))(W[2].value))


def listed(x):
    made = [conv(x, 0)]
    for _ in range(3):
        y = Concat(3)(*made) if len(made) > 1 else made[0]
        y = e.Tanh()(y)
        made.append(conv(y, {8: 0, 16: 2, 24: 3}[y.shape[3]]))
    return conv(Concat(3)(*made), 4)


def twice(x):
    y = conv(x, 0)
    return conv(Concat(3)(y, y), 2)


def wanted(x):
    y = conv(x, 0)
    return y, conv(Concat(3)(y, conv(x, 1)), 4)


def of_inputs(x):
    return conv(Concat(3)(x, x), 2)


def into_itself(x):
    y = e.Exp()(conv(x, 0))
    return conv(Concat(3)(y, conv(y, 0)), 2)


@pytest.mark.parametrize(
    ("fn", "copies"),
    [
        (branches, {}),
        (nested, {"strided_copy": 1}),
        (tall, {"strided_copy": 1}),
        (through_other_shapes, {}),
        (cut, {"strided_copy": 1}),
        (twice, {"concat": 1}),
        (listed, {}),
        (wanted, {"strided_copy": 1}),
        (of_inputs, {"concat": 1}),
        (into_itself, {"strided_copy": 1}),
    ],
)
def test_what_is_still_copied(fn, copies, monkeypatch):
    compiled = CompiledFunction(fn)
    found = [row["kernel"] for row in compiled.profile(IMAGES, repeats=1)]
    assert {k: found.count(k) for k in ("concat", "split", "strided_copy", "copy_bytes") if k in found} == copies
    got = compiled(IMAGES)
    monkeypatch.setattr(runtime, "layout", lambda graph: {})
    for a, b in zip(*[y if isinstance(y, (list, tuple)) else [y] for y in (got, CompiledFunction(fn)(IMAGES))]):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_far_columns_are_copied_where_others_read_them(monkeypatch):
    def fn(x):
        y = conv(x, 0)
        return e.Exp()(y), conv(Concat(3)(y, conv(x, 1)), 4)

    def kernels():
        return [row["kernel"] for row in CompiledFunction(fn).profile(IMAGES, repeats=1)]

    assert "strided_copy" not in kernels()
    monkeypatch.setattr(layout, "NEAR", 0)
    assert "strided_copy" in kernels()


@pytest.mark.parametrize("act", [e.Relu, e.Tanh])
def test_gradients_of_joined_activations_are_one(act, monkeypatch):
    def fn(x):
        with GradientTape() as tape:
            a, b = act()(Conv2D((1, 1), NONE)(x, W[0])), act()(Conv2D((1, 1), AROUND)(x, W[1]))
            y = Concat(3)(a, b)
            mean = e.SumTo((2, 1, 1, 32))(y)
            loss = e.SumTo(())(e.Mul()(mean, mean))
        return [y, *tape.gradient(loss, W[:2])]

    compiled = CompiledFunction(fn)
    got = compiled(IMAGES)
    origins = compiled._plan(((IMAGES,), {}))[0].origins
    assert sum(origins.count(k) for k in ("ReluGrad", "TanhGrad", "Fused")) == 2 + (act is e.Tanh)
    assert "BroadcastTo" not in origins
    monkeypatch.setattr(runtime, "widen", lambda graph: None)
    apart = CompiledFunction(fn)
    for a, b in zip(got, apart(IMAGES)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_rows_side_by_side_are_not_columns():
    def fn(x):
        y = e.Exp()(Pad(((0, 0), (1, 1), (0, 0)))(x))
        cuts = [Slice((0, i, 0), (1, 3, 1), (1,) * 3)(y) for i in range(3)]
        return e.Mul()(Concat(2)(*cuts), scalar(2.0))

    x = np.float32([[[1], [2], [3]]])
    np.testing.assert_array_equal(CompiledFunction(fn)(x), fn(Tensor(x)))


@pytest.mark.parametrize("reshaped", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
def test_rows_of_columns_are_where_they_are(rows, reshaped):
    def fn(x):
        columns = Slice((0, 0, 2), (4, 2, 3), (1,) * 3)(x)
        columns = Reshape((4, 1, 2, 3) if reshaped else (4, 2, 3))(columns)
        shape, rest = (rows, *columns.shape[1:]), (0,) * (len(columns.shape) - 1)
        return [e.Exp()(Slice((i, *rest), shape, (1,) * len(shape))(columns)) for i in range(4 - rows)]

    x = np.random.default_rng(0).standard_normal((4, 2, 7)).astype("float32")
    for a, b in zip(CompiledFunction(fn)(x), fn(Tensor(x)), strict=True):
        np.testing.assert_array_equal(a, b)


class Cuts:
    """A random function: cuts and joins along any axis, of what was cut and joined before, and work between."""

    def __init__(self, seed):
        self.seed = seed

    def inputs(self):
        r = random.Random(self.seed)
        shapes = [tuple(r.choice((1, 2, 3, 4, 6)) for _ in range(3)) for _ in range(2)]
        return [np.random.default_rng(self.seed).standard_normal(s).astype("float32") for s in shapes]

    def __call__(self, *xs):
        r, made = random.Random(self.seed), list(xs)
        for _ in range(12):
            x = r.choice(made[-4:])
            axis, d = r.randrange(3), len(x.shape)
            if r.random() < 0.3:
                rest = x.shape[axis:]
                x = Reshape((*x.shape[:axis], 1, *rest) if d < 4 else (x.shape[0] * x.shape[1], *x.shape[2:]))(x)
            elif r.random() < 0.3:
                x = e.Tanh()(x)
            n = x.shape[axis]
            size = r.randrange(1, n + 1)
            cuts = [
                Slice((0,) * axis + (at,) + (0,) * (len(x.shape) - axis - 1),
                      (*x.shape[:axis], size, *x.shape[axis + 1 :]), (1,) * len(x.shape))(x)
                for at in range(0, n - size + 1, r.choice((1, size)))
            ][:4]  # fmt: skip
            if r.random() < 0.3:
                cuts[-1] = e.Exp()(e.Neg()(e.Square()(cuts[-1])))
            made.append(Concat(r.randrange(len(x.shape)))(*cuts) if r.random() < 0.6 else cuts[-1])
        return [e.Mul()(y, scalar(2.0)) for y in made[-3:]]


@pytest.mark.parametrize("seed", range(200))
def test_cuts_of_joins_of_cuts_give_the_same_numbers(seed, eager_to_place):
    fn = Cuts(seed)
    xs = fn.inputs()
    for a, b in zip(CompiledFunction(fn)(*xs), fn(*map(Tensor, xs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
