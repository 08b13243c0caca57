import io

import numpy as np
import pytest

from nacre.preprocessing import image as pictures
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


def test_pictures_that_a_table_names(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("PIL")
    for i in range(6):
        save_img(tmp_path / f"{i}.png", np.full((5, 4, 3), 10 * i, "uint8"), scale=False)
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(6)] + ["no.png"], "kind": list("abcabca"), "v": range(7)})
    table["w"] = 0.5
    table["both"] = [["a", "b"]] + [["c"]] * 6
    make = pictures.ImageDataGenerator(validation_split=0.5).flow_from_dataframe
    same = {"directory": tmp_path, "x_col": "file", "target_size": (5, 4), "batch_size": 4, "shuffle": False}
    with pytest.warns(UserWarning, match='Found 1 invalid image filename.* in x_col="file"'):
        flow = make(table, y_col="kind", weight_col="w", **same)
    x, y, w = next(flow)
    assert x[:, 0, 0, 0].tolist() == [0, 10, 20, 30] and y.tolist() == np.eye(3)[[0, 1, 2, 0]].tolist() and w[0] == 0.5
    assert flow.class_indices == {"a": 0, "b": 1, "c": 2} and flow.samples == 6 and flow.filenames[-1] == "5.png"
    table = table.iloc[:6]
    assert next(make(table, y_col="both", **same))[1][0].tolist() == [1, 1, 0]
    assert next(make(table, y_col="v", class_mode="raw", subset="training", **same))[1].tolist() == [3, 4, 5]
    first, second = next(make(table, y_col=["v", "w"], class_mode="multi_output", **same))[1]
    assert first.tolist() == [0, 1, 2, 3] and second.tolist() == [0.5] * 4
    assert next(make(table, y_col="kind", class_mode="binary", classes=["b", "c"], **same))[1].tolist() == [0, 1, 0, 1]
    assert next(make(table, class_mode=None, **same)).shape == (4, 5, 4, 3)
    with pytest.raises(ValueError, match="Found 3 classes"):
        make(table, y_col="kind", class_mode="binary", **same)
    with pytest.raises(TypeError, match="values must be strings"):
        make(table, y_col="v", **same)


def test_generators_know_their_folder_and_write_what_they_make(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i in range(3):
            pictures.save_img(tmp_path / name / f"{i}.png", np.full((6, 5, 3), 40 * i, "uint8"))
    (tmp_path / "out").mkdir()
    make = pictures.ImageDataGenerator().flow_from_directory
    flow = make(tmp_path, (4, 6), "grayscale", ["cats", "dogs"], "sparse", batch_size=4, shuffle=False,
                save_to_dir=tmp_path / "out", save_prefix="seen", save_format="jpeg")  # fmt: skip
    assert (flow.num_classes, flow.image_shape, flow.target_size, flow.class_mode) == (2, (4, 6, 1), (4, 6), "sparse")
    assert flow.filenames[3] == "dogs/0.png" and flow.filepaths[3] == str(tmp_path / "dogs" / "0.png")
    assert flow.labels.tolist() == [0, 0, 0, 1, 1, 1] and flow.class_indices == {"cats": 0, "dogs": 1}
    first = next(flow)
    assert first[0].shape == (4, 4, 6, 1) and flow.batch_index == 1
    assert len(list((tmp_path / "out").glob("seen_*.jpeg"))) == 4
    flow.reset()
    assert (next(flow)[0] == first[0]).all()


def test_a_picture_is_changed_as_told():
    make, x = pictures.ImageDataGenerator(fill_mode="constant"), np.arange(12.0, dtype="float32").reshape(3, 4, 1)
    assert (make.apply_transform(x, {}) == x).all()
    assert (make.apply_transform(x, {"flip_horizontal": True, "flip_vertical": True}) == x[::-1, ::-1]).all()
    assert make.apply_transform(x, {"ty": 1})[..., 0].tolist() == [*x[1:, :, 0].tolist(), [0, 0, 0, 0]]
    assert make.apply_transform(x, {"tx": -1})[..., 0].tolist() == [[0, *row[:-1]] for row in x[..., 0].tolist()]
    square = np.arange(9.0, dtype="float32").reshape(3, 3, 1)
    np.testing.assert_allclose(make.apply_transform(square, {"theta": 90}), np.rot90(square), atol=1e-5)
    assert make.apply_transform(x, {"brightness": 2.0, "channel_shift_intensity": 1.0}).max() == 22
    drawn = pictures.ImageDataGenerator(rotation_range=30, height_shift_range=2, zoom_range=0.5, horizontal_flip=True)
    told = drawn.get_random_transform((3, 4, 1), seed=1)
    assert -30 < told["theta"] < 30 and -2 < told["ty"] < 2 and 0.5 < told["zx"] < 1.5 and told["brightness"] is None
    assert (drawn.random_transform(x, seed=1) == drawn.apply_transform(x, told)).all()


def test_smart_resize_cuts_to_the_aspect_and_samples_without_a_filter() -> None:
    # The numbers are those of Keras 3.15 on JAX.
    x = np.sin(np.arange(7 * 9 * 3.0)).reshape(7, 9, 3)
    smart_resize = pictures.smart_resize
    found = smart_resize(x, (4, 4))
    assert isinstance(found, np.ndarray) and found.shape == (4, 4, 3)
    np.testing.assert_allclose(found.ravel()[:4], [-0.1013, -0.1619, -0.0737, -0.0968], atol=1e-4)
    np.testing.assert_allclose(smart_resize(x[None], (4, 4))[0], found)
    first = smart_resize(x.transpose(2, 0, 1), (4, 4), data_format="channels_first")
    np.testing.assert_allclose(first.transpose(1, 2, 0), found, atol=1e-6)
    with pytest.raises(ValueError, match="got shape"):
        smart_resize(x[0], (4, 4))
