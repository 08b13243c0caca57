import numpy as np
import pytest

from kernel_check import dtype_code, run_everywhere, same
from nacre import _core

KINDS = ["uniform", "normal", "truncated", "bernoulli", "randint", "bits", "gamma"]
STATE = np.array([20261121, 7], np.int64)


def philox(seed, counter, blocks):
    """Words [4, blocks] of Philox4x32-10, written from the paper."""
    mask = np.uint64(0xFFFFFFFF)
    b = np.arange(blocks, dtype=np.uint64)
    x = [
        b & mask,
        b >> np.uint64(32),
        np.full(blocks, counter & 0xFFFFFFFF, np.uint64),
        np.full(blocks, counter >> 32, np.uint64),
    ]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        x = [
            (p1 >> np.uint64(32)) ^ x[1] ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ x[3] ^ np.uint64(k1),
            p0 & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.array(x)


def words(n, per_group=4):
    """The 32-bit word of each element: element w*16 + j of a group is word w of its block j."""
    blocks = -(-n // (16 * per_group)) * 16
    return philox(int(STATE[0]), int(STATE[1]), blocks).reshape(4, -1, 16).transpose(1, 0, 2)


def draw(kind, n, dtype="float32", a=0.0, b=1.0, state=STATE):
    fields = dict(
        n=n,
        kind=KINDS.index(kind),
        dtype=dtype_code(dtype),
        state_dtype=dtype_code(state.dtype),
        a=float(a),
        b=float(b),
    )
    return {isa: y for isa, (y,) in run_everywhere("random", fields, [state], [((n,), np.dtype(dtype))]).items()}


def test_philox_gives_the_known_answers():
    # from the authors' file of known answers: counter and key of zeros
    assert [hex(v) for v in philox(0, 0, 1)[:, 0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 4097, 20000])
def test_bits_and_uniform_are_the_words_of_philox(n):
    w = words(n).reshape(-1)[:n].astype(np.uint32)
    for isa, y in draw("bits", n, "int32").items():
        same(y.view(np.uint32), w, isa)
    for isa, y in draw("uniform", n).items():
        same(y, (w >> 8) * np.float32(2**-24), isa)
    w = words(n, 2).astype(np.uint64)
    wide = (w[:, [0, 2]] << np.uint64(32) | w[:, [1, 3]]).reshape(-1)[:n]
    for isa, y in draw("bits", n, "int64").items():
        same(y.view(np.uint64), wide, isa)
    for isa, y in draw("uniform", n, "float64").items():
        same(y, (wide >> np.uint64(11)) * 2.0**-53, isa)
    for isa, y in draw("randint", n, "int32", -3, 11).items():
        same(y, [-3 + (int(v) * 14 >> 64) for v in wide], isa)


def test_a_state_of_32_bits_is_the_same_stream():
    narrow = draw("uniform", 100, state=STATE.astype(np.int32))
    for isa, y in draw("uniform", 100).items():
        same(y, narrow[isa], isa)


def test_another_seed_or_counter_is_another_stream():
    first = next(iter(draw("uniform", 1000).values()))
    for state in (STATE + [1, 0], STATE + [0, 1], STATE + [1 << 32, 0], STATE + [0, 1 << 32]):
        other = next(iter(draw("uniform", 1000, state=state).values()))
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.15  # 4.7 deviations


def test_uniform_keeps_to_its_interval():
    for a, b in [(-1, 0), (5, 5.000001), (1e6, 1e6 + 1), (-3, 7)]:
        for isa, y in draw("uniform", 20000, a=a, b=b).items():
            assert y.min() >= np.float32(a) and y.max() < np.float32(b), isa


def moments(y, mean, variance, n):
    assert abs(y.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(y.var() / variance - 1) < 5 * np.sqrt(8 / n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    n = 60001
    for isa, y in draw("normal", n, dtype, 3, 2).items():
        assert np.isfinite(y).all(), isa
        moments(y.astype(np.float64), 3, 4, n)
        z = (y.astype(np.float64) - 3) / 2
        for edge, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300)):
            assert abs((np.abs(z) < edge).mean() - share) < 5 * np.sqrt(share * (1 - share) / n)
        assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5 / np.sqrt(n)
        assert abs(np.corrcoef(z[:-16], z[16:])[0, 1]) < 5 / np.sqrt(n)
    for isa, y in draw("truncated", n, dtype, 1, 0.5).items():
        z = (y.astype(np.float64) - 1) / 0.5
        assert np.abs(z).max() <= 2 + 1e-6, isa
        moments(z, 0, 0.773741, n)
    for y in draw("uniform", n, dtype, -1, 1).values():
        moments(y.astype(np.float64), 0, 1 / 3, n)
    for shape in (0.3, 1.0, 4.5):
        for isa, y in draw("gamma", n, dtype, shape, 2).items():
            assert (y >= 0).all() and np.isfinite(y).all()
            assert abs(y.mean() - 2 * shape) < 5 * 2 * np.sqrt(shape / n), isa


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_bernoulli(dtype):
    for isa, y in draw("bernoulli", 40000, dtype, 0.3).items():
        assert set(np.unique(y)) == {0, 1} and abs(y.mean() - 0.3) < 5 * np.sqrt(0.21 / 40000), isa
    for p, value in ((0, 0), (1, 1)):
        for isa, y in draw("bernoulli", 1000, dtype, p).items():
            assert (y == value).all(), isa


def test_whole_numbers_reach_both_ends():
    for isa, y in draw("randint", 5000, "int64", -(2.0**62), 2.0**62).items():
        assert y.min() < -(2**60) and y.max() > 2**60, isa
    for isa, y in draw("randint", 5000, "uint8", 0, 256).items():
        assert set(np.unique(y)) == set(range(256)), isa


@pytest.mark.parametrize("n", [0, 1, 17, 5000])
def test_dropout(n, rng):
    x = rng.standard_normal(n).astype(np.float32)
    keep = draw("uniform", n)
    fields = dict(n=n, state_dtype=3, rate=0.4)
    for isa, (y,) in run_everywhere("dropout", fields, [STATE, x], [((n,), np.dtype(np.float32))]).items():
        same(y, np.where(keep[isa] >= np.float32(0.4), x * np.float32(1 / 0.6), 0), isa)


@pytest.mark.parametrize(
    "bad",
    [
        dict(n=-1),
        dict(kind=7),
        dict(dtype=2),
        dict(state_dtype=0),
        dict(kind=4, dtype=2, a=1.0, b=1.0),
        dict(kind=5),
        dict(kind=6, a=0.0),
        dict(n=1 << 62),
    ],
    ids=str,
)
def test_impossible_fields_are_refused(bad):
    assert _core.facts("random", dict(n=1, kind=0, dtype=0, state_dtype=3, a=0.0, b=1.0) | bad)["error"]
    assert _core.facts("dropout", dict(n=1, state_dtype=3, rate=1.0))["error"]
