"""Files that nacre writes are read by real Keras, and the other way round: weights to the bit, predictions, and
training that goes on from the saved state of the optimizer."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nacre
from nacre.core import naming
from oracle import zoo

pytestmark = pytest.mark.filterwarnings(
    "ignore:You are saving your model as an HDF5 file", "ignore::DeprecationWarning"
)


def inputs(name, shapes, n=8, seed=0):
    rng = np.random.default_rng(seed)
    if name in zoo.TOKENS:
        return rng.integers(0, 20, (n, *shapes[0]))
    x = [rng.normal(size=(n, *s)).astype("float32") for s in shapes]
    return x if len(x) > 1 else x[0]


def flat(library, y):
    return [np.asarray(a) for a in library.tree.flatten(y)]


def targets(outputs):
    rng = np.random.default_rng(1)
    return [rng.normal(size=a.shape).astype("float32") for a in outputs]


def make(library, name):
    library.utils.clear_session()
    if library is nacre:
        naming.reset_names()
    library.utils.set_random_seed(3)
    model, shapes = zoo.MODELS[name](library)
    x = inputs(name, shapes)
    outputs = flat(library, model(x))
    y = targets(outputs)
    model.compile(library.optimizers.Adam(0.01), "mse")
    structure = library.tree.pack_sequence_as(model(x), y) if len(y) > 1 else y[0]
    return model, x, structure


def steps(model, x, y, n=3):
    out = []
    for _ in range(n):
        model.reset_metrics()
        result = model.train_on_batch(x, y)
        out.append(float(np.ravel(result)[0]))
    return out


def same_weights(a, b):
    assert len(a.weights) == len(b.weights)
    for v, w in zip(a.weights, b.weights, strict=True):
        one, two = np.asarray(v), np.asarray(w)
        assert one.dtype == two.dtype and one.shape == two.shape and (one == two).all(), v.path


@pytest.mark.parametrize("form", ["folder", "shards"])
@pytest.mark.parametrize("direction", ["nacre to keras", "keras to nacre"])
@pytest.mark.parametrize("name", ["nested", "subclassed"])
def test_what_is_several_files_means_the_same_to_both(real, tmp_path, name, direction, form):
    writer, reader = (nacre, real) if direction == "nacre to keras" else (real, nacre)
    model, x, y = make(writer, name)
    steps(model, x, y, 2)
    if form == "folder":
        model.save(str(tmp_path / "m"), zipped=False)
        zoo.MODELS[name](reader)  # registers the reader's own classes under the same names
        loaded = reader.saving.load_model(str(tmp_path / "m"))
    else:
        largest = max(np.asarray(v).nbytes for v in model.variables)
        path = str(tmp_path / "m.weights.json")
        model.save_weights(path, max_shard_size=largest / 1024**3)
        assert len(list(tmp_path.iterdir())) > 2
        loaded, *_ = make(reader, name)
        steps(loaded, x, y, 1)
        loaded.load_weights(path)
    same_weights(model, loaded)


DETERMINISTIC = [n for n in zoo.MODELS if n not in ("noise", "cnn", "subclassed")]  # the others draw noise in training


@pytest.mark.parametrize("direction", ["nacre to keras", "keras to nacre"])
@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_saved_model_means_the_same_to_both(real, tmp_path, name, direction):
    writer, reader = (nacre, real) if direction == "nacre to keras" else (real, nacre)
    model, x, y = make(writer, name)
    steps(model, x, y, 2)
    path = str(tmp_path / "m.keras")
    model.save(path)
    zoo.MODELS[name](reader)  # registers the reader's own classes under the same names
    loaded = reader.saving.load_model(path)
    same_weights(model, loaded)
    for one, two in zip(flat(writer, model(x)), flat(reader, loaded(x)), strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5, rtol=1e-5)
    assert int(np.asarray(loaded.optimizer.iterations)) == 2
    for v, w in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path
    if name in DETERMINISTIC:
        np.testing.assert_allclose(steps(loaded, x, y), steps(model, x, y), rtol=1e-4)


@pytest.mark.parametrize("direction", ["nacre to keras", "keras to nacre"])
@pytest.mark.parametrize("name", list(zoo.MODELS)[::4])  # the archives of all models hold such a file
def test_weights_files_mean_the_same_to_both(real, tmp_path, name, direction):
    writer, reader = (nacre, real) if direction == "nacre to keras" else (real, nacre)
    model, x, y = make(writer, name)
    steps(model, x, y, 1)
    path = str(tmp_path / "m.weights.h5")
    model.save_weights(path)
    other, _, _ = make(reader, name)
    steps(other, x, y, 2)
    other.load_weights(path)
    same_weights(model, other)
    for v, w in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path
    if name in DETERMINISTIC:
        np.testing.assert_allclose(steps(other, x, y), steps(model, x, y), rtol=1e-4)


OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda k: k.optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "adamw": lambda k: k.optimizers.AdamW(k.optimizers.schedules.CosineDecay(0.01, 9), weight_decay=0.01),
    "rmsprop": lambda k: k.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda k: k.optimizers.Adagrad(k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "nadam": lambda k: k.optimizers.Nadam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulating": lambda k: k.optimizers.Adam(0.01, gradient_accumulation_steps=3),
}


@pytest.mark.parametrize("direction", ["nacre to keras", "keras to nacre"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_from_the_state_of_any_optimizer(real, tmp_path, optimizer, direction):
    writer, reader = (nacre, real) if direction == "nacre to keras" else (real, nacre)
    model, x, y = make(writer, "residual")
    model.compile(OPTIMIZERS[optimizer](writer), "mse")
    steps(model, x, y, 4)
    path = str(tmp_path / "m.keras")
    model.save(path)
    loaded = reader.saving.load_model(path)
    for v, w in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        assert (np.asarray(v) == np.asarray(w)).all(), v.path
    np.testing.assert_allclose(steps(loaded, x, y, 6), steps(model, x, y, 6), rtol=1e-4)


def classes_in(layer):
    """The classes of a layer and of all layers inside it."""
    inside = [*getattr(layer, "_layers", ()), *(getattr(layer, a, None) for a in ("layer", "cell", "forward_layer"))]
    return {type(layer).__name__}.union(*(classes_in(part) for part in inside if part is not None))


def test_the_models_hold_every_layer_of_the_first_tier():
    names = json.loads((Path(__file__).parent / "keras_names.json").read_text())["tiers"]["1"]
    tier = {getattr(nacre.layers, n.partition(".")[2]) for n in names if n.startswith("layers.")}
    wanted = {layer.__name__ for layer in tier if isinstance(layer, type)} - {"Layer", "InputSpec"}
    assert len(zoo.MODELS) >= 30
    assert not wanted - set().union(*(classes_in(make(nacre, name)[0]) for name in zoo.MODELS))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_configurations_are_equal(real, tmp_path, name):
    """What nacre writes as config.json is what real Keras writes, key by key."""
    configs = []
    for library in (real, nacre):
        model, _, _ = make(library, name)
        path = tmp_path / f"{library.__name__}.keras"
        model.save(str(path))
        configs.append(json.loads(zipfile.ZipFile(path).read("config.json")))
    theirs, ours = (_plain(c) for c in configs)
    assert ours == theirs


# Entries that say nothing, and are left out or not depending on the library.
SILENT = [("build_config", {"input_shape": None}), ("compile_config", {}), ("mask", None)]


def _plain(config):
    """Without what may differ: where a user's class is defined, numbers of shared objects, how a step is compiled, the
    shape that a layer without weights was built for, and float64 digits of what is float32."""
    if isinstance(config, dict):
        kept = {k: _plain(v) for k, v in config.items() if k not in ("shared_object_id", "jit_compile")}
        for key, value in SILENT:
            if key in kept and kept[key] == value:
                del kept[key]
        if str(kept.get("registered_name", "")).startswith("zoo>"):
            kept.pop("module")
        if kept.get("class_name") == "Lambda":
            kept.pop("build_config", None)
        return kept
    if isinstance(config, float):
        return float(np.float32(config))
    return [_plain(v) for v in config] if isinstance(config, list) else config


@pytest.mark.parametrize(
    "name",
    ["dense_chain", "cnn", "two_inputs", "shared_layer", "residual", "embedding_lstm", "nested", "models_at_the_end"],
)
def test_the_older_format_of_keras_is_read(real, tmp_path, name):
    model, x, y = make(real, name)
    steps(model, x, y, 2)
    path = str(tmp_path / "m.h5")
    model.save(path)
    loaded = nacre.saving.load_model(path)
    same_weights(model, loaded)
    for one, two in zip(flat(real, model(x)), flat(nacre, loaded(x)), strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["dense_chain", "two_inputs", "residual", "models_at_the_end"])
def test_the_older_format_is_written_as_keras_reads_it(real, tmp_path, name):
    model, x, y = make(nacre, name)
    steps(model, x, y, 2)
    path = str(tmp_path / "m.h5")
    model.save(path)
    loaded = real.saving.load_model(path, compile=False)
    same_weights(model, loaded)
