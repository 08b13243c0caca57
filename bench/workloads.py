"""The networks that are timed, as data: lists of nodes that builders.py makes models of Keras (nacre among them),
PyTorch, JAX and ONNX from.

A node is (name, kind, inputs, settings). TRAINING: trained with sparse categorical cross-entropy on logits, or with
the mean squared error where `loss` says so, and plain SGD (momentum where given) or Adam. INFERENCE: only run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    optimizer: str = "sgd"
    metrics: tuple[str, ...] = ()
    rows: int = 0  # of a whole epoch
    extra: tuple[int, ...] = ()  # shape of one sample of a second input
    words: int = 0  # the samples are tokens below this
    zeros: float = 0.0  # part of the input that is 0
    nodes: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, **settings: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append((name, kind, inputs, settings))
        return name

    def data(self, rows: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
        rng = np.random.default_rng(seed)
        if self.words:
            xs = [rng.integers(0, self.words, (rows, *self.shape)).astype(np.int32)]
        else:
            xs = [rng.standard_normal((rows, *self.shape), np.float32)]
            if self.zeros:
                xs[0] *= rng.random(xs[0].shape, np.float32) >= self.zeros
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


def lstm(batch: int) -> Network:
    """Classification of sequences of words."""
    net = Network(f"lstm-{batch}", batch, (200,), classes=2, learning_rate=0.001, optimizer="adam", words=20_000)
    h = net.add("embedding", "x", words=net.words, units=128)
    net.add("dense", net.add("lstm", h, units=64), units=2)
    return net


def transformer(batch: int) -> Network:
    """Classification of sequences of words by one block of an encoder."""
    net = Network(f"transformer-{batch}", batch, (200,), classes=2, learning_rate=0.001, optimizer="adam", words=20_000)
    h = net.add("embedding", "x", words=net.words, units=64)
    h = net.add("positions", h, length=200)
    h = net.add("ln", net.add("add", h, net.add("attention", h, heads=4)))
    y = net.add("dense", net.add("dense", h, units=64, relu=True), units=64)
    h = net.add("gap", net.add("ln", net.add("add", h, y)))
    net.add("dense", net.add("dense", h, units=20, relu=True), units=2)
    return net


def groupnorm(batch: int) -> Network:
    """Convolutions as diffusion models have them."""
    net = Network(f"groupnorm-{batch}", batch, (64, 64, 3))
    h = "x"
    for _ in range(2):
        h = net.add("silu", net.add("gn", net.add("conv", h, filters=32, k=3, same=True), groups=8))
    net.add("dense", net.add("gap", h), units=10)
    return net


def resnet50(batch: int) -> Network:
    """He et al. 2015; strides where Keras has them, in the first 1x1 convolution of a stage."""
    net = Network(f"resnet50-{batch}", batch, (224, 224, 3), classes=1000)

    def conv_bn(x: str, filters: int, k: int, stride: int = 1, relu: bool = True, pad: int = 0) -> str:
        return net.add("bn", net.add("conv", x, filters=filters, k=k, stride=stride, pad=pad, bias=False), relu=relu)

    h = net.add("maxpool", conv_bn("x", 64, 7, 2, pad=3), k=3, stride=2, pad=1)
    for stage, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = conv_bn(h, filters, 1, stride)
            y = conv_bn(y, filters, 3, pad=1)
            y = conv_bn(y, 4 * filters, 1, relu=False)
            h = h if block else conv_bn(h, 4 * filters, 1, stride, relu=False)
            h = net.add("relu", net.add("add", h, y))
    net.add("softmax", net.add("dense", net.add("gap", h), units=1000))
    return net


def mobilenet_v2(batch: int) -> Network:
    """Sandler et al. 2018."""
    net = Network(f"mobilenetv2-{batch}", batch, (224, 224, 3), classes=1000)

    def bn(y: str, relu6: bool = True) -> str:
        y = net.add("bn", y)
        return net.add("relu6", y) if relu6 else y

    h, channels = bn(net.add("conv", "x", filters=32, k=3, stride=2, same=True, bias=False)), 32
    stages = ((16, 1, 1, 1), (24, 2, 2, 6), (32, 2, 3, 6), (64, 2, 4, 6), (96, 1, 3, 6), (160, 2, 3, 6), (320, 1, 1, 6))
    for filters, first, blocks, wider in stages:
        for block in range(blocks):
            y, stride = h, 1 if block else first
            if wider > 1:
                y = bn(net.add("conv", y, filters=wider * channels, k=1, bias=False))
            y = bn(net.add("depthwise", y, k=3, stride=stride, same=True, bias=False))
            y = bn(net.add("conv", y, filters=filters, k=1, bias=False), relu6=False)
            h = net.add("add", h, y) if stride == 1 and channels == filters else y
            channels = filters
    h = bn(net.add("conv", h, filters=1280, k=1, bias=False))
    net.add("softmax", net.add("dense", net.add("gap", h), units=1000))
    return net


TRAINING = {
    n.name: n
    for n in (
        mlp(32), mlp(128), mlp(1024), cnn1(32), cnn1(128), cnn2(32), cnn2(128), two_inputs(32), two_inputs(128),
        wide(32), resnet20(128), vgg(64), regression(32), inception(64), lstm(64), transformer(32), groupnorm(16),
    )
}  # fmt: skip
INFERENCE = {n.name: n for n in (resnet50(1), resnet50(8), mobilenet_v2(1), mobilenet_v2(8))}
ONE_ROW = mlp(1)
EPOCH = replace(mlp(32), metrics=("accuracy",), rows=60_000)
DIGITS = replace(EPOCH, name="mlp-32-digits", zeros=0.8)  # as many as pictures of digits have
