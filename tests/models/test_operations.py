"""Operations of a user's own, and the graph between two sets of tensors as one."""

import numpy as np
import pytest

import nacre as keras
from nacre import ops


@keras.saving.register_keras_serializable(package="tests")
class Affine(keras.Operation):
    def __init__(self, factor, *, shift=1.0, name=None):
        super().__init__(name=name)
        self.factor, self.shift = factor, shift

    def call(self, x):
        return self.factor * x + self.shift


def test_an_operation_has_its_arguments_as_configuration():
    assert Affine(3.0, name="line").get_config() == {"factor": 3.0, "shift": 1.0, "name": "line"}
    again = Affine.from_config(Affine(2, shift=-1.0).get_config())
    assert (again.factor, again.shift) == (2, -1.0)


def test_an_operation_whose_arguments_are_no_plain_data_has_no_configuration():
    class Many(keras.Operation):
        def __init__(self, first, *others):
            super().__init__()

    with pytest.raises(NotImplementedError, match="override `get_config"):
        Affine(np.ones(2)).get_config()
    with pytest.raises(NotImplementedError, match="override `get_config"):
        Many(1, 2).get_config()
    with pytest.raises(TypeError, match="Error when deserializing class 'Affine'"):
        Affine.from_config({"slope": 1.0})


def test_defaults_of_a_layer_are_in_its_configuration_and_its_name_stays():
    class Wide(keras.layers.Layer):
        def __init__(self, units=4, ratio=0.5, act=ops.relu, name=None):
            super().__init__(name=name)
            self.units = units

    config = Wide(ratio=0.25, name="broad").get_config()
    assert config["units"] == 4 and config["ratio"] == 0.25 and "act" not in config
    assert list(config)[:3] == ["name", "units", "ratio"]
    assert Wide.from_config(config).name == "broad"


def test_a_model_with_an_operation_is_saved_and_cloned(tmp_path):
    x = keras.Input((2,))
    model = keras.Model(x, Affine(2.0, shift=3.0)(x))
    model.save(tmp_path / "line.keras")
    for other in (keras.models.load_model(tmp_path / "line.keras"), keras.models.clone_model(model)):
        assert ops.convert_to_numpy(other(np.array([[1.0, 2.0]]))).tolist() == [[5.0, 7.0]]


def test_a_function_begins_at_any_tensors():
    a, b = keras.KerasTensor((2, 3)), keras.KerasTensor((2, 3))
    total = a + b
    function = keras.Function({"a": a, "b": b}, [total * 3, total**2])
    ones = np.ones((2, 3), "float32")
    tripled, squared = function({"a": ones, "b": ones})
    assert np.all(ops.convert_to_numpy(tripled) == 6) and np.all(ops.convert_to_numpy(squared) == 4)
    inner = keras.Function(total, total * 3)
    assert [type(op).__name__ for op in inner.operations] == ["Multiply"]
    assert np.all(ops.convert_to_numpy(inner(ones)) == 3)


def test_a_function_of_tensors_that_no_layer_made_is_a_model_too():
    a = keras.KerasTensor((None, 3))
    model = keras.Model(a, a * 2)
    assert ops.convert_to_numpy(model(np.ones((1, 3)))).tolist() == [[2.0, 2.0, 2.0]]


def test_a_function_tells_shapes():
    x = keras.KerasTensor((None, 3))
    function = keras.Function([x], {"y": ops.concatenate([x, x], axis=1)})
    assert function.compute_output_shape([(4, None)]) == {"y": (4, 6)}
    assert function.compute_output_spec([keras.KerasTensor((None, 3))])["y"].shape == (None, 6)


def test_a_function_refuses_what_does_not_fit():
    a, b = keras.KerasTensor((2, 3)), keras.KerasTensor((2, 3))
    function = keras.Function([a, b], a + b)
    with pytest.raises(ValueError, match="invalid input structure"):
        function(np.ones((2, 3)))
    with pytest.raises(ValueError, match="incompatible inputs"):
        function([np.ones((4, 3)), np.ones((2, 3))])
    with pytest.raises(ValueError, match="`inputs` argument cannot be empty"):
        keras.Function([], a)
    with pytest.raises(ValueError, match="Graph disconnected"):
        keras.Function([a], a + b)
