"""Keras' distributions over the one device that there is."""

import numpy as np
import pytest

import nacre
from nacre import distribution as d


@pytest.fixture
def mesh():
    return d.DeviceMesh((4, 2), ["data", "model"], [f"cpu:{i}" for i in range(8)])


def test_a_script_that_asks_for_its_devices_trains():
    d.initialize()
    assert d.list_devices() == ["cpu:0"] and d.get_device_count("cpu") == 1 and d.distribution() is None
    layout = d.LayoutMap(d.DeviceMesh((1, 1), ["data", "model"]))
    layout[".*kernel"] = (None, "model")
    for made in (d.DataParallel(), d.ModelParallel(layout_map=layout, batch_dim_name="data")):
        with made.scope():
            assert d.distribution() is made and made.num_model_replicas == 1
            model = nacre.Sequential([nacre.Input((2,)), nacre.layers.Dense(1)])
            model.compile("sgd", "mse")
            model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        assert d.distribution() is None
    kernel, bias = model.weights
    assert made.get_variable_layout(kernel).axes == (None, "model") and made.get_variable_layout(bias).axes == (None,)
    assert made.get_data_layout((4, 2, 2)).axes == ("data", None, None) and made.get_tensor_layout("x") is None
    assert repr(d.DataParallel()) == "<DataParallel device_mesh=<DeviceMesh shape=(1,), axis_names=['batch']>>"
    assert d.distribute_tensor([1.0], d.TensorLayout([None])).shape == (1,)


def test_layouts_by_path(mesh):
    layouts = d.LayoutMap(mesh)
    layouts["dense.*"] = d.TensorLayout(("model", None))
    assert layouts["dense_1"].device_mesh is mesh and layouts["conv"] is None and list(layouts) == ["dense.*"]
    layouts["dense_1"] = ("data",)
    assert layouts["dense_1"].axes == ("data",)
    layouts[".*_2"] = (None,)
    with pytest.raises(ValueError, match="matches multiple layout specification keys"):
        layouts["dense_2"]
    with pytest.raises(ValueError, match="already exist in the LayoutMap"):
        layouts["dense_1"] = (None,)
    with pytest.raises(ValueError, match="should be a TensorLayout type"):
        layouts["x"] = "data"
    del layouts["dense_1"]
    assert len(layouts) == 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: d.DeviceMesh((4,), "", []), ValueError, "Shape and axis_names cannot be empty"),
        (lambda: d.DeviceMesh((4, 2), ["a"], []), ValueError, "Shape and axis_names should have same size"),
        (lambda: d.DeviceMesh((4,), ["a"], ["cpu:0"]), ValueError, "Shape does not match the number of devices"),
        (lambda: d.DataParallel(device_mesh=3), ValueError, "Expect `mesh` to be an instance of `DeviceMesh`"),
        (lambda: d.ModelParallel(), ValueError, "You must specify a layout_map argument."),
        (lambda: d.ModelParallel(layout_map={}), ValueError, "must be a `LayoutMap` instance"),
        (lambda: d.list_devices("gpu"), RuntimeError, "no devices of type 'gpu'"),
        (lambda: d.initialize(num_processes=2), RuntimeError, "trains in one process"),
        (lambda: d.set_distribution(d.DataParallel(devices=["cpu:0", "cpu:1"])), ValueError, "over 2 devices"),
    ],
)  # fmt: skip
def test_what_cannot_be_says_why(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_environment_that_does_not_say_how_many_processes_there_are_is_told(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "abc")
    with pytest.raises(ValueError, match="KERAS_DISTRIBUTION_NUM_PROCESSES should be a positive int, got 'abc'"):
        d.initialize()


def test_axes_must_be_those_of_the_mesh(mesh):
    with pytest.raises(ValueError, match="Invalid axis names for Layout"):
        d.TensorLayout(("data", "unknown"), mesh)
    layout = d.TensorLayout(("data", None))
    layout.device_mesh = mesh
    with pytest.raises(ValueError, match="Cannot override device mesh value"):
        layout.device_mesh = mesh
    with pytest.warns(UserWarning, match="Expect the input mesh to be 1D"):
        assert d.DataParallel(device_mesh=mesh).batch_dim_name == "data"
