"""KerasFileEditor: what a file of weights holds, changed and saved again."""

import h5py
import numpy as np
import pytest

import nacre as keras


def model(*units):
    layers = [keras.layers.Dense(u) for u in units]
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.fixture
def path(tmp_path):
    first = model(4, 2)
    first.save_weights(tmp_path / "a.weights.h5")
    first.save(tmp_path / "a.keras")
    return tmp_path


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
def test_edited_weights_load_into_another_architecture(path, name, capsys):
    editor = keras.saving.KerasFileEditor(path / name)
    target = model(4, 4, 2)
    assert editor.compare(target)["status"] == "error"
    editor.rename_object("layers/dense_1", "dense_2")
    editor.add_object("layers/dense_1", {"0": np.eye(4), "1": np.zeros(4)})
    assert editor.compare(target) == {"status": "success", "error_count": 0, "match_count": 6}
    editor.save(path / "b.weights.h5")
    target.load_weights(path / "b.weights.h5")
    np.testing.assert_array_equal(target.layers[1].kernel, np.eye(4))
    editor.summary()
    assert "dense_2" in capsys.readouterr().out


def test_differences_are_counted(path):
    editor = keras.saving.KerasFileEditor(path / "a.weights.h5")
    editor.delete_weight("dense_1", "1")
    assert editor.compare(model(4, 2))["error_count"] == 1
    editor.add_weights("dense_1", {"1": np.zeros(7)})
    assert editor.compare(model(4, 2)) == {"status": "error", "error_count": 1, "match_count": 3}
    editor.delete_object("layers/dense_1")
    assert editor.compare(model(4, 2))["error_count"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.delete_object("dense_9"), "there is no object 'dense_9'"),
        (lambda e: e.rename_object("dense", "dense_1"), "already"),
        (lambda e: e.add_object("layers/dense", {}), "already"),
        (lambda e: e.delete_weight("dense", "7"), "has no weight '7'"),
        (lambda e: e.save("a.h5"), "expected a `.weights.h5` extension"),
    ],
)
def test_impossible_changes_are_refused(path, change, words):
    with pytest.raises(ValueError, match=words):
        change(keras.saving.KerasFileEditor(path / "a.weights.h5"))


def test_links_are_refused(path):
    with h5py.File(path / "bad.weights.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(path / "a.weights.h5"), "/layers")
    with pytest.raises(ValueError, match="links are refused"):
        keras.saving.KerasFileEditor(path / "bad.weights.h5")


def test_groups_in_a_circle_are_refused(path):
    with h5py.File(path / "bad.weights.h5", "w") as file:
        group = file.create_group("layers")
        group["again"] = group
    with pytest.raises(ValueError, match="several places"):
        keras.saving.KerasFileEditor(path / "bad.weights.h5")


def test_names_that_are_listed_and_not_found_are_damage(path):
    file = path / "a.weights.h5"
    data = file.read_bytes()
    assert data.count(b"dense\0\0\0") == 1
    file.write_bytes(data.replace(b"dense\0\0\0", b"zense\0\0\0"))  # not in its place any more in the order of names
    with pytest.raises(ValueError, match=r"a\.weights\.h5: 'zense' in /layers leads nowhere"):
        keras.saving.KerasFileEditor(file)
