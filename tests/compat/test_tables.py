"""`tf.data` of text files, `tf.lookup`, strings on their way through models."""

import numpy as np
import pytest

import nacre
from nacre import layers, ops
from nacre.compat import tensorflow as tf

TABLE = 'age,city,price,y\n30,"Bonn, Rhein",1.5,0\n?,Köln,,1\n50,Bonn,2.5,1\n'


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(TABLE, encoding="utf-8")
    return str(file)


def make(path, **kwargs):
    return tf.data.experimental.make_csv_dataset(path, **{"batch_size": 2, "num_epochs": 1, "shuffle": False, **kwargs})


def test_columns_take_the_type_of_their_defaults_or_of_their_values(path):
    batches = list(make(path, label_name="y", na_value="?"))
    (first, y), (last, _) = batches
    assert [x.dtype for x in (first["age"], first["price"], y)] == ["int32", "float32", "int32"]
    assert first["age"].numpy().tolist() == [30, 0] and last["age"].numpy().tolist() == [50] and "y" not in first
    assert first["city"].tolist() == ["Bonn, Rhein", "Köln"] and first["city"].numpy()[1] == "Köln".encode()
    given = next(iter(make(path, na_value="?", column_defaults=[[-1.0], ["?"], [0.5], tf.int64])))
    assert given["age"].numpy().tolist() == [30.0, -1.0] and given["price"].numpy().tolist() == [1.5, 0.5]
    assert given["y"].dtype == "int64"


def test_columns_are_chosen_and_named_and_rows_are_mixed(path):
    chosen = next(iter(make(path, select_columns=["y", 1])))
    assert list(chosen) == ["y", "city"]
    named = next(iter(make(path, column_names=list("abcd"), header=False)))
    assert named["a"].tolist() == ["age", "30"]
    mixed = make(path, shuffle=True, shuffle_seed=1, num_epochs=2, select_columns=["y"], batch_size=4)
    assert sorted(np.concatenate([b["y"] for b in mixed]).tolist()) == [0, 0, 1, 1, 1, 1]
    endless = iter(make(path, num_epochs=None, select_columns=["y"]))
    assert [next(endless)["y"].shape for _ in range(4)] == [(2,)] * 4


def test_columns_of_large_numbers_keep_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,size,ends\n1,1.5,inf\n3000000000,1e300,-inf\n")
    (batch,) = make(str(path))
    assert batch["id"].dtype == "int64" and batch["id"].numpy().tolist() == [1, 3_000_000_000]
    assert batch["size"].dtype == "float64" and batch["size"].numpy().tolist() == [1.5, 1e300]
    assert batch["ends"].dtype == "float32" and batch["ends"].numpy().tolist() == [np.inf, -np.inf]
    for default in ([0], tf.int32, np.zeros(1, np.uint8)):
        with pytest.raises(ValueError, match=r"column 'id': expected values of u?int"):
            list(make(str(path), column_defaults=[default, [0.0], [0.0]]))
    (batch,) = make(str(path), column_defaults=[[0.0], [0.0], [0.0]])
    assert batch["size"].dtype == "float32" and batch["size"].numpy().tolist() == [1.5, np.inf]


@pytest.mark.parametrize(
    ("error", "message", "kwargs"),
    [
        (ValueError, "must have a value in each row, row 1 has none",
         {"column_defaults": [tf.int32, "string", [0.0], [0]], "na_value": "?"}),
        (ValueError, "column 'city': expected values of int32", {"column_defaults": [[""], [0], [0.0], [0]]}),
        (ValueError, "a default for each of 4 columns, got 1", {"column_defaults": [[0]]}),
        (ValueError, "must be one of the columns, got 'z'", {"label_name": "z"}),
        (ValueError, "expected 2 values in row 0, got 4", {"column_names": ["a", "b"]}),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_say_why(path, error, message, kwargs):
    with pytest.raises(error, match=message):
        list(make(path, **kwargs))
    with pytest.raises(FileNotFoundError, match="no files match"):
        make(path + "x")


def test_lines_of_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(f"1{name}\n2{name}")
    lines = tf.data.TextLineDataset([str(tmp_path / name) for name in "ab"])
    assert [line.numpy() for line in lines] == [b"1a", b"2a", b"1b", b"2b"]


def test_ragged_strings_become_arrays():
    parts = tf.strings.split(["1,2", "3"], ",")
    assert parts.to_tensor().tolist() == [["1", "2"], ["3", ""]]
    assert tf.strings.to_number(parts, tf.dtypes.float32).to_tensor(-1).numpy().tolist() == [[1, 2], [3, -1]]


def test_numbers_keep_all_their_digits():
    assert tf.strings.to_number(["9007199254740993"], tf.int64).numpy().tolist() == [2**53 + 1]
    assert tf.strings.to_number([], tf.int32).shape == (0,)
    with pytest.raises(ValueError, match="int32 does not hold the numbers from 1 to 3000000000"):
        tf.strings.to_number(["1", "3000000000"], tf.int32)
    assert tf.ragged.constant([[1, 2**40], []]).to_tensor().numpy().tolist() == [[1, 2**40], [0, 0]]
    assert tf.ragged.constant([[1], []]).dtype == "int32"
    with pytest.raises(ValueError, match="int32 does not hold"):
        tf.ragged.constant([[2**40]], tf.int32)


def test_ragged_numbers_stay_numbers():
    rows = tf.ragged.constant([[1, 2], [], [3]])
    assert rows.to_list() == [[1, 2], [], [3]] and rows.dtype == "int32" and rows.values.numpy().tolist() == [1, 2, 3]
    assert tf.ragged.constant([[1.5], [2, 3]]).to_tensor().numpy().tolist() == [[1.5, 0], [2, 3]]
    assert tf.RaggedTensor.from_row_splits(["a", "b"], [0, 0, 2]).to_list() == [[], [b"a", b"b"]]
    with pytest.raises(ValueError, match=r"lengths \[1\] for 2 values"):
        tf.RaggedTensor.from_row_lengths([1, 2], [1])


def test_tables_of_keys():
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [3, 5]), default_value=-1)
    assert table.lookup(tf.constant([["b"], ["z"]])).numpy().tolist() == [[5], [-1]] and int(table.size()) == 2
    with pytest.raises(ValueError, match="as many keys as values"):
        tf.lookup.KeyValueTensorInitializer(["a"], [1, 2])
    numbers = tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [0, 1]), 2)
    assert numbers.lookup(["b", "a"]).numpy().tolist() == [1, 0] and int(numbers.lookup(["q"])[0]) in (2, 3)


def test_strings_take_other_shapes_in_a_model():
    assert ops.convert_to_tensor(["a", "b"]).tolist() == ["a", "b"] and ops.shape(np.array(["a", "b"])) == (2,)
    x = nacre.Input((), dtype="string")
    lookup = layers.StringLookup(vocabulary=["u", "v"], num_oov_indices=0, mask_token=None, output_mode="one_hot")
    model = nacre.Model(x, lookup(ops.expand_dims(x, -1)))
    assert model.predict(np.array(["v", "u"]), verbose=0).tolist() == [[0, 1], [1, 0]]
    for change in (lambda s: ops.reshape(s, (2, 1)), ops.ravel, lambda s: ops.squeeze(s, 0)):
        assert change(np.array([["u", "v"]])).size == 2
    with pytest.raises(TypeError, match="expected numbers"):
        ops.add(np.array(["u"]), 1)


def test_lookups_within_a_layer_know_their_shape():
    class Words(layers.Layer):
        def __init__(self):
            super().__init__()
            self.lookup = layers.StringLookup(vocabulary=["u", "v"])
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["u"], [1]), 0)
            self.embedding = layers.Embedding(3, 4)

        def call(self, inputs):
            return self.embedding(self.lookup(inputs)) * ops.cast(self.table.lookup(inputs), "float32")[:, None]

    x = nacre.Input((), dtype="string")
    y = Words()(x)
    assert y.shape == (None, 4)
    model = nacre.Model(x, layers.Dense(1)(y))
    model.compile("sgd", "mse")
    model.fit(np.array(["u", "v", "w", "u"]), np.ones((4, 1)), verbose=0)
    assert model.predict(np.array(["u", "v"]), verbose=0).shape == (2, 1)
