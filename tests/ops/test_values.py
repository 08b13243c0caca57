"""Making tensors and looking at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre
from nacre import Input, Model, ops
from nacre.core.errors import TracedBranch
from nacre.core.tensor import Tensor
from nacre.runtime.compiled import CompiledFunction

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_shape_ndim_size_dtype() -> None:
    for x in (X, Tensor.of(X), X.tolist()):
        assert (ops.shape(x), ops.ndim(x), ops.size(x), ops.dtype(x)) == ((2, 3), 2, 6, "float32")
    assert ops.shape(nacre.KerasTensor((None, 3))) == (None, 3)


@pytest.mark.parametrize("value", [1, 1.5, [1, 2], [[1.0], [2.0]], X, np.int64(3), True, [Tensor.of(1.0), 2.0]])
def test_convert_to_tensor_and_back(value: Any) -> None:
    t = ops.convert_to_tensor(value)
    assert ops.is_tensor(t)
    np.testing.assert_array_equal(ops.convert_to_numpy(t), np.asarray(value, np.float64))


def _total(v: Any) -> Any:
    return ops.sum([v, v * 3, 2]) + ops.sum(ops.convert_to_tensor([[v, 1], (v, v)])) + ops.mean([v])


def test_lists_of_tensors_are_tensors_with_gradients() -> None:
    v = nacre.Variable(2.0)
    for value in (v, Tensor.of(2.0)):
        assert float(_total(value)) == 19.0
        with nacre.GradientTape() as tape:
            tape.watch(value)
            total = _total(value)
        assert float(tape.gradient(total, value)) == 8.0
    assert float(CompiledFunction(_total)(Tensor.of(2.0))) == 19.0
    with pytest.raises(ValueError, match="one shape"):
        ops.sum([nacre.Variable([1.0, 2.0]), v])


def test_convert_to_tensor_gives_the_dtype_asked_for() -> None:
    assert ops.convert_to_tensor([1.7], dtype="int32").tolist() == [1]
    assert ops.convert_to_tensor(nacre.Variable([1.0])).dtype == "float32"
    assert ops.array([1, 2]).dtype == "int32"


SAME = (
    lambda v: ops.cast(v, "float32"), lambda v: v[:], ops.convert_to_tensor, lambda v: ops.transpose(v, (0, 1)),
    lambda v: ops.roll(v, 2, axis=1), lambda v: ops.concatenate([v]), lambda v: ops.split(v, 1)[0],
    lambda v: ops.pad(v, ((0, 0), (0, 0))), lambda v: ops.reshape(v, (3, 1)), lambda v: ops.broadcast_to(v, (3, 1)),
)  # fmt: skip


@pytest.mark.parametrize("compiled", [False, True])
def test_operations_that_change_nothing_give_the_value_of_a_variable_then(compiled: bool) -> None:
    v = nacre.Variable(np.ones((3, 1), "float32"))

    def step() -> Any:
        old = [same(v) for same in SAME]
        v.assign(v * 2.0)
        return old

    assert [np.max(old) for old in (CompiledFunction(step) if compiled else step)()] == [1.0] * len(SAME)


@pytest.mark.parametrize("value", [object(), [1, "a"], [[1], [1, 2]], None])
def test_what_holds_no_numbers_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        ops.convert_to_tensor(value)


def test_strings_stay_strings_and_are_no_numbers() -> None:
    texts = ops.convert_to_tensor(["a", "bc"])
    assert texts.tolist() == ["a", "bc"]
    with pytest.raises(TypeError):
        ops.exp(texts)
    with pytest.raises(TypeError):
        ops.convert_to_tensor("text", dtype="float32")


def test_convert_to_numpy_gives_memory_of_its_own() -> None:
    t = Tensor.of(X)
    ops.convert_to_numpy(t)[:] = 7
    ops.convert_to_numpy(X)[:] = 7
    np.testing.assert_array_equal(t, X)
    assert X[0, 0] == 0


def test_view_reads_the_same_bits() -> None:
    assert ops.view(np.array([1.0], np.float32), "int32").tolist() == [0x3F800000]


def test_filled_tensors() -> None:
    for function, number in ((ops.zeros, 0), (ops.ones, 1), (ops.empty, 0)):
        t = function((2, 3))
        assert t.dtype == "float32"
        np.testing.assert_array_equal(t, np.full((2, 3), number))
        assert function(3, dtype="int32").dtype == "int32"
    np.testing.assert_array_equal(ops.full((2,), [1.0, 2.0]), [1.0, 2.0])
    assert ops.full((2,), 3).dtype == "float32"
    assert ops.full_like([1, 2], 3.7).tolist() == [3, 3]
    assert ops.empty_like(X).shape == X.shape


def test_large_zeros_in_a_program_hold_no_memory() -> None:
    f = CompiledFunction(lambda v: ops.zeros((300, 300)) + v)
    np.testing.assert_array_equal(f(Tensor.of(np.float32(2))), np.full((300, 300), 2.0))


@pytest.mark.parametrize("args", [(5,), (2, 8, 3), (8, 2, -2), (0.0, 1.0, 0.25), (3.0,), (0, 1, 0.5), (5, 2)])
def test_arange(args: Any) -> None:
    want = np.arange(*args)
    got = ops.arange(*args)
    assert got.dtype == ("int32" if want.dtype.kind == "i" else "float32")
    np.testing.assert_allclose(got, want)
    assert ops.arange(*args, dtype="float64").dtype == "float64"


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 5])
def test_linspace(num: int, endpoint: bool) -> None:
    np.testing.assert_allclose(ops.linspace(0, 3, num, endpoint), np.linspace(0, 3, num, endpoint), rtol=1e-6)
    a, b = np.array([0.0, 1.0], np.float32), np.array([1.0, 5.0], np.float32)
    for axis in (0, -1):
        got = ops.linspace(a, b, num, endpoint, axis=axis)
        np.testing.assert_allclose(got, np.linspace(a, b, num, endpoint, axis=axis), rtol=1e-6)


def test_spacings_and_matrices() -> None:
    points, gap = ops.linspace(0, 1, 5, retstep=True)
    assert float(gap) == 0.25 and points.shape == (5,)
    np.testing.assert_allclose(ops.logspace(0, 2, 3), [1, 10, 100], rtol=1e-5)
    np.testing.assert_allclose(ops.geomspace(1, 100, 3), [1, 10, 100], rtol=1e-5)
    first, last = np.array([1.0, -2.0]), np.array([8.0, -16.0])
    np.testing.assert_allclose(ops.geomspace(first, last, 4, axis=1), np.geomspace(first, last, 4, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(ops.eye(2, 3, k=1), np.eye(2, 3, 1))
    np.testing.assert_array_equal(ops.identity(2), np.eye(2))
    np.testing.assert_array_equal(ops.tri(3, 4, -1), np.tri(3, 4, -1))


def test_nonzero_and_where_find_positions() -> None:
    for found in (ops.nonzero(X), ops.where(X)):
        np.testing.assert_array_equal(np.stack([np.asarray(f) for f in found]), np.stack(np.nonzero(X)))


def test_masks_pick_eagerly() -> None:
    t = Tensor.of(X)
    np.testing.assert_array_equal(t[t > 2], X[X > 2])
    np.testing.assert_array_equal(t[np.array([True, False])], X[[True, False]])
    np.testing.assert_array_equal(t[:, np.array([True, False, True])], X[:, [0, 2]])


def test_counts_per_value() -> None:
    assert ops.bincount([1, 1, 3]).tolist() == [0, 2, 0, 1]
    assert ops.bincount([1, 1], minlength=4).tolist() == [0, 2, 0, 0]
    assert ops.bincount([0, 2], weights=[0.5, 2.0]).tolist() == [0.5, 0.0, 2.0]
    assert ops.bincount([[0, 1], [2, 2]]).tolist() == [[1, 1, 0], [0, 0, 2]]
    assert ops.bincount(np.zeros(0, np.int32)).tolist() == []
    with pytest.raises(TracedBranch):  # an empty result would be wrong in silence
        CompiledFunction(ops.bincount)(np.array([1, 2, 2]))
    counts, edges = ops.histogram(X, 3)
    np.testing.assert_array_equal(counts, np.histogram(X, 3)[0])
    np.testing.assert_allclose(edges, np.histogram(X, 3)[1])


@pytest.mark.parametrize("range_", [None, (-1, 2), (0.5, 0.5)])
def test_histograms_inside_a_model_are_those_outside(range_: Any) -> None:
    inputs = Input((None,))
    counts, edges = ops.histogram(inputs, 4, range_)
    assert (counts.shape, edges.shape) == ((4,), (5,))
    model = Model(inputs, [counts, edges])
    for data in (np.linspace(-2, 3, 20).reshape(4, 5), np.full((2, 3), 7.0), [[0.5, -1, 2, np.nan]]):
        data = np.asarray(data, np.float32)
        if range_ is not None or np.isfinite(data).all():
            got, wanted = model(data), np.histogram(data, 4, range_)
            np.testing.assert_array_equal(got[0], wanted[0])
            np.testing.assert_allclose(got[1], wanted[1], rtol=1e-6)


def test_unique_with_all_its_companions() -> None:
    data = np.array([3, 1, 3, 2], np.int32)
    got = ops.unique(data, return_index=True, return_inverse=True, return_counts=True)
    for g, w in zip(got, np.unique(data, True, True, True)):
        np.testing.assert_array_equal(g, w)
    assert ops.unique(data, size=5, fill_value=-1).tolist() == [1, 2, 3, -1, -1]


def test_iteration_and_length() -> None:
    assert len(Tensor.of(X)) == 2
    assert [row.tolist() for row in Tensor.of(X)] == X.tolist()
    with pytest.raises(TypeError):
        len(Tensor.of(1.0))


def test_an_int_outside_is_an_index_error() -> None:
    t = Tensor.of(X)
    for key in (2, -3, (0, 3), (0, 0, 0)):
        with pytest.raises(IndexError):
            t[key]


def test_positions_outside_read_nan_and_write_nothing() -> None:
    assert np.isnan(np.asarray(ops.take(X, [5, 0], axis=1))[:, 0]).all()
    assert ops.scatter([[7], [0]], [1.0, 2.0], (2,)).tolist() == [2.0, 0.0]
    assert ops.one_hot([9], 2).tolist() == [[0.0, 0.0]]
    assert np.isnan(np.asarray(ops.sparse_categorical_crossentropy([5], [[0.1, 0.9]]))).all()
    assert np.isnan(np.asarray(ops.sparse_categorical_crossentropy([5], [[0.1, 0.9]], from_logits=True))).all()


@pytest.mark.parametrize("left", [X, X.astype(np.float64), np.float32(2), np.int64(2)])
def test_a_numpy_value_on_the_left_gives_a_tensor(left: Any) -> None:
    t = Tensor.of(X)
    for y, want in ((left + t, left + X), (left * t, left * X), (left - t, left - X), (left >= t, left >= X)):
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y, want)


def test_numpy_functions_take_tensors() -> None:
    t = Tensor.of(X)
    for function in (np.max, np.mean, np.argmax, np.exp, np.sort):
        np.testing.assert_array_equal(function(t), function(X))


def test_numpy_functions_give_arrays_also_where_a_tensor_has_a_method_of_that_name() -> None:
    t = Tensor.of([[0.25, 0.75]])
    for y in (np.squeeze(t), np.reshape(t, -1), np.stack([t, t]), np.transpose(t), np.concatenate([t, X[:1, :2]])):
        assert type(y) is np.ndarray
    assert np.random.default_rng(0).choice(2, p=np.squeeze(t)) in (0, 1)
    with pytest.raises(ValueError, match="read-only"):
        np.copyto(t, np.zeros((1, 2)))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8])
def test_windows(n: int) -> None:
    for name in ("bartlett", "blackman", "hamming", "hanning"):
        np.testing.assert_allclose(getattr(ops, name)(n), getattr(np, name)(n), atol=1e-6)
    np.testing.assert_allclose(ops.kaiser(n, 8.0), np.kaiser(n, 8.0), atol=1e-6)


def test_nextafter_goes_one_float_on() -> None:
    assert np.asarray(ops.nextafter(np.float32(1), np.float32(2))) == np.nextafter(np.float32(1), np.float32(2))
    assert ops.nextafter(1.0, 2.0).item() == np.nextafter(np.float32(1), np.float32(2))


def test_the_matrix_operator() -> None:
    t = Tensor.of(X)
    for y in (t @ X.T, X @ Tensor.of(X.T.copy())):
        np.testing.assert_array_equal(y, X @ X.T)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size, stride", [((2, 2), 2), ((3, 2), 1), ((1, 3), 3)])
@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_pooling_keeps_every_digit_of_wide_numbers(
    dtype: str, size: tuple[int, int], stride: int, padding: str
) -> None:
    x = (np.random.default_rng(0).normal(size=(2, 7, 5, 3)) * 4e8).astype(dtype)
    largest = np.asarray(ops.max_pool(x, size, stride, padding))
    out, pads = [], []
    for n, k in zip(x.shape[1:3], size):
        total = max((-(-n // stride) - 1) * stride + k - n, 0) if padding == "same" else 0
        pads.append((total // 2, total - total // 2))
        out.append((n + total - k) // stride + 1)
    means = np.asarray(ops.average_pool(x, size, stride, padding)) if dtype == "float64" else None
    for i, j in np.ndindex(*out):
        begin = [p * stride - a for p, (a, _) in zip((i, j), pads)]
        rows, columns = (slice(max(b, 0), b + k) for b, k in zip(begin, size))
        seen = x[:, rows, columns]
        assert np.array_equal(largest[:, i, j], seen.max((1, 2)))
        if means is not None:
            assert np.allclose(means[:, i, j], seen.mean((1, 2)), rtol=1e-14)
    assert largest.dtype == dtype


def test_the_first_of_equals_has_the_gradient_of_wide_pooling() -> None:
    x = nacre.Variable(np.array([[[2.0], [2.0], [np.nan], [1.0], [0.0], [0.0]]]), dtype="float64")
    with nacre.GradientTape() as tape:
        y = ops.max_pool(x.value, 2)
    assert np.array_equal(np.asarray(y).ravel(), [2.0, np.nan, 0.0], equal_nan=True)
    assert np.asarray(tape.gradient(y, x)).ravel().tolist() == [1, 0, 1, 0, 1, 0]


def test_depth_to_space_with_channels_first_takes_the_channels_of_a_pixel_together() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    y = ops.depth_to_space(x, 2, data_format="channels_first")
    assert y.numpy()[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    np.testing.assert_array_equal(ops.space_to_depth(y, 2, data_format="channels_first"), x)


def test_numbers_beyond_a_whole_dtype_are_computed_with_and_not_cut() -> None:
    whole, least = np.int32([0, 1, 2]), np.int32([-(2**31), 6])
    assert ops.threshold(whole, 0.5, 2.5).tolist() == [2.5, 1, 2]
    assert ops.fmod(np.int32([1, -7, 7]), np.int32([-(2**31), 3, -3])).tolist() == [1, -1, 1]
    assert ops.gcd(least, 1).tolist() == [1, 1]
    pixels = np.uint8([0, 7, 255])
    assert ops.greater(pixels, -1).numpy().all() and ops.not_equal(pixels, 300).numpy().all()
    assert ops.add(pixels, -1).tolist() == [-1, 6, 254] and ops.clip(pixels, -1, 9).tolist() == [0, 7, 9]
    wide = np.float32([-1e30, -0.5, 300, np.inf])
    assert ops.saturate_cast(wide, "int8").tolist() == [-128, 0, 127, 127]
    assert ops.saturate_cast(wide, "bool").tolist() == [False, False, True, True]
    assert np.isfinite(ops.saturate_cast(wide, "float32")).all()


def test_a_transform_without_a_window_takes_whole_frames() -> None:
    x = np.random.default_rng(0).normal(size=20).astype("float32")
    real, imaginary = ops.stft(x, 5, 4, 8, window=None, center=False)
    expected = np.fft.rfft(np.stack([x[i : i + 8] for i in range(0, 13, 4)]))
    np.testing.assert_allclose(np.asarray(real) + 1j * np.asarray(imaginary), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int64"])
def test_positions_may_have_any_whole_dtype(dtype: str) -> None:
    x, at = Tensor.of(X), np.array([1, 0], dtype)
    assert ops.get_item(x, ops.convert_to_tensor(at)).tolist() == X[[1, 0]].tolist()
    assert ops.take_along_axis(X, at[:, None], 1).tolist() == [[1], [3]]
    assert [a.tolist() for a in ops.unravel_index(at, (2, 2))] == [[0, 0], [1, 0]]
    loss = ops.sparse_categorical_crossentropy(at, np.float32([[0.5, 0.5], [0.25, 0.75]]))
    np.testing.assert_allclose(loss, -np.log([0.5, 0.25]), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (300, 64), (7,), (0, 3), (4, 0)], ids=str)
def test_a_scatter_along_one_axis_adds_in_the_order_of_its_positions(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    at = rng.integers(-shape[0] - 2, shape[0] + 3, 200).astype("int32")
    given = rng.standard_normal((200, *shape[1:])).astype("float32")
    want = np.zeros(shape, "float32")
    for i, row in zip(at, given):
        if -shape[0] <= i < shape[0]:
            want[i] += row
    np.testing.assert_array_equal(ops.scatter(at[:, None], given, shape).numpy(), want)
    add = CompiledFunction(lambda index, updates: ops.scatter(index, updates, shape))
    assert "scatter_nd" not in [row["kernel"] for row in add.profile(at[:, None], given, repeats=1)]


def test_tensors_have_methods_as_arrays_of_numpy_have():
    def work(x):
        y = ((x - x.mean(axis=0, keepdims=True)) / x.std()).clip(-1, 1).transpose(1, 0)
        return y.flatten(), y.max(-1), (y > 0).sum(axis=1), y.argsort(), y.repeat(2, axis=0).dot(y.T).round(2)

    for eager, compiled, own in zip(work(ops.array(X)), CompiledFunction(work)(X), work(X), strict=True):
        np.testing.assert_allclose(eager, own, atol=1e-6)
        np.testing.assert_allclose(compiled, own, atol=1e-6)


@pytest.mark.parametrize("places", [np.arange(7.0), np.arange(3.0), np.float32(2)], ids=repr)
def test_an_area_has_a_place_for_each_value(places: Any) -> None:
    with pytest.raises(ValueError, match="trapezoid: expected a place in `x` for each of 5 values"):
        ops.trapezoid(np.ones((3, 5), "float32"), places)
