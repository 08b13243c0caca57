"""Functions of KerasTensors: what is known of a result when sizes of the arguments are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import ops
from nacre.core.tensor import KerasTensor


def tensor(*shape: Any) -> Any:
    return KerasTensor(shape)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (ops.add, [tensor(None, 3), tensor(2, None)], (2, 3)),
        (ops.add, [tensor(None, 3), tensor(None, 1)], (None, 3)),
        (ops.matmul, [tensor(None, None, 4), tensor(2, 4, None)], (2, None, None)),
        (ops.vstack, [[tensor(None, 3), tensor(2, None)]], (None, 3)),
        (ops.reshape, [tensor(None, 3), (3, 2)], (3, 2)),
        (ops.add, [tensor(6, None), tensor(None)], (6, None)),
        (lambda x: ops.split(x, 2, axis=1)[0], [tensor(3, None)], (3, None)),
        (lambda x: ops.map(lambda row: row * 2, x), [tensor(None, 5)], (None, 5)),
        (lambda x: ops.scan(lambda c, row: (c + row, row), ops.zeros(5), x)[1], [tensor(None, 5)], (None, 5)),
        (lambda x: ops.while_loop(lambda v: ops.sum(v) < 9, lambda v: v + 1, x), [tensor(None, 2)], (None, 2)),
        (lambda x: ops.associative_scan(ops.add, x), [tensor(5, None)], (5, None)),
        (lambda x: ops.fori_loop(0, 3, lambda i, v: v * i, x), [tensor(2, None)], (2, None)),
    ],
)  # fmt: skip
def test_a_size_is_known_when_it_can_only_be_one(function: Any, arguments: Any, expected: Any) -> None:
    assert function(*arguments).shape == expected


def test_shapes_that_no_size_makes_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        ops.add(tensor(None, 3), tensor(2, 4))


def test_a_model_may_hold_loops() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, ops.vectorized_map(lambda row: ops.flip(row) + 1.0, x))
    given = ops.reshape(ops.arange(12, dtype="float32"), (3, 4))
    assert model(given).numpy().tolist() == (given.numpy()[:, ::-1] + 1).tolist()


def test_what_a_keras_tensor_is_cannot_be_changed() -> None:
    x = tensor(None, 1)
    for name in ("shape", "dtype", "sparse", "ragged"):
        with pytest.raises(AttributeError, match=f"`{name}`.*immutable"):
            setattr(x, name, None)
    assert x.squeeze(-1).shape == (None,)
    with pytest.raises(NotImplementedError, match="unstack"):
        iter(x)
    with pytest.raises(ValueError, match="sparse=True"):
        KerasTensor((1,), sparse=True, ragged=True)


def test_a_number_of_elements_is_known_when_the_sizes_are(tmp_path: Any) -> None:
    assert ops.size(tensor(2, 3)) == 6
    x = keras.Input((3,))
    model = keras.Model(x, x / ops.cast(ops.size(x), "float32"))
    model.save(tmp_path / "m.keras")
    for rows in (4, 1):
        given = np.ones((rows, 3), "float32")
        for m in (model, keras.models.clone_model(model), keras.models.load_model(tmp_path / "m.keras")):
            np.testing.assert_allclose(m.predict(given, verbose=0), given / given.size, rtol=1e-6)


@pytest.mark.parametrize("shape", [3, None, "ab", (2.5,), (-1,), (True,), 2.0])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="shape"):
        KerasTensor(shape)


def test_lists_of_keras_tensors_can_be_searched() -> None:
    x, y = tensor(None, 3), tensor(None, 3)
    assert x == x and not bool(x.__eq__(y)) and x in (y, x) and x not in (y,) and [x, y].index(y) == 1
    assert ops.equal(x, y).dtype == (x != y).dtype == "bool"


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (ops.nonzero, [(None,), (None,)]),
        (lambda x: ops.where(x > 1), [(None,), (None,)]),
        (ops.unique, [(None,)]),
        (lambda x: ops.unique(x, return_inverse=True, return_counts=True, size=7), [(7,), (None, 4), (7,)]),
        (lambda x: ops.unique(x, axis=0), [(None, 4)]),
        (lambda x: ops.nextafter(x, 0.0), [(None, 4)]),
        (lambda x: ops.view(x, "uint8"), [(None, 16)]),
        (lambda x: ops.view(x, "int16"), [(None, 8)]),
        (lambda x: ops.segment_sum(x, ops.cast(x[:, 0], "int32")), [(None, 4)]),
        (lambda x: ops.eig(ops.eye(4) * ops.max(x)), [(4,), (4, 4)]),
        (lambda x: ops.reshape(x, (ops.cast(ops.sum(x) * 0 + 8, "int32"), -1)), [(None, None)]),
    ],
)
def test_what_depends_on_values_is_part_of_a_model_and_computed_eagerly(function, shapes):
    x = keras.Input((4,))
    y = function(x)
    flat = keras.tree.flatten(y)
    assert [t.shape for t in flat] == shapes
    data = np.array([[1, 0, 2, 2], [0, 0, 1, 3]], "float32")
    found = keras.tree.flatten(keras.Model(x, y)(data))
    for a, b, t in zip(found, keras.tree.flatten(function(ops.convert_to_tensor(data))), flat, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == t.dtype and all(n in (None, m) for n, m in zip(t.shape, a.shape, strict=True))


def test_sizes_that_depend_on_values_do_not_hide_in_layers():
    class Chosen(keras.layers.Layer):
        def call(self, x):
            return ops.take(x, ops.nonzero(x[:, 0])[0], axis=0)

    assert Chosen()(keras.Input(batch_shape=(5, 3))).shape == (None, 3)


def test_where_images_go_may_depend_on_values():
    images, scale = keras.Input((6, 6, 3)), keras.Input((), batch_size=2)
    y = ops.image.scale_and_translate(images, (None, 9, 9, 3), scale, np.zeros(2), (1, 2), "linear")
    assert y.shape == (None, 9, 9, 3)
    data, factors = np.ones((1, 6, 6, 3), "float32"), np.array([1.5, 1.5], "float32")
    found = keras.Model([images, scale], y)([data, factors])
    expected = ops.image.scale_and_translate(data, (1, 9, 9, 3), factors, np.zeros(2), (1, 2), "linear")
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="expected an output shape of 4 axes"):
        ops.image.scale_and_translate(data, (9, 9), factors, np.zeros(2), (1, 2), "linear")


def test_sizes_that_are_known_stay_known_beside_those_that_values_tell() -> None:
    x, at = keras.Input((3,)), keras.Input((1,), dtype="int32")
    at_rows = keras.layers.Lambda(lambda v: ops.scatter(v[1], v[0], ops.cast([ops.max(v[1]) + 1, 3], "int64")))
    model = keras.Model([x, at], at_rows([x, at]))
    assert model.output_shape == (None, 3)
    got = model([np.ones((3, 3), np.float32), np.array([[0], [2], [0]])])
    np.testing.assert_array_equal(got, [[2.0] * 3, [0.0] * 3, [1.0] * 3])
