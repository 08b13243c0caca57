import numpy as np
import pytest

import nacre
from nacre import ops
from nacre.utils import normalize, pack_x_y_sample_weight, pad_sequences, split_dataset, to_categorical
from nacre.utils import unpack_x_y_sample_weight as unpack


@pytest.mark.parametrize("shape", [(5,), (5, 1), (2, 3), (2, 3, 1), ()])
def test_to_categorical_drops_a_trailing_axis_of_one(shape):
    labels = np.random.default_rng(0).integers(0, 4, shape)
    out = to_categorical(labels, 4)
    kept = labels if labels.ndim < 2 or shape[-1] != 1 else labels[..., 0]
    assert out.shape == (*kept.shape, 4) and out.dtype == np.float64
    assert (out.argmax(-1) == kept).all() and (out.sum(-1) == 1).all()


def test_to_categorical_counts_classes_when_not_told():
    assert to_categorical([0, 3]).shape == (2, 4)


def test_to_categorical_reads_numbers_written_as_text():
    assert to_categorical(["1", "0"]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "error", "text"),
    [
        ([5], 3, IndexError, "got 5"),
        ([-1], 3, IndexError, "got -1"),
        (np.array([], int), None, ValueError, "no class number"),
        (["cat"], 3, ValueError, "expected class numbers, got dtype.*cat"),
        ([None], 3, ValueError, "expected class numbers, got dtype object"),
    ],
)
def test_to_categorical_refuses_what_is_no_class(labels, classes, error, text):
    with pytest.raises(error, match=text):
        to_categorical(labels, classes)


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("axis", [0, -1])
def test_normalize_makes_unit_vectors_and_leaves_zeros(order, axis):
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, -2.0]])
    got = normalize(x, axis=axis, order=order)
    norms = np.linalg.norm(got, ord=order, axis=axis)
    assert np.allclose(norms[norms != 0], 1)
    if axis == -1:
        assert (got[1] == 0).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0, 0, 1], [0, 2, 3], [4, 5, 6]]),
        ({"maxlen": 2, "padding": "post", "truncating": "post", "value": 9}, [[1, 9], [2, 3], [4, 5]]),
        ({"maxlen": 2}, [[0, 1], [2, 3], [5, 6]]),
        ({"maxlen": 0}, [[], [], []]),
    ],
)
def test_pad_sequences_fills_and_cuts_where_it_is_told(options, expected):
    got = pad_sequences([[1], [2, 3], [4, 5, 6]], **options)
    assert got.tolist() == expected and got.dtype == np.int32


def test_pad_sequences_keeps_the_shape_of_elements():
    assert pad_sequences([[[1, 2]], [[3, 4], [5, 6]]]).tolist() == [[[0, 0], [1, 2]], [[3, 4], [5, 6]]]


@pytest.mark.parametrize(
    ("sequences", "options", "text"),
    [
        ([1, 2], {}, "Found non-iterable: 1"),
        (3, {}, "`sequences` must be iterable"),
        ([[1]], {"padding": "x"}, 'Padding type "x" not understood'),
        ([[1]], {"truncating": "x"}, 'Truncating type "x" not understood'),
        ([[1]], {"value": "x"}, "is not compatible with `value`'s type"),
        ([[[1, 2]], [[3]]], {}, r"Shape of sample \(1,\) of sequence at position 1"),
    ],
)
def test_pad_sequences_says_what_is_wrong(sequences, options, text):
    with pytest.raises(ValueError, match=text):
        pad_sequences(sequences, **options)


def test_batches_are_packed_and_unpacked():
    assert pack_x_y_sample_weight(1) == 1 and pack_x_y_sample_weight((1, 2)) == ((1, 2),)
    assert unpack((1, 2)) == (1, 2, None) and unpack([1]) == (1, None, None) and unpack(5) == (5, None, None)
    assert unpack(pack_x_y_sample_weight(1, 2, 3)) == (1, 2, 3)
    with pytest.raises(ValueError, match="found: "):
        unpack((1, 2, 3, 4))


def test_split_dataset_cuts_every_array_at_the_same_place():
    left, right = split_dataset({"a": np.arange(10), "b": np.arange(10) * 2}, left_size=0.7)
    assert left["a"].tolist() == list(range(7)) and right["b"].tolist() == [14, 16, 18]
    mixed, rest = split_dataset(np.arange(10), right_size=3, shuffle=True, seed=1)
    assert sorted([*mixed, *rest]) == list(range(10)) and len(rest) == 3
    with pytest.raises(ValueError, match="cannot be taken from 10"):
        split_dataset(np.arange(10), left_size=8, right_size=8)


def test_gradients_go_through_normalize():
    x = ops.convert_to_tensor([[3.0, 4.0], [0.0, 0.0]])
    with nacre.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(normalize(x)[:, 0])
    assert np.allclose(tape.gradient(y, x)[0], [16 / 125, -12 / 125]) and np.allclose(normalize(x)[1], 0)


def test_categories_of_a_graph_are_symbols():
    labels = nacre.Input((1,), dtype="int32")
    model = nacre.Model(labels, to_categorical(labels, 3))
    assert model.predict(np.array([[2], [0]]), verbose=0).tolist() == [[0, 0, 1], [1, 0, 0]]
