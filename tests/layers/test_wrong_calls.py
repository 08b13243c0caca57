"""Calls of layers whose arguments do not fit."""

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers


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
