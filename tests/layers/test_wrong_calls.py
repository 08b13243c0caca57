"""Layers that are made, and called, with arguments that do not fit."""

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(-1), "Received an invalid value for `units`, expected a positive integer"),
        (lambda: layers.Dense(2.5), "Received an invalid value for `units`"),
        (lambda: layers.Dense(2, foo=1), "Unrecognized keyword arguments passed to Dense"),
        (lambda: layers.Dense(2, name="a/b"), "cannot contain character `/`"),
        (lambda: layers.Dense(2, dtype="foo"), "Cannot convert 'foo' to a mixed precision DTypePolicy"),
        (lambda: layers.Dense(2, activation="foo"), "Could not interpret activation function identifier"),
        (lambda: layers.Dense(2, kernel_initializer="foo"), "Could not interpret initializer identifier"),
        (lambda: layers.Dense(2, kernel_regularizer="foo"), "Could not interpret regularizer identifier"),
        (lambda: layers.Dense(2, kernel_constraint="foo"), "Could not interpret constraint identifier"),
        (lambda: layers.Conv2D(0, 3), "Invalid value for argument `filters`"),
        (lambda: layers.Conv2D(3, 0), "`kernel_size` argument must be a tuple of 2 integers"),
        (lambda: layers.Conv2D(3, (3, 3, 3)), "`kernel_size` argument must be a tuple of 2 integers"),
        (lambda: layers.Conv2D(3, 3, strides=0), "`strides` argument must be a tuple of 2 integers"),
        (lambda: layers.Conv2D(3, 3, padding="causal"), "`padding` argument must be"),
        (lambda: layers.Conv2D(3, 3, groups=2), "evenly divisible by the number of groups"),
        (lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2), "`strides > 1` not supported in conjunction"),
        (lambda: layers.MaxPooling2D(0), "`pool_size` argument must be a tuple of 2 integers"),
        (lambda: layers.MaxPooling2D(2, padding="foo"), "`padding` argument must be"),
        (lambda: layers.Dropout(2), "Invalid value received for argument `rate`"),
        (lambda: layers.Dropout("a"), "Invalid value received for argument `rate`"),
        (lambda: layers.Embedding(0, 3), "`input_dim` must be a positive integer"),
        (lambda: layers.RepeatVector(0), "Argument `n` should be a positive integer"),
        (lambda: layers.Permute((2, 3)), "must be consecutive and start from 1"),
        (lambda: layers.LSTM(0), "invalid value for argument `units`"),
        (lambda: layers.Flatten(data_format="foo"), "`data_format` argument must be one of"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), "`padding` should have two elements"),
        (lambda: layers.ReLU(max_value=-1), "max_value of a ReLU layer cannot be a negative value"),
        (lambda: layers.LeakyReLU(None), "negative_slope value of a Leaky ReLU layer"),
        (lambda: layers.Bidirectional(layers.LSTM(2), merge_mode="x"), "Invalid merge mode"),
        (lambda: layers.RNN(3), "should have a `call` method"),
        (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance` must be set"),
        (lambda: layers.MultiHeadAttention(0, 3), "invalid value for argument `num_heads`"),
        (lambda: layers.GroupQueryAttention(2, 5, 2), "must be divisible by `num_key_value_heads`"),
        (lambda: layers.InputLayer(), "You must pass a `shape` argument"),
        (lambda: keras.Input(3), "Cannot convert '3' to a shape"),
        (lambda: keras.Input((2,), batch_size=-1), "Cannot convert .* to a shape"),
        (lambda: keras.Input((2,), batch_shape=(2, 2)), "cannot pass both `shape` and `batch_shape`"),
        (lambda: keras.Input((2,), dtype="foo"), "Invalid dtype: foo"),
        (lambda: keras.Input((-1,)), "Negative dimensions are not allowed"),
        (lambda: layers.GaussianNoise(2), "Expected a float value between 0 and 1"),
        (lambda: layers.MultiHeadAttention(2, 2, attention_axes="x"), "must be an int, list, or tuple"),
        (lambda: layers.Dot(axes=(1,)), "it should contain two elements"),
    ],
)
def test_bad_arguments_are_refused_at_construction(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        make()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: layers.Concatenate(name="c")(x, x), r"Concatenate.call\(inputs\): too many .* as one list"),
        (lambda x: layers.Dense(2, name="d")(x, x), r"Dense 'd': expected True, False or None .*shape=\(2, 3\).* list"),
        (lambda x: layers.Dense(2)(x, training=[x]), r"expected True, False or None for `training`"),
        (lambda x: layers.Dense(2)(x, trainig=True), r"Dense.call\(inputs, training=None\): .* argument 'trainig'"),
        (lambda x: layers.MultiHeadAttention(2, 2)(x), r"call\(query, value, .* missing a required argument: 'value'"),
    ],
)
def test_arguments_that_do_not_fit_call_are_told_with_its_parameters(call: Any, text: str):
    for x in (np.ones((2, 3), "float32"), keras.Input((3,), batch_size=2)):
        with pytest.raises(TypeError, match=text):
            call(x)


def test_a_build_that_comes_upon_a_wrong_key_says_so():
    with pytest.raises(ValueError, match=r"Dense 'd': KeyError -1; got input_shape=\{'a': \(2, 3\)\}"):
        layers.Dense(2, name="d")({"a": np.ones((2, 3), "float32")})


def test_sizes_that_stand_for_unknown_ones_are_in_no_error():
    with pytest.raises(IndexError, match=r"outside axis 1 of a tensor of shape \(None, 3\)"):
        keras.Input((3,))[:, 5]


@pytest.mark.parametrize("kind", [layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.Dropout])
def test_whole_numbers_become_noisy_floats_in_training(kind: Any) -> None:
    x = np.arange(24).reshape(4, 6).astype("uint8")
    assert kind(0.5)(x).dtype == "uint8"
    noisy = kind(0.5)(x, training=True)
    assert noisy.dtype == "float32" and (np.asarray(noisy) != x).any()
