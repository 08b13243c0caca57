import h5py
import numpy as np
import pytest

from nacre.saving import api, state
from saveable_things import Dense, Model, Thing


def paths(root):
    return [path for path, _ in state.walk(root)]


def test_attributes_are_visited_in_order_and_private_ones_last():
    root = Model(_z=Dense(), b=Dense(), a=Dense())
    assert paths(root) == ["", "a", "b", "_z"]


def test_members_of_containers_are_named_by_class_and_numbered():
    root = Model(blocks=[Dense(), Thing(), Dense(), [Dense()], {"k": Dense()}])
    assert paths(root) == [
        "",
        "blocks/dense",
        "blocks/thing",
        "blocks/dense_1",
        "blocks/container/dense",
        "blocks/container_1/dense",
    ]


def test_a_shared_object_is_stored_where_it_is_met_first(tmp_path):
    shared = Dense([1.0, 2.0])
    root = Model(b=shared, a=[shared], c=Dense([3.0]))
    api.save_weights(root, tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    assert found == ["a/dense/vars/0", "c/vars/0"]


def test_weights_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 4)).astype("float32"), np.arange(5), np.float32(2.5), np.zeros((0, 3)), rng.random(2)]
    root = Model(*arrays, name="m", a=Dense(arrays[0], name="d"))
    api.save_weights(root, tmp_path / "x.weights.h5")
    other = Model(*[np.zeros(1)] * 5, name="other", a=Dense(np.zeros(1)))
    api.load_weights(other, tmp_path / "x.weights.h5")
    for got, want in zip(other.arrays, arrays, strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape and (got == want).all()
    assert (other.a.arrays[0] == arrays[0]).all()


def test_what_does_not_fit_is_named(tmp_path):
    api.save_weights(Model(a=Dense([1.0]), b=Dense([2.0])), tmp_path / "x.weights.h5")
    other = Model(a=Dense([1.0], [2.0], name="wrong"), b=Dense([0.0], name="right"))
    with pytest.raises(ValueError, match=r"a total of 1 objects could not be loaded(.|\n)*expected 2 .*(.|\n)*'wrong'"):
        api.load_weights(other, tmp_path / "x.weights.h5")
    with pytest.warns(UserWarning, match="'wrong'"):
        api.load_weights(other, tmp_path / "x.weights.h5", skip_mismatch=True)
    assert other.b.arrays[0] == [2.0]
    api.load_weights(other, tmp_path / "x.weights.h5", objects_to_skip=[other.a])


def test_an_object_may_be_stored_under_a_later_path(tmp_path):
    api.save_weights(Model(z=Dense([7.0])), tmp_path / "x.weights.h5")
    shared = Dense([0.0])
    api.load_weights(Model(a=shared, z=shared), tmp_path / "x.weights.h5")
    assert shared.arrays[0] == [7.0]


def test_a_layer_that_was_never_built_is_not_taken_for_loaded(tmp_path):
    api.save_weights(Model(a=Dense([1.0]), b=Dense([2.0])), tmp_path / "x.weights.h5")
    late = Dense()
    with pytest.raises(ValueError, match="expected 0 variables, got 1"):  # and under `again`, where there are none
        api.load_weights(Model(a=late, again=[late]), tmp_path / "x.weights.h5")


def test_file_names_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"must end in `.weights.h5`"):
        api.save_weights(Model(), tmp_path / "x.h5")
    api.save_weights(Model(), tmp_path / "x.weights.h5")
    with pytest.raises(FileExistsError, match="already exists"):
        api.save_weights(Model(), tmp_path / "x.weights.h5", overwrite=False)
    with pytest.raises(FileNotFoundError):
        api.load_weights(Model(), tmp_path / "missing.weights.h5")
