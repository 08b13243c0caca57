"""Calls of kernels that work on images, from tests: guarded buffers, and the same bits for any split."""

import numpy as np

from nacre import _core

EPS = np.finfo(np.float32).eps


def spread(array, ld):
    """The pixels of `array` at a distance of `ld` floats in a buffer of NaN; the last pixel ends the buffer."""
    *_, C = array.shape
    if not ld or array.size == 0:
        return np.ascontiguousarray(array, np.float32)
    pixels = array.reshape(-1, C)
    flat = np.full((len(pixels) - 1) * ld + C, np.nan, np.float32)
    for i, p in enumerate(pixels):
        flat[i * ld : i * ld + C] = p
    return flat


def gathered(flat, shape, ld):
    if not ld or flat.size == 0:
        return flat.reshape(shape)
    return np.stack([flat[i * ld : i * ld + shape[-1]] for i in range(int(np.prod(shape[:-1])))]).reshape(shape)


def run(kernel, s, inputs, isa, slices=1):
    """The outputs of a kernel, in buffers of exactly its extents that held NaN before."""
    facts = _core.facts(kernel, s, isa)
    assert facts["error"] is None
    dtypes = [dtype for dtype, side in _core.kernels(isa)[kernel]["operands"] if side == "out"]
    sizes = facts["extents"][len(inputs) :]
    outputs = [np.full(n, np.nan if d == "float32" else 99, d) for n, d in zip(sizes, dtypes, strict=True)]
    _core.run_kernel(kernel, s, list(inputs), outputs, isa, slices)
    return outputs


def same_bits_for_any_split(kernel, s, inputs, isa):
    whole = run(kernel, s, inputs, isa)
    units = _core.facts(kernel, s, isa)["units"]
    backwards = [(i, i + 1) for i in reversed(range(units))] if units < 200 else 5
    for slices in (2, 3, 7, backwards):
        for a, b in zip(whole, run(kernel, s, inputs, isa, slices), strict=True):
            assert a.tobytes() == b.tobytes()
    return whole


def assert_near(got, want, terms, scale):
    """Sums of `terms` float32 products: each rounding is at most eps/2 of a partial sum of about `scale`."""
    assert got.shape == want.shape
    tolerance = 4 * EPS * (terms + 4) ** 0.5 * scale + 1e-30
    assert np.all(np.abs(got - want) <= tolerance), np.nanmax(np.abs(got - want)) / tolerance
