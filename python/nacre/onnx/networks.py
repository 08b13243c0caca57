"""Products, convolutions, pooling, normalization and recurrent layers in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.spec import Spec
from nacre.onnx.movement import pair_of
from nacre.onnx.twins import Call, Open, Twins, Value, graph_of, merged
from nacre.onnx.writer import IMAGES, Writer
from nacre.ops import batch_norm, convolution, fused_rows, pooling, probabilities, products, recurrent
from nacre.ops.convolution import same_padding
from nacre.ops.elementwise import Add, Relu, Select, Tanh
from nacre.ops.fused_rows import GruCell, LstmCell
from nacre.ops.movement import Reshape

_WEIGHTS = (3, 2, 0, 1)  # HWIO as ONNX has it: OIHW


def _matmul(w: Writer, c: Call) -> None:
    def turned(x: Value, flag: bool) -> str:
        return w.of(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2) if flag else None)

    w.put(c.y[0], w("MatMul", turned(c.x[0], c.ta), turned(c.x[1], c.tb)))


def _last_axis(kind: str) -> Callable[[Writer, Call], None]:
    return lambda w, c: w.put(c.y[0], w(kind, w.of(c.x[0]), axis=-1))


# --- windows --------------------------------------------------------------------------------------------------------


def _padding(c: Call, size: tuple[Any, Any], window: Any, strides: Any, gaps: Any = (1, 1)) -> dict[str, Any]:
    """The padding around images of `size`: numbers, or the rule by which it follows from an unknown size."""
    if c.ops[0].padding == c.ops[1].padding:
        flat = [n for ends in zip(*c.padding) for n in ends]
        if min(flat) < 0:
            raise c.refused("it has negative padding")
        return {"pads": flat}
    for k, op in enumerate(c.ops):
        for n, pads, *rest in zip(size, op.padding, window, strides, gaps):
            if same_padding(pair_of(n)[k], *rest) != pads:
                raise c.refused("its padding depends on a size that is not known")
    return {"auto_pad": "SAME_UPPER"}


def _conv(w: Writer, c: Call) -> None:
    x, kernel = c.x
    strides, dilation, groups = c.fixed("strides", "dilation", "groups")
    padding = _padding(c, x.shape[1:3], kernel.shape, strides, dilation)
    settings = dict(strides=strides, dilations=dilation, group=groups)
    w.put(c.y[0], w("Conv", w.of(x, IMAGES), w.of(kernel, _WEIGHTS), **settings, **padding), IMAGES)


def _conv_transpose(w: Writer, c: Call) -> None:
    dy, kernel = c.x
    strides, dilation, groups = c.fixed("strides", "dilation", "groups")
    pads: list[Any] = []
    more: list[Any] = []  # what lies behind the last window
    for axis, (size, step, gap) in enumerate(zip(kernel.shape, strides, dilation)):
        found = []
        for k, op in enumerate(c.ops):
            before, after = op.padding[axis]
            reach = step * (pair_of(dy.shape[1 + axis])[k] - 1) + (size - 1) * gap + 1
            found.append((before, max(after, 0), op.size[axis] - reach + before + max(after, 0)))
        before, after, extra = merged(*found)
        pads.append((before, after))
        more.append(extra)
    flat = [n for ends in zip(*pads) for n in ends]
    if any(isinstance(n, Open) or n < 0 for n in (*flat, *more)):
        raise c.refused("its padding is negative, or depends on a size that is not known")
    settings = dict(strides=strides, dilations=dilation, group=groups, pads=flat, output_padding=more)
    w.put(c.y[0], w("ConvTranspose", w.of(dy, IMAGES), w.of(kernel, _WEIGHTS), **settings), IMAGES)


def _pool(kind: str, **settings: Any) -> Callable[[Writer, Call], None]:
    def convert(w: Writer, c: Call) -> None:
        window, strides = c.fixed("window", "strides")
        padding = _padding(c, c.x[0].shape[1:3], window, strides)
        name = w(kind, w.of(c.x[0], IMAGES), kernel_shape=window, strides=strides, **padding, **settings)
        if kind == "AveragePool" and c.sums:
            name = w("Mul", name, w.constant(math.prod(window), c.y[0].dtype))
        w.put(c.y[0], name, IMAGES)

    return convert


def _enlarge(w: Writer, c: Call) -> None:
    """Each pixel repeated."""
    window, strides = c.fixed("window", "strides")
    if not c.sums or window != strides or c.padding != ((0, 0), (0, 0)):
        raise c.refused("it is the gradient of pooling")
    how: dict[str, Any] = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    w.put(c.y[0], w("Resize", w.of(c.x[0], IMAGES), "", w.constant((1, 1, *window), "float32"), **how), IMAGES)


# --- normalization --------------------------------------------------------------------------------------------------


def _layer_norm(w: Writer, c: Call) -> None:
    x, *parameters = c.x
    gamma, beta = c.ops[0].parameters([w.of(p) for p in parameters])
    if any(c.used[1:]):
        raise c.refused("its mean and deviation are asked for")
    scale = gamma or w("Expand", w.constant(1, x.dtype), w.sizes(x.shape[1:]))
    more = [] if beta is None else [beta]
    w.put(c.y[0], w("LayerNormalization", w.of(x), scale, *more, axis=-1, epsilon=c.eps))


def _moments(w: Writer, c: Call) -> None:
    x = c.x[0]
    axes = w.ints(*range(x.rank - c.kept))
    mean = w("ReduceMean", w.of(x), axes, keepdims=1)
    centred = w("Sub", w.of(x), mean)
    w.put(c.y[0], mean)
    w.put(c.y[1], w("ReduceMean", w("Mul", centred, centred), axes, keepdims=1))


# --- recurrent layers -----------------------------------------------------------------------------------------------


def _lstm_step(x: Any, u: Any, h: Any, c: Any) -> tuple[Any, ...]:
    return LstmCell().composed(Add()(x, products.MatMul()(h, u)), c)  # type: ignore[no-any-return]


def _gru_step(x: Any, u: Any, b: Any, h: Any) -> tuple[Any, ...]:
    return (GruCell().composed(x, Add()(products.MatMul()(h, u), b), h),)


def _simple_step(activation: str) -> Callable[..., tuple[Any, ...]]:
    after = {"tanh": Tanh(), "relu": Relu(), "linear": lambda z: z}[activation]
    return lambda x, u, h: (after(Add()(x, products.MatMul()(h, u))),)


def _scan(w: Writer, c: Call, step: Callable[..., tuple[Any, ...]], states: int, mask: Value | None) -> None:
    """`step(x_t, *rest)` from step to step, the last of `rest` the states; outputs are all states, the first one in
    front."""
    x, *rest = [v for v in c.x if v is not mask]
    scanned = [x] if mask is None else [x, mask]
    fixed, first = rest[: len(rest) - states], rest[len(rest) - states :]

    def whole(*values: Any) -> Any:
        given, here, turn = values[: len(fixed)], values[len(fixed) : len(rest)], values[len(rest) :]
        after = step(turn[0], *given, *here)
        return after if mask is None else tuple(Select()(turn[1], new, old) for new, old in zip(after, here))

    graphs = []
    for k in range(2):
        shapes = [tuple(pair_of(n)[k] for n in v.shape) for v in rest]
        shapes += [tuple(pair_of(n)[k] for n in v.shape[1:]) for v in scanned]
        specs = [Spec(shape, v.dtype) for shape, v in zip(shapes, (*rest, *scanned))]
        graphs.append(graph_of(whole, specs, w.frozen, lambda node: False)[0])
    inner = Twins(*graphs)
    body = Writer(w.frozen, w.table, w)
    for value, given in zip(inner.inputs, fixed):
        body.put(value, w.of(given))
    infos = []
    for value in inner.inputs[len(fixed) :]:
        name = body.unique("turn")
        body.put(value, name)
        infos.append(body.onnx.helper.make_tensor_value_info(name, body.type(value.dtype), None))
    body.convert(inner.calls)
    results = [body("Identity", body.of(y)) for y in (*inner.outputs, *inner.outputs)]
    outs = [body.onnx.helper.make_tensor_value_info(n, body.type(x.dtype), None) for n in results]
    graph = body.onnx.helper.make_graph(body.nodes, w.unique("step"), infos, outs)
    names = [w.of(v) for v in (*first, *scanned)]
    made = w("Scan", *names, outputs=2 * states, body=graph, num_scan_inputs=len(scanned))
    for y, before, name in zip(c.y, first, made[states:]):
        w.put(y, w("Concat", w("Unsqueeze", w.of(before), w.ints(0)), name, axis=0))


def _projected(x: Value) -> tuple[Value, Value, Value | None] | None:
    """The sequence (T, N, D), the weights and the bias, constants, that x (T, N, U) comes from, if it does."""
    maker, bias = x.maker, None
    if maker and isinstance(maker.ops[0], Add) and maker.x[1].arrays is not None and maker.x[1].rank == 1:
        bias, maker = maker.x[1], maker.x[0].maker
    for op in (Reshape, products.MatMul):
        if not maker or not isinstance(maker.ops[0], op):
            return None
        last, maker = maker, maker.x[0].maker
    weights = last.x[1]
    if not maker or not isinstance(maker.ops[0], Reshape) or weights.arrays is None or last.ta or last.tb:
        return None
    sequence = maker.x[0]
    lead = [tuple(map(pair_of, v.shape[:2])) for v in (sequence, x)]
    return (sequence, weights, bias) if sequence.rank == 3 and lead[0] == lead[1] else None


def _as_operator(w: Writer, c: Call, kind: str, gates: list[int], **settings: Any) -> bool:
    """Puts the states of ONNX's own layer, whose gates are in another order; says whether that could be. It takes the
    product with the weights upon itself, and gives only the last state of the cell."""
    found = _projected(c.x[0])
    _, u, *rest = c.x
    if found is None or u.arrays is None or any(c.used[1:]):
        return False
    sequence, weights, bias = found
    units, inner = u.shape[0], rest.pop(0) if kind == "GRU" else None
    order = np.concatenate([np.arange(units) + units * gate for gate in gates])

    def turned(v: Value | None) -> Any:
        array = np.zeros(units * len(gates), np.float32) if v is None else w.array(v)
        return array.T[order][None]

    parameters = [w.constant(turned(v), name=w.frozen.get(id(w.array(v)), "weights")) for v in (weights, u)]
    parameters.append(w.constant(np.concatenate([turned(bias), turned(inner)], 1)))
    first = [w("Unsqueeze", w.of(v), w.ints(0)) for v in rest]
    whole = w(kind, w.of(sequence), *parameters, "", *first, hidden_size=units, **settings)
    w.put(c.y[0], w("Concat", first[0], w("Squeeze", whole, w.ints(1)), axis=0))
    return True


def _lstm(w: Writer, c: Call) -> None:
    if not _as_operator(w, c, "LSTM", [0, 3, 1, 2]):
        _recurrent(_lstm_step, 2, False)(w, c)


def _gru(w: Writer, c: Call) -> None:
    if (c.x[2].arrays is None) or not _as_operator(w, c, "GRU", [0, 1, 2], linear_before_reset=1):
        _recurrent(_gru_step, 1, False)(w, c)


def _recurrent(step: Callable[..., tuple[Any, ...]], states: int, masked: bool) -> Callable[[Writer, Call], None]:
    def convert(w: Writer, c: Call) -> None:
        if any(c.used[states:]):
            raise c.refused("its gates are asked for")
        _scan(w, c, step, states, c.x[-1] if masked else None)

    return convert


def _simple(w: Writer, c: Call) -> None:
    mask = c.x[-1]
    if not mask.rank:  # there is none
        c.x.pop()
    _scan(w, c, _simple_step(c.activation), 1, mask if mask.rank else None)


TABLE: dict[type, Callable[[Writer, Call], Any]] = {
    products.MatMul: _matmul,
    products.WideMatMul: _matmul,
    probabilities.Softmax: _last_axis("Softmax"),
    probabilities.LogSoftmax: _last_axis("LogSoftmax"),
    convolution.Conv2D: _conv,
    convolution.Conv2DGradX: _conv_transpose,
    pooling.MaxPool2D: _pool("MaxPool"),
    pooling.AvgPool2D: _pool("AveragePool", count_include_pad=0),
    pooling.AvgPool2DGradX: _enlarge,
    fused_rows.LayerNorm: _layer_norm,
    batch_norm.Moments: _moments,
    recurrent.LSTMSequence: _lstm,
    recurrent.MaskedLSTMSequence: _recurrent(_lstm_step, 2, True),
    recurrent.GRUSequence: _gru,
    recurrent.MaskedGRUSequence: _recurrent(_gru_step, 1, True),
    recurrent.SimpleSequence: _simple,
}
