"""Activation functions against their formulas in float64 NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nacre import activations, layers

X = np.concatenate([np.linspace(-6, 6, 49), [0.0, 100.0, -100.0]]).astype("float32").reshape(4, 13)


def sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def elu(x: Any, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def sparsemax(x: Any) -> Any:
    out = np.empty_like(x)
    for row, y in zip(x, out):
        z = np.sort(row)[::-1]
        k = np.arange(1, len(z) + 1)
        size = k[1 + k * z > np.cumsum(z)].max()
        y[:] = np.maximum(row - (z[:size].sum() - 1) / size, 0)
    return out


FORMULAS = {
    "celu": lambda x: elu(x),
    "elu": elu,
    "exponential": lambda x: np.exp(np.minimum(x, 80)),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -softplus(-x),
    "log_softmax": lambda x: x - np.logaddexp.reduce(x, axis=-1, keepdims=True),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softmax": softmax,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "sparsemax": sparsemax,
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_values(name: str) -> None:
    x = np.minimum(X, 80) if name == "exponential" else X
    expected = FORMULAS[name](x.astype("float64"))
    # A few roundings of the result, and of intermediate values near one (near 100 in squareplus).
    atol = 4e-5 if name == "squareplus" else 4e-7
    np.testing.assert_allclose(np.asarray(activations.get(name)(x)), expected, rtol=4e-6, atol=atol)


def test_parameters() -> None:
    x = np.array([-3.0, -0.5, 0.2, 1.0, 9.0], "float32")
    cases = [
        (activations.relu(x, max_value=2.0), np.clip(x, 0, 2)),
        (activations.relu(x, negative_slope=0.1), np.where(x > 0, x, 0.1 * x)),
        (activations.relu(x, threshold=0.5), np.where(x > 0.5, x, 0)),
        (activations.relu(x, negative_slope=0.1, max_value=2.0, threshold=0.5), [-0.35, -0.1, -0.03, 1, 2]),
        (activations.threshold(x, 0.5, -7.0), np.where(x > 0.5, x, -7)),
        (activations.glu(np.array([1.0, 2.0, 0.0, 0.0], "float32")), [0.5, 1.0]),
        (activations.gelu(x, approximate=True), 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    ]
    for got, expected in cases:
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(activations.softmax(X, axis=0)).sum(0), np.ones(13), rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in FORMULAS if n not in ("swish", "hard_swish")])
def test_the_name_is_the_configuration(name: str) -> None:
    assert activations.serialize(getattr(activations, name)) == name
    assert activations.deserialize(name) is getattr(activations, name)


def test_what_get_takes() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    own = abs
    assert activations.get(own) is own
    layer = activations.get(layers.LeakyReLU(0.1))
    assert isinstance(layer, layers.LeakyReLU)
    assert activations.serialize(layer)["class_name"] == "LeakyReLU"
    with pytest.raises(ValueError, match="Could not interpret activation function identifier: sigmiod"):
        activations.get("sigmiod")
