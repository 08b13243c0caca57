"""Files made to do harm: each is refused with a ValueError that says why."""

import json
import os
import re
import struct
import zlib

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre.saving import api, legacy_h5
from nacre.saving.h5 import DamagedFile, reading
from saveable_things import Dense, Model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.weights.h5"


@pytest.fixture
def secret(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = np.arange(3.0)
        file.create_group("group/vars")["0"] = np.arange(3.0)
    return tmp_path / "secret.h5"


def refused(path, text):
    target = Model(a=Dense(np.zeros(3)))
    with pytest.raises(DamagedFile, match=text):
        api.load_weights(target, path)
    assert (target.a.arrays[0] == 0).all()


def test_external_links_are_refused(path, secret):
    with h5py.File(path, "w") as file:
        file.create_group("a/vars")["0"] = h5py.ExternalLink(str(secret), "/data")
    refused(path, "a/vars/0 is a link to elsewhere")
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink(str(secret), "/group")
    refused(path, "/a is a link to elsewhere")


def test_soft_links_are_refused(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3.0)
        file.create_group("a/vars")["0"] = h5py.SoftLink("/x")
    refused(path, "is a link to elsewhere")


def test_external_storage_is_refused(path, tmp_path):
    (tmp_path / "raw").write_bytes(np.arange(3.0).tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", (3,), "f8", external=[(str(tmp_path / "raw"), 0, 24)])
    refused(path, "stored in another file")


def test_virtual_data_sets_are_refused(path, secret):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "data", (3,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a/vars/0", layout)
    refused(path, "virtual data set")


def test_an_array_larger_than_the_file_is_refused_before_allocation(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", (1 << 44,), "f4")
    refused(path, "claims 70368744177664 bytes")
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", (1 << 20, 1 << 20, 1 << 20), "f4", chunks=(1, 1, 1024), compression="gzip")
    refused(path, "claims 4611686018427387904 bytes")


def test_filters_that_need_a_plugin_are_refused(path):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3,))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    with h5py.File(path, "w") as file:
        group = file.create_group("a/vars")
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(group.id, b"0", h5py.h5t.NATIVE_DOUBLE, space, properties)
    refused(path, r"uses the filters \[32015\]")


@pytest.mark.parametrize("filters", [{"fletcher32": True}, {"compression": "lzf"}, {"scaleoffset": 4}], ids=str)
def test_filters_whose_lengths_nobody_checks_are_refused(path, filters):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", data=np.arange(3, dtype="i4"), **filters)
    refused(path, "uses the filters")


SHORT, LONG = b"\0\0\x80?", bytes(1 << 20)


@pytest.mark.parametrize(
    ("filters", "chunk", "text"),
    [
        ({"compression": "gzip"}, zlib.compress(SHORT), "has 4 bytes, expected 12000"),
        ({"compression": "gzip", "shuffle": True}, zlib.compress(SHORT * 2), "has 8 bytes, expected 12000"),
        ({"compression": "gzip"}, zlib.compress(LONG), "has 12001 bytes, expected 12000"),
        ({"compression": "gzip"}, zlib.compress(LONG[:12000])[:-9], "has [0-9]+ bytes, expected 12000"),
        ({"compression": "gzip"}, SHORT * 100, "while decompressing data"),
    ],
    ids=["gzip", "shuffle", "long", "cut", "noise"],
)
def test_chunks_that_unpack_to_another_length_are_refused(path, filters, chunk, text):
    # the HDF5 library crashes on some, and copies what else stands in memory of others
    with h5py.File(path, "w") as file:
        data = file.create_dataset("a/vars/0", (3000,), "f4", chunks=(3000,), **filters)
        data.id.write_direct_chunk((0,), chunk)
    refused(path, text)


def test_an_array_in_a_header_that_is_shorter_than_it_says_is_refused(path):
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space, group = h5py.h5s.create_simple((7,)), file.create_group("a/vars")
        made = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, properties)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones(7, "f4"))
    data, seven = path.read_bytes(), struct.pack("<QQ", 7, 7)  # extent and greatest extent
    assert data.count(seven) == 1
    path.write_bytes(data.replace(seven, struct.pack("<QQ", 3000, 3000)))
    refused(path, "claims 12000 bytes|doesn't match size")  # what versions of HDF5 do not see for themselves


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}])
def test_a_chunk_that_is_longer_than_the_room_for_it_is_refused(path, filters):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", data=np.arange(3, dtype="f4"), chunks=(2,), **filters)
    data = path.read_bytes()
    at = data.index(b"TREE\1\0") + 24  # the first key: the length of the chunk comes first
    assert 0 < struct.unpack("<I", data[at : at + 4])[0] < 20
    path.write_bytes(data[:at] + struct.pack("<I", 1 << 31) + data[at + 4 :])
    refused(path, "has 2147483648 bytes, expected 8")


def test_chunks_that_are_missing_or_too_large_are_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", (8, 8), "f4", chunks=(1, 8))[:3] = 1
    refused(path, "3 of 8 chunks are there")
    with h5py.File(path, "w") as file:
        data = file.create_dataset("a/vars/0", (3,), "f4", maxshape=(None,), chunks=(1 << 28,), compression="gzip")
        data.id.write_direct_chunk((0,), zlib.compress(SHORT))
    refused(path, "chunks of 1073741824 bytes of float32 are refused")


@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2", "i8", ">i2", "?"])
@pytest.mark.parametrize("filters", [{}, {"compression": 9}, {"compression": 1, "shuffle": True}], ids=str)
def test_honest_chunks_are_read(path, dtype, filters):
    values = np.random.default_rng(0).integers(-3, 3, (7, 10, 3)).astype(dtype)
    target = Model(a=Dense(np.zeros(values.shape)), b=Dense(np.zeros(4)))
    with h5py.File(path, "w") as file:
        file.create_dataset("a/vars/0", data=values, chunks=(2, 4, 3), **filters)
        file.create_dataset("b/vars/0", (4,), dtype, chunks=(2,), fillvalue=1, **filters)
    api.load_weights(target, path)
    np.testing.assert_array_equal(target.a.arrays[0], values)
    np.testing.assert_array_equal(target.b.arrays[0], np.ones(4))


@pytest.mark.parametrize(
    "value", [["a", "b", "c"], np.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f4")])], ids=["text", "compound"]
)
def test_what_is_no_number_is_refused(path, value):
    with h5py.File(path, "w") as file:
        file["a/vars/0"] = value
    refused(path, "expected numbers")


def test_a_group_where_an_array_should_be_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_group("a/vars/0")
    refused(path, "expected an array")
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(3)
    refused(path, "expected a group")


def test_a_file_cut_short_is_refused_wherever_it_is_cut(path):
    api.save_weights(Model(a=Dense(np.arange(300.0))), path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        refused(path, "damaged")


def test_a_file_with_flipped_bytes_is_read_or_refused(path):
    api.save_weights(Model(a=Dense(np.arange(300.0))), path)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            api.load_weights(Model(a=Dense(np.zeros(300))), path)
        except ValueError as error:
            assert str(path) in str(error)


def test_gaps_of_a_heap_that_lead_in_a_circle_are_refused(path):
    # the HDF5 library takes memory for each until there is none
    api.save_weights(Model(a=Dense(np.arange(3.0)), b=Dense(np.arange(3.0))), path)
    whole = path.read_bytes()
    heaps = [m.start() for m in re.finditer(b"HEAP", whole)]
    assert len(heaps) > 2
    circles = 0
    for at in heaps:
        _, gap, start = struct.unpack_from("<QQQ", whole, at + 8)
        if gap != 1:  # there is none
            bad = bytearray(whole)
            struct.pack_into("<Q", bad, start + gap, gap)
            path.write_bytes(bad)
            with pytest.raises(DamagedFile, match="lead in a circle"):
                api.load_weights(Model(a=Dense(np.zeros(3)), b=Dense(np.zeros(3))), path)
            circles += 1
    assert circles > 2


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_texts_of_a_heap_that_have_no_end_are_refused(tmp_path):
    # the HDF5 library goes on from the same text for ever, or from somewhere else
    path = tmp_path / "m.h5"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    for size in (2**64 - 16, 2**64 - 8, 2**63, 2**40, 1 << 20):
        bad = bytearray(whole)
        struct.pack_into("<Q", bad, heap + 24, size)
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"m\.h5: the attribute 'model_config' is damaged"):
            keras.models.load_model(path)


# Fields of a member's entry in the directory of an archive: where they stand and how long they are.
FLAGS, METHOD, CRC, PACKED, SIZE, PLACE = (8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (FLAGS, 1, "is encrypted"),
        (METHOD, 99, "compression method is not supported"),
        (CRC, 7, "Bad CRC-32"),
        (PACKED, 0xFFFFFFF0, "is larger than the file"),
        (SIZE, 0xFFFFFFF0, "would grow"),
        (SIZE, 0, "is damaged"),
        (PLACE, 0x7FFFFFFF, "is damaged"),
    ],
)
def test_archives_that_lie_about_a_member_are_refused(tmp_path, field, value, text):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"config.json", data.index(b"PK\x01\x02")) - 46
    struct.pack_into(field[1], data, entry + field[0], value)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"m.keras.*{text}"):
        keras.models.load_model(path)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_what_is_no_file_is_not_read(tmp_path, ending):
    pipe, device, loop, folder = (tmp_path / f"{name}{ending}" for name in ("pipe", "device", "loop", "folder"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    loop.symlink_to(loop)
    folder.mkdir()
    for path in (pipe, device, loop, folder):
        with pytest.raises(ValueError, match="File not found"):
            keras.models.load_model(path)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_initializer_that_cannot_work_is_told_with_the_file(name, tmp_path, monkeypatch):
    made = keras.layers.Dense(2, kernel_initializer=keras.initializers.Orthogonal(), name="d")
    model = keras.Sequential([keras.Input((3,)), made])
    made.kernel_initializer.gain = {}  # used for what has no weights in the file
    monkeypatch.setattr(keras.layers.Dense, "save_own_variables", lambda self, store: None)
    monkeypatch.setattr(keras.layers.Dense, "load_own_variables", lambda self, store: None)
    if name == "model.h5":
        monkeypatch.setattr(legacy_h5, "_read_group", lambda *args: [])
    model.save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: no first value of .*d/kernel: Orthogonal"):
        keras.models.load_model(tmp_path / name)


def test_a_file_that_cannot_be_closed_is_damaged(path, monkeypatch):
    model, close = Model(a=Dense(np.zeros(3))), h5py.File.close
    api.save_weights(model, path)

    def failing(self):
        close(self)
        raise RuntimeError("Can't decrement id ref count")

    monkeypatch.setattr(h5py.File, "close", failing)
    with pytest.raises(DamagedFile, match=r"x\.weights\.h5 is damaged: Can't decrement"):
        api.load_weights(model, path)
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"SPOD"))
    with pytest.raises(DamagedFile, match=r"x\.weights\.h5 is damaged at"):
        api.load_weights(model, path)


def test_a_tree_of_another_kind_than_what_refers_to_it_expects_is_refused(path):
    def load():
        with path.open("rb") as source, reading(source, "x") as reader, reader.errors("y"):
            assert len(reader.file.attrs) == 21 and (reader.file.attrs["long"] == 0).all()
            return reader.group("g")["0"][()], reader.group("g")["1"][()]

    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for number in range(20):
            file.attrs[f"{number}"] = number
            file.create_group(f"{number}")
        file.attrs["long"] = np.zeros(5000, "u1")
        group, free = file.create_group("g"), {"chunks": (2, 2), "maxshape": (None, None)}
        group.create_dataset("0", data=np.ones((3, 3)), **free)
        group.create_dataset("1", data=np.ones((3, 3)), compression="gzip", **free)
    data = path.read_bytes()
    assert all((array == 1).all() for array in load())
    trees = {data[m.start() + 5]: m.start() for m in re.finditer(rb"BTHD\0", data)}
    assert set(trees) == {1, 5, 6, 8, 9, 10, 11}
    for kind, at in trees.items():
        for other in set(range(13)) - {kind, 21 - kind if kind > 9 else 0} - ({2, 3, 4} if kind == 1 else set()):
            path.write_bytes(data[: at + 5] + bytes([other]) + data[at + 6 :])
            with pytest.raises(DamagedFile, match=f"the tree at {at} has records of kind {other}, expected"):
                load()  # a crash of the HDF5 library, of some


def test_an_index_that_names_a_file_no_system_can_have_is_refused(tmp_path):
    path = tmp_path / "x.weights.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"/a/vars": "x" * 70000}}))
    with pytest.raises(DamagedFile, match="which it names, is missing") as error:
        api.load_weights(Model(a=Dense(np.zeros(3))), path)
    assert len(str(error.value)) < 1000
