"""The networks that are timed, as data: a list of nodes that Keras (nacre among them), PyTorch and JAX build from.

A node is (name, kind, inputs, settings). Everything is trained with sparse categorical cross-entropy on logits, or with the
mean squared error where `loss` says so, and plain SGD (momentum where given).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Network:
    name: str
    batch: int
    shape: tuple[int, ...]  # of one sample
    classes: int = 10
    loss: str = "crossentropy"
    learning_rate: float = 0.01
    momentum: float = 0.0
    extra: tuple[int, ...] = ()  # shape of one sample of a second input
    nodes: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = field(default_factory=list)
    train: bool = True

    def add(self, kind: str, *inputs: str, **settings: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append((name, kind, inputs, settings))
        return name

    def data(self, rows: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
        rng = np.random.default_rng(seed)
        xs = [rng.standard_normal((rows, *self.shape), np.float32)]
        if self.extra:
            xs.append(rng.standard_normal((rows, *self.extra), np.float32))
        if self.loss == "mse":
            return xs, rng.standard_normal((rows, 1)).astype(np.float32)
        return xs, rng.integers(0, self.classes, rows).astype(np.int32)


def mlp(batch: int) -> Network:
    net = Network(f"mlp-{batch}", batch, (784,))
    h = net.add("dense", "x", units=512, relu=True)
    h = net.add("dense", h, units=256, relu=True)
    net.add("dense", h, units=10)
    return net


def cnn1(batch: int) -> Network:
    net = Network(f"cnn1-{batch}", batch, (28, 28, 1))
    h = net.add("conv", "x", filters=32, k=3, relu=True)
    h = net.add("maxpool", h, k=2)
    h = net.add("flatten", h)
    h = net.add("dense", h, units=64, relu=True)
    h = net.add("dense", h, units=32, relu=True)
    net.add("dense", h, units=10)
    return net


def _trunk(net: Network, same: bool = False) -> str:
    h = net.add("conv", "x", filters=32, k=3, relu=True, same=same)
    h = net.add("maxpool", h, k=2)
    h = net.add("conv", h, filters=64, k=3, relu=True, same=same)
    h = net.add("maxpool", h, k=2)
    return net.add("flatten", h)


def cnn2(batch: int) -> Network:
    net = Network(f"cnn2-{batch}", batch, (28, 28, 1))
    net.add("dense", _trunk(net), units=10)
    return net


def two_inputs(batch: int) -> Network:
    net = Network(f"two-inputs-{batch}", batch, (28, 28, 1), extra=(100,))
    a = _trunk(net)
    b = net.add("dense", "extra", units=128, relu=True)
    net.add("dense", net.add("concat", a, b), units=10)
    return net


def wide(batch: int) -> Network:
    net = Network(f"wide-{batch}", batch, (28, 28))
    h = net.add("flatten", "x")
    h = net.add("dense", h, units=16384, relu=True)
    h = net.add("dense", h, units=512, relu=True)
    h = net.add("dense", h, units=784)
    h = net.add("reshape", h, shape=(28, 28))
    h = net.add("concat", "x", h)
    h = net.add("flatten", h)
    net.add("dense", h, units=10)
    return net


def resnet20(batch: int) -> Network:
    net = Network(f"resnet20-{batch}", batch, (32, 32, 3), momentum=0.9)
    h = net.add("conv", "x", filters=16, k=3, same=True, bias=False)
    h = net.add("bn", h, relu=True)
    channels = 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            y = net.add("conv", h, filters=filters, k=3, same=True, stride=stride, bias=False)
            y = net.add("bn", y, relu=True)
            y = net.add("conv", y, filters=filters, k=3, same=True, bias=False)
            y = net.add("bn", y)
            if channels != filters:
                h = net.add("conv", h, filters=filters, k=1, same=True, stride=stride, bias=False)
                h = net.add("bn", h)
            h = net.add("relu", net.add("add", h, y))
            channels = filters
    net.add("dense", net.add("gap", h), units=10)
    return net


def vgg(batch: int) -> Network:
    net = Network(f"vgg-{batch}", batch, (32, 32, 3))
    h = "x"
    for filters in (64, 128, 256):
        for _ in range(2):
            h = net.add("conv", h, filters=filters, k=3, same=True, relu=True)
        h = net.add("maxpool", h, k=2)
    h = net.add("dense", net.add("flatten", h), units=256, relu=True)
    net.add("dense", h, units=10)
    return net


def regression(batch: int) -> Network:
    net = Network(f"regression-{batch}", batch, (20,), loss="mse")
    h = net.add("dense", "x", units=64, relu=True)
    h = net.add("dense", h, units=32, relu=True)
    net.add("dense", h, units=1)
    return net


def inception(batch: int) -> Network:
    net = Network(f"inception-{batch}", batch, (32, 32, 3))
    h = "x"
    for widths in ((32, 48, 64, 8, 16, 16), (64, 64, 96, 16, 48, 32)):
        one, three_in, three, five_in, five, pool = widths
        a = net.add("conv", h, filters=one, k=1, same=True, relu=True)
        b = net.add("conv", h, filters=three_in, k=1, same=True, relu=True)
        b = net.add("conv", b, filters=three, k=3, same=True, relu=True)
        c = net.add("conv", h, filters=five_in, k=1, same=True, relu=True)
        c = net.add("conv", c, filters=five, k=5, same=True, relu=True)
        d = net.add("maxpool", h, k=3, stride=1, same=True)
        d = net.add("conv", d, filters=pool, k=1, same=True, relu=True)
        h = net.add("concat", a, b, c, d)
    net.add("dense", net.add("gap", h), units=10)
    return net


TRAINING = {
    n.name: n
    for n in (
        mlp(32), mlp(128), mlp(1024), cnn1(32), cnn1(128), cnn2(32), cnn2(128), two_inputs(32), two_inputs(128), wide(32),
        resnet20(128), vgg(64), regression(32), inception(64),
    )
}  # fmt: skip


# --- builders -----------------------------------------------------------------------------------------------------


def build_keras(net: Network, keras: Any) -> Any:
    """A compiled model of `net`, by the API of Keras."""
    layers = keras.layers
    values = {"x": keras.Input(net.shape)}
    inputs = [values["x"]]
    if net.extra:
        values["extra"] = keras.Input(net.extra)
        inputs.append(values["extra"])
    y = values["x"]
    for name, kind, ins, s in net.nodes:
        xs = [values[i] for i in ins]
        act = "relu" if s.get("relu") else None
        padding = "same" if s.get("same") else "valid"
        if kind == "dense":
            y = layers.Dense(s["units"], activation=act)(*xs)
        elif kind == "conv":
            y = layers.Conv2D(
                s["filters"],
                s["k"],
                strides=s.get("stride", 1),
                padding=padding,
                activation=act,
                use_bias=s.get("bias", True),
            )(*xs)
        elif kind == "bn":
            y = layers.BatchNormalization()(*xs)
            y = layers.ReLU()(y) if act else y
        elif kind == "maxpool":
            y = layers.MaxPooling2D(s["k"], strides=s.get("stride"), padding=padding)(*xs)
        elif kind == "flatten":
            y = layers.Flatten()(*xs)
        elif kind == "reshape":
            y = layers.Reshape(s["shape"])(*xs)
        elif kind == "concat":
            y = layers.Concatenate()(xs)
        elif kind == "add":
            y = layers.Add()(xs)
        elif kind == "relu":
            y = layers.ReLU()(*xs)
        elif kind == "gap":
            y = layers.GlobalAveragePooling2D()(*xs)
        values[name] = y
    model = keras.Model(inputs, y)
    loss = "mse" if net.loss == "mse" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(net.learning_rate, momentum=net.momentum), loss=loss)
    return model


def build_torch(net: Network, channels_last: bool) -> Any:
    """A module of `net`; images are (N, C, H, W)."""
    import torch
    from torch import nn

    functional = nn.functional

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict()

        def forward(self, *inputs: Any) -> Any:
            values = dict(zip(("x", "extra"), inputs))
            y = None
            for name, kind, ins, s in net.nodes:
                xs = [values[i] for i in ins]
                x = xs[0]
                if kind in ("dense", "conv", "bn"):
                    if name not in self.parts:
                        self.parts[name] = self.make(kind, x, s)
                    y = self.parts[name](x)
                elif kind == "maxpool":
                    y = functional.max_pool2d(x, s["k"], s.get("stride"), s["k"] // 2 if s.get("same") else 0)
                elif kind == "flatten":
                    y = x.flatten(1)
                elif kind == "reshape":
                    y = x.reshape(-1, *s["shape"])
                elif kind == "concat":
                    y = torch.cat(xs, -1 if x.ndim == 3 else 1)
                elif kind == "add":
                    y = xs[0] + xs[1]
                elif kind == "relu":
                    y = torch.relu(x)
                elif kind == "gap":
                    y = x.mean((2, 3))
                if s.get("relu"):
                    y = torch.relu(y)
                values[name] = y
            return y

        def make(self, kind: str, x: Any, s: dict[str, Any]) -> Any:
            if kind == "dense":
                return nn.Linear(x.shape[-1], s["units"])
            if kind == "bn":
                return nn.BatchNorm2d(x.shape[1])
            pad = s["k"] // 2 if s.get("same") else 0
            layer = nn.Conv2d(x.shape[1], s["filters"], s["k"], s.get("stride", 1), pad, bias=s.get("bias", True))
            return layer.to(memory_format=torch.channels_last) if channels_last else layer

    return Module()


def build_jax(net: Network) -> tuple[Any, Any]:
    """(params, apply) of `net`; images are NHWC."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    params: dict[str, Any] = {}

    def apply(params: dict[str, Any], inputs: list[Any], make: bool = False) -> Any:
        values = dict(zip(("x", "extra"), inputs))
        y = None
        for name, kind, ins, s in net.nodes:
            xs = [values[i] for i in ins]
            x = xs[0]
            pad = "SAME" if s.get("same") else "VALID"
            if make and kind in ("dense", "conv", "bn"):
                c = x.shape[-1]
                if kind == "dense":
                    params[name] = {"w": _init(rng, (c, s["units"])), "b": np.zeros(s["units"], np.float32)}
                elif kind == "conv":
                    params[name] = {"w": _init(rng, (s["k"], s["k"], c, s["filters"]))}
                    if s.get("bias", True):
                        params[name]["b"] = np.zeros(s["filters"], np.float32)
                else:
                    params[name] = {"w": np.ones(c, np.float32), "b": np.zeros(c, np.float32)}
            p = params.get(name, {})
            if kind == "dense":
                y = x @ p["w"] + p["b"]
            elif kind == "conv":
                stride = s.get("stride", 1)
                y = jax.lax.conv_general_dilated(
                    x, p["w"], (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                y = y + p["b"] if "b" in p else y
            elif kind == "bn":
                mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
                y = (x - mean) * jax.lax.rsqrt(var + 1e-3) * p["w"] + p["b"]
            elif kind == "maxpool":
                k, stride = s["k"], s.get("stride", s["k"])
                y = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, k, k, 1), (1, stride, stride, 1), pad)
            elif kind == "flatten":
                y = x.reshape(x.shape[0], -1)
            elif kind == "reshape":
                y = x.reshape(-1, *s["shape"])
            elif kind == "concat":
                y = jnp.concatenate(xs, -1)
            elif kind == "add":
                y = xs[0] + xs[1]
            elif kind == "relu":
                y = jax.nn.relu(x)
            elif kind == "gap":
                y = x.mean((1, 2))
            if s.get("relu"):
                y = jax.nn.relu(y)
            values[name] = y
        return y

    sample = [np.zeros((1, *net.shape), np.float32)] + ([np.zeros((1, *net.extra), np.float32)] if net.extra else [])
    apply(params, sample, make=True)
    return params, apply


def _init(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan_in = int(np.prod(shape[:-1]))
    return (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
