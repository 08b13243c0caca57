"""Models as folders, and weights in several files."""

import json
import os
import warnings

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre import layers as L
from nacre.saving.h5 import DamagedFile

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")
KB = 1 / 1024**2  # in GB


def trained(seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([L.Input((6,)), L.Dense(50, activation="relu"), L.BatchNormalization(), L.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def same(a, b):
    for v, w in zip(a.variables, b.variables, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path
    for v, w in zip(a.optimizer.variables, b.optimizer.variables, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path


def test_a_folder_has_what_the_file_has(tmp_path):
    model = trained()
    model.save(tmp_path / "net", zipped=False)
    assert {p.name for p in (tmp_path / "net").iterdir()} == {"config.json", "metadata.json", "model.weights.h5"}
    again = keras.saving.load_model(tmp_path / "net")
    same(model, again)
    again.fit(X, Y, verbose=0)
    again.save(tmp_path / "net", zipped=False)  # over the old one
    same(again, keras.saving.load_model(tmp_path / "net"))
    assert keras.saving.load_model(tmp_path / "net", compile=False).optimizer is None


def test_a_folder_keeps_vocabularies_and_what_else_is_in_it(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "notes.txt").write_text("mine")
    words = L.TextVectorization(output_sequence_length=4)
    words.adapt(["one two three", "two three"])
    model = keras.Sequential([keras.Input((), dtype="string"), words, L.Embedding(9, 3)])
    model.save(tmp_path / "net", zipped=False)
    again = keras.saving.load_model(tmp_path / "net")
    assert again.layers[0].get_vocabulary() == words.get_vocabulary()
    assert (tmp_path / "net" / "notes.txt").read_text() == "mine"


def test_folders_are_told_from_files(tmp_path):
    model = trained()
    with pytest.raises(ValueError, match=r"should not end in `\.keras`"):
        model.save(tmp_path / "net.keras", zipped=False)
    with pytest.raises(FileExistsError):
        (tmp_path / "there").mkdir()
        model.save(tmp_path / "there", overwrite=False, zipped=False)
    with pytest.raises(ValueError, match="not supported"):
        keras.saving.load_model(tmp_path / "there")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_folder_that_is_damaged(name, tmp_path):
    trained().save(tmp_path / "net", zipped=False)
    whole = (tmp_path / "net" / name).read_bytes()
    (tmp_path / "net" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFile, match=name.replace(".", r"\.")):
        keras.saving.load_model(tmp_path / "net")


def test_a_save_that_fails_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    model = trained()
    model.save(tmp_path / "net", zipped=False)
    before = {p.name: p.read_bytes() for p in (tmp_path / "net").iterdir()}

    def fails(self, store):
        store["0"] = np.zeros(3)
        raise RuntimeError("no")

    monkeypatch.setattr(L.BatchNormalization, "save_own_variables", fails)
    with pytest.raises(RuntimeError, match="no"):
        trained(2).save(tmp_path / "net", zipped=False)
    assert {p.name: p.read_bytes() for p in (tmp_path / "net").iterdir()} == before


@pytest.mark.parametrize("size", [1.2 * KB, 2.1 * KB, 1])
def test_weights_in_several_files(size, tmp_path):
    model = trained()
    model.save_weights(tmp_path / "net.weights.json", max_shard_size=size)
    files = sorted(p.name for p in tmp_path.glob("*.h5"))
    assert files == [f"net_{i:05}.weights.h5" for i in range(len(files))]
    assert (len(files) == 1) == (size == 1)
    index = json.loads((tmp_path / "net.weights.json").read_text())
    total = 0
    for name in files:
        with h5py.File(tmp_path / name) as file:
            paths = []
            file.visit(paths.append)
            size_of_file = sum(file[path].nbytes for path in paths if isinstance(file[path], h5py.Dataset))
        assert 0 < size_of_file <= size * 1024**3
        total += size_of_file
    assert index["metadata"]["total_size"] == total
    assert index["weight_map"]["/layers/dense/vars"] == files[0] or size < 1.3 * KB
    other = trained(2)
    other.load_weights(tmp_path / "net.weights.json")
    same(model, other)


def test_one_object_in_two_files(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "net.weights.json", max_shard_size=1.2 * KB)  # 1200 bytes of weights, 200 of biases
    where = json.loads((tmp_path / "net.weights.json").read_text())["weight_map"]
    assert isinstance(where["/layers/dense/vars"], list)
    other = keras.Sequential([L.Input((6,)), L.Dense(51), L.BatchNormalization(), L.Dense(2)])
    with pytest.raises(ValueError, match="shapes must match"):
        other.load_weights(tmp_path / "net.weights.json")


def test_what_no_shard_has_room_for(tmp_path):
    model = trained()
    with pytest.raises(ValueError, match="exceeds the maximum shard size of 1000 bytes"):
        model.save_weights(tmp_path / "net.weights.json", max_shard_size=1000 / 1024**3)
    with pytest.raises(ValueError, match="positive"):
        model.save_weights(tmp_path / "net.weights.json", max_shard_size=0)
    with pytest.raises(ValueError, match=r"\.weights\.json"):
        model.save_weights(tmp_path / "net.json", max_shard_size=1)
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=r"net\.weights\.json"):
        model.save_weights(tmp_path / "net.weights.h5", max_shard_size=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.weights.json", "net_00000.weights.h5"]


@pytest.mark.filterwarnings("ignore:Skipping variable loading")
@pytest.mark.parametrize(
    "text,message",
    [
        ("", "damaged"),
        ("[1]", "weight_map"),
        ('{"weight_map": {"/layers/dense/vars": "../net_00000.weights.h5"}}', "no name of a file"),
        ('{"weight_map": {"/layers/dense/vars": 3}}', "no name of a file"),
        ('{"weight_map": {"/layers/dense/vars": "gone.weights.h5"}}', "missing"),
        ('{"weight_map": {"/layers/dense/vars": "index.weights.json"}}', "no HDF5 file"),
        ('{"weight_map": {}}', "could not be loaded"),
    ],
)
def test_an_index_that_leads_nowhere(text, message, tmp_path):
    model = trained()
    before = [np.array(v) for v in model.variables]
    model.save_weights(tmp_path / "net.weights.json", max_shard_size=1)
    (tmp_path / "index.weights.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        model.load_weights(tmp_path / "index.weights.json")
    assert all((np.asarray(v) == b).all() for v, b in zip(model.variables, before, strict=True))


def test_files_of_two_saves_are_not_mixed(tmp_path):
    model, path = trained(), tmp_path / "net.weights.json"
    model.save_weights(path, max_shard_size=1.2 * KB)
    old = (tmp_path / "net_00001.weights.h5").read_bytes()
    trained(2).save_weights(path, max_shard_size=1.2 * KB)
    (tmp_path / "net_00001.weights.h5").write_bytes(old)
    before = [np.array(v) for v in model.variables]
    with pytest.raises(DamagedFile, match=r"net_00001\.weights\.h5' is damaged or of another save"):
        model.load_weights(path)
    assert all((np.asarray(v) == b).all() for v, b in zip(model.variables, before, strict=True))


def test_a_first_save_that_fails_leaves_no_folders(tmp_path, monkeypatch):
    class Full(keras.layers.Dense):
        def save_own_variables(self, store):
            raise OSError(28, "No space left on device")

    model = keras.Sequential([keras.Input((2,)), Full(1)])
    with pytest.raises(OSError, match="No space"):
        model.save(tmp_path / "a" / "net", zipped=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "link"])
@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_a_disk_that_is_full_at_the_end_leaves_all_files_of_the_save_before(kind, call, tmp_path, monkeypatch):
    def save(model):
        if kind == "folder":
            model.save(tmp_path / "net", zipped=False)
        else:
            model.save_weights(tmp_path / "x.weights.json", max_shard_size=1.2 * KB)

    def files():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    save(trained())
    before, other, real = files(), trained(2), getattr(os, call)
    for done in range(len(before)):
        left = [real] * done

        def failing(*args, left=left, **kwargs):
            if not left:
                raise OSError(28, "No space left on device")
            return left.pop()(*args, **kwargs)

        with monkeypatch.context() as full, pytest.raises(OSError, match="as it was"):
            full.setattr(os, call, failing)
            save(other)
        assert files() == before


def test_loading_reports_nothing_where_nothing_is_wrong(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "net.weights.json", max_shard_size=1.2 * KB)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(3).load_weights(tmp_path / "net.weights.json")


def test_an_index_that_is_not_there_is_said(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(FileNotFoundError, match=r"x\.weights\.json"):
        model.load_weights(tmp_path / "x.weights.json")
