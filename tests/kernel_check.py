"""Runs a kernel at every ISA of the machine and at several splits, whose results must be the same bits."""

import numpy as np

from nacre import _core

DTYPES = {"float32": 0, "float64": 1, "int32": 2, "int64": 3, "uint8": 4, "bool": 5}
EPS = float(np.finfo(np.float32).eps)
SPLITS = (None, 2, 3, 7)


def dtype_code(dtype):
    return DTYPES[np.dtype(dtype).name]


def garbage(shape, dtype):
    """What an output holds before the kernel runs: NaN, or a number no result is likely to be."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.full(shape, 0xA5, np.uint8).view(np.bool_)
    return np.full(shape, np.nan if kind == "f" else 0x5A, dtype)


def run_everywhere(name, shape, inputs, outputs):
    """{isa: list of outputs}. `outputs` holds (shape, dtype) pairs, or None for an absent operand."""
    results = {}
    for isa in _core.isas():
        first = None
        for split in SPLITS:
            got = [None if o is None else garbage(*o) for o in outputs]
            _core.run_kernel(name, shape, inputs, got, isa=isa, slices=split)
            if first is None:
                first = got
            for index, (a, b) in enumerate(zip(first, got)):
                if a is not None:
                    assert a.tobytes() == b.tobytes(), f"{name} on {isa}: output {index} differs at {split} slices"
        results[isa] = first
    return results


def same(got, want, isa):
    """Equal element by element, NaN included."""
    np.testing.assert_array_equal(got, want, err_msg=isa)


def close(got, want, isa, tolerance, scale=None):
    """|got - want| <= tolerance * max(|want|, scale), with equal infinities and NaN."""
    want = np.asarray(want, np.float64)
    got = np.asarray(got, np.float64)
    assert got.shape == want.shape, (isa, got.shape, want.shape)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=isa)
    size = np.broadcast_to(np.abs(want) if scale is None else np.maximum(np.abs(want), scale), want.shape)[finite]
    error = np.abs(got[finite] - want[finite]) / np.where(size == 0, 1, size)
    assert error.size == 0 or error.max() <= tolerance, f"{isa}: error {error.max():.3g} > {tolerance:.3g}"
