"""Every data set is made small, served on the loopback interface, and fetched from there."""

import gzip
import hashlib
import io
import json
import pickle
import struct
import sys
import tarfile
import urllib.error
import zipfile

import numpy as np
import pytest

from local_server import serving
from nacre import datasets
from nacre.datasets import cifar, fashion_mnist, housing, mnist, stored, text
from nacre.utils import files
from nacre.utils.files import get_file

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
Y = RNG.integers(0, 10, 7).astype(np.uint8)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder; what is put there is what the data sets find in place of their origins and checksums."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as (address, asked):

        def local(fname=None, origin=None, file_hash=None, **options):
            name = origin.rsplit("/", 1)[1]
            if file_hash is not None:
                new = hashlib.sha256 if len(file_hash) == 64 else hashlib.md5
                file_hash = new((folder / name).read_bytes()).hexdigest()
            return get_file(fname, origin=f"{address}/{name}", file_hash=file_hash, **options)

        for module in (mnist, fashion_mnist, cifar, housing, text):
            monkeypatch.setattr(module, "get_file", local)
        yield folder, asked, tmp_path / "home" / "datasets"


def ragged(lists):
    out = np.empty(len(lists), object)
    out[:] = lists
    return out


def test_mnist_is_cached_under_keras_name(served):
    folder, asked, cache = served
    np.savez(folder / "mnist.npz", x_train=X[:5], y_train=Y[:5], x_test=X[5:], y_test=Y[5:])
    for _ in range(2):
        (x, y), (xt, yt) = datasets.mnist.load_data()
    assert (x == X[:5]).all() and (y == Y[:5]).all() and (xt == X[5:]).all() and (yt == Y[5:]).all()
    assert len(asked) == 1 and (cache / "mnist.npz").is_file()


def idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes())


def test_fashion_mnist_reads_idx_files_and_refuses_damaged_ones(served):
    folder, _, cache = served
    for name, array in (("train", (X[:5], Y[:5])), ("t10k", (X[5:], Y[5:]))):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(array[0]))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(array[1]))
    (x, y), (xt, yt) = datasets.fashion_mnist.load_data()
    assert (x == X[:5]).all() and (y == Y[:5]).all() and (xt == X[5:]).all() and (yt == Y[5:]).all()
    (cache / "fashion-mnist" / "train-images-idx3-ubyte.gz").write_bytes(idx(X)[:100])
    with pytest.raises(ValueError, match="is damaged"):
        datasets.fashion_mnist.load_data()


def tar(path, files):
    with tarfile.open(path, "w:gz") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))


def batch(x, **labels):
    flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return pickle.dumps({b"data": flat, **{k.encode(): list(map(int, v)) for k, v in labels.items()}}, protocol=2)


def test_cifar_is_read_without_unpickling(served):
    folder, _, cache = served
    x = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    y = RNG.integers(0, 10, 12)
    files = {
        f"cifar-10-batches-py/data_batch_{i + 1}": batch(x[2 * i : 2 * i + 2], labels=y[2 * i : 2 * i + 2])
        for i in range(5)
    }
    tar(folder / "cifar-10-python.tar.gz", {**files, "cifar-10-batches-py/test_batch": batch(x[10:], labels=y[10:])})
    (got, labels), (xt, yt) = datasets.cifar10.load_data()
    assert (got == x[:10]).all() and (labels == y[:10, None]).all() and (xt == x[10:]).all() and yt.shape == (2, 1)
    assert (cache / "cifar-10-batches-py-target_archive").is_file()
    parts = {
        f"cifar-100-python/{n}": batch(x[s], fine_labels=y[s], coarse_labels=y[s] + 1)
        for n, s in (("train", slice(8)), ("test", slice(8, 12)))
    }
    tar(folder / "cifar-100-python.tar.gz", parts)
    (got, labels), _ = datasets.cifar100.load_data(label_mode="coarse")
    assert (got == x[:8]).all() and (labels == y[:8, None] + 1).all()
    with pytest.raises(ValueError, match="label_mode"):
        datasets.cifar100.load_data(label_mode="x")


TEXTS = [[int(w) for w in RNG.integers(1, 50, n)] for n in (3, 9, 4, 6, 2, 5, 8, 1)]


def test_imdb_shifts_limits_and_cuts_words(served):
    folder, _, _ = served
    np.savez(
        folder / "imdb.npz",
        x_train=ragged(TEXTS[:5]),
        y_train=np.arange(5),
        x_test=ragged(TEXTS[5:]),
        y_test=np.arange(3),
    )
    (x, y), (xt, yt) = datasets.imdb.load_data(num_words=1000)
    assert list(x) == [[1] + [w + 3 for w in TEXTS[i]] for i in y] and len(xt) == 3
    assert sorted(y) == list(range(5)) and list(y) != list(range(5)) and sorted(yt) == [0, 1, 2]
    (x, y), _ = datasets.imdb.load_data(num_words=20, skip_top=10, start_char=None, index_from=0, oov_char=None)
    assert list(x) == [[w for w in TEXTS[i] if 10 <= w < 20] for i in y]
    (x, _), _ = datasets.imdb.load_data(maxlen=7)
    assert all(len(t) < 7 for t in x)
    with pytest.raises(ValueError, match="Increase maxlen"):
        datasets.imdb.load_data(maxlen=1)
    (folder / "imdb_word_index.json").write_text(json.dumps({"the": 1}))
    assert datasets.imdb.get_word_index() == {"the": 1}


def test_reuters_splits_and_names_its_topics(served):
    folder, _, _ = served
    np.savez(folder / "reuters.npz", x=ragged(TEXTS), y=np.arange(8))
    (x, y), (xt, yt) = datasets.reuters.load_data(test_split=0.25, num_words=1000)
    assert (len(x), len(xt)) == (6, 2) and sorted([*y, *yt]) == list(range(8))
    assert x[0] == [1] + [w + 3 for w in TEXTS[y[0]]]
    assert len(datasets.reuters.get_label_names()) == 46 and datasets.reuters.get_label_names()[3] == "earn"


@pytest.mark.parametrize("name", ["boston_housing", "california_housing"])
def test_house_prices_are_shuffled_and_split(served, name):
    folder, _, _ = served
    x = np.arange(20.0).reshape(10, 2)
    np.savez(folder / f"{name}.npz", x=x, y=np.arange(10.0))
    load = getattr(datasets, name).load_data
    (a, b), (c, d) = load(test_split=0.3)
    assert a.shape == (7, 2) and c.shape == (3, 2) and (a[:, 0] == 2 * b).all() and (c[:, 0] == 2 * d).all()
    with pytest.raises(ValueError, match="test_split"):
        load(test_split=1)


def test_digits_need_no_download():
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install scikit-learn")
    (x, y), (xt, yt) = datasets.digits.load_data()
    assert x.shape == (1437, 8, 8) and xt.shape == (360, 8, 8) and x.dtype == np.uint8 and x.max() == 16
    assert set(y) == set(yt) == set(range(10))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_stored_values_are_read_as_pickle_would(protocol):
    value = {
        b"data": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "numbers": [1, 300, 70000, -1, 2**40, 1.5, None, True, (1, 2)],
        "text": "é",
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "lists": ragged(TEXTS),
    }
    got = stored.decode(pickle.dumps(value, protocol), "x")
    assert got["numbers"] == value["numbers"] and got["text"] == "é" and list(got["lists"]) == TEXTS
    for key in (b"data", "columns", "big"):
        assert got[key].dtype == value[key].dtype and (got[key] == value[key]).all()


class Harmful:
    def __reduce__(self):
        import os

        return os.system, ("touch harm",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_stored_code_is_refused(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="refused"):
        stored.decode(pickle.dumps(Harmful(), protocol), "x")
    assert not (tmp_path / "harm").exists()


def test_stored_values_cut_short_are_damaged():
    data = pickle.dumps({"a": np.arange(30.0), "b": [1, 2, "x"]}, protocol=2)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="x"):
            stored.decode(data[:length], "x")


@pytest.mark.parametrize("kind", [list, tuple])
def test_stored_values_that_use_the_same_parts_again_and_again_are_refused(kind):
    value = kind([1, 2])
    for _ in range(60):  # 2**60 numbers in 400 bytes
        value = kind([value, value])
    array = np.empty(1, object)
    array[0] = value
    for stored_value in (value, {"a": value}, array):
        with pytest.raises(ValueError, match=r"x: refused: .* again and again"):
            stored.decode(pickle.dumps(stored_value, 4), "x")
    numbers = np.zeros(1000, np.uint8)
    data = pickle.dumps(numbers, 2)
    with pytest.raises(ValueError, match="again and again"):  # an array is filled, and filled, and filled
        stored.decode(data[:-2] + b"q\x63b" + b"h\x63b" * 1000 + b".", "x")


def test_stored_lists_that_hold_themselves_are_refused():
    endless = []
    endless.append(endless)
    deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    for data in (pickle.dumps(endless, 2), pickle.dumps({"a": endless}, 4), deep):
        with pytest.raises(ValueError, match="hold themselves"):
            stored.decode(data, "x")


def test_stored_lists_of_one_length_stay_lists():
    got = stored.decode(pickle.dumps(ragged([[1, 2], [3, 4]]), 2), "x")
    assert got.shape == (2,) and list(got) == [[1, 2], [3, 4]]
    assert text.as_objects([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


def test_archives_of_arrays_that_would_grow_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for i in range(3):
            z.writestr(f"{i}.npy", bytes(stored._SMALL // 2))
    with pytest.raises(ValueError, match=r"x\.npz is damaged: its members would grow to more than"):
        stored.load_npz(path)


# Names, addresses and checksums under which Keras 3.15 caches each data set: an existing cache works without a network.
CACHED = {
    "mnist": ["mnist.npz"],
    "imdb": ["imdb.npz"],
    "reuters": ["reuters.npz"],
    "boston_housing": ["boston_housing.npz"],
    "california_housing": ["california_housing.npz"],
    "fashion_mnist": ["fashion-mnist/train-labels-idx1-ubyte.gz"],
    "cifar10": ["cifar-10-batches-py-target_archive"],
    "cifar100": ["cifar-100-python-target_archive"],
}


@pytest.mark.parametrize("name", CACHED)
def test_without_a_network_each_says_which_file_to_put_where(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(files.urllib.request, "urlopen", offline)
    with pytest.raises(OSError, match=f"put the file there by hand: {tmp_path}/datasets/{CACHED[name][0]}"):
        getattr(datasets, name).load_data()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.oracle
def test_caches_are_those_of_keras(monkeypatch):
    real = pytest.importorskip("keras", reason="needs the extra `oracle` (pip install nacre[oracle])")

    class Asked(Exception):
        pass

    def asked(module, places):
        found = {}

        def note(fname=None, origin=None, *args, **kwargs):
            found.update(fname=fname, origin=origin, **{k: v for k, v in kwargs.items() if v is not None})
            raise Asked

        for place in places:
            monkeypatch.setattr(place, "get_file", note)
        with pytest.raises(Asked):
            module.load_data()
        return found

    for name in CACHED:
        theirs = getattr(real.datasets, name)
        home = sys.modules[theirs.load_data.__module__]
        expected = asked(theirs, [home])
        got = asked(getattr(datasets, name), [mnist, fashion_mnist, cifar, housing, text])
        assert {k: str(v) for k, v in got.items()} == {k: str(v) for k, v in expected.items()}, name
