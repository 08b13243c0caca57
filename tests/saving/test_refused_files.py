"""Files of models that are refused: damaged ones, ones that would run code or grow, and those of other models."""

import json
import os
import zipfile

import pytest

import nacre as keras
from nacre import layers as L
from nacre.saving import archive
from nacre.saving.h5 import DamagedFile


@pytest.fixture
def path(tmp_path):
    keras.Sequential([L.Input((6,)), L.Dense(2)]).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


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


def test_a_huge_model_in_a_small_file_is_refused_before_allocation(tmp_path):
    keras.Sequential([L.Input((6,)), L.Dense(5)]).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as old, zipfile.ZipFile(tmp_path / "huge.keras", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'"units": 5', b'"units": 1099511627776'))
    with pytest.raises(DamagedFile, match=r"huge\.keras: no model.*class 'Sequential'|huge\.keras.*larger than all"):
        keras.models.load_model(tmp_path / "huge.keras")
