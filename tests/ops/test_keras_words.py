"""Cases of `keras.ops` in which Keras has its own mind: NaN among the different values, warnings, sizes not given."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nacre import GradientTape, KerasTensor, Variable, activations, backend, layers, ops


def test_nans_are_all_different() -> None:
    values, counts = ops.unique(np.array([1.0, np.nan, 1.0, np.nan], "float32"), return_counts=True)
    assert np.isnan(np.asarray(values)).sum() == 2 and counts.tolist() == [2, 1, 1]


def test_a_softmax_of_one_number_is_a_mistake_that_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match="This axis has size 1"):
        assert ops.softmax(np.zeros((2, 1), "float32")).tolist() == [[1.0], [1.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.softmax(KerasTensor((None, 1)))  # only sizes are found out: the run will tell
        activations.softmax(np.zeros((2, 1), "float32"))
        ops.softmax(np.zeros((1, 2), "float32"))
        query = np.ones((1, 1, 4), "float32")
        layers.MultiHeadAttention(1, 4)(query, query)


def test_unstacking_an_axis_of_unknown_size_takes_a_number() -> None:
    x = KerasTensor((2, None))
    assert [t.shape for t in ops.unstack(x, num=3, axis=1)] == [(2,)] * 3
    with pytest.raises(ValueError, match="Cannot infer argument `num` from shape"):
        ops.unstack(x, axis=1)
    with pytest.raises(ValueError, match="got num=3"):
        ops.unstack(np.zeros((2, 2)), num=3)


def test_dtypes_not_given_are_floats_and_python_numbers_say_the_kind() -> None:
    assert ops.saturate_cast(np.array([1, 2]), None).dtype == "float32"
    found = [backend.result_type(*d) for d in ((), ("uint8", int), ("bool", 1), ("int32", float), ("uint8", "int32"))]
    assert found == ["float32", "uint8", "int32", "float32", "int32"]


def test_matrices_that_are_none_are_refused_in_keras_words() -> None:
    with pytest.raises(ValueError, match="Expected input to have rank >= 2"):
        ops.cholesky(np.zeros(3))
    with pytest.raises(ValueError, match="Expected a square matrix"):
        ops.inv(np.zeros((2, 3)))


def test_signals_are_floats_with_an_axis() -> None:
    with pytest.raises(TypeError, match="Expected `float32` or `float64`"):
        ops.stft(np.arange(4), 2, 1, 4)
    with pytest.raises(ValueError, match="Input should have rank >= 1"):
        ops.extract_sequences(np.float32(42.0), 1, 1)


def test_a_build_that_asks_for_the_shape_of_a_mask_gets_it() -> None:
    class Masked(layers.Layer):
        def build(self, inputs_shape: object, attention_mask_shape: object = None) -> None:
            self.shapes = (inputs_shape, attention_mask_shape)

        def call(self, inputs: object, attention_mask: object = None) -> object:
            return inputs

    layer = Masked()
    layer(np.ones((2, 3), "float32"), attention_mask=np.ones((2, 1), "float32"))
    assert layer.shapes == ((2, 3), (2, 1))


def test_medians_of_infinities_and_the_different_elements_of_nothing() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1, inf, 2, nan], [inf, inf, -inf, nan], [-inf, -inf, 3, nan]], "float32")
    np.testing.assert_array_equal(np.asarray(ops.nanmedian(x, axis=1)), np.array([2, inf, -inf], "float32"))
    np.testing.assert_array_equal(np.asarray(ops.median(x[:, :3], axis=0)), np.array([1, inf, 2], "float32"))
    assert ops.unique(np.zeros((0, 3), "float32"), axis=0).shape == (0, 3)
    assert ops.unique(np.zeros((0, 3), "float32"), axis=0, size=2).shape == (2, 3)


def test_unknown_sizes_are_none_in_what_is_said_of_them() -> None:
    with pytest.raises(ValueError, match=r"shapes \(None, 3\) and \(None, 4\) cannot be broadcast"):
        KerasTensor((None, 3)) + KerasTensor((None, 4))
    with pytest.raises(ValueError, match=r"Each axis in `axes` must be an integer in \[-3, 3\).*\(2, None, 4\)"):
        ops.transpose(KerasTensor((2, None, 4)), [0, 1, 5])


def test_borders_patches_and_places_are_refused_in_keras_words() -> None:
    image = np.ones((10, 10, 3), "float32")
    for function, word in ((ops.image.crop_images, "cropping"), (ops.image.pad_images, "padding")):
        for axis, ends in (("height", ("top", "bottom")), ("width", ("left", "right"))):
            other = {"height": {"left": 0, "right": 0}, "width": {"top": 0, "bottom": 0}}[axis]
            rest = {f"{end}_{word}": width for end, width in other.items()}
            with pytest.raises(ValueError, match=f"target_{axis} must be >= 0"):
                function(image, **{f"{ends[0]}_{word}": 0, f"target_{axis}": -1, **rest})
            with pytest.raises(ValueError, match=f"{ends[0]}_{word} must be >= 0"):
                function(image, **{f"{ends[0]}_{word}": -1, f"target_{axis}": 8, **rest})
    with pytest.raises(TypeError, match="Expected an int or a tuple"):
        ops.image.extract_patches(image, "5")
    with pytest.raises(ValueError, match="Expected a tuple of length 2 or 3"):
        ops.image.extract_patches(image, (3, 3, 3, 3))
    with pytest.raises(TypeError, match="length 3"):
        ops.image.extract_patches_3d(np.ones((4, 4, 4, 1)), (2, 2))
    with pytest.raises(ValueError, match="expected at least rank 2"):
        ops.image.map_coordinates(image, np.ones(3), 0)


def test_different_elements_along_the_last_axis_are_filled_up_there() -> None:
    x = np.array([[1, 0, 1], [0, 1, 0]])
    values, inverse = ops.unique(x, axis=-1, return_inverse=True, size=4, fill_value=-1)
    assert values.tolist() == [[0, 1, -1, -1], [1, 0, -1, -1]] and inverse.tolist() == [1, 0, 1]


def test_numpys_float64_makes_nothing_wider_beside_a_tensor() -> None:
    x, wide = ops.ones((2, 2)), np.eye(2)
    for y in (
        x / np.sqrt(2.0), np.float64(0.5) - x, x * wide, wide + x, ops.matmul(x, wide),
        ops.einsum("ij,jk->ik", x, wide), ops.concatenate([x, wide]), ops.where(x > 0, x, wide),
        ops.clip(x, np.float64(0), wide), ops.vstack([x, wide]), ops.average(x, weights=wide),
        ops.trapezoid(x, wide[0]), ops.solve(wide, x), ops.lstsq(wide, x), ops.fft((x, wide))[0],
    ):  # fmt: skip
        assert y.dtype == "float32"
    assert (ops.convert_to_tensor(wide) * x).dtype == (wide + ops.convert_to_tensor(wide)).dtype == "float64"
    assert (ops.ones(2, "int32") * np.float64(0.5)).tolist() == [0.5, 0.5]


def test_a_bound_that_is_none_does_not_clip() -> None:
    x = np.array([1, 5, 9], "int32")
    assert ops.clip(x, None, 6).tolist() == [1, 5, 6] and ops.clip(x, 2, None).tolist() == [2, 5, 9]
    assert ops.clip(x, None, None).tolist() == [1, 5, 9]


def test_zero_stays_zero_where_the_power_is_infinite() -> None:
    assert ops.ldexp([0.0, 1.0], [250, 3]).tolist() == [0.0, 8.0]


def test_the_correlation_of_one_row_has_no_axes() -> None:
    assert ops.corrcoef([[1.0, 2.0, 4.0]]).shape == ops.corrcoef(3.0).shape == ()


def test_a_label_that_is_no_class_gives_nan_on_either_side() -> None:
    loss = np.asarray(ops.sparse_categorical_crossentropy([-1, 0, 2], [[0.5, 0.5]] * 3))
    assert np.isnan(loss).tolist() == [True, False, True]


def test_labels_that_are_no_class_have_no_gradient() -> None:
    p = Variable(np.array([[0.2, 0.6], [0.2, 0.6], [0.3, 0.1]], "float32"))
    with GradientTape() as tape:
        loss = ops.sum(ops.sparse_categorical_crossentropy([-1, 1, 2], p))
    (gradient,) = tape.gradient(loss, [p])
    np.testing.assert_allclose(gradient, [[0, 0], [1 / 0.8, 1 / 0.8 - 1 / 0.6], [0, 0]], rtol=1e-5, atol=1e-6)


def test_remainders_of_booleans_are_numbers() -> None:
    assert ops.fmod([True, False], [True, True]).dtype == "int32"


def test_whole_numbers_may_be_floats_where_keras_takes_them():
    assert ops.multi_hot(np.array([0.0, 2.0]), 3).tolist() == [1, 0, 1]
    logits = np.random.default_rng(0).normal(size=(1, 5, 4)).astype("float32")
    labels, lengths = np.array([[1, 2]]), (np.array([2]), np.array([5]))
    np.testing.assert_array_equal(
        ops.ctc_loss(labels.astype("float32"), logits, *lengths), ops.ctc_loss(labels, logits, *lengths)
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
def test_unravel_index_keeps_the_dtype(dtype):
    rows, columns = ops.unravel_index(np.array([5, 2], dtype), (2, 3))
    assert rows.dtype == columns.dtype == dtype
    assert rows.tolist() == [1, 0] and columns.tolist() == [2, 2]


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "uint32"])
def test_narrow_integers_have_the_values_of_their_width(dtype):
    numbers = np.array([-(2**31), -129, -1, 0, 127, 128, 300, 70000, 2**31 - 1], "int32")
    assert ops.cast(numbers, dtype).tolist() == numbers.astype(dtype).tolist()
    limits = np.iinfo(dtype)
    wide = np.array([-1e30, -1.5, 1.5, 1e30, np.nan], "float32")
    expected = [limits.min, max(limits.min, -1), 1, limits.max, 0]
    assert ops.cast(wide, dtype).tolist() == ops.saturate_cast(wide, dtype).tolist() == expected
    assert ops.cast([True, False], dtype).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "uint32", "float16"])
def test_bits_are_read_in_the_width_that_was_asked_for(dtype):
    numbers = np.array([[1.0, -2.5], [0.1, 3e30]], "float32")
    assert ops.view(numbers, dtype).tolist() == numbers.view(dtype).tolist()
    narrow = np.array([1, 2, 3, 4], "int16")
    assert ops.view(narrow, "int32").tolist() == narrow.view("int32").tolist()
    with pytest.raises(ValueError, match="bfloat16"):
        ops.view(numbers, "bfloat16")


def test_a_convolution_none_of_whose_windows_fits_is_refused():
    image = np.ones((2, 3, 4, 1), "float32")
    for kernel, options in (((5, 5, 1, 2), {}), ((2, 2, 1, 2), {"dilation_rate": 3})):
        for x in (image, KerasTensor(image.shape)):
            with pytest.raises(ValueError, match=r"output size would be zero or negative.*kernel shape"):
                ops.conv(x, np.ones(kernel, "float32"), **options)
    assert ops.conv(image, np.ones((5, 5, 1, 2), "float32"), padding="same").shape == (2, 3, 4, 2)
    assert ops.conv(image[:0], np.ones((2, 2, 1, 2), "float32")).shape == (0, 2, 3, 2)


def test_the_blank_of_ctc_is_one_of_the_classes():
    logits = np.zeros((1, 5, 4), "float32")
    with pytest.raises(ValueError, match="mask_index=4"):
        ops.ctc_loss(np.array([[1, 2]]), logits, np.array([2]), np.array([5]), mask_index=4)
