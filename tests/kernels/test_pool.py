import numpy as np
import pytest

from kernels.image_calls import gathered, run, same_bits_for_any_split, spread
from nacre import _core

EPS = np.finfo(np.float32).eps
ISAS = _core.isas()


def pool(N=1, H=4, W=4, C=1, K=(2, 2), S=None, padding="valid", **more):
    S = S or K
    s = {"N": N, "H": H, "W": W, "C": C, "KH": K[0], "KW": K[1], "SH": S[0], "SW": S[1], "index": 0, "ldx": 0, "ldy": 0}
    for size, k, st, out, pad in (("H", "KH", "SH", "OH", "PT"), ("W", "KW", "SW", "OW", "PL")):
        if padding == "same":
            s[out] = -(-s[size] // s[st])
            s[pad] = max((s[out] - 1) * s[st] + s[k] - s[size], 0) // 2
        else:
            s[out] = max((s[size] - s[k]) // s[st] + 1, 0)
            s[pad] = 0
    s.update(more)
    return s


CASES = {
    "2x2": pool(N=2, H=8, W=6, C=32),
    "2x2-odd": pool(N=2, H=9, W=7, C=19),
    "2x2-same-odd": pool(N=2, H=9, W=7, C=70, padding="same"),
    "2x2-shifted": pool(N=2, H=9, W=8, C=150, PT=1, PL=1, OH=5, OW=5),
    "2x2-slices": pool(N=2, H=5, W=8, C=40, PT=1, PL=1, OH=3, OW=5, ldx=41, ldy=70),
    "3x3-s2-same": pool(N=2, H=10, W=11, C=33, K=(3, 3), S=(2, 2), padding="same"),
    "3x3-s2": pool(N=2, H=10, W=11, C=64, K=(3, 3), S=(2, 2)),
    "3x3-s1-same": pool(N=1, H=6, W=5, C=128, K=(3, 3), S=(1, 1), padding="same"),
    "3x2-s1x3": pool(N=3, H=7, W=12, C=5, K=(3, 2), S=(1, 3)),
    "long-s1": pool(N=1, H=4, W=133, C=5, K=(3, 3), S=(1, 1), padding="same"),
    "long-s2": pool(N=1, H=5, W=263, C=19, K=(3, 3), S=(2, 2), padding="same"),
    "long-5": pool(N=1, H=3, W=70, C=42, K=(5, 5), S=(1, 1), padding="same"),
    "long-4-s2": pool(N=1, H=5, W=141, C=75, K=(3, 4), S=(1, 2), padding="same"),
    "3x3-s1-valid": pool(N=2, H=7, W=9, C=85, K=(3, 3), S=(1, 1)),
    "3x3-s1-slices": pool(N=2, H=5, W=6, C=20, K=(3, 3), S=(1, 1), PT=4, PL=2, OH=11, OW=7, ldx=33, ldy=25),
    "gaps": pool(N=2, H=11, W=13, C=3, K=(2, 2), S=(4, 3)),
    "gaps-same": pool(N=2, H=11, W=13, C=3, K=(2, 2), S=(4, 3), padding="same"),
    "1-D": pool(N=2, H=1, W=301, C=7, K=(1, 5), S=(1, 2), padding="same"),
    "1x1": pool(N=2, H=3, W=3, C=4, K=(1, 1)),
    "large-window": pool(N=1, H=20, W=21, C=5, K=(17, 18), S=(3, 2), padding="same"),
    "window-over-image": pool(N=2, H=3, W=2, C=5, K=(7, 5), S=(2, 2), padding="same"),
    "many-rows": pool(N=40, H=16, W=16, C=16),
    "no-images": pool(N=0, H=4, W=4, C=3),
    "no-rows": pool(N=2, H=1, W=4, C=3),
    "no-channels": pool(N=2, H=4, W=4, C=0),
    "outside": pool(N=2, H=4, W=4, C=20, PT=5, PL=3, OH=6, OW=7),
    "3x3-s2-cropped": pool(N=2, H=9, W=10, C=20, K=(3, 3), S=(2, 2), PT=-3, PL=-2, OH=2, OW=2),
    "3x3-s2-padded": pool(N=2, H=6, W=7, C=24, K=(3, 3), S=(2, 2), PT=4, PL=3, OH=7, OW=8),
    "cropped": pool(N=2, H=9, W=9, C=2, PT=-3, PL=-2, OH=2, OW=5),
    "channel-slices": pool(N=2, H=6, W=7, C=20, K=(3, 3), S=(2, 2), padding="same", ldx=33, ldy=25),
}


def windows(s):
    """For every output pixel: (oh, ow, [(tap, ih, iw) within the image])."""
    for oh in range(s["OH"]):
        for ow in range(s["OW"]):
            seen = []
            for kh in range(s["KH"]):
                for kw in range(s["KW"]):
                    ih, iw = oh * s["SH"] + kh - s["PT"], ow * s["SW"] + kw - s["PL"]
                    if 0 <= ih < s["H"] and 0 <= iw < s["W"]:
                        seen.append((kh * s["KW"] + kw, ih, iw))
            yield oh, ow, seen


def arrays(s, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"])).astype(np.float32)
    x = np.round(x * 2) / 2  # so that maxima are often shared
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], s["C"])).astype(np.float32)
    return x, dy


def max_reference(s, x):
    y = np.full((s["N"], s["OH"], s["OW"], s["C"]), -np.inf)
    index = np.zeros(y.shape, np.int64)
    for oh, ow, seen in windows(s):
        if seen:
            values = np.stack([x[:, ih, iw] for _, ih, iw in seen])
            first = np.argmax(values, axis=0)  # the first NaN, else the first maximum
            y[:, oh, ow] = np.take_along_axis(values, first[None], 0)[0]
            index[:, oh, ow] = np.array([tap for tap, *_ in seen])[first]
    return y, index


def run_max(s, x, isa):
    return same_bits_for_any_split("max_pool2d", dict(s, index=1), (spread(x, s["ldx"]),), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_max_pool(name, isa):
    s = CASES[name]
    x, _ = arrays(s)
    want, want_index = max_reference(s, x)
    y, index = run_max(s, x, isa)
    if s["KH"] * s["KW"] > 256:
        index = index.view(np.int32)
    assert np.array_equal(gathered(y, want.shape, s["ldy"]), want)
    assert np.array_equal(index.reshape(want.shape), want_index)
    (alone,) = run("max_pool2d", s, (spread(x, s["ldx"]),), isa)[:1]
    assert np.array_equal(alone, y, equal_nan=True)  # NaN: the gaps between channel slices


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_max_pool_grad_x_gives_all_to_the_first_maximum(name, isa):
    s = CASES[name]
    x, dy = arrays(s)
    _, want_index = max_reference(s, x)
    _, index = run_max(s, x, isa)
    want = np.zeros(x.shape)
    for oh, ow, seen in windows(s):
        for tap, ih, iw in seen:
            want[:, ih, iw] += np.where(want_index[:, oh, ow] == tap, dy[:, oh, ow].astype(np.float64), 0)
    (dx,) = same_bits_for_any_split("max_pool2d_grad_x", s, (spread(dy, s["ldy"]), index), isa)
    overlap = -(-s["KH"] // s["SH"]) * -(-s["KW"] // s["SW"])
    assert np.allclose(gathered(dx, x.shape, s["ldx"]), want, rtol=0, atol=5 * EPS * overlap)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_avg_pool_counts_what_it_sees(name, isa):
    s = CASES[name]
    x, dy = arrays(s)
    want = np.zeros(dy.shape)
    want_dx = np.zeros(x.shape)
    for oh, ow, seen in windows(s):
        for _, ih, iw in seen:
            want[:, oh, ow] += x[:, ih, iw] / np.float64(len(seen))
            want_dx[:, ih, iw] += dy[:, oh, ow] / np.float64(len(seen))
    (y,) = same_bits_for_any_split("avg_pool2d", s, (spread(x, s["ldx"]),), isa)
    taps = s["KH"] * s["KW"]
    assert np.allclose(gathered(y, want.shape, s["ldy"]), want, rtol=4 * EPS, atol=4 * EPS * taps**0.5)
    (dx,) = same_bits_for_any_split("avg_pool2d_grad_x", s, (spread(dy, s["ldy"]),), isa)
    assert np.allclose(gathered(dx, x.shape, s["ldx"]), want_dx, rtol=4 * EPS, atol=4 * EPS * taps**0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_sums_of_windows_that_do_not_overlap_and_their_gradients(name, isa):
    s = {**CASES[name], "index": 1}
    if s["SH"] < s["KH"] or s["SW"] < s["KW"]:
        for kernel in ("avg_pool2d", "avg_pool2d_grad_x"):
            assert "overlap" in _core.facts(kernel, s)["error"]
        return
    x, dy = arrays(s)
    want, want_dx = np.zeros(dy.shape), np.zeros(x.shape, np.float32)
    for oh, ow, seen in windows(s):
        for _, ih, iw in seen:
            want[:, oh, ow] += x[:, ih, iw]
            want_dx[:, ih, iw] = dy[:, oh, ow]
    (y,) = same_bits_for_any_split("avg_pool2d", s, (spread(x, s["ldx"]),), isa)
    taps = s["KH"] * s["KW"]
    assert np.allclose(gathered(y, want.shape, s["ldy"]), want, rtol=4 * EPS, atol=4 * EPS * taps)
    (dx,) = same_bits_for_any_split("avg_pool2d_grad_x", s, (spread(dy, s["ldy"]),), isa)
    assert np.array_equal(gathered(dx, x.shape, s["ldx"]), want_dx)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("C", [1, 16, 70])
@pytest.mark.parametrize("K, S", [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((2, 2), (2, 2))], ids=str)
def test_nan_wins_and_the_first_one_is_remembered(isa, C, K, S):
    s = pool(H=7, W=8, C=C, K=K, S=S, padding="same")
    x, _ = arrays(s)
    x[0, 1, 2] = x[0, 2, 0] = x[0, 4, 5] = x[0, 3, 3] = x[0, 6, 7] = np.nan
    x[0, 0, 0], x[0, 0, 5], x[0, 5, 1] = np.inf, -np.inf, 3e38
    want, want_index = max_reference(s, x)
    y, index = run_max(s, x, isa)
    assert np.array_equal(y.reshape(want.shape), want, equal_nan=True)
    assert np.array_equal(index.reshape(want.shape), want_index)
    (alone,) = run("max_pool2d", s, (x,), isa)[:1]
    assert np.array_equal(np.isnan(alone), np.isnan(y))


@pytest.mark.parametrize(
    "changes", [{"KH": 0}, {"SW": -1}, {"N": -1}, {"index": 2}, {"ldy": 2}, {"OH": 2**31}], ids=str
)
@pytest.mark.parametrize("kernel", ["max_pool2d", "max_pool2d_grad_x", "avg_pool2d", "avg_pool2d_grad_x"])
def test_impossible_fields_are_refused(kernel, changes):
    assert _core.facts(kernel, pool(C=3, **changes))["error"]


@pytest.mark.parametrize("kernel", ["max_pool2d", "max_pool2d_grad_x", "avg_pool2d", "avg_pool2d_grad_x"])
def test_facts_are_total(kernel):
    values = (-(2**63), -1, 0, 1, 2, 2**29, 2**30 - 1, 2**63 - 1)
    rng = np.random.default_rng(5)
    plain = pool(C=4)
    for _ in range(2000):
        s = {n: int(values[rng.integers(len(values))]) if rng.random() < 0.3 else v for n, v in plain.items()}
        facts = _core.facts(kernel, s)
        assert facts["error"] or facts["units"] >= 0
