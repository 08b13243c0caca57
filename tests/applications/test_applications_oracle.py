"""Networks for images against real Keras: layers, weights, outputs, and files of weights that Keras wrote."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

import nacre

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

ALL = sorted(n for n in nacre.applications.__all__ if n[0].isupper())
# The smallest of each family at small sizes; the larger ones differ in their tables only.
RUN = {
    "ConvNeXtTiny": dict(input_shape=(32, 47, 3), classes=7),
    "DenseNet121": dict(input_shape=(32, 47, 3), classes=7),
    "EfficientNetB0": dict(input_shape=(33, 64, 3), classes=7),
    "EfficientNetV2B0": dict(input_shape=(33, 64, 3), classes=7),
    "EfficientNetV2S": dict(input_shape=(33, 40, 1), classes=7, pooling="max", include_top=False),
    "InceptionResNetV2": dict(input_shape=(75, 80, 3), classes=7),
    "InceptionV3": dict(input_shape=(75, 80, 3), classes=7),
    "MobileNet": dict(input_shape=(37, 64, 3), alpha=0.5, depth_multiplier=2, classes=7),
    "MobileNetV2": dict(input_shape=(65, 96, 3), alpha=0.35, classes=7),
    "MobileNetV3Large": dict(input_shape=(33, 64, 3), minimalistic=True, alpha=1.25, classes=7),
    "MobileNetV3Small": dict(input_shape=(64, 49, 3), alpha=0.75, classes=7),
    "NASNetMobile": dict(input_shape=(64, 49, 3), classes=7),
    "ResNet50": dict(input_shape=(64, 49, 3), classes=7, classifier_activation=None),
    "ResNet50V2": dict(input_shape=(49, 64, 3), classes=7),
    "VGG16": dict(include_top=False, input_shape=(32, 35, 3), pooling="max"),
    "Xception": dict(include_top=False, input_shape=(71, 80, 3), pooling="avg"),
}


@pytest.fixture(autouse=True)
def no_random_first_values(monkeypatch: Any) -> None:
    """Real Keras draws hundreds of millions of numbers otherwise, which the tests replace."""
    from keras.src.initializers import random_initializers

    for name in ("normal", "truncated_normal", "uniform"):
        draw = lambda shape, *args, dtype=None, **kwargs: keras.ops.zeros(shape, dtype)  # noqa: E731
        monkeypatch.setattr(random_initializers.random, name, draw)


def make(framework: Any, name: str, **arguments: Any) -> Any:
    framework.utils.clear_session()
    return getattr(framework.applications, name)(weights=None, **arguments)


def fill(model: Any, rng: np.random.Generator) -> None:
    """Weights with which signals keep their size through hundreds of layers, and batch norms that do something."""
    for v in model.weights:
        shape = tuple(v.shape)
        if v.name in ("kernel", "pointwise_kernel"):
            value = rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)
        elif v.name == "depthwise_kernel":
            value = rng.normal(0, (2 / np.prod(shape[:2])) ** 0.5, shape)
        elif v.name in ("gamma", "moving_variance", "variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.1, shape) if v.name != "count" else np.zeros(shape)
        v.assign(value.astype(v.dtype))


@pytest.mark.parametrize("name", ALL)
def test_signature_agrees(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(f.applications, name)) for f in (nacre, keras))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in theirs.parameters.values()
    ]


# ConvNeXtXLarge has 350 million weights; it differs from Large in the numbers of channels.
@pytest.mark.parametrize("name", [n for n in ALL if n not in (*RUN, "ConvNeXtXLarge") or n == "ResNet50"])
def test_layers_and_weights_agree(name: str) -> None:
    compare_structure(*(make(framework, name, include_top=False) for framework in (nacre, keras)))


def compare_structure(ours: Any, theirs: Any) -> None:
    assert ours.name == theirs.name
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [(w.path, tuple(w.shape)) for w in ours.weights] == [(w.path, tuple(w.shape)) for w in theirs.weights]
    assert ours.count_params() == theirs.count_params()
    assert [x.shape for x in ours.outputs] == [tuple(x.shape) for x in theirs.outputs]


@pytest.mark.parametrize("name", RUN)
def test_outputs_agree_and_files_go_both_ways(name: str, tmp_path: Any) -> None:
    arguments = RUN[name]
    ours, theirs = (make(framework, name, **arguments) for framework in (nacre, keras))
    compare_structure(ours, theirs)
    rng = np.random.default_rng(0)
    fill(theirs, rng)
    path = str(tmp_path / "model.weights.h5")
    theirs.save_weights(path)
    read = getattr(nacre.applications, name)(**{**arguments, "weights": path, "classifier_activation": None})
    ours.load_weights(path)
    for a, b, c in zip(ours.weights, theirs.weights, read.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), np.asarray(b))
        np.testing.assert_array_equal(a.numpy(), c.numpy())
    x = rng.uniform(0, 255, (2, *arguments["input_shape"])).astype("float32")
    module = name_of_module(name)
    x, theirs_x = (getattr(f.applications, module).preprocess_input(x.copy()) for f in (nacre, keras))
    np.testing.assert_allclose(x, theirs_x, rtol=1e-6, atol=1e-5)
    expected = np.asarray(theirs.predict(theirs_x, verbose=0))
    # 200 layers in another order of summation: eps * sqrt(K) per layer of K about 1000 products, relative to the
    # largest
    tolerance = 200 * np.finfo(np.float32).eps * 1000**0.5 * np.abs(expected).max()
    for got in (ours.predict(x, verbose=0), np.asarray(ours(x))):
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def name_of_module(name: str) -> str:
    modules = (
        "convnext", "densenet", "efficientnet_v2", "efficientnet", "inception_resnet_v2", "inception_v3",
        "mobilenet_v3", "nasnet", "vgg16", "xception",
    )  # fmt: skip
    for module in modules:
        if name.lower().startswith(module.replace("_", "")):
            return module
    return {"MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2", "ResNet50V2": "resnet_v2"}.get(name, "resnet")


def test_files_of_keras_2_are_read(tmp_path: Any) -> None:
    """The published weights have this form: groups by layer, names in attributes."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    theirs = make(keras, "MobileNetV2", input_shape=(96, 96, 3), alpha=0.35, include_top=False)
    fill(theirs, np.random.default_rng(1))
    path = str(tmp_path / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5")
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    ours = nacre.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=path)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), np.asarray(b))


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_preprocessing_agrees(mode: str, data_format: str, batch: Any, dtype: str) -> None:
    shape = (*batch, 4, 5, 3) if data_format == "channels_last" else (*batch, 3, 4, 5)
    x = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    ours, theirs = (f.applications.imagenet_utils.preprocess_input for f in (nacre, keras))
    expected = theirs(x.copy(), data_format, mode)
    got = ours(x.copy(), data_format, mode)  # floats are written over
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-5)
    tensor = ours(nacre.ops.convert_to_tensor(x.astype("float32")), data_format, mode)
    np.testing.assert_allclose(np.asarray(tensor), expected, rtol=1e-6, atol=1e-5)
