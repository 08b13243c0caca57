"""Networks for images: arguments, where weights are looked for, names of classes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from nacre import Input, Model, applications, utils
from nacre.applications import building, imagenet_utils
from nacre.utils import files


@pytest.fixture
def cache(tmp_path: Any, monkeypatch: Any) -> Any:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_imagenet_weights_are_found_in_the_cache_under_keras_file_name(cache: Any, monkeypatch: Any) -> None:
    made = applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    made.weights[0].assign(made.weights[0].numpy() + 1.0)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    made.save_weights(cache / "made.weights.h5")
    (cache / "made.weights.h5").rename(cache / name)
    utils.clear_session()
    found = applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False)
    np.testing.assert_array_equal(found.weights[0].numpy(), made.weights[0].numpy())


def test_without_network_the_error_says_which_file_goes_where(cache: Any, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise files.urllib.error.URLError("no network")

    monkeypatch.setattr(files.urllib.request, "urlopen", refuse)
    with pytest.raises(OSError, match="put the file there by hand") as error:
        applications.ResNet50()
    assert str(cache / "resnet50_weights_tf_dim_ordering_tf_kernels.h5") in str(error.value)
    assert "2cb95161c43110f7111970584f804107" in str(error.value)


def test_a_file_with_another_checksum_is_not_used(cache: Any, monkeypatch: Any) -> None:
    (cache / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"not these weights")
    monkeypatch.setattr(files.urllib.request, "urlopen", lambda *a, **k: (_ for _ in ()).throw(OSError("asked again")))
    with pytest.raises(OSError, match="asked again"):
        applications.ResNet50(include_top=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(weights="nowhere.h5"), "`weights` argument should be either"),
        (dict(weights="imagenet", classes=10), "`classes` should be 1000"),
        (dict(weights="imagenet", input_shape=(128, 128, 3)), "`input_shape` should be"),
        (dict(weights="imagenet", include_top=False, input_shape=(64, 64, 1)), "must have 3 channels"),
        (dict(weights="imagenet", classifier_activation="relu"), "Only `None` and `softmax`"),
        (dict(weights=None, input_shape=(31, 64, 3)), "at least 32x32"),
        (dict(weights=None, input_shape=(64, 3)), "tuple of three integers"),
        (dict(weights=None, input_shape=(None, None, 3)), "static `input_shape`"),
        (dict(weights=None, include_top=False, pooling="mean"), "`pooling`"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        applications.ResNet50(**arguments)


def test_a_network_can_start_from_a_tensor_of_another_graph() -> None:
    image = Input((40, 40, 3))
    x = applications.mobilenet_v2.preprocess_input(image)
    model = applications.MobileNetV2(input_tensor=x, weights=None, include_top=False, pooling="avg", alpha=0.35)
    assert model.inputs[0] is image
    assert isinstance(model, Model)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3)).astype("float32")
    plain = applications.MobileNetV2((40, 40, 3), weights=None, include_top=False, pooling="avg", alpha=0.35)
    plain.set_weights(model.get_weights())
    expected = plain.predict(applications.mobilenet_v2.preprocess_input(pixels), verbose=0)
    np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_images_of_any_size_without_classifier() -> None:
    model = applications.MobileNet(weights=None, include_top=False, alpha=0.25)
    assert model.output_shape == (None, None, None, 256)
    for side in (32, 50):
        assert model.predict(np.zeros((1, side, side, 3), "float32"), verbose=0).shape == (
            1,
            side // 32,
            side // 32,
            256,
        )


def test_predictions_are_named_highest_first(cache: Any, monkeypatch: Any) -> None:
    names = {str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}
    text = json.dumps(names).encode()
    (cache / "imagenet_class_index.json").write_bytes(text)
    digest = files.file_digest
    real = hashlib.md5(text).hexdigest()
    monkeypatch.setattr(
        files,
        "file_digest",
        lambda path, kind="sha256": "c2c37ea517e94d9795004a39431a14cb" if digest(path, "md5") == real else "",
    )
    scores = np.zeros((2, 1000), "float32")
    scores[0, [3, 7]] = 0.25, 0.75
    scores[1, 999] = 1.0
    found = imagenet_utils.decode_predictions(scores, top=2)
    assert found[0] == [("n00000007", "thing_7", 0.75), ("n00000003", "thing_3", 0.25)]
    assert found[1][0][:2] == ("n00000999", "thing_999")
    with pytest.raises(ValueError, match="2D array"):
        imagenet_utils.decode_predictions(scores[:, :10])


def test_strided_padding_meets_the_same_pixels_for_odd_and_even_sizes() -> None:
    for rows, columns, expected in ((8, 7, ((0, 1), (1, 1))), (None, None, ((0, 1), (0, 1)))):
        assert building.stride_padding(Input((rows, columns, 1)), 3) == expected


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_arrays_of_floats_are_prepared_in_place_and_others_are_left_alone(mode: str) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3))
    whole, expected = pixels.astype("int64"), imagenet_utils.preprocess_input(pixels.copy(), mode=mode)
    kept = whole.copy()
    imagenet_utils.preprocess_input(whole, mode=mode)
    np.testing.assert_array_equal(whole, kept)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(imagenet_utils.preprocess_input(read_only, mode=mode), expected)
    assert imagenet_utils.preprocess_input(pixels, mode=mode).base is (pixels if mode == "caffe" else None)
    np.testing.assert_array_equal(pixels[..., ::-1] if mode == "caffe" else pixels, expected)
