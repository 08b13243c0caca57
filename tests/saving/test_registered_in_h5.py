"""Classes of the user's in the older file format."""

import json

import h5py
import numpy as np
import pytest

import nacre as keras


@keras.saving.register_keras_serializable(package="tests_h5")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def test_they_are_written_and_found_by_the_name_that_they_are_registered_under(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Doubled(), keras.layers.Dense(1)])
    with pytest.warns(UserWarning, match="legacy"):
        model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert [layer["class_name"] for layer in layers] == ["InputLayer", "tests_h5>Doubled", "Dense"]
    with pytest.warns(UserWarning, match="training configuration"):
        again = keras.models.load_model(tmp_path / "m.h5")
    x = np.ones((2, 3), "float32")
    assert isinstance(again.layers[0], Doubled)
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())
