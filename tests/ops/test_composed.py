"""Functions of many ops that run as programs once they have been called often enough."""

import numpy as np
import pytest

import nacre as keras
from nacre import ops
from nacre.runtime import composed
from nacre.runtime.compiled import PAYS

RNG = np.random.default_rng(5)
IMAGES = RNG.random((2, 9, 11, 3)).astype("float32")
SIGNAL = RNG.standard_normal((3, 48)).astype("float32")
MOVED = np.tile(np.float32([0.9, 0.1, 1, -0.1, 1.1, 0.5, 0, 0]), (2, 1))
CALLS = {
    "resize": lambda: ops.image.resize(IMAGES, (13, 7), interpolation="bicubic"),
    "hsv": lambda: ops.image.hsv_to_rgb(ops.image.rgb_to_hsv(IMAGES)),
    "affine": lambda: ops.image.affine_transform(IMAGES, MOVED, fill_mode="reflect"),
    "coordinates": lambda: ops.image.map_coordinates(IMAGES[0, ..., 0], 8 * RNG.random((2, 5, 6)), 1),
    "blur": lambda: ops.image.gaussian_blur(IMAGES, (3, 3), (1.0, 2.0)),
    "fft": lambda: ops.fft((SIGNAL, SIGNAL))[1],
    "stft": lambda: ops.stft(SIGNAL, 16, 4, 16)[0],
    "attention": lambda: ops.nn.dot_product_attention(*[SIGNAL.reshape(3, 4, 2, 6)] * 3, is_causal=True),
    "ctc": lambda: ops.ctc_loss([[1, 2]], IMAGES[:1, :, :5, 0], [2], [9]),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_hundredth_call_is_the_first(name, monkeypatch):
    state = RNG.bit_generator.state
    many = []
    for _ in range(PAYS + 4):
        RNG.bit_generator.state = state
        many.append(np.asarray(CALLS[name]()))
    RNG.bit_generator.state = state
    monkeypatch.setattr("nacre.ops.base._planner", [lambda *call: None])
    want = np.asarray(CALLS[name]())
    for got in many:
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def test_arguments_that_are_no_arrays_count():
    for _ in range(PAYS + 2):
        assert ops.image.resize(IMAGES, (5, 5)).shape == (2, 5, 5, 3)
    assert ops.image.resize(IMAGES, (6, 4)).shape == (2, 6, 4, 3)
    assert ops.image.resize(IMAGES[:1], (5, 5)).shape == (1, 5, 5, 3)
    assert ops.image.resize(IMAGES.astype("float64"), (5, 5)).dtype == "float64"
    with pytest.raises(ValueError, match="interpolation"):
        ops.image.resize(IMAGES, (5, 5), interpolation="none")


def test_gradients_pass_and_models_and_traces_hold_the_ops_themselves():
    x = ops.convert_to_tensor(IMAGES)
    for _ in range(PAYS + 2):
        ops.image.gaussian_blur(x, (3, 3), (1.0, 1.0))
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.image.gaussian_blur(x, (3, 3), (1.0, 1.0)))
    assert np.abs(tape.gradient(y, x).numpy()).min() > 0.1
    image = keras.Input((9, 11, 3))
    model = keras.Model(image, ops.image.gaussian_blur(image, (3, 3), (1.0, 1.0)))
    np.testing.assert_allclose(model(x), ops.image.gaussian_blur(x, (3, 3), (1.0, 1.0)), rtol=1e-5, atol=1e-6)


def test_what_is_remembered_is_bounded():
    for n in range(composed._MOST_KINDS + 10):
        ops.image.resize(IMAGES[:1, :2, :2], (1, 1 + n))
    assert len(composed._calls) <= composed._MOST_KINDS


def test_settings_that_change_later_count():
    image = IMAGES[:1, :3]  # either layout can be meant
    for layout in ("channels_last", "channels_first", "channels_last"):
        keras.config.set_image_data_format(layout)
        try:
            found = [np.asarray(ops.image.rgb_to_hsv(image)) for _ in range(PAYS + 2)]
        finally:
            keras.config.set_image_data_format("channels_last")
        for got in found:
            np.testing.assert_array_equal(got, np.asarray(ops.image.rgb_to_hsv(image, data_format=layout)))
