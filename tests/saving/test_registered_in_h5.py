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


def test_text_in_the_place_of_weights_is_refused(tmp_path):
    path = tmp_path / "m.h5"
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="d")])
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/d"]
        name = group.attrs["weight_names"][1]
        del group[name]
        group[name] = np.array([b"ab"])
    with pytest.raises(ValueError, match=r"m\.h5: .*bias holds \|S2, expected numbers"):
        model.load_weights(path)
