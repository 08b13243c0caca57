"""A bad argument is an exception that names the function and what it got: no crash, and nothing silently wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import Variable, ops, random

X = np.ones((2, 3), np.float32)
IMAGE = np.ones((1, 4, 4, 2), np.float32)

BAD: dict[str, Callable[[], Any]] = {
    "reshape": lambda: ops.reshape(X, (4, 2)),
    "reshape ": lambda: ops.reshape(X, (-1, -1)),
    "reshape  ": lambda: ops.reshape(X, (-2, 3)),
    "transpose": lambda: ops.transpose(X, (0, 0)),
    "transpose ": lambda: ops.transpose(X, (0, 2)),
    "expand_dims": lambda: ops.expand_dims(X, 5),
    "squeeze": lambda: ops.squeeze(X, 0),
    "broadcast_to": lambda: ops.broadcast_to(X, (3, 3)),
    "concatenate": lambda: ops.concatenate([X, np.ones((3, 4), np.float32)]),
    "concatenate ": lambda: ops.concatenate([]),
    "stack": lambda: ops.stack([X, np.ones((3, 2), np.float32)]),
    "split": lambda: ops.split(X, 2, axis=1),
    "pad": lambda: ops.pad(X, ((1, 1), (1, 1), (1, 1))),
    "pad ": lambda: ops.pad(X, -1),
    "pad  ": lambda: ops.pad(X, 1, mode="odd"),
    "zeros": lambda: ops.zeros((-1, 2)),
    "zeros ": lambda: ops.zeros((2**40, 2**40)),
    "zeros  ": lambda: ops.zeros(("a",)),
    "arange": lambda: ops.arange(0, 5, 0),
    "sum": lambda: ops.sum(X, axis=2),
    "sum ": lambda: ops.sum(X, axis=(0, 0)),
    "max": lambda: ops.max(np.zeros((0, 2), np.float32), axis=0),
    "argmax": lambda: ops.argmax(np.zeros((0,), np.float32)),
    "matmul": lambda: ops.matmul(X, X),
    "matmul ": lambda: ops.matmul(X, 2.0),
    "dot": lambda: ops.dot(X, X),
    "tensordot": lambda: ops.tensordot(X, X, 3),
    "einsum": lambda: ops.einsum("ij,jk->ik", X, X),
    "einsum ": lambda: ops.einsum("ij->ijj", X),
    "einsum  ": lambda: ops.einsum("i,j", X),
    "cross": lambda: ops.cross(np.ones(4), np.ones(4)),
    "conv": lambda: ops.conv(IMAGE, np.ones((3, 3, 3, 4), np.float32)),
    "conv ": lambda: ops.conv(X, np.ones((3, 3, 3, 4), np.float32)),
    "conv  ": lambda: ops.conv(IMAGE, np.ones((3, 3, 2, 4), np.float32), strides=0),
    "conv   ": lambda: ops.conv(IMAGE, np.ones((3, 3, 2, 4), np.float32), padding="full"),
    "conv_transpose": lambda: ops.conv_transpose(IMAGE, np.ones((3, 3, 2, 4), np.float32)),
    "depthwise_conv": lambda: ops.depthwise_conv(IMAGE, np.ones((3, 3, 3, 1), np.float32)),
    "max_pool": lambda: ops.max_pool(IMAGE, 0),
    "average_pool": lambda: ops.average_pool(X, 2),
    "max_pool ": lambda: ops.max_pool(IMAGE, (2, 2, 2)),
    "softmax": lambda: ops.softmax(X, axis=3),
    "categorical_crossentropy": lambda: ops.categorical_crossentropy(X, np.ones((3, 3), np.float32)),
    "sparse_categorical_crossentropy": lambda: ops.sparse_categorical_crossentropy([0, 1, 1], X),
    "binary_crossentropy": lambda: ops.binary_crossentropy(X, np.ones(2)),
    "one_hot": lambda: ops.one_hot([1], -2),
    "rfft": lambda: ops.rfft(X[:, :0]),
    "irfft": lambda: ops.irfft((X[:, :1], X[:, :1])),
    "take": lambda: ops.take(X, [0], axis=2),
    "take ": lambda: ops.take(X, [0.5], axis=1),
    "take_along_axis": lambda: ops.take_along_axis(X, [0], axis=1),
    "scatter": lambda: ops.scatter([[0, 0, 0]], [1.0], (2, 2)),
    "slice": lambda: ops.slice(X, (0, 0), (3, 3)),
    "slice_update": lambda: ops.slice_update(X, (0, 0), np.ones((3, 3))),
    "batch_normalization": lambda: ops.batch_normalization(X, np.ones(2), np.ones(2), -1),
    "layer_normalization": lambda: ops.layer_normalization(X, np.ones(2)),
    "repeat": lambda: ops.repeat(X, (1, 2, 3), axis=0),
    "top_k": lambda: ops.top_k(X, 4),
    "diag": lambda: ops.diag(np.ones((2, 2, 2))),
    "tril": lambda: ops.tril(np.ones(3)),
    "moveaxis": lambda: ops.moveaxis(X, (0, 1), 0),
    "random.uniform": lambda: random.uniform((-1,)),
    "random.randint": lambda: random.randint((2,), 5, 5),
    "random.dropout": lambda: random.dropout(X, 1.5),
    "random.dropout ": lambda: random.dropout(X, 0.5, noise_shape=(3, 3)),
    "random.categorical": lambda: random.categorical(np.ones(3), 2),
    "seed": lambda: random.uniform((2,), seed="abc"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_argument_is_an_error_that_names_the_function(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=name.strip()):
        BAD[name]()


@pytest.mark.parametrize("bad", ["text", object(), np.array(["a"]), np.array([object()]), 1j, {"a": 1}])
@pytest.mark.parametrize("function", [ops.add, ops.matmul, ops.maximum])
def test_arguments_without_numbers_are_type_errors(function: Any, bad: Any) -> None:
    with pytest.raises(TypeError):
        function(X, bad)


def test_values_that_no_dtype_holds_and_those_behind_a_mask_are_refused() -> None:
    with pytest.raises(ValueError, match="18446744073709551615 does not fit into int64"):
        ops.convert_to_tensor(np.array([1, 2**64 - 1], np.uint64))
    assert np.asarray(ops.convert_to_tensor(np.array([2**64 - 1], np.uint64), "float32"))[0] == 2.0**64
    whole = np.int32([1, 2])
    for call in (
        lambda: ops.convert_to_tensor([2**40, 1], "int32"),
        lambda: ops.cast(2**40, "int32"),
        lambda: ops.pad(whole, 1, constant_values=2**40),
        lambda: Variable(whole).assign([2**40, 1]),
        lambda: Variable(2**40, dtype="int32"),
    ):
        with pytest.raises(ValueError, match="1099511627776 does not fit into int32"):
            call()
    with pytest.raises(ValueError, match="-1 does not fit into uint8"):
        ops.convert_to_tensor([3, -1], "uint8")
    with pytest.raises(ValueError, match="no power of -1"):
        ops.power(whole, -1)
    assert ops.arange(2**31 - 1, 2**31 + 1).tolist() == [2**31 - 1, 2**31]
    with pytest.raises(ValueError, match="masked array"):
        ops.convert_to_tensor(np.ma.masked_array([1.0, 2.0], [True, False]))
    assert np.asarray(ops.convert_to_tensor(np.ma.masked_array([1.0, 2.0]))).tolist() == [1, 2]


def test_positions_outside_are_those_at_the_edge() -> None:
    found = ops.unravel_index([99, -99, -1], (2, 3))
    assert [np.asarray(i).tolist() for i in found] == [[1, 0, 1], [2, 0, 2]]


def test_gaps_and_steps_beyond_every_image_leave_no_second_window() -> None:
    image = np.ones((1, 2, 4, 4), np.float32)
    assert ops.unfold(image, 2, dilation=2**63).shape == (1, 8, 0)
    assert ops.unfold(image, 2, stride=2**63).shape == (1, 8, 1)


def test_data_in_the_place_of_a_shape_are_not_printed():
    with pytest.raises(TypeError, match=r"ones: .*got an array of shape \(2, 300\)$"):
        ops.ones(np.zeros((2, 300), "float32"))


ACCIDENTS = [
    (lambda: ops.diag(np.ones((2, 2)), k=(2, 2)), TypeError, r"diag: .*k=\(2, 2\)"),
    (lambda: ops.diagflat([1, 2], k=1e308), TypeError, r"diagflat: .*k=1e\+308"),
    (lambda: ops.hamming(float("inf")), ValueError, "hamming: .*x=inf"),
    (lambda: ops.celu(np.ones(3), alpha=[1, 2]), TypeError, r"celu: .*x=np.ndarray\(shape=\(3,\).*alpha=\[1, 2\]"),
    (lambda: keras.layers.ReLU(max_value="x"), TypeError, "ReLU: .*max_value='x'"),
    (lambda: keras.layers.GroupNormalization(-1)(np.ones((2, 0))), ValueError, r"GroupNorm.*input_shape=\(2, 0\)"),
    (lambda: keras.layers.Softmax(activity_regularizer=print)(X), ValueError, "activity_regularizer.* got None"),
    (lambda: keras.layers.StackedRNNCells([]), ValueError, "at least one cell"),
    (lambda: keras.layers.Softmax()(np.ones((2, 3)), mask="x"), TypeError, "mask='x'"),
    (lambda: keras.losses.CategoricalCrossentropy()(np.ones((6, 4)), 7.0), ValueError, r"y_pred=Tensor\(shape=\(\)"),
    (
        lambda: keras.metrics.Recall(class_id="x").update_state([[1, 0]], [[0.2, 0.8]]),
        TypeError,
        "Recall.update_state: .*y_true",
    ),
    (lambda: keras.utils.normalize(np.ones(3), order="x"), ValueError, "normalize: .*order='x'"),
    (lambda: keras.Sequential().predict([1], batch_size=int), TypeError, "Sequential.predict: .*batch_size=<class"),
]


@pytest.mark.parametrize(("call", "kind", "words"), ACCIDENTS)
def test_what_python_or_numpy_comes_upon_inside_says_what_was_given_where(call, kind, words):
    with pytest.raises(kind, match=words) as raised:
        call()
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    "call",
    [
        lambda: keras.metrics.Mean(extra=1),
        lambda: keras.losses.MeanSquaredError(extra=1),
        lambda: keras.initializers.HeNormal(extra=1),
        lambda: keras.Sequential(extra=1),
        lambda: ops.relu(1.0, extra=1),
    ],
)
def test_an_argument_that_there_is_not_is_told_by_python(call):
    with pytest.raises(TypeError, match=r"^\w+(\.__init__)?\(\) got an unexpected keyword argument 'extra'$"):
        call()


def test_errors_of_functions_that_a_user_gave_are_their_own():
    def look_up(x):
        return {}["missing"]

    for call in (
        lambda: ops.map(look_up, np.ones(3)),
        lambda: ops.cond(True, lambda: look_up(1), lambda: 1),
        lambda: keras.layers.Lambda(look_up)(np.ones((1, 2))),
        lambda: keras.losses.MeanSquaredError()(np.ones(2), type("Odd", (), {"__array__": lambda *_: look_up(1)})()),
    ):
        with pytest.raises(KeyError, match="missing"):
            call()
