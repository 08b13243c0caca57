"""Whole models through files: the three styles, custom classes, the older format."""

import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre import layers as L
from nacre.saving import legacy_h5

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


def test_weights_of_a_model_that_only_its_own_step_runs_travel(tmp_path):
    class Held(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = keras.Sequential([L.Input((3,)), L.Dense(2)])

    a, b = Held(), Held()
    a.save_weights(tmp_path / "m.weights.h5")
    b.load_weights(tmp_path / "m.weights.h5")
    assert not b.built and np.array_equal(a.net.get_weights()[0], b.net.get_weights()[0])


def test_an_unknown_class_says_what_to_do(tmp_path):
    path = tmp_path / "m.keras"

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


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    model = keras.Sequential([L.Input((6,)), L.Dense(2)])
    model.save(path)
    before = path.read_bytes()
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
