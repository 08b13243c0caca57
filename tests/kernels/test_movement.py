import itertools

import numpy as np
import pytest

from kernel_check import dtype_code, garbage, run_everywhere, same
from nacre import _core


def padded(values, n):
    return list(values) + [0] * (n - len(values))


def copy_shape(dims, in_strides, out_strides, itemsize, in_offset=0, out_offset=0):
    return dict(
        rank=len(dims),
        dims=padded(dims, 8),
        in_strides=padded(in_strides, 8),
        out_strides=padded(out_strides, 8),
        in_offset=in_offset,
        out_offset=out_offset,
        itemsize=itemsize,
    )


def strides(shape):
    return [int(np.prod(shape[d + 1 :])) for d in range(len(shape))]


TRANSPOSES = [
    ((1,), (0,)),
    ((7, 5), (1, 0)),
    ((64, 64), (1, 0)),
    ((33, 100), (1, 0)),
    ((2, 3, 4), (0, 2, 1)),
    ((2, 3, 4), (2, 1, 0)),
    ((4, 33, 40), (0, 2, 1)),
    ((5, 6, 7, 3), (0, 3, 1, 2)),
    ((2, 3, 8, 9), (0, 2, 3, 1)),
    ((3, 40, 2, 16), (0, 2, 1, 3)),
    ((2, 2, 2, 2, 2, 2, 2, 2), (7, 6, 5, 4, 3, 2, 1, 0)),
    ((1, 5, 1, 6), (3, 2, 1, 0)),
    ((100, 3), (1, 0)),
    ((0, 3), (1, 0)),
    ((300, 200), (1, 0)),
    ((20000, 2), (0, 1)),
    ((700, 2, 24), (0, 2, 1)),
    ((700, 24, 2), (0, 2, 1)),
    ((9, 2, 30000), (0, 2, 1)),
    ((3, 30000, 2), (0, 2, 1)),
    ((50, 2, 2, 3), (0, 2, 1, 3)),
    ((70, 2, 5, 2), (0, 2, 3, 1)),
]


@pytest.mark.parametrize("shape,axes", TRANSPOSES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "complex128", "S3"])
def test_transpose(shape, axes, dtype, rng):
    raw = rng.integers(0, 255, shape + (np.dtype(dtype).itemsize,)).astype(np.uint8)
    x = raw.view(f"V{np.dtype(dtype).itemsize}").reshape(shape)
    out = tuple(shape[a] for a in axes)
    fields = copy_shape(out, [strides(shape)[a] for a in axes], strides(out), x.itemsize)
    want = np.ascontiguousarray(x.transpose(axes))
    for isa, (y,) in run_everywhere("strided_copy", fields, [x.view(np.uint8)], [((want.nbytes,), np.uint8)]).items():
        assert y.tobytes() == want.tobytes(), isa


def test_pixels_of_few_channels_are_mirrored(rng):
    for channels, dtype in itertools.product(range(1, 7), (np.uint8, np.float32, np.float64)):
        x = rng.integers(0, 200, (3, 37, channels)).astype(dtype)
        by_row, by_pixel, one = strides(x.shape)
        fields = copy_shape(x.shape, [by_row, -by_pixel, one], strides(x.shape), x.itemsize, 36 * by_pixel)
        for isa, (y,) in run_everywhere("strided_copy", fields, [x.view(np.uint8)], [((x.nbytes,), np.uint8)]).items():
            assert y.tobytes() == x[:, ::-1].tobytes(), isa


def test_flip_slice_and_tile(rng):
    x = rng.standard_normal((6, 10)).astype(np.float32)
    cases = [
        (x[::-1], copy_shape((6, 10), (-10, 1), (10, 1), 4, in_offset=50)),
        (x[:, ::-1], copy_shape((6, 10), (10, -1), (10, 1), 4, in_offset=9)),
        (x[1:5:2, 2:9:3], copy_shape((2, 3), (20, 3), (3, 1), 4, in_offset=12)),
        (np.tile(x, (3, 2)), copy_shape((3, 6, 2, 10), (0, 10, 0, 1), (120, 20, 10, 1), 4)),
        (np.repeat(x, 3, 1), copy_shape((6, 10, 3), (10, 1, 0), (30, 3, 1), 4)),
        (x[::-1, ::-1].T, copy_shape((10, 6), (-1, -10), (6, 1), 4, in_offset=59)),
    ]
    for want, fields in cases:
        for isa, (y,) in run_everywhere("strided_copy", fields, [x], [(want.shape, np.dtype(np.float32))]).items():
            same(y, want, isa)


def test_a_copy_into_the_middle_leaves_the_rest_alone(rng):
    x = rng.standard_normal((3, 4)).astype(np.float32)
    fields = copy_shape((3, 4), (4, 1), (10, 2), 4, out_offset=11)
    for isa in _core.isas():
        y = np.zeros((5, 10), np.float32)
        _core.run_kernel("strided_copy", fields, [x], [y], isa=isa, slices=2)
        want = np.zeros_like(y)
        want[1:4, 1:9:2] = x
        same(y, want, isa)
    reversed_out = copy_shape((4,), (1,), (-1,), 4, out_offset=3)
    for isa, (y,) in run_everywhere("strided_copy", reversed_out, [x[0]], [((4,), np.dtype(np.float32))]).items():
        same(y, x[0, ::-1], isa)


@pytest.mark.parametrize(
    "bad",
    [
        dict(rank=9),
        dict(itemsize=0),
        dict(in_offset=-1),
        dict(dims=[2, -1] + [0] * 6),
        dict(in_strides=[-1] + [0] * 7),
        dict(out_strides=[0] * 8),
        dict(out_strides=[1, 1] + [0] * 6),
        dict(dims=[1 << 40, 1 << 40] + [0] * 6),
        dict(in_strides=[1 << 62, 1] + [0] * 6),
        dict(dims=[0, 1 << 62] + [0] * 6, in_strides=[1 << 62] * 8),
    ],
    ids=str,
)
def test_impossible_copies_are_refused(bad):
    good = copy_shape((2, 3), (3, 1), (3, 1), 4)
    assert _core.facts("strided_copy", good)["error"] is None
    assert _core.facts("strided_copy", good | bad)["error"]


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric", "edge"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_pad(mode, dtype, rng):
    cases = [
        ((4,), [(1, 2)]),
        ((3, 5), [(0, 2), (3, 0)]),
        ((2, 4, 5, 3), [(0, 0), (1, 2), (2, 1), (0, 0)]),
        ((2, 3, 1), [(1, 1), (5, 7), (2, 2)]),
        ((3, 4), [(0, 0), (0, 0)]),
        ((), []),
        ((30, 40, 20), [(0, 0), (1, 1), (0, 0)]),
    ]
    if mode == "constant":
        cases += [((0, 3), [(1, 1), (0, 1)]), ((2, 0), [(1, 0), (0, 0)])]
    for shape, width in cases:
        x = rng.integers(0, 100, shape).astype(dtype)
        value = 1.0 if mode == "constant" else 0.0
        want = np.pad(x, width, mode=mode, **({"constant_values": 1} if mode == "constant" else {})) if shape else x
        fields = dict(
            rank=len(shape),
            dims=padded(shape, 8),
            before=padded([a for a, _ in width], 8),
            after=padded([b for _, b in width], 8),
            mode=["constant", "reflect", "symmetric", "edge"].index(mode),
            dtype=dtype_code(dtype),
            value=value,
        )
        for isa, (y,) in run_everywhere("pad", fields, [x], [(want.shape, np.dtype(dtype))]).items():
            same(y, want, isa)


def test_an_empty_dim_cannot_be_reflected():
    fields = dict(rank=1, dims=[0] * 8, before=[1] + [0] * 7, after=[0] * 8, mode=1, dtype=0, value=0.0)
    assert _core.facts("pad", fields)["error"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_iota(dtype):
    for n in (0, 1, 5, 40000):
        for start, step in ((0, 1), (3, 2), (7, 0)):
            fields = dict(n=n, dtype=dtype_code(dtype), start=float(start), step=float(step))
            want = (start + step * np.arange(n)).astype(dtype)
            for isa, (y,) in run_everywhere("iota", fields, [], [((n,), np.dtype(dtype))]).items():
                same(y, want, isa)


@pytest.mark.parametrize("index", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_one_hot(index, dtype):
    at = np.array([0, 2, 4, 5, 200, 1], index)
    if index != "uint8":
        at[4] = -1
    for depth in (5, 1, 0):
        want = (at[:, None] == np.arange(depth)).astype(dtype)
        fields = dict(n=6, depth=depth, index_dtype=dtype_code(index), dtype=dtype_code(dtype))
        for isa, (y,) in run_everywhere("one_hot", fields, [at], [((6, depth), np.dtype(dtype))]).items():
            same(y, want, isa)


@pytest.mark.parametrize(
    "rows,widths,dtype",
    [
        (1, [1], "float32"),
        (5, [3, 4], "float32"),
        (100, [64, 128, 32, 32], "float32"),
        (7, [1, 0, 2, 31, 17], "float64"),
        (3, [5] * 16, "uint8"),
        (0, [2, 3], "float32"),
        (4, [0, 0], "float32"),
        (1, [20000, 3, 40000], "float32"),
        (2, [15, 16, 17, 33], "int16"),
        (3, [300, 700], "float64"),
    ],
    ids=str,
)
def test_concat_and_split(rows, widths, dtype, rng):
    parts = [rng.integers(0, 255, (rows, w)).astype(dtype) for w in widths]
    want = np.concatenate(parts, 1)
    fields = dict(rows=rows, count=len(widths), widths=padded(widths, 16), itemsize=np.dtype(dtype).itemsize)
    absent = [None] * (16 - len(widths))
    for isa, (y,) in run_everywhere("concat", fields, parts + absent, [(want.shape, np.dtype(dtype))]).items():
        same(y, want, isa)
    for isa, got in run_everywhere("split", fields, [want], [(p.shape, p.dtype) for p in parts] + absent).items():
        for y, part in zip(got, parts):
            same(y, part, isa)


@pytest.mark.parametrize(
    "bad",
    [
        dict(rows=-1),
        dict(count=17),
        dict(count=0),
        dict(itemsize=0),
        dict(widths=[-1] + [0] * 15),
        dict(rows=1 << 60),
        dict(widths=[1 << 62] * 16),
    ],
    ids=str,
)
def test_impossible_concats_are_refused(bad):
    fields = dict(rows=16, count=2, widths=padded([1, 2], 16), itemsize=4) | bad
    assert _core.facts("concat", fields)["error"] and _core.facts("split", fields)["error"]


def test_garbage_is_garbage():
    assert np.isnan(garbage((2,), np.float32)).all()
