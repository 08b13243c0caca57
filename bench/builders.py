"""The networks of workloads.py as models of Keras (nacre among them), PyTorch, JAX and ONNX.

Each builder has a table: kind of node -> what makes it of its inputs and settings. `same` is Keras' padding, `pad`
symmetric zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from workloads import Network

# Kinds with weights.
_LAYERS = ("dense", "conv", "depthwise", "bn", "embedding", "lstm", "positions", "attention", "ln", "gn")


def build_keras(net: Network, keras: Any, compiled: bool = True) -> Any:
    """A model of `net`, by the API of Keras."""
    layers = keras.layers

    def window(s: dict[str, Any]) -> dict[str, Any]:
        return {"strides": s.get("stride", 1), "padding": "same" if s.get("same") else "valid"}

    def padded(x: Any, s: dict[str, Any]) -> Any:
        return layers.ZeroPadding2D(s["pad"])(x) if s.get("pad") else x

    def conv(x: Any, s: dict[str, Any]) -> Any:
        settings = {"activation": activation(s), "use_bias": s.get("bias", True), **window(s)}
        if "filters" in s:
            return layers.Conv2D(s["filters"], s["k"], **settings)(padded(x, s))
        return layers.DepthwiseConv2D(s["k"], **settings)(padded(x, s))

    def bn(x: Any, s: dict[str, Any]) -> Any:
        x = layers.BatchNormalization()(x)
        return layers.ReLU()(x) if s.get("relu") else x

    def maxpool(x: Any, s: dict[str, Any]) -> Any:
        return layers.MaxPooling2D(s["k"], **{**window(s), "strides": s.get("stride")})(padded(x, s))

    def activation(s: dict[str, Any]) -> str | None:
        return "relu" if s.get("relu") else None

    def gap(x: Any, s: dict[str, Any]) -> Any:
        return layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else layers.GlobalAveragePooling1D()(x)

    class Positions(layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=shape[1:], initializer="uniform")

        def call(self, x: Any) -> Any:
            return x + self.table

    def attention(x: Any, s: dict[str, Any]) -> Any:
        return layers.MultiHeadAttention(s["heads"], x.shape[-1] // s["heads"])(x, x)

    make = {
        "dense": lambda x, s: layers.Dense(s["units"], activation=activation(s))(x),
        "conv": conv,
        "depthwise": conv,
        "bn": bn,
        "maxpool": maxpool,
        "flatten": lambda x, s: layers.Flatten()(x),
        "reshape": lambda x, s: layers.Reshape(s["shape"])(x),
        "relu": lambda x, s: layers.ReLU()(x),
        "relu6": lambda x, s: layers.ReLU(6.0)(x),
        "silu": lambda x, s: layers.Activation("silu")(x),
        "gap": gap,
        "softmax": lambda x, s: layers.Softmax()(x),
        "concat": lambda *xs: layers.Concatenate()(list(xs[:-1])),
        "add": lambda *xs: layers.Add()(list(xs[:-1])),
        "embedding": lambda x, s: layers.Embedding(s["words"], s["units"])(x),
        "lstm": lambda x, s: layers.LSTM(s["units"])(x),
        "positions": lambda x, s: Positions()(x),
        "attention": attention,
        "ln": lambda x, s: layers.LayerNormalization()(x),
        "gn": lambda x, s: layers.GroupNormalization(s["groups"])(x),
    }
    values = {"x": keras.Input(net.shape, dtype="int32" if net.words else None)}
    if net.extra:
        values["extra"] = keras.Input(net.extra)
    inputs = list(values.values())
    for name, kind, ins, s in net.nodes:
        values[name] = make[kind](*[values[i] for i in ins], s)
    model = keras.Model(inputs, values[net.nodes[-1][0]])
    if compiled:
        loss = "mse" if net.loss == "mse" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        sgd = net.optimizer == "sgd"
        optimizers = keras.optimizers
        optimizer = optimizers.SGD(net.learning_rate, net.momentum) if sgd else optimizers.Adam(net.learning_rate)
        model.compile(optimizer, loss, metrics=list(net.metrics))
    return model


def build_torch(net: Network, channels_last: bool) -> Any:
    """A module of `net`; images are (N, C, H, W)."""
    import torch
    from torch import nn

    functional = nn.functional

    def padding(s: dict[str, Any]) -> int:
        return s["k"] // 2 if s.get("same") else s.get("pad", 0)

    def conv(x: Any, s: dict[str, Any]) -> Any:
        c = x.shape[1]
        groups = 1 if "filters" in s else c
        layer = nn.Conv2d(
            c, s.get("filters", c), s["k"], s.get("stride", 1), padding(s), groups=groups, bias=s.get("bias", True)
        )
        return layer.to(memory_format=torch.channels_last) if channels_last else layer

    class Positions(nn.Module):
        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.rand(shape))

        def forward(self, x: Any) -> Any:
            return x + self.table

    class Attention(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads, self.into, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            qkv = self.into(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            return self.out(functional.scaled_dot_product_attention(*qkv).transpose(1, 2).flatten(2))

    layer_of = {
        "dense": lambda x, s: nn.Linear(x.shape[-1], s["units"]),
        "conv": conv,
        "depthwise": conv,
        "bn": lambda x, s: nn.BatchNorm2d(x.shape[1]),
        "embedding": lambda x, s: nn.Embedding(s["words"], s["units"]),
        "lstm": lambda x, s: nn.LSTM(x.shape[-1], s["units"], batch_first=True),
        "positions": lambda x, s: Positions(*x.shape[1:]),
        "attention": lambda x, s: Attention(x.shape[-1], s["heads"]),
        "ln": lambda x, s: nn.LayerNorm(x.shape[-1]),
        "gn": lambda x, s: nn.GroupNorm(s["groups"], x.shape[1]),
    }
    function_of = {
        "maxpool": lambda x, s: functional.max_pool2d(x, s["k"], s.get("stride"), padding(s)),
        "flatten": lambda x, s: x.flatten(1),
        "reshape": lambda x, s: x.reshape(-1, *s["shape"]),
        "concat": lambda *xs: torch.cat(xs[:-1], -1 if xs[0].ndim == 3 else 1),
        "add": lambda a, b, s: a + b,
        "relu": lambda x, s: torch.relu(x),
        "relu6": lambda x, s: functional.relu6(x),
        "silu": lambda x, s: functional.silu(x),
        "gap": lambda x, s: x.mean((2, 3) if x.ndim == 4 else 1),
        "softmax": lambda x, s: x.softmax(-1),
    }

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict()

        def forward(self, *inputs: Any) -> Any:
            values = dict(zip(("x", "extra"), inputs))
            y = None
            for name, kind, ins, s in net.nodes:
                xs = [values[i] for i in ins]
                if kind in _LAYERS:
                    if name not in self.parts:
                        self.parts[name] = layer_of[kind](xs[0], s)
                    y = self.parts[name](xs[0])
                    y = y[0][:, -1] if kind == "lstm" else y
                else:
                    y = function_of[kind](*xs, s)
                values[name] = y = torch.relu(y) if s.get("relu") else y
            return y

    module = Module()
    dtype = torch.int32 if net.words else torch.float32
    sample = [torch.zeros(2, *_channels_first(s), dtype=dtype) for s in (net.shape, net.extra) if s]
    module(*sample)  # makes the parts
    return module


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def build_jax(net: Network) -> tuple[Any, Any]:
    """(params, apply) of `net`; images are NHWC. Batch norm as in training."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    params: dict[str, Any] = {}

    def spatial(s: dict[str, Any]) -> Any:
        return "SAME" if s.get("same") else [(s.get("pad", 0),) * 2] * 2

    def conv(x: Any, s: dict[str, Any], p: Any) -> Any:
        stride, groups = s.get("stride", 1), 1 if "filters" in s else x.shape[-1]
        y = jax.lax.conv_general_dilated(
            x, p["w"], (stride, stride), spatial(s), dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )  # fmt: skip
        return y + p["b"] if "b" in p else y

    def bn(x: Any, s: dict[str, Any], p: Any) -> Any:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * jax.lax.rsqrt(var + 1e-3) * p["w"] + p["b"]

    def maxpool(x: Any, s: dict[str, Any], p: Any) -> Any:
        k, stride = s["k"], s.get("stride", s["k"])
        pad = "SAME" if s.get("same") else [(0, 0), *spatial(s), (0, 0)]
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, k, k, 1), (1, stride, stride, 1), pad)

    def lstm(x: Any, s: dict[str, Any], p: Any) -> Any:
        def step(state: Any, gates_of_x: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(gates_of_x + h @ p["u"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[0], s["units"]), x.dtype)
        return jax.lax.scan(step, (zeros, zeros), jnp.swapaxes(x @ p["w"] + p["b"], 0, 1))[0][0]

    def normalized(x: Any, axes: Any) -> Any:
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(var + 1e-3)

    def gn(x: Any, s: dict[str, Any], p: Any) -> Any:
        groups = x.reshape(*x.shape[:-1], s["groups"], -1)
        return normalized(groups, (1, 2, 4)).reshape(x.shape) * p["w"] + p["b"]

    def attention(x: Any, s: dict[str, Any], p: Any) -> Any:
        q, k, v = (a.reshape(*x.shape[:2], s["heads"], -1) for a in jnp.split(x @ p["w"] + p["b"], 3, -1))
        scores = jnp.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
        return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(scores), v).reshape(x.shape) @ p["u"] + p["c"]

    make = {
        "positions": lambda x, s, p: x + p["w"],
        "attention": attention,
        "ln": lambda x, s, p: normalized(x, -1) * p["w"] + p["b"],
        "gn": gn,
        "silu": lambda x, s, p: jax.nn.silu(x),
        "embedding": lambda x, s, p: jnp.take(p["w"], x, axis=0),
        "lstm": lstm,
        "dense": lambda x, s, p: x @ p["w"] + p["b"],
        "conv": conv,
        "depthwise": conv,
        "bn": bn,
        "maxpool": maxpool,
        "flatten": lambda x, s, p: x.reshape(x.shape[0], -1),
        "reshape": lambda x, s, p: x.reshape(x.shape[0], *s["shape"]),
        "concat": lambda *xs: jnp.concatenate(xs[:-2], -1),
        "add": lambda a, b, s, p: a + b,
        "relu": lambda x, s, p: jax.nn.relu(x),
        "relu6": lambda x, s, p: jnp.clip(x, 0, 6),
        "gap": lambda x, s, p: x.mean(tuple(range(1, x.ndim - 1))),
        "softmax": lambda x, s, p: jax.nn.softmax(x),
    }

    def apply(params: dict[str, Any], inputs: list[Any], making: bool = False) -> Any:
        values = dict(zip(("x", "extra"), inputs))
        y = None
        for name, kind, ins, s in net.nodes:
            xs = [values[i] for i in ins]
            if making and kind in _LAYERS:
                params[name] = weights_of(kind, xs[0].shape[-1], s, rng)
            y = make[kind](*xs, s, params.get(name))
            values[name] = y = jax.nn.relu(y) if s.get("relu") else y
        return y

    dtype = np.int32 if net.words else np.float32
    apply(params, [np.zeros((1, *shape), dtype) for shape in (net.shape, net.extra) if shape], making=True)
    return params, apply


def weights_of(kind: str, channels: int, s: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The first weights of a node with so many channels in front of it, in Keras' layout."""
    if kind == "positions":
        return {"w": rng.random((s["length"], channels), np.float32)}
    if kind == "attention":
        shapes = {"w": (channels, 3 * channels), "b": (3 * channels,), "u": (channels, channels), "c": (channels,)}
        return {n: (rng.standard_normal(shape) * 0.1).astype(np.float32) for n, shape in shapes.items()}
    if kind in ("bn", "ln", "gn"):
        return {"w": np.ones(channels, np.float32), "b": np.zeros(channels, np.float32)}
    if kind == "embedding":
        return {"w": rng.uniform(-0.05, 0.05, (s["words"], s["units"])).astype(np.float32)}
    if kind == "lstm":
        shapes = {"w": (channels, 4 * s["units"]), "u": (s["units"], 4 * s["units"]), "b": (4 * s["units"],)}
        return {n: (rng.standard_normal(shape) * 0.1).astype(np.float32) for n, shape in shapes.items()}
    shape = (channels, s["units"]) if kind == "dense" else (s["k"], s["k"], channels, s.get("filters"))
    if kind == "depthwise":
        shape = (s["k"], s["k"], 1, channels)
    w = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return {"w": w.astype(np.float32), **({"b": np.zeros(shape[-1], np.float32)} if s.get("bias", True) else {})}


def build_onnx(net: Network) -> bytes:
    """An ONNX model of `net` with batch size `net.batch`; images are (N, C, H, W). Batch norm with moving averages."""
    from onnx import TensorProto, checker, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []
    shapes: dict[str, tuple[int, ...]] = {"x": (net.batch, *_channels_first(net.shape))}

    def constant(array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"constant_{len(constants)}"))
        return str(constants[-1].name)

    def window(x: tuple[int, ...], s: dict[str, Any], stride: int) -> tuple[dict[str, Any], list[int]]:
        """Attributes of a window whose stride is that by default, and the height and width of what it gives."""
        k, step = s["k"], s.get("stride", stride)
        totals = [max((-(-n // step) - 1) * step + k - n, 0) if s.get("same") else 2 * s.get("pad", 0) for n in x[2:]]
        pads = [t // 2 for t in totals] + [t - t // 2 for t in totals]
        return {"kernel_shape": [k, k], "strides": [step] * 2, "pads": pads}, [
            (n + t - k) // step + 1 for n, t in zip(x[2:], totals)
        ]

    for name, kind, ins, s in net.nodes:
        x = shapes[ins[0]]
        channels = x[1]
        w = weights_of(kind, channels, s, rng) if kind in _LAYERS else {}
        inner = f"{name}_sum" if s.get("relu") else name
        if kind == "dense":
            nodes.append(helper.make_node("Gemm", [ins[0], constant(w["w"]), constant(w["b"])], [inner]))
            shapes[name] = (x[0], s["units"])
        elif kind in ("conv", "depthwise"):
            attributes, size = window(x, s, 1)
            arrays = [constant(w["w"].transpose(3, 2, 0, 1)), *([constant(w["b"])] if "b" in w else [])]
            groups = channels if kind == "depthwise" else 1
            nodes.append(helper.make_node("Conv", [ins[0], *arrays], [inner], group=groups, **attributes))
            shapes[name] = (x[0], s.get("filters", channels), *size)
        elif kind == "bn":
            mean = constant(np.zeros(channels, np.float32))
            arrays = [constant(w["w"]), constant(w["b"]), mean, constant(w["w"])]
            nodes.append(helper.make_node("BatchNormalization", [ins[0], *arrays], [inner], epsilon=1e-3))
            shapes[name] = x
        elif kind == "maxpool":
            attributes, size = window(x, s, s["k"])
            nodes.append(helper.make_node("MaxPool", [ins[0]], [inner], **attributes))
            shapes[name] = (*x[:2], *size)
        elif kind == "gap":
            nodes.append(helper.make_node("GlobalAveragePool", [ins[0]], [f"{name}_image"]))
            nodes.append(helper.make_node("Flatten", [f"{name}_image"], [inner]))
            shapes[name] = x[:2]
        elif kind == "relu6":
            limits = [constant(np.array(v, np.float32)) for v in (0, 6)]
            nodes.append(helper.make_node("Clip", [ins[0], *limits], [inner]))
            shapes[name] = x
        else:
            operator = {"add": "Add", "relu": "Relu", "softmax": "Softmax"}[kind]
            nodes.append(helper.make_node(operator, list(ins), [inner]))
            shapes[name] = x
        if s.get("relu"):
            nodes.append(helper.make_node("Relu", [inner], [name]))
    last = net.nodes[-1][0]
    values = [helper.make_tensor_value_info(v, TensorProto.FLOAT, shapes[v]) for v in ("x", last)]
    graph = helper.make_graph(nodes, net.name, values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()
