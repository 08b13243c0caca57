"""Vocabularies, hashes and texts against what Keras on TensorFlow gives, as recorded from Keras 3.15.1."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nacre import Input, Sequential, layers, models
from nacre.layers.hashes import buckets, crossed, fingerprints, siphashes

PRIME = 2**61 - 1


@pytest.mark.parametrize(
    ("text", "plain", "salted"),
    [
        (b"", 1936946117179621459, 1194419777677701017),
        (b"abc", 334871249046467434, 1087559535453717965),
        (bytes(range(32)), 1917831512995979081, 1550162068505088787),
        (bytes(range(64)), 1550650849311509586, 374927271624352052),
        (bytes(range(129)), 1048111057192683588, 2220357844353712607),
    ],
)
def test_hashes_are_those_of_tensorflow(text: bytes, plain: int, salted: int) -> None:
    found = np.array([b"before", text, "é", 7], object)  # hashed beside others
    assert (buckets(found, PRIME)[1], buckets(found, PRIME, [137, 42])[1]) == (plain, salted)


def test_every_length_of_text_has_a_hash_of_64_bits_of_its_own() -> None:
    texts = np.array([b"x" * n for n in range(200)])
    for function in (fingerprints, lambda t: siphashes(t, -1, 2**40)):
        together = function(texts).tolist()
        assert len(set(together)) == 200
        assert together == [int(function(texts[n : n + 1])[0]) for n in range(200)]


def test_texts_are_the_same_bytes_in_any_array() -> None:
    words = ["", "a", "seven77", "eight888", "a text of more than thirty-two bytes, which is hashed apart"]
    want = fingerprints(np.array([w.encode() for w in words], object))
    plain = np.array(words)
    for array in (plain, plain.astype(object), plain.astype("S"), plain.astype(">U80")):
        np.testing.assert_array_equal(fingerprints(array), want)
    np.testing.assert_array_equal(fingerprints(np.array([["é", "a"]])), fingerprints(np.array([["é".encode(), b"a"]])))
    numbers = np.array([0, -1, 2**62, -(2**63), 10])
    np.testing.assert_array_equal(fingerprints(numbers), fingerprints(np.array([str(n) for n in numbers.tolist()])))
    assert fingerprints(np.zeros((0, 3), "U4")).shape == (0, 3)


def test_crossed_hashes_are_those_of_tensorflow() -> None:
    both = [fingerprints(np.array(["A", "B"])), np.array([101, -5]).astype(np.uint64)]
    assert (crossed(both) % np.uint64(PRIME)).tolist() == [1126068114334019087, 1293370260690587212]
    layer = layers.HashedCrossing(num_bins=5)
    assert layer((np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102]))).tolist() == [1, 4, 1, 1, 3]
    assert layer.get_config() == {
        "num_bins": 5, "output_mode": "int", "sparse": False, "name": layer.name, "dtype": "int64",
    }  # fmt: skip


class TestLookup:
    def test_unknown_words_are_hashed_to_keras_places(self) -> None:
        layer = layers.StringLookup(vocabulary=["one", "two"], num_oov_indices=3)
        assert layer([["one", "", "zz"], ["two", "two", "héé"]]).tolist() == [[3, 2, 1], [4, 4, 2]]
        for method, salt in (("floormod", None), ("farmhash", None), ("farmhash", 7)):
            made = layers.IntegerLookup(vocabulary=[5], num_oov_indices=4, oov_method=method, salt=salt)
            assert made.get_config()["salt"] == (None if salt is None else [7, 7])
            assert 0 <= int(made([-3])[0]) < 4
        with pytest.raises(ValueError, match="`salt` can only be used when"):
            layers.IntegerLookup(salt=7)

    def test_the_mask_counts_nothing_in_vectors(self) -> None:
        layer = layers.StringLookup(vocabulary=["a", "b"], mask_token="", output_mode="count")
        assert layer([["a", "", "a", "z"]]).tolist() == [[1, 2, 0]]
        assert layers.StringLookup(vocabulary=["a"], mask_token="", output_mode="one_hot")([""]).tolist() == [[0, 0]]

    def test_vectors_need_a_vocabulary_and_a_given_one_stays(self) -> None:
        with pytest.raises(RuntimeError, match="you must set the layer's vocabulary before calling it"):
            layers.StringLookup(output_mode="multi_hot")(["a"])
        fixed = layers.StringLookup(vocabulary=["a"])
        with pytest.raises(ValueError, match="Cannot adapt layer"):
            fixed.adapt(["b"])
        counted = layers.IntegerLookup(output_mode="count")
        counted.adapt([3, 3, 1])
        with pytest.raises(RuntimeError, match="the vocabulary size cannot be changed"):
            counted.adapt([1, 2, 3, 4])

    def test_states_can_be_updated_batch_by_batch(self) -> None:
        layer = layers.StringLookup(output_mode="tf_idf")
        layer.update_state([["a", "b"], ["a", "a"]])
        layer.update_state([["c", "b"]])
        layer.finalize_state()
        assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c"]
        np.testing.assert_allclose(layer.idf_weights, [0.76753, 0.69315, 0.69315, 0.91629], atol=1e-5)


class TestTexts:
    def test_only_ascii_letters_and_blanks_count(self) -> None:
        layer = layers.TextVectorization()
        layer.adapt(["The cat, sat. É là\u00a0bas!"])
        assert layer.get_vocabulary() == ["", "[UNK]", "É", "the", "sat", "là\u00a0bas", "cat"]

    def test_an_empty_text_is_a_vector_of_zeros(self) -> None:
        layer = layers.TextVectorization(output_mode="multi_hot", vocabulary=["a"])
        assert layer(["a", ""]).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
@pytest.mark.parametrize("kind", ["StringLookup", "TextVectorization"])
def test_the_file_of_a_vocabulary_is_keras_own(kind: str, mode: str, tmp_path: Path) -> None:
    layer: Any = getattr(layers, kind)(output_mode=mode)
    layer.adapt([["b", "a"], ["b", "b"]] if kind == "StringLookup" else ["b a", "b b"])
    path = tmp_path / "model.keras"
    Sequential([Input((1,), dtype="string"), layer]).save(path)
    with zipfile.ZipFile(path) as file:
        words = [n for n in file.namelist() if n.endswith("vocabulary.txt")]
        first = "\n[UNK]" if kind == "TextVectorization" and mode == "int" else "[UNK]"
        assert file.read(words[0]).decode() == f"{first}\nb\na"
        config = json.loads(file.read("config.json"))["config"]["layers"][1]["config"]
    assert config["vocabulary_size"] == layer.vocabulary_size()
    read = models.load_model(path).layers[-1]
    assert read.get_vocabulary() == layer.get_vocabulary()
    np.testing.assert_array_equal(read([["a"], ["zz"]]), layer([["a"], ["zz"]]))


def test_a_file_of_words_may_end_in_a_line_break(tmp_path: Path) -> None:
    layer = layers.StringLookup()
    (tmp_path / "vocabulary.txt").write_text("[UNK]\na\nb\n")
    layer.load_assets(str(tmp_path))
    assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
    layer.set_vocabulary(["a", ""])  # the word of no letters is kept
    layer.save_assets(str(tmp_path))
    again = layers.StringLookup()
    again.load_assets(str(tmp_path))
    assert again.get_vocabulary() == ["[UNK]", "a", ""]


def test_a_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    layer = layers.StringLookup()
    (tmp_path / "vocabulary.txt").write_text("[UNK]\na\na")
    with pytest.raises(ValueError, match="repeated term"):
        layer.load_assets(str(tmp_path))
    weighed = layers.StringLookup(output_mode="tf_idf")
    (tmp_path / "vocabulary.txt").write_text("[UNK]\na")
    with pytest.raises(ValueError, match="0 weights for 2 tokens"):
        weighed.load_assets(str(tmp_path))
    (tmp_path / "vocabulary.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"vocabulary\.json is no list of strings"):
        layer.load_assets(str(tmp_path))
    (tmp_path / "vocabulary.json").write_bytes(b"[[")
    with pytest.raises(ValueError, match=r"vocabulary\.txt cannot be read as a vocabulary"):
        layer.load_assets(str(tmp_path))
    (tmp_path / "vocabulary.txt").write_bytes(b"a\xff")
    with pytest.raises(ValueError, match=r"vocabulary\.txt cannot be read as a vocabulary: 'utf-8' codec"):
        layer.load_assets(str(tmp_path))


@pytest.mark.parametrize(
    "words", [["a\nb", "c"], ["a\r", "a"], ["b", ""], ["", "b"], ["\n", "b"], ["\ud800", "?"]], ids=repr
)
@pytest.mark.parametrize("kind", ["StringLookup", "TextVectorization"])
def test_words_that_lines_cannot_hold_come_back(kind: str, words: list[str], tmp_path: Path) -> None:
    layer: Any = layers.StringLookup() if kind == "StringLookup" else layers.TextVectorization(None, None, None)
    layer.adapt(np.array(words, object))
    Sequential([Input((1,), dtype="string"), layer]).save(tmp_path / "model.keras")
    assert models.load_model(tmp_path / "model.keras").layers[-1].get_vocabulary() == layer.get_vocabulary()


def test_a_folder_holds_the_vocabulary_of_its_last_save(tmp_path: Path) -> None:
    for words in (["a\nb", "c"], ["x", "y"], ["\r", "y"], ["z"]):
        layer = layers.StringLookup()
        layer.adapt(np.array(words, object))
        Sequential([Input((1,), dtype="string"), layer]).save(tmp_path / "model", zipped=False)
        loaded = models.load_model(tmp_path / "model").layers[-1]
        assert loaded.get_vocabulary() == layer.get_vocabulary()


def test_a_vocabulary_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: Any) -> None:
    layer, other = layers.StringLookup(), layers.StringLookup()
    layer.adapt(["a", "b"])
    layer.save_assets(str(tmp_path))
    other.adapt(["c", "d"])

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        other.save_assets(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.txt"]
    again = layers.StringLookup()
    again.load_assets(str(tmp_path))
    assert again.get_vocabulary() == layer.get_vocabulary()


def test_a_damaged_vocabulary_in_an_archive_names_the_file(tmp_path: Path) -> None:
    layer = layers.StringLookup()
    layer.adapt(["a\nb"])
    path = tmp_path / "model.keras"
    Sequential([Input((1,), dtype="string"), layer]).save(path)
    for deep in (b"[" * 100_000, b"{}", b"\xff", b"nonsense"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bad.keras", "w") as new:
            for name in old.namelist():
                new.writestr(name, deep if name.endswith("vocabulary.json") else old.read(name))
        with pytest.raises(ValueError, match=r"bad\.keras: assets of layers/string_lookup: "):
            models.load_model(tmp_path / "bad.keras")


def test_weighted_counts_have_the_dtype_of_floats():
    layer = layers.StringLookup(output_mode="tf_idf")
    layer.adapt([["a"], ["b"], ["a"]])
    assert layer([["a", "b"]]).dtype == "float32"


@pytest.mark.parametrize("missing", [None, float("nan"), 2.5])
def test_a_missing_text_is_an_error_and_no_word(missing: Any) -> None:
    texts = np.array(["a", missing], object)
    for call in (
        layers.StringLookup(vocabulary=["a"]),
        layers.Hashing(10),
        layers.TextVectorization(vocabulary=["a"]),
        lambda t: layers.StringLookup().adapt(t),
        lambda t: layers.StringLookup(vocabulary=t.tolist()),
        lambda t: layers.HashedCrossing(5)((t, t)),
    ):
        with pytest.raises(ValueError, match="say what stands for a missing one"):
            call(texts)


def test_nan_is_in_the_last_interval_as_behind_all_numbers() -> None:
    numbers = np.array([np.nan, -1.0, 0.0, 1.0, np.inf], "float32")
    assert layers.Discretization([0.0, 1.0])(numbers).tolist() == [2, 0, 1, 2, 2]
