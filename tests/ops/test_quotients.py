"""Floor division and its remainder: the quotients of vectors are those of single numbers."""

import numpy as np
import pytest

from nacre import ops

RNG = np.random.default_rng(8)
N = 4099


def hard(kind):
    b = (RNG.standard_normal(N) * 10.0 ** RNG.integers(-5, 5, N)).astype("float32")
    if kind == "multiples":
        return (RNG.integers(-2000, 2000, N) * b).astype("float32"), b
    if kind == "tenths":
        b = RNG.choice(np.float32([0.1, 0.7, -0.3, 1 / 3, 1, -5]), N)
        return (b * RNG.integers(-99, 99, N) + RNG.choice(np.float32([0, 1e-7, -1e-7]), N)).astype("float32"), b
    if kind == "tiny":
        return (b * 10.0 ** -RNG.integers(6, 28, N) * RNG.choice([1, -1], N)).astype("float32"), b
    a = (RNG.standard_normal(N) * 10.0 ** RNG.integers(-5, 5, N)).astype("float32")
    if kind == "no numbers":
        a[::5], a[::7], b[::3], b[::11] = np.inf, np.nan, 0, -np.inf
        a[::13] = -0.0
    return a, b


@pytest.mark.parametrize("kind", ["any", "multiples", "tenths", "tiny", "no numbers"])
def test_quotients_and_remainders_are_numpys(kind):
    a, b = hard(kind)
    with np.errstate(all="ignore"):
        whole, rest = np.floor_divide(a, b), np.mod(a, b)
    got_rest, got_whole = ops.mod(a, b).numpy(), ops.floor_divide(a, b).numpy()
    np.testing.assert_array_equal(got_rest, rest)
    zeros = rest == 0
    np.testing.assert_array_equal(np.signbit(got_rest[zeros]), np.signbit(rest[zeros]))
    exact = ~(np.abs(whole) >= 2**22)  # beyond, NumPy's quotient is itself a rounded one
    np.testing.assert_array_equal(got_whole[exact], whole[exact])
