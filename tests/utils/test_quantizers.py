"""Numbers in few levels. Recorded numbers are those of Keras 3.15."""

import numpy as np
import pytest

import nacre as keras
from nacre import ops, quantizers

X = np.array([[0.4, -2.5, 1.0], [7.0, 0.26, -0.1]], np.float32)


@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
def test_the_largest_number_is_the_end_of_the_range(axis):
    numbers, scale = quantizers.abs_max_quantize(X, axis, value_range=(-8, 7))
    np.testing.assert_allclose(scale, 7 / np.abs(X).max(axis, keepdims=True), rtol=1e-6)
    assert numbers.tolist() == np.clip(np.round(X * np.asarray(scale)), -8, 7).tolist()
    assert quantizers.AbsMaxQuantizer(axis, (-8, 7))(X)[0].tolist() == numbers.tolist()


def test_quantizers_are_made_from_their_configurations():
    made = quantizers.get(quantizers.serialize(quantizers.AbsMaxQuantizer(axis=0)))
    assert made.get_config() == {"value_range": (-127, 127), "epsilon": 1e-7, "output_dtype": "int8", "axis": (0,)}
    assert isinstance(quantizers.get("abs_max_quantizer"), quantizers.AbsMaxQuantizer) and quantizers.get(None) is None
    assert isinstance(made, keras.Quantizer)
    with pytest.raises(ValueError, match="within the interval"):
        quantizers.AbsMaxQuantizer(value_range=(-200, 2))
    with pytest.raises(ValueError, match="Could not interpret"):
        quantizers.get(3)


@pytest.mark.parametrize(
    "low, high, bits, narrow, expected",
    [
        (-1.0, 2.0, 2, False, [[0.0, -1.0, 1.0], [2.0, 0.0, 0.0]]),
        (-1.0, 2.0, 2, True, [[0.0, -1.5, 1.5], [1.5, 0.0, 0.0]]),
        (0.0, 6.0, 4, False, [[0.4, 0.0, 1.2], [6.0, 0.4, 0.0]]),
        ([-1.0, -2.0, -3.0], [1.0, 2.0, 3.0], 2, False, [[2 / 3, -8 / 3, 2.0], [2 / 3, 0.0, 0.0]]),
    ],
)
def test_numbers_are_rounded_to_even_steps_of_a_range(low, high, bits, narrow, expected):
    axis = -1 if isinstance(low, list) else None
    found = quantizers.fake_quant_with_min_max_vars(X, low, high, bits, narrow, axis)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, quantizers.fake_quant_with_min_max_vars(inputs, low, high, bits, narrow, axis))
    np.testing.assert_array_equal(model.predict(X, verbose=0), found)


def test_gradients_go_through_within_the_range_and_else_to_its_ends():
    x, low, high = keras.Variable(X), keras.Variable(-1.0), keras.Variable(2.0)
    with keras.GradientTape() as tape:
        y = ops.sum(quantizers.fake_quant_with_min_max_vars(x, low, high) * np.arange(1.0, 7.0).reshape(2, 3))
    dx, dlow, dhigh = tape.gradient(y, [x, low, high])
    assert dx.tolist() == [[1, 0, 3], [0, 5, 6]] and float(dlow) == 2 and float(dhigh) == 4
    lows, highs = keras.Variable([-1.0, -1.0, -0.05]), keras.Variable([2.0, 2.0, 0.5])
    with keras.GradientTape() as tape:
        y = ops.sum(quantizers.fake_quant_with_min_max_vars(x, lows, highs, axis=1))
    assert [g.tolist() for g in tape.gradient(y, [lows, highs])] == [[0, 1, 1], [1, 0, 1]]


def test_scales_of_small_floats_follow_the_largest_number():
    for amax, expected in ((0.0, 0.5), (2.0, 2 * 2 / 448), (np.inf, 0.5), (np.nan, 0.5)):
        found = quantizers.compute_float8_scale(ops.convert_to_tensor(amax, "float32"), 0.5, 448.0, 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert quantizers.compute_float8_amax_history(X, ops.arange(4, dtype="float32")).tolist() == [7, 2, 3, 0]
