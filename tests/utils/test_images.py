import io

import numpy as np
import pytest

from nacre.utils import array_to_img, img_to_array, load_img, save_img

pytest.importorskip("PIL", reason="needs Pillow: pip install pillow")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_an_image_goes_through_a_file_unchanged(tmp_path, channels, data_format):
    shape = (5, 7, channels) if data_format == "channels_last" else (channels, 5, 7)
    x = RNG.integers(0, 256, shape).astype("float32")
    path = tmp_path / "a.png"
    save_img(path, x, data_format=data_format, scale=False)
    img = load_img(path, color_mode={1: "grayscale", 3: "rgb", 4: "rgba"}[channels])
    assert img.size == (7, 5)
    got = img_to_array(img, data_format=data_format)
    assert got.dtype == np.float32 and (got == x).all()


def test_scale_stretches_to_the_full_range():
    got = img_to_array(array_to_img(np.linspace(-1, 1, 12).reshape(2, 2, 3)))
    assert got.min() == 0 and got.max() == 255


def test_load_img_resizes_and_can_keep_the_aspect():
    img = np.zeros((4, 8, 3))
    img[:, 2:6] = 255
    file = io.BytesIO()
    save_img(file, img, file_format="png", scale=False)
    assert load_img(io.BytesIO(file.getvalue()), target_size=(2, 3)).size == (3, 2)
    middle = load_img(io.BytesIO(file.getvalue()), target_size=(4, 4), keep_aspect_ratio=True)
    assert (img_to_array(middle) == 255).all()


@pytest.mark.parametrize("shape", [(3,), (2, 2, 5), (2, 2, 2, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        array_to_img(np.zeros(shape))


def test_options_are_checked():
    with pytest.raises(ValueError, match="color_mode"):
        load_img("x.png", color_mode="cmyk")
    with pytest.raises(ValueError, match="interpolation"):
        load_img("x.png", interpolation="best")


def test_a_file_that_holds_no_image_is_named(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    save_img(good, np.zeros((9, 9, 3)))
    for content in (b"", b"hello", good.read_bytes()[:20]):
        bad.write_bytes(content)
        with pytest.raises(OSError, match=r"bad\.png cannot be read as an image"):
            load_img(bad)


def test_grey_images_stretch_to_255_and_no_further():
    rng = np.random.default_rng(0)
    modes = {array_to_img(rng.uniform(-3, 9, (28, 28, 1)).astype("float32")).mode for _ in range(50)}
    assert modes == {"L"}
