"""Whole models through files: the three styles, custom classes, what is refused."""

import json
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre import layers as L
from nacre.saving import archive, legacy_h5
from nacre.saving.h5 import DamagedFile

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")


def sequential():
    return keras.Sequential([L.Input((6,)), L.Dense(5, activation="relu"), L.BatchNormalization(), L.Dense(2)])


def functional():
    a = keras.Input((6,))
    x = L.Dense(4)(a)
    return keras.Model(a, L.Dense(2)(L.Concatenate()([x, L.Dense(3)(a)])))


@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.zeta = L.Dense(width)
        self.alpha = [L.Dense(width), L.Dense(2)]

    def call(self, x):
        x = self.zeta(x)
        for layer in self.alpha:
            x = layer(x)
        return x

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def trained(make):
    keras.utils.set_random_seed(1)
    model = make()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def same(a, b):
    for v, w in zip(a.weights, b.weights, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path
    assert (np.asarray(a.predict(X, verbose=0)) == np.asarray(b.predict(X, verbose=0))).all()


@pytest.mark.parametrize("make", [sequential, functional, Net])
def test_training_goes_on_where_it_was(tmp_path, make):
    model = trained(make)
    model.save(tmp_path / "m.keras", include_optimizer=make is not Net)  # which says something of .h5 files alone
    again = keras.models.load_model(tmp_path / "m.keras")
    same(model, again)
    for m in (model, again):
        keras.utils.set_random_seed(5)
        m.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    same(model, again)


def test_an_open_file_will_do(tmp_path):
    import io

    model, file = trained(sequential), io.BytesIO()
    keras.saving.save_model(model, file)
    file.seek(0)
    same(model, keras.saving.load_model(file))


def test_compile_false_leaves_the_model_uncompiled(tmp_path):
    trained(sequential).save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras", compile=False)
    assert not model.compiled and getattr(model, "optimizer", None) is None


def test_json_holds_the_architecture():
    model = functional()
    again = keras.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    same(model, again)
    with pytest.raises(ValueError, match="no JSON"):
        keras.models.model_from_json("{")


def test_first_values_are_not_drawn_for_weights_that_are_loaded(tmp_path, monkeypatch):
    model = trained(sequential)
    model.save(tmp_path / "m.keras")
    from nacre.initializers import GlorotUniform

    monkeypatch.setattr(GlorotUniform, "__call__", lambda *a, **k: pytest.fail("drawn"))
    same(model, keras.models.load_model(tmp_path / "m.keras"))


@keras.saving.register_keras_serializable("tests")
class Forgetful(L.Layer):
    """Keeps one of two weights in files."""

    def build(self, shape):
        self.kept = self.add_weight(shape=(6, 2), initializer="glorot_uniform", name="kept")
        self.lost = self.add_weight(shape=(6, 2), initializer="glorot_uniform", name="lost")

    def call(self, x):
        return x @ self.kept + x @ self.lost

    def save_own_variables(self, store):
        store["kept"] = self.kept

    def load_own_variables(self, store):
        self.kept.assign(store["kept"])


def test_weights_that_are_not_in_the_file_get_their_first_values(tmp_path):
    model = keras.Sequential([L.Input((6,)), Forgetful()])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert (np.asarray(again.layers[0].kept) == np.asarray(model.layers[0].kept)).all()
    assert np.asarray(again.layers[0].lost).std() > 0.1


# --- what is refused ---------------------------------------------------------------------------------------------


def rewritten(path, change):
    """Changes config.json of a saved model."""
    with zipfile.ZipFile(path) as z:
        parts = {name: z.read(name) for name in z.namelist()}
    config = json.loads(parts["config.json"])
    config = change(config) or config
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as z:
        for name, data in parts.items():
            z.writestr(name, data)


@pytest.fixture
def path(tmp_path):
    keras.Sequential([L.Input((6,)), L.Dense(2)]).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


@pytest.mark.parametrize("safe_mode", [True, False])
def test_code_in_a_lambda_is_always_refused(path, safe_mode):
    code = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None, "config": {"function": code}}
    rewritten(path, lambda c: c["config"]["layers"].append(layer))
    with pytest.raises((ValueError, TypeError), match="lambda"):
        keras.models.load_model(path, safe_mode=safe_mode)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("nacre.compat.run", "run_script"),
        ("keras.saving", "load_model"),
        ("keras.datasets.mnist", "load_data"),
        ("antigravity", "geohash"),
    ],
)
def test_names_outside_of_the_registry_are_not_even_imported(path, module, name, monkeypatch):
    import sys

    layer = {"module": module, "class_name": name, "registered_name": None, "config": {"x": "touch harm"}}
    rewritten(path, lambda c: c["config"]["layers"].append(layer))
    before = set(sys.modules)
    with pytest.raises((TypeError, ValueError), match="Could not"):
        keras.models.load_model(path)
    assert not {m for m in set(sys.modules) - before if not m.startswith("nacre")}


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_missing_part_is_named(path, name):
    with zipfile.ZipFile(path) as z:
        parts = {n: z.read(n) for n in z.namelist() if n != name}
    with zipfile.ZipFile(path, "w") as z:
        for n, data in parts.items():
            z.writestr(n, data)
    with pytest.raises(DamagedFile, match=rf"{name}.*is missing"):
        keras.models.load_model(path)


def test_damaged_weights_fail_their_checksum(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        keras.models.load_model(path)


def test_archives_that_would_grow_are_refused(path):
    with zipfile.ZipFile(path) as z:
        config = z.read("config.json")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("config.json", config)
        z.writestr("model.weights.h5", b"\0" * (archive._SMALL + 1))
    with pytest.raises(DamagedFile, match="would grow"):
        keras.models.load_model(path)


def test_archives_whose_many_members_would_grow_are_refused(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as z:
        for i in range(3):
            z.writestr(f"assets/{i}", bytes(archive._SMALL // 2))
    with pytest.raises(DamagedFile, match="members would grow"):
        keras.models.load_model(path)


def test_archives_whose_members_overlap_are_refused(path):
    content = bytes(range(256)) * 100
    with zipfile.ZipFile(path, "a") as z:
        for i in range(40):
            z.writestr(f"assets/{i}", b"")
        start = z.start_dir  # one content that 40 members share
        z.fp.seek(start)
        z.fp.write(content)
        z.start_dir = start + len(content)
        for i in range(40):
            z.getinfo(f"assets/{i}").compress_size = z.getinfo(f"assets/{i}").file_size = len(content)
    with pytest.raises(DamagedFile, match="overlap"):
        keras.models.load_model(path)


def test_a_packed_configuration_has_a_limit_of_its_own(path, monkeypatch):
    monkeypatch.setattr(archive, "_SMALL", 1 << 16)  # a text grows again by 20 and more when it is parsed
    with zipfile.ZipFile(path) as z:
        weights = z.read("model.weights.h5")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("config.json", json.dumps([*range(50_000)]))
        z.writestr("model.weights.h5", weights)
    with pytest.raises(DamagedFile, match=r"'config.json' has \d+ bytes; at most 65536"):
        keras.models.load_model(path)


AT_EXIT = """
import atexit, os, sys
import nacre as keras

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
if "used" in sys.argv:
    model.save("x.keras")
    keras.models.load_model("x.keras")
    os.remove("x.keras")

def save():
    model.save("x.keras")
    model.save_weights("x.weights.h5")
    model.load_weights("x.weights.h5")
    print(keras.models.load_model("x.keras").count_params())

atexit.register(save)
"""


@pytest.mark.parametrize("before", ["unused", "used"])
def test_a_model_is_saved_and_loaded_when_python_is_ending(tmp_path, before):
    # no thread can begin any more, and h5py may come too late to say farewell to its library
    done = subprocess.run([sys.executable, "-c", AT_EXIT, before], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "8\n", "")
    assert keras.models.load_model(tmp_path / "x.keras").count_params() == 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_weights_are_not_waited_for_at_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.weights.h5")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="pipe"):
        model.load_weights(tmp_path / "x.weights.h5")


def test_a_name_twice_is_refused(path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as z:
        z.writestr("config.json", b"{}")
    with pytest.raises(DamagedFile, match="twice"):
        keras.models.load_model(path)


def test_a_configuration_that_is_nested_too_deeply_is_refused(path):
    deep = 200_000
    with zipfile.ZipFile(path) as z:
        weights = z.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("config.json", '{"a":' * deep + "1" + "}" * deep)
        z.writestr("model.weights.h5", weights)
    with pytest.raises(ValueError, match=r"damaged|nested"):
        keras.models.load_model(path)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.txt"])
def test_a_missing_file_or_another_kind_is_said(tmp_path, name):
    with pytest.raises(
        FileNotFoundError if name == "m.h5" else ValueError, match=r"m\.h5|File not found|File format not supported"
    ):
        keras.models.load_model(tmp_path / name)
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"damaged|File format not supported"):
        keras.models.load_model(tmp_path / name)


def test_weights_of_another_shape_are_refused(tmp_path):
    keras.Sequential([L.Input((6,)), L.Dense(2)]).save_weights(tmp_path / "m.weights.h5")
    other = keras.Sequential([L.Input((6,)), L.Dense(3, name="mine")])
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"(?s)'mine'|mine"):
        other.load_weights(tmp_path / "m.weights.h5")
    assert all((a == b).all() for a, b in zip(before, other.get_weights(), strict=True))
    with pytest.raises(ValueError, match="not yet been built"):
        keras.Sequential([L.Dense(3)]).load_weights(tmp_path / "m.weights.h5")


def test_weights_of_a_model_that_only_its_own_step_runs_travel(tmp_path):
    class Held(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = keras.Sequential([L.Input((3,)), L.Dense(2)])

    a, b = Held(), Held()
    a.save_weights(tmp_path / "m.weights.h5")
    b.load_weights(tmp_path / "m.weights.h5")
    assert not b.built and np.array_equal(a.net.get_weights()[0], b.net.get_weights()[0])


def test_an_unknown_class_says_what_to_do(path):
    class Mine(L.Dense):
        pass

    model = keras.Sequential([L.Input((6,)), Mine(2)])
    model.save(path)
    with pytest.raises(TypeError, match=r"Could not locate class 'Mine'.*register_keras_serializable"):
        keras.models.load_model(path)
    again = keras.models.load_model(path, custom_objects={"Mine": Mine})
    assert isinstance(again.layers[0], Mine)
    with keras.saving.custom_object_scope({"Mine": Mine}):
        same(model, keras.models.load_model(path))


def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    model = keras.models.load_model(path)
    monkeypatch.setattr(L.Dense, "save_own_variables", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["m.keras"]


def test_statistics_of_a_normalization_work_after_loading_an_old_file(tmp_path):
    layer = keras.layers.Normalization()
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(4.0, 3.0, (20, 3)).astype(np.float32)
    layer.adapt(x)
    with pytest.warns(UserWarning, match="legacy"):
        model.save(tmp_path / "m.h5")
    again = keras.models.load_model(tmp_path / "m.h5", compile=False)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_layer_inside_a_wrapper_and_beside_it_stays_one_layer(tmp_path):
    inner = keras.Sequential([keras.Input((5,)), L.Dense(5)])
    wide = keras.Input((4, 5))
    model = keras.Model(wide, inner(L.Flatten()(L.TimeDistributed(inner)(wide))[:, :5]))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert len(again.weights) == 2


def test_a_huge_model_in_a_small_file_is_refused_before_allocation(tmp_path):
    sequential().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as old, zipfile.ZipFile(tmp_path / "huge.keras", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'"units": 5', b'"units": 1099511627776'))
    with pytest.raises(DamagedFile, match=r"huge\.keras: no model.*class 'Sequential'|huge\.keras.*larger than all"):
        keras.models.load_model(tmp_path / "huge.keras")


@pytest.mark.parametrize(
    "key", [(slice(None), 0), (..., slice(0, 2)), (slice(None), None, slice(0, 3, 2)), 1, (0, 1)], ids=str
)
def test_slices_of_symbolic_tensors_stay_what_they_are(tmp_path, key):
    x = keras.Input((4, 5))
    keras.Model(x, x[key]).save(tmp_path / "m.keras")
    data = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(data), data[key])


def test_a_subclass_that_normalizes_two_inputs_comes_back_whole(tmp_path):
    """Its layers are built by tracing `call`, where statistics have no values yet."""

    @keras.saving.register_keras_serializable("normalizing")
    class Wide(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.left, self.right = keras.layers.Normalization(), keras.layers.Normalization()
            self.head = keras.layers.Dense(1)

        def call(self, inputs):
            a, b = inputs
            return self.head(keras.layers.concatenate([self.left(a), self.right(b)]))

    rng = np.random.default_rng(0)
    x = rng.random((9, 2)), rng.random((9, 3))
    model = Wide()
    model.left.adapt(x[0])
    model.right.adapt(x[1])
    model.compile("adam", "mse")
    model.fit(x, rng.random(9), verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert int(loaded.optimizer.iterations) == 1


def test_weights_of_layers_that_could_not_be_built_are_an_error(tmp_path):
    @keras.saving.register_keras_serializable("branching")
    class Branching(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = keras.layers.Dense(2)

        def call(self, x):
            return self.inner(x if float(keras.ops.sum(x)) > 0 else -x)

    model = Branching()
    model(np.ones((1, 3)))
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="could not be built"), pytest.raises(ValueError, match="was never built"):
        keras.models.load_model(tmp_path / "m.keras")


def test_one_number_for_objects_of_two_classes_makes_two_objects(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="orthogonal")])
    model.compile("rmsprop", "mse")
    model.train_on_batch(np.zeros((2, 3)), np.zeros((2, 2)))
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1]["config"]["kernel_initializer"]["shared_object_id"] = 7
    config["compile_config"]["optimizer"]["shared_object_id"] = 7
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    loaded = keras.models.load_model(tmp_path / "n.keras")
    assert type(loaded.optimizer).__name__ == "RMSprop"


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_frozen_stays_frozen_and_what_is_not_does_not(tmp_path, ending):
    x = keras.Input((4, 3))
    inner = keras.Input((3,))
    part = keras.Model(inner, L.Dense(2)(L.Dense(3)(inner)), name="part")
    heads = L.MultiHeadAttention(2, 2)
    model = keras.Model(x, L.TimeDistributed(part)(L.Dense(3)(heads(x, x))))
    part.layers[-1].trainable = False
    heads.trainable = False
    expected = [w.trainable for w in model.weights]
    assert expected == [False] * 8 + [True] * 4 + [False] * 2
    model.save(tmp_path / f"m{ending}")
    for copy in (keras.models.load_model(tmp_path / f"m{ending}"), keras.models.clone_model(model)):
        assert [w.trainable for w in copy.weights] == expected
    model.trainable = False
    again = keras.Model.from_config(model.get_config())
    assert not again.trainable and not any(w.trainable for w in again.weights)


@pytest.mark.filterwarnings("ignore")
def test_operations_come_back_from_the_older_format(tmp_path):
    words = keras.Input((5,), dtype="int32")
    x = L.Embedding(7, 3, mask_zero=True)(words)
    y = L.LSTM(2)(x) * 2.0
    y = keras.ops.concatenate([keras.ops.relu(y), 1 / (3 + abs(y))], axis=-1)
    model = keras.Model(words, keras.ops.reshape(y, (-1, 1, 4))[:, 0])
    model.save(tmp_path / "m.h5")
    data = np.arange(10).reshape(2, 5) % 7
    again = keras.models.load_model(tmp_path / "m.h5")
    assert np.array_equal(model.predict(data, verbose=0), again.predict(data, verbose=0))


@pytest.mark.filterwarnings("ignore")
def test_a_name_that_hdf5_cannot_hold_is_refused_where_it_would_be_lost(tmp_path):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2)], name=".")
    with pytest.raises(ValueError, match=r"has a part '\.'"):
        model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").name == "."


def test_paths_may_be_bytes(tmp_path):
    model = sequential()
    path = bytes(tmp_path / "m.keras")
    model.save(path)
    same(model, keras.models.load_model(path))


def test_calls_of_models_inside_are_counted_from_one_in_files_of_keras_2():
    inside = {
        "name": "inside",
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "i"}, "name": "i",
             "inbound_nodes": []},
            {"class_name": "Dense", "config": {"name": "d", "units": 3}, "name": "d",
             "inbound_nodes": [[["i", 0, 0, {}]]]},
        ],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }  # fmt: skip
    config = {
        "name": "outside",
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "x"}, "name": "x",
             "inbound_nodes": []},
            {"class_name": "Functional", "config": inside, "name": "inside",
             "inbound_nodes": [[["x", 0, 0, {}]], [["inside", 1, 0, {}]]]},
            {"class_name": "Dense", "config": {"name": "e", "units": 2}, "name": "e",
             "inbound_nodes": [[["inside", 2, 0, {}]]]},
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["e", 0, 0], ["inside", 1, 0]],
    }  # fmt: skip
    model = keras.Model.from_config(legacy_h5.modern({"class_name": "Functional", "config": config})["config"])
    x = np.float32([[1, 2, 3]])
    first = model.get_layer("inside")
    y, once = model(x)
    np.testing.assert_allclose(once, first(x), rtol=1e-6)
    np.testing.assert_allclose(y, model.get_layer("e")(first(first(x))), rtol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Graph(keras.Model):
    """A graph, and a layer beside it."""

    def __init__(self, **kwargs):
        a = keras.Input((6,))
        super().__init__(a, L.Dense(4)(a), **kwargs)
        self.head = L.Dense(2)
        self.head.build((None, 4))

    def call(self, x):
        return self.head(super().call(x))

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls()


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_layer_beside_the_graph_is_saved_under_its_attribute_and_is_no_layer_of_the_graph(tmp_path, ending):
    model = Graph()
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dense"] and len(model.weights) == 4
    model.save(tmp_path / f"m.{ending}")
    loaded = keras.saving.load_model(tmp_path / f"m.{ending}", compile=False)
    np.testing.assert_array_equal(model(X), loaded(X))
    if ending == "keras":
        weights = keras.saving.KerasFileEditor(tmp_path / "m.keras").weights_dict
        assert weights.keys() == {"head", "layers"} and weights["layers"].keys() == {"dense"}


def test_grouped_attention_is_called_in_files_as_keras_calls_it(tmp_path):
    a = keras.Input((3, 4))
    model = keras.Model(a, L.GroupQueryAttention(2, 4, 2)(a, a))
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        layer = json.loads(file.read("config.json"))["config"]["layers"][1]
    assert (layer["module"], layer["class_name"]) == ("keras.layers", "GroupQueryAttention")
    weights = keras.saving.KerasFileEditor(tmp_path / "m.keras").weights_dict
    assert weights["layers"]["grouped_query_attention"].keys() >= {"_query_dense", "_output_dense"}
    assert legacy_h5._old({**layer, "inbound_nodes": []})["class_name"] == "GroupedQueryAttention"
    x = np.ones((1, 3, 4), "float32")
    np.testing.assert_array_equal(model(x), keras.saving.load_model(tmp_path / "m.keras")(x))


# Losses and metrics as Keras 3 writes them into `.h5`, and as Keras 2 did: by class name alone.
WRAPPED = {"name": "sq", "dtype": "float32", "fn": "mean_squared_error"}
OLD_TRAINING = [
    (
        {"class_name": "Huber", "config": {"delta": 0.5}},
        ["mae", {"class_name": "MeanSquaredError", "config": {"name": "sq"}}],
    ),
    (["mse"], [[{"class_name": "MeanMetricWrapper", "config": WRAPPED}]]),
]


@pytest.mark.parametrize("loss, metrics", OLD_TRAINING)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_losses_and_metrics_in_the_older_format_are_found_by_their_class(tmp_path, loss, metrics):
    path = tmp_path / "m.h5"
    model = sequential()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.fit(X, Y, verbose=0)
    model.save(path)
    with h5py.File(path, "r+") as file:
        training = json.loads(file.attrs["training_config"])
        file.attrs["training_config"] = json.dumps({**training, "loss": loss, "metrics": metrics})
    loaded = keras.saving.load_model(path)
    assert type(loaded.optimizer) is keras.optimizers.SGD and int(loaded.optimizer.iterations) == 1
    square = np.mean((np.asarray(model(X)) - Y) ** 2)
    np.testing.assert_allclose(loaded.evaluate(X, Y, verbose=0, return_dict=True)["sq"], square, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_the_ending_says_the_format_whatever_save_format_says(tmp_path):
    model = sequential()
    with pytest.warns(UserWarning, match="`save_format` argument is deprecated"):
        model.save(tmp_path / "m.h5", save_format="h5")
    with pytest.raises(ValueError, match="`save_format` argument is deprecated"):
        model.save(tmp_path / "m", save_format="tf")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.h5", compile=False)(X), model(X))
    with pytest.raises(FileNotFoundError, match=r"other\.h5"):
        keras.saving.load_model(tmp_path / "other.h5")


def test_weights_that_do_not_exist_yet_are_not_saved_as_none(tmp_path):
    with pytest.raises(ValueError, match="not yet been built"):
        keras.Sequential([L.Dense(2)]).save_weights(tmp_path / "m.weights.h5")
    assert not list(tmp_path.iterdir())
