"""Pictures turned, shifted and whitened as Keras 2 did. Numbers are those of its functions in Keras 3.15, on SciPy."""

import numpy as np
import pytest

from nacre.preprocessing import image

PICTURES = np.random.RandomState(0).rand(6, 8, 10, 3).astype("float32")
LAST = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
ALL = {"theta": 30, "tx": 2, "ty": 1, "shear": 10, "zx": 0.9, "zy": 1.1}


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("nearest", [[0.6043, 0.6789, 0.9246], [0.1722, 0.4654, 0.4636], [0.2376, 0.3151, 0.2123]]),
        ("constant", [[0.6043, 0.6789, 0.3], [0.1722, 0.4654, 0.3], [0.2376, 0.3, 0.3]]),
        ("reflect", [[0.6043, 0.6789, 0.538], [0.1722, 0.4654, 0.4636], [0.2376, 0.3151, 0.321]]),
        ("wrap", [[0.6043, 0.6789, 0.3508], [0.1722, 0.4654, 0.5233], [0.2376, 0.6732, 0.7029]]),
    ],
)
def test_pictures_of_any_shape_are_moved_as_there(fill, expected):
    moved = image.apply_affine_transform(PICTURES[0], **ALL, **LAST, fill_mode=fill, cval=0.3)
    np.testing.assert_allclose(moved[::3, ::4, 0], expected, atol=1e-4)
    first = image.apply_affine_transform(PICTURES[0].transpose(2, 0, 1), **ALL, fill_mode=fill, cval=0.3)
    np.testing.assert_array_equal(first.transpose(1, 2, 0), moved)
    generator = image.ImageDataGenerator(fill_mode=fill, cval=0.3)
    np.testing.assert_array_equal(generator.apply_transform(PICTURES[0], ALL), moved)


def test_a_picture_shifted_by_whole_pixels():
    moved = image.apply_affine_transform(PICTURES[0], tx=2, **LAST, fill_mode="constant", cval=0.3)
    np.testing.assert_allclose(moved[:, :-2], PICTURES[0][:, 2:], atol=1e-6)
    assert (moved[:, -2:] == np.float32(0.3)).all()


@pytest.mark.parametrize(
    ("name", "limits", "change"),
    [
        ("random_rotation", (20,), lambda rng, h, w: {"theta": rng.uniform(-20, 20)}),
        ("random_shear", (10,), lambda rng, h, w: {"shear": rng.uniform(-10, 10)}),
        (
            "random_shift",
            (0.1, 0.3),
            lambda rng, h, w: {"tx": rng.uniform(-0.3, 0.3) * h, "ty": rng.uniform(-0.1, 0.1) * w},
        ),
        ("random_zoom", ((0.9, 1.1),), lambda rng, h, w: dict(zip(("zx", "zy"), rng.uniform(0.9, 1.1, 2)))),
    ],
)
def test_changes_are_drawn_from_numpys_generator(name, limits, change):
    np.random.seed(1)
    found = getattr(image, name)(PICTURES[0], *limits, **LAST)
    expected = image.apply_affine_transform(PICTURES[0], **change(np.random.RandomState(1), 8, 10), **LAST)
    np.testing.assert_array_equal(found, expected)


def test_brightness_and_channels():
    bright = image.apply_brightness_shift(PICTURES[0] * 255, 1.3)
    assert bright[::3, ::4, 0].tolist() == [[180, 187, 37], [104, 243, 255], [53, 59, 6]]
    dark = image.apply_brightness_shift(PICTURES[0] * 200, 0.7, scale=False)
    assert dark[::3, ::4, 0].tolist() == [[76, 79, 16], [44, 102, 113], [22, 25, 2]]
    np.random.seed(2)
    drawn = image.random_brightness(PICTURES[0] * 255, (0.5, 1.5))
    assert drawn[0, ::4, 0].tolist() == [130, 134, 27]
    shifted = image.apply_channel_shift(PICTURES[0], 0.2, channel_axis=2)
    np.testing.assert_array_equal(shifted, np.clip(PICTURES[0] + 0.2, PICTURES[0].min(), PICTURES[0].max()))


def test_statistics_are_those_of_rescaled_pictures():
    generator = image.ImageDataGenerator(rescale=1 / 255, featurewise_center=True, featurewise_std_normalization=True)
    generator.fit(PICTURES * 255)
    batch = generator.flow(PICTURES * 255, batch_size=6, shuffle=False)[0]
    np.testing.assert_allclose(batch.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std(axis=(0, 1, 2)), 1, atol=1e-4)


def test_whitened_pictures_have_no_correlations():
    generator = image.ImageDataGenerator(zca_whitening=True, featurewise_center=True, zca_epsilon=0.1)
    with pytest.raises(ValueError, match=r"call \.fit"):
        generator.standardize(PICTURES[0])
    generator.fit(PICTURES)
    white = generator.flow(PICTURES, batch_size=6, shuffle=False)[0].reshape(6, -1)
    u, s, _ = np.linalg.svd((PICTURES - PICTURES.mean(axis=(0, 1, 2))).reshape(6, -1).T, full_matrices=False)
    centred = (PICTURES - PICTURES.mean(axis=(0, 1, 2))).reshape(6, -1)
    np.testing.assert_allclose(white, centred @ (u * (np.sqrt(6) / (s + 0.1))) @ u.T, atol=1e-4)


def test_wrong_axes_and_orders_are_refused():
    with pytest.raises(ValueError, match="axes 0, 1 and 2"):
        image.apply_affine_transform(PICTURES[0], theta=3, row_axis=1, col_axis=1, channel_axis=2)
    with pytest.raises(ValueError, match="order: expected 1"):
        image.apply_affine_transform(PICTURES[0], theta=3, **LAST, order=3)
    with pytest.raises(ValueError, match="two floats"):
        image.random_zoom(PICTURES[0], (1, 2, 3), **LAST)
    assert isinstance(image.ImageDataGenerator().flow(PICTURES), image.Iterator)
