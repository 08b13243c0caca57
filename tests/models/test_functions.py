"""Models with functions of `ops` between their layers: read again by nacre, and by real Keras."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest

import nacre
from nacre.models.functions import keras_class

KERNEL = np.linspace(-1, 1, 54, dtype="float32").reshape(3, 3, 3, 2)
POINTS = np.array([0.2, 0.5], "float32")
ROW, IMAGE, MATRIX = (4,), (8, 8, 3), (3, 3)
# Name, shape of the input, the function of an engine's `ops` and that input.
CASES: dict[str, tuple[tuple[int, ...], Any]] = {
    "constants on either side": (ROW, lambda k, x: 2 - 1 / (1.5 + x) ** 2),
    "slices": (ROW, lambda k, x: x[:, None, 1:3]),
    "joined": (ROW, lambda k, x: k.concatenate([x, k.stack([x, -x], axis=1)[:, 0]], axis=-1)),
    "several outputs": (ROW, lambda k, x: k.split(x, 2, axis=1)[1] + k.top_k(x, 2)[0]),
    "choice": (ROW, lambda k, x: k.select([x > 0.5, x < 0.2], [x, -x], 0.5)),
    "where": (ROW, lambda k, x: k.where(x > 0.5, x, 0.0)),
    "positions in front": (ROW, lambda k, x: k.searchsorted(POINTS, k.ravel(x))),
    "digits": (ROW, lambda k, x: k.digitize(x, POINTS)),
    "filled": (ROW, lambda k, x: k.full_like(x, 2.5)),
    "padded": (ROW, lambda k, x: k.pad(x, ((0, 0), (1, 2)), constant_values=1.5)),
    "near": (ROW, lambda k, x: k.isclose(x, 0.5, rtol=0.9)),
    "average": (ROW, lambda k, x: k.average(x, axis=1, weights=np.arange(4, dtype="float32"))),
    "area": (ROW, lambda k, x: k.trapezoid(x, axis=-1)),
    "places": (ROW, lambda k, x: k.slice_update(x, (0, 1), np.zeros((2, 2), "float32"))),
    "part": (ROW, lambda k, x: k.slice(x, (0, 1), (2, 2))),
    "segments": (ROW, lambda k, x: k.segment_sum(x, np.array([1, 0]), num_segments=2)),
    "einsum": (ROW, lambda k, x: k.einsum("bi,bj->bij", x, x)),
    "statistics": (ROW, lambda k, x: k.batch_normalization(x, POINTS[:1].repeat(4), np.ones(4, "float32"), axis=-1)),
    "rows": (ROW, lambda k, x: k.layer_normalization(x, axis=-1) + k.rms_normalization(x)),
    "shrunk": (ROW, lambda k, x: k.threshold(k.soft_shrink(k.hard_tanh(x), 0.1), 0.2, 0.3)),
    "matrices": (MATRIX, lambda k, x: k.solve(x + k.eye(3) * 5, x) + k.inv(x + k.eye(3) * 5) * k.det(x)[:, None, None]),
    "triangles": (MATRIX, lambda k, x: k.tril(x, k=-1) + k.swapaxes(x, 1, 2)),
    "spectrum": ((64,), lambda k, x: k.stft(x, 16, 8, 16)[0]),
    "windows": ((16,), lambda k, x: k.extract_sequences(x, 4, 2)),
    "convolutions": (IMAGE, lambda k, x: k.relu(k.conv(x, KERNEL, strides=2, padding="same"))),
    "depthwise": (IMAGE, lambda k, x: k.depthwise_conv(x, KERNEL[..., :1], padding="valid")),
    "resized": (IMAGE, lambda k, x: k.image.resize(x, (4, 6), interpolation="nearest")),
    "gray": (IMAGE, lambda k, x: k.image.rgb_to_grayscale(k.image.pad_images(x, 1, 1, 12, 12))),
    "patches": (IMAGE, lambda k, x: k.image.extract_patches(x, (2, 2))),
    "attention": ((5, 2, 4), lambda k, x: k.dot_product_attention(x, x, x)),
}
PARAMETERS = pytest.mark.parametrize("name", CASES)


def model(framework: Any, name: str) -> Any:
    shape, function = CASES[name]
    x = framework.Input(shape, name="x")
    return framework.Model(x, function(framework.ops, x))


def same(a: Any, b: Any, name: str) -> None:
    shape, _ = CASES[name]
    data = np.random.default_rng(1).random((2, *shape)).astype("float32")
    np.testing.assert_allclose(np.asarray(a(data)), np.asarray(b(data)), rtol=2e-4, atol=1e-5)


@PARAMETERS
def test_a_model_of_functions_is_read_again(name: str) -> None:
    first = model(nacre, name)
    again = nacre.models.model_from_json(first.to_json())
    same(first, again, name)
    assert json.loads(again.to_json())["config"]["layers"] == json.loads(first.to_json())["config"]["layers"]


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@PARAMETERS
def test_a_model_of_functions_is_read_by_keras_and_from_it(name: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")
    ours, theirs = model(nacre, name), model(keras, name)
    same(keras.models.model_from_json(ours.to_json()), theirs, name)
    same(nacre.models.model_from_json(theirs.to_json()), theirs, name)


def activated(framework: Any) -> Any:
    a, x = framework.activations, framework.Input((4,))
    y = a.relu(x, negative_slope=0.1, max_value=0.8, threshold=0.3) + a.relu(x) + a.relu(x, max_value=6)
    return framework.Model(x, a.softmax(a.gelu(a.leaky_relu(a.elu(y)), approximate=True)))


def test_activations_of_the_tensors_of_a_model_are_read_again() -> None:
    nacre.utils.clear_session()
    first = activated(nacre)
    assert [(type(o).__name__, o.name) for o in first.operations[1:3]] == [("ReLU", "re_lu"), ("ReLU", "re_lu_1")]
    again = nacre.models.model_from_json(first.to_json())
    same(first, again, "where")
    assert json.loads(again.to_json())["config"]["layers"] == json.loads(first.to_json())["config"]["layers"]


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_activations_of_the_tensors_of_a_model_are_read_by_keras_and_from_it() -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")
    ours, theirs = activated(nacre), activated(keras)
    same(keras.models.model_from_json(ours.to_json()), theirs, "where")
    same(nacre.models.model_from_json(theirs.to_json()), theirs, "where")


def test_axes_by_name_are_read_again() -> None:
    x = nacre.Input((4,))
    first = nacre.Model(x, nacre.ops.rearrange(x, "b (h w) -> b h w", h=2))
    again = nacre.models.model_from_json(first.to_json())
    assert again.output_shape == (None, 2, 2)


def test_what_older_versions_wrote_is_read() -> None:
    x = nacre.Input((8, 8, 3))
    config = json.loads(nacre.Model(x, nacre.ops.image.resize(x, (4, 4))).to_json())
    function = config["config"]["layers"][1]
    assert function["module"] == "keras.src.ops.image"
    function["module"] = "keras.src.ops.numpy"
    assert nacre.models.model_from_json(json.dumps(config)).output_shape == (None, 4, 4, 3)

    y = nacre.Input((3,))
    config = json.loads(nacre.Model(y, nacre.ops.searchsorted(POINTS, nacre.ops.ravel(y))).to_json())
    function = config["config"]["layers"][2]
    points, values = function["inbound_nodes"][0]["args"]
    function["config"]["sorted_sequence"], function["inbound_nodes"][0]["args"] = points, [values]
    function["class_name"] = "Searchsorted"
    assert nacre.models.model_from_json(json.dumps(config)).output_shape == (None,)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nacre.ops.add, ("numpy", "Add")),
        (nacre.ops.tanh, ("numpy", "Tanh")),
        (nacre.ops.relu, ("nn", "Relu")),
        (nacre.ops.rms_normalization, ("nn", "RMSNorm")),
        (nacre.ops.svd, ("linalg", "SVD")),
        (nacre.ops.image.hsv_to_rgb, ("image", "HSVToRGB")),
        (nacre.ops.cast, ("core", "Cast")),
    ],
)
def test_functions_have_the_names_of_keras(function: Any, expected: Any) -> None:
    home, title = expected
    assert keras_class(function) == (f"keras.src.ops.{home}", title)
