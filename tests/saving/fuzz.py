"""Damaged and hostile files, made from good ones by a seeded chance: `python tests/saving/fuzz.py KIND COUNT [FIRST]`.

Each is loaded, and must load or be refused by a ValueError that names the file (a class that nobody registered: by
Keras' TypeError). Anything else, a file opened, a module imported or code run because a file says so, an allocation
beyond the limit or more than 20 seconds is printed with the number that makes the case again; the exit status is 1.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import nacre as keras
from nacre.datasets import stored
from nacre.preprocessing.text import tokenizer_from_json

MEMORY = 6 << 30  # of address space
SECONDS = 20  # of the processor: others may need it too

# --- what files say wrongly ------------------------------------------------------------------------------------------

DEEP = "@deep@"  # becomes a list in a list in a list ... when a configuration is written
WRONG: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**40, 2**63, -(2**63),
    10**30, "", "x", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "\x00", "\udcff", "é" * 70000, "relu",
    "os", "__main__", "__class__", "float32", "float16", "string", "same", [], [0], [-1], [None], [2**40, 2**40],
    [1, 2, 3, 4, 5, 6, 7, 8, 9], ["x"], [[]], [[0, 0]], {}, {"a": 1}, {"class_name": "Dense"},
    {"class_name": "Dense", "config": {}},
    {"class_name": "Dense", "config": {"units": 2**40}, "module": "keras.layers"},
    {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}},
    {"class_name": "__numpy__", "config": {"value": [1, [2]], "dtype": "object"}},
    {"class_name": "__numpy__", "config": {"value": 5, "dtype": "S1000000000000"}},
    {"class_name": "__tensor__", "config": {"value": [1.0], "dtype": "float32"}},
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}},
    {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
    {"class_name": "Popen", "config": {"args": ["touch", "harm"]}, "module": "subprocess", "registered_name": None},
    {"class_name": "get_file", "config": {"origin": "http://127.0.0.1:9/x"}, "module": "keras.utils"},
    DEEP,
]  # fmt: skip


def places(tree: Any, found: list[Any]) -> list[Any]:
    """(container, key) for every value in a tree of lists and dicts."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            places(tree[key], found)
    return found


def spoil(config: Any, rng: random.Random) -> Any:
    """A configuration with one to four values replaced, removed, doubled, or taken from elsewhere in it."""
    config = {"root": copy.deepcopy(config)}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        everywhere = places(config, [])
        where, key = rng.choice(everywhere)
        kind = rng.randrange(7)
        if kind < 3:
            where[key] = copy.deepcopy(rng.choice(WRONG))
        elif kind == 3 and where is not config:
            del where[key]
        elif kind == 4:
            other, name = rng.choice(everywhere)
            where[key] = copy.deepcopy(other[name])
        elif kind == 5 and isinstance(where, list):
            where.insert(key, copy.deepcopy(where[key]))
        elif kind == 6:
            named = [(w, k) for w, k in everywhere if k in ("class_name", "name", "dtype", "module", "registered_name")]
            if named:
                where, key = rng.choice(named)
                names = keras.layers.__all__ if key == "class_name" else WRONG
                where[key] = copy.deepcopy(rng.choice(names))
    return config.get("root")


def written(config: Any, rng: random.Random) -> str:
    """A configuration as JSON."""
    depth = rng.choice((100, 400, 900, 5000, 200_000))
    return json.dumps(config).replace(f'"{DEEP}"', "[" * depth + "]" * depth)


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, overwritten by large numbers, cut off, or a piece moved."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        if not out:
            break
        at = rng.randrange(len(out))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            out[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 4 + b"\1\0\0\0"))
        elif kind == 3 and rng.random() < 0.3:
            del out[at:]
        else:
            length = rng.choice((4, 16, 100))
            other = rng.randrange(len(out))
            out[at : at + length] = out[other : other + length]
    return bytes(out)


def _there(file: Any, name: str) -> bool:
    try:
        return isinstance(file.get(name, getlink=True), h5py.HardLink) and name in file
    except (RuntimeError, KeyError):  # below a link that goes round in circles
        return False


def spoil_hdf5(path: Path, rng: random.Random, folder: Path) -> None:
    """Changes one to three things in the tree of an HDF5 file, by what HDF5 itself allows."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(rng.choice((1, 1, 3))):
            present = [n for n in names if _there(file, n)]
            if not present:
                return
            name = rng.choice(present)
            attributes = file[name].attrs if rng.random() < 0.8 else file.attrs
            kind = rng.randrange(13)
            if kind == 0:
                del file[name]
            elif kind == 1:
                del file[name]
                file[name] = h5py.ExternalLink(str(folder / "secret.h5"), "/data")
            elif kind == 2:
                del file[name]
                file[name] = h5py.SoftLink(rng.choice((f"/{name}", "/", "/nowhere", f"/{rng.choice(names)}")))
            elif kind == 3:
                del file[name]
                shape = rng.choice([(), (0,), (1,), (3, 3), (2**40,), (2**25, 2**25), (1,) * 32])
                file.create_dataset(
                    name, shape, rng.choice(["f4", "f8", "f2", ">f4", "i8", "u1", "c8", "?"]), chunks=None
                )
            elif kind == 4:
                del file[name]
                text = np.array(["a", "b"], dtype=h5py.string_dtype()) if rng.random() < 0.5 else np.array([b"ab"])
                file[name] = text
            elif kind == 5:
                del file[name]
                file[name] = np.zeros(2, dtype=[("x", "i4"), ("y", "f4")])
            elif kind == 6:
                del file[name]
                layout = h5py.VirtualLayout((3,), "f8")
                layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "data", (3,))
                file.create_virtual_dataset(name, layout)
            elif kind == 7:
                del file[name]
                file.create_dataset(name, (3,), "f8", external=[(str(folder / "raw"), 0, 24)])
            elif kind == 8:
                del file[name]
                file.create_dataset(name, (2**14, 2**14), "f4", chunks=(2**8, 2**14), compression="gzip", fillvalue=1)
                file[name][: 2**8] = 0
            elif kind == 9 and isinstance(file[name], h5py.Group) and "loop" not in file[name]:
                file[f"{name}/loop"] = file[rng.choice(("/", name))]  # a cycle of hard links
            elif kind == 10 and len(attributes):
                key = rng.choice(list(attributes))
                del attributes[key]
                if rng.random() < 0.7:
                    values = (1.5, b"\xff\xfe", "x", np.zeros((2, 2)), np.array([b"\xff"]), h5py.Empty("f4"), "{", "[]")
                    attributes[key] = rng.choice(values)
            elif kind == 11:
                del file[name]
                file.create_group(name)
            elif (
                kind == 12
                and isinstance(file[name], h5py.Dataset)
                and file[name].dtype.kind == "f"
                and 0 < file[name].size < 1 << 20
            ):
                file[name][...] = rng.choice((np.nan, np.inf, 1e38))


# --- good files ------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("fuzz")
class Words(keras.Model):
    """A model with a vocabulary, which is a file of its own in the archive."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lookup = keras.layers.StringLookup(vocabulary=["a", "b", "c"])
        self.embedding = keras.layers.Embedding(4, 2)

    def build(self, input_shape: Any) -> None:
        self.embedding.build(input_shape)  # a file says of what shape the words are, not that they are text
        self.built = True

    def call(self, x: Any) -> Any:
        return self.embedding(self.lookup(x))


def models() -> list[Any]:
    """Small models that have between them every kind of part that a file holds."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.concatenate([x, keras.layers.SeparableConv2D(2, 3, padding="same")(x)])
    x = keras.layers.Flatten()(x)
    dense = keras.layers.Dense(6, kernel_regularizer="l2", kernel_initializer=keras.initializers.HeNormal(seed=1))
    out = keras.layers.Dense(3, activation="softmax", name="kind")(dense(x))
    cnn = keras.Model(image, [out, keras.layers.Dense(1, name="age")(x)])
    cnn.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)),
                loss={"kind": "sparse_categorical_crossentropy", "age": keras.losses.Huber(delta=2.0)},
                metrics={"kind": ["accuracy", keras.metrics.TopKCategoricalAccuracy(2)]})  # fmt: skip
    tokens = keras.Sequential([
        keras.Input((7,), dtype="int32"),
        keras.layers.Embedding(11, 4, mask_zero=True),
        keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)),
        keras.layers.RNN(keras.layers.StackedRNNCells([keras.layers.GRUCell(2), keras.layers.SimpleRNNCell(2)])),
        keras.layers.Dropout(0.1, seed=3),
        keras.layers.Dense(2),
    ])  # fmt: skip
    tokens.compile("rmsprop", "mse")
    words = Words()
    words(np.array([["a", "x"]]))
    inner = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(5), keras.layers.LayerNormalization()], name="inner"
    )
    wide = keras.Input((4, 5))
    y = keras.layers.TimeDistributed(inner)(wide)
    y = keras.layers.MultiHeadAttention(2, 3)(y, y)
    y = keras.layers.add([y, wide]) * 2.0
    y = keras.ops.mean(y, axis=1)
    y = inner(y)
    nested = keras.Model(wide, y)
    nested.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "mae", metrics=["mse"])
    return [cnn, tokens, words, nested]


def prepare(folder: Path) -> None:
    """Good files of each kind, and files beside them that nobody may open."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["data"] = np.full(3, 777.0)
    (folder / "raw").write_bytes(np.full(3, 777.0).tobytes())
    for i, model in enumerate(models()):
        model.save(folder / f"{i}.keras")
        model.save_weights(folder / f"{i}.weights.h5")
        if i != 2:  # vocabularies stand in no .h5 file
            model.save(folder / f"{i}.h5")
        (folder / f"{i}.json").write_text(model.to_json())
    tokenizer = keras.preprocessing.text.Tokenizer(5, oov_token="?")
    tokenizer.fit_on_texts(["a b c", "a d e"])
    ragged = np.empty(3, object)
    ragged[:] = [[1, 2], [300, 70000], []]
    np.savez(folder / "0.npz", x=np.arange(60.0).reshape(3, 20), y=ragged, z=np.arange(9, dtype=">i4"))
    values = {
        b"data": np.arange(6, dtype=np.uint8).reshape(2, 3),
        b"labels": [1, 300, 70000],
        b"text": "x",
        b"y": ragged,
    }
    (folder / "0.batch").write_bytes(pickle.dumps(values, protocol=2))
    (folder / "0.tokenizer").write_text(tokenizer.to_json())


def repack(source: Path, target: Path, change: Any) -> None:
    """The archive `source` again, its members put through `change(name, data) -> [(name, data, compression)]`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name in old.namelist():
            for member, data, compression in change(name, old.read(name)):
                new.writestr(member, data, compression)


# --- one case --------------------------------------------------------------------------------------------------------


def spoiled_archive(good: Path, bad: Path, rng: random.Random, folder: Path) -> None:
    kind = rng.choice(("config", "config", "config", "weights", "tree", "members", "zip"))

    def change(name: str, data: bytes) -> list[Any]:
        stored = zipfile.ZIP_STORED
        if kind == "config" and name == "config.json":
            text = written(spoil(json.loads(data), rng), rng).encode("utf-8", "surrogatepass")
            return [(name, spoil_bytes(text, rng) if rng.random() < 0.05 else text, stored)]
        if kind == "weights" and name.endswith(".h5"):
            return [(name, spoil_bytes(data, rng), rng.choice((stored, zipfile.ZIP_DEFLATED)))]
        if kind == "tree" and name.endswith(".h5"):
            part = folder / "part.h5"
            part.write_bytes(data)
            spoil_hdf5(part, rng, folder)
            return [(name, part.read_bytes(), stored)]
        if kind == "members":
            what = rng.randrange(8)
            if what == 0:
                return []
            if what == 1:
                return [(name, data, stored), (name, data, stored)]
            if what == 2:
                return [
                    (rng.choice(("/tmp/x", "../x", "assets/../../x", f"assets/{name}")), data, stored),
                    (name, data, stored),
                ]
            if what == 3:
                return [(name, b"\0" * (200 << 20) if rng.random() < 0.2 else data, zipfile.ZIP_DEFLATED)]
            if what == 4:
                return [(name, rng.choice((b"", b"{}", b"[]", b"null", b"[" * 5000, b"\xff\xfe", b"x" * 100)), stored)]
        return [(name, data, stored)]

    if kind == "zip":
        bad.write_bytes(spoil_bytes(good.read_bytes(), rng))
    else:
        repack(good, bad, change)


def spoiled_legacy(good: Path, bad: Path, rng: random.Random, folder: Path) -> None:
    data = good.read_bytes()
    kind = rng.randrange(3)
    bad.write_bytes(spoil_bytes(data, rng) if kind == 0 else data)
    if kind == 1:
        spoil_hdf5(bad, rng, folder)
    elif kind == 2:
        with h5py.File(bad, "r+") as file:
            name = rng.choice([n for n in ("model_config", "model_config", "training_config") if n in file.attrs])
            text = written(spoil(json.loads(file.attrs[name]), rng), rng)
            try:
                file.attrs[name] = text.encode("utf-8", "surrogatepass")
            except (OSError, RuntimeError, ValueError):  # longer than an attribute can be
                file.attrs[name] = "{}"


def _spoil_npy(data: bytes, rng: random.Random) -> bytes:
    """An array's header, or its pickle, spoiled."""
    end = data.index(b"\n") + 1
    old, new = rng.choice(((b"(3,)", b"(99999999999999,)"), (b"(3, 20)", b"(-3, -20)"), (b"<f8", b"|V9"),
                           (b"<f8", b"O"),
                           (b"False", b"True"), (b"shape", b"shade"), (b"<f8", b"<m8"), (b"x", b"y")))  # fmt: skip
    return spoil_bytes(data[:end], rng) + data[end:] if rng.random() < 0.3 else data.replace(old, new)


def case(kind: str, number: int, folder: Path) -> Any:
    """(path, what loads it) of a case."""
    rng = random.Random(f"{kind} {number}")
    if kind == "keras":
        i = rng.randrange(4)
        bad = folder / "bad.keras"
        spoiled_archive(folder / f"{i}.keras", bad, rng, folder)
        return bad, lambda: keras.models.load_model(bad)
    if kind == "h5":
        bad = folder / "bad.h5"
        i = rng.choice((0, 1, 3))
        spoiled_legacy(folder / f"{i}.h5", bad, rng, folder)
        if rng.random() < 0.7:
            return bad, lambda: keras.models.load_model(bad)
        model, by_name = loaded(folder, i), rng.random() < 0.5
        return bad, lambda: model.load_weights(bad, by_name=by_name, skip_mismatch=by_name and rng.random() < 0.5)
    if kind == "weights":
        i = rng.randrange(4)
        bad = folder / "bad.weights.h5"
        bad.write_bytes((folder / f"{i}.weights.h5").read_bytes())
        if rng.random() < 0.5:
            spoil_hdf5(bad, rng, folder)
        else:
            bad.write_bytes(spoil_bytes(bad.read_bytes(), rng))
        model = loaded(folder, i)
        return bad, lambda: model.load_weights(bad, skip_mismatch=rng.random() < 0.2)
    if kind == "json":
        text = (folder / f"{rng.randrange(4)}.json").read_text()
        text = (
            written(spoil(json.loads(text), rng), rng)
            if rng.random() < 0.9
            else spoil_bytes(text.encode(), rng).decode("latin-1")
        )
        return None, lambda: keras.models.model_from_json(text)
    if kind == "tokenizer":
        text = (folder / "0.tokenizer").read_text()
        config = json.loads(text)
        if rng.random() < 0.5:
            config = spoil(config, rng)
        else:
            key = rng.choice(list(config["config"]))
            value = config["config"][key]
            inner = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else None
            config["config"][key] = written(spoil(inner, rng), rng) if isinstance(inner, dict) else rng.choice(WRONG)
        text = written(config, rng) if rng.random() < 0.95 else text[: rng.randrange(len(text))]
        return None, lambda: tokenizer_from_json(text).texts_to_sequences(["a b c"])
    if kind == "datasets":
        bad = folder / "bad.npz"
        what = rng.choice(("npz", "npz", "batch"))
        good = (folder / f"0.{what}").read_bytes()
        if what == "batch":
            data = spoil_bytes(good, rng)
            return bad, lambda: stored.decode(data, str(bad), "bytes")
        bad.write_bytes(spoil_bytes(good, rng))
        if rng.random() < 0.7:
            repack(folder / "0.npz", bad, lambda name, data: [(name, _spoil_npy(data, rng), zipfile.ZIP_DEFLATED)])
        return bad, lambda: stored.load_npz(bad)
    if kind == "backup":
        bad = folder / "bad"
        bad.mkdir(exist_ok=True)
        data = (folder / "1.weights.h5").read_bytes()
        data = spoil_bytes(data, rng) if rng.random() < 0.3 else data
        step: dict[str, Any] = {"epoch": 1, "batch": 0}
        if rng.random() < 0.5:  # Keras writes no sums
            step.update(crc32=zlib.crc32(data), before={"epoch": 0, "batch": 0, "crc32": 1})
        text = json.dumps(step)
        text = written(spoil(json.loads(text), rng), rng) if rng.random() < 0.7 else text[: rng.randrange(len(text))]
        (bad / "training_metadata.json").write_text(text)
        (bad / "latest.weights.h5").write_bytes(data)
        callback = keras.callbacks.BackupAndRestore(bad)
        callback.set_model(loaded(folder, 1))
        return bad, callback.on_train_begin
    raise SystemExit(f"unknown kind {kind!r}")


_models: dict[int, Any] = {}


def loaded(folder: Path, i: int) -> Any:
    if i not in _models:
        _models[i] = keras.models.load_model(folder / f"{i}.keras")
    return _models[i]


# --- what may not happen ---------------------------------------------------------------------------------------------

_watched: dict[str, Any] = {"on": False, "seen": [], "may": ()}
_LIBRARIES = tuple(
    {os.path.dirname(os.path.dirname(m.__file__)) for m in (keras, np, h5py)} | {os.path.dirname(os.__file__)}
)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched["on"]:
        return
    if event == "open":
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes, os.PathLike)) else None
        if path is None or path.startswith(_watched["may"]):
            return
        if path.startswith(_LIBRARIES) and path.endswith((".py", ".pyc", ".so")):  # our own modules, on first use
            return
        _watched["seen"].append((event, path))
    elif event in (
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "socket.connect",
        "marshal.loads",
        "pickle.find_class",
    ):
        if event == "marshal.loads" and _importing():
            return
        _watched["seen"].append((event, repr(arguments)[:100]))
    elif event == "import" and arguments[0].split(".")[0] not in {*sys.stdlib_module_names, "nacre", "numpy", "h5py"}:
        _watched["seen"].append((event, arguments[0]))


def _importing() -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {SECONDS} s")


def attempt(kind: str, number: int, folder: Path) -> str | None:
    """What was wrong with how the case was treated; None when nothing was."""
    path, load = case(kind, number, folder)
    _watched.update(on=True, seen=[])
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    wrong = None
    try:
        load()
    except ValueError as error:
        if path is not None and str(path) not in str(error):
            wrong = f"does not name the file: {error!r:.600}"
    except TypeError as error:
        if not str(error).startswith("Could not locate"):
            wrong = traceback.format_exc(limit=-6)
    except BaseException:
        wrong = traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _watched["on"] = False
    if _watched["seen"]:
        wrong = f"{wrong or ''} {_watched['seen'][:5]}"
    return wrong


def main(kind: str, count: int, first: int = 0) -> int:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _too_long)
    sys.addaudithook(_audit)
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _watched["may"] = ("/proc/meminfo", str(folder / "bad"), tempfile.gettempdir() + "/tmp")
        prepare(folder)
        for number in range(first, first + count):
            wrong = attempt(kind, number, folder)
            if wrong:
                bad += 1
                print(f"--- {kind} {number}: {wrong}", flush=True)
    print(f"{kind}: {count} files, {bad} treated wrongly")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
