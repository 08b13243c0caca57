"""Products against float64. Tolerance: the bound of a sum of K products, (K + 3) u sum |a b| with u = eps / 2."""

import numpy as np
import pytest

from kernel_check import EPS, SPLITS, close, run_everywhere
from kernels.acts import ACTS, acted
from nacre import _core

# sizes 0 and 1, one below, at and above the lanes of each ISA, and one above tiles of 4, 6, 8, 12 and 64
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 65, 100]
SHAPES = [(m, k, n) for m in SIZES for k in (0, 1, 17, 65) for n in (1, 10, 16, 17, 100)]
SHAPES += [(5, k, n) for k in SIZES for n in SIZES]
LARGE = [
    (1, 700, 600),
    (1, 8100, 48),  # one row and few columns of what L3 holds, in whole vectors
    (1, 8100, 33),  # and not,
    (1, 4001, 70),
    (1, 2100, 10),  # several chains, in several passes
    (8, 5000, 100),  # none where rows may be shared out
    (7, 1030, 200),
    (33, 1030, 70),
    (130, 513, 66),
    (700, 40, 3),
    (9, 600, 10),
    (100, 300, 129),
    (6, 256, 512),
    (4, 1400, 1600),
    (130, 1030, 176),  # narrower panels between blocks that are copied ahead
    (64, 1200, 112),
    (40, 1024, 64),
    (33, 300, 4100),  # weights of more than 4 MB: blocks of four panels are copied ahead,
    (8, 270, 4096),  # or asked for ahead,
    (4, 1024, 544),  # also by a last panel of the width that copies elsewhere
    (7, 1100, 1000),
    (1, 1029, 1024),  # row by row: rows that share cache sets,
    (2, 1030, 1024),
    (3, 2100, 1003),  # or from memory, with a last panel that ends within a vector
    (4, 2050, 1030),
    (17, 2100, 1003),  # blocks from memory that the first of a few tiles copies
    (9, 513, 1024),  # a copy of rows that share cache sets
    (300, 512, 66),  # columns of x that share cache sets
    (20, 8192, 66),  # so few of them that x is copied
    (1100, 70, 160),  # more of x than L2 keeps
    (1030, 1100, 10),  # few columns: rows of x from memory are asked for,
    (1030, 12, 1100),  # also those of dy
    (12, 130, 1024),  # rows of weights that share a set of L1
]


def name_of(shapes):
    return "large" if shapes is LARGE else f"{len(shapes)}_from_{shapes[0]}"


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def check(got, a, b, K, finish=lambda sums: sums):
    wide = finish(a.astype(np.float64) @ b.astype(np.float64))
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + 4
    for isa, (y,) in got.items():
        close(y.reshape(wide.shape), wide, isa, (K + 3) * EPS / 2, scale)


def dense_fields(M, K, N, **more):
    return {**dict(M=M, N=N, K=K, bias=0, act=0, ldx=0, x0=0, ldy=0, y0=0), **more}


def grad_x_fields(M, K, N, **more):
    return {**dict(M=M, N=N, K=K, mask=0, ldy=0, y0=0, ldx=0, x0=0, ldh=0, h0=0), **more}


def grad_w_fields(M, K, N, **more):
    return {**dict(M=M, N=N, K=K, chunks=0, ldx=0, x0=0, ldy=0, y0=0), **more}


@pytest.mark.parametrize("shapes", [SHAPES[i::8] for i in range(8)] + [LARGE], ids=name_of)
def test_forward_is_the_product_plus_bias_through_relu(shapes, rng):
    for M, K, N in shapes:
        x, w, b = normal(rng, M, K), normal(rng, K, N), normal(rng, N)
        plain = run_everywhere("dense", dense_fields(M, K, N), [x, w, None], [((M, N), np.float32)])
        check(plain, x, w, K)
        full = run_everywhere("dense", dense_fields(M, K, N, bias=1, act=1), [x, w, b], [((M, N), np.float32)])
        check(full, x, w, K, lambda s, b=b: np.maximum(s + b, 0))
        for isa, (y,) in full.items():  # bias and relu come after the whole sum: the same bits as separate operations
            np.testing.assert_array_equal(y, np.maximum(plain[isa][0] + b, 0), err_msg=isa)


@pytest.mark.parametrize("act", [2, *ACTS])
@pytest.mark.parametrize("shapes", [SHAPES[i::24] for i in range(0, 24, 8)] + [LARGE], ids=name_of)
def test_what_is_done_to_stored_sums_has_the_bits_of_elementwise(shapes, act, rng):
    for M, K, N in shapes:
        x, w, b = normal(rng, M, K), normal(rng, K, N), normal(rng, N)
        plain = run_everywhere("dense", dense_fields(M, K, N, bias=1), [x, w, b], [((M, N), np.float32)])
        full = run_everywhere("dense", dense_fields(M, K, N, bias=1, act=act), [x, w, b], [((M, N), np.float32)])
        for isa, (y,) in full.items():
            np.testing.assert_array_equal(y, acted(act, plain[isa][0], isa), err_msg=isa)


def test_what_is_done_to_stored_sums_leaves_wider_rows_alone(rng):
    x, w, b = normal(rng, 9, 20), normal(rng, 20, 40), normal(rng, 40)
    for act in ACTS:
        plain = run_everywhere("dense", dense_fields(9, 20, 40, bias=1), [x, w, b], [((9, 40), np.float32)])
        fields = dense_fields(9, 20, 40, bias=1, act=act, ldy=50, y0=3)
        for isa in plain:
            wide = np.full(9 * 50, 7, np.float32)
            _core.run_kernel("dense", fields, [x, w, b], [wide[: 3 + 8 * 50 + 40]], isa=isa)
            rows = wide.reshape(9, 50)
            np.testing.assert_array_equal(rows[:, 3:43], acted(act, plain[isa][0], isa), err_msg=isa)
            assert (rows[:, :3] == 7).all() and (rows[:, 43:] == 7).all()


@pytest.mark.parametrize("shapes", [SHAPES[i::8] for i in range(8)] + [LARGE], ids=name_of)
def test_input_gradient_is_zero_where_the_input_is_not_positive(shapes, rng):
    for M, K, N in shapes:
        dy, w, h = normal(rng, M, N), normal(rng, K, N), normal(rng, M, K)
        h[:, ::3] = 0
        plain = run_everywhere("dense_grad_x", grad_x_fields(M, K, N), [dy, w, None], [((M, K), np.float32)])
        check(plain, dy, w.T, N)
        masked = run_everywhere("dense_grad_x", grad_x_fields(M, K, N, mask=1), [dy, w, h], [((M, K), np.float32)])
        for isa, (dx,) in masked.items():
            np.testing.assert_array_equal(dx, np.where(h > 0, plain[isa][0], 0), err_msg=isa)


@pytest.mark.parametrize("shapes", [SHAPES[i::8] for i in range(8)] + [LARGE], ids=name_of)
def test_weight_gradient_sums_over_rows(shapes, rng):
    for M, K, N in shapes:
        x, dy = normal(rng, M, K), normal(rng, M, N)
        check(run_everywhere("dense_grad_w", grad_w_fields(M, K, N), [x, dy], [((K, N), np.float32)]), x.T, dy, M)


def by_narrow_columns(name, fields, a, b, columns=24):
    """The same products a few columns at a time: too few to skip zeros, and too many for other forms."""
    M, width = (fields["K"] if name == "dense_grad_w" else fields["M"]), "K" if name == "dense_grad_x" else "N"
    parts = {isa: [] for isa in _core.isas()}
    for piece in np.array_split(b, fields[width] // columns, 0 if width == "K" else 1):
        piece = np.ascontiguousarray(piece)
        inputs = [a, piece] if name == "dense_grad_w" else [a, piece, None]
        n = piece.shape[0 if width == "K" else 1]
        for isa in parts:
            out = np.empty((M, n), np.float32)
            _core.run_kernel(name, {**fields, width: n}, inputs, [out], isa=isa)
            parts[isa].append(out)
    return {isa: np.concatenate(p, 1) for isa, p in parts.items()}


def with_zeros(rng, part, *shape):
    return np.where(rng.random(shape) < part, np.float32(0), normal(rng, *shape))


def unlike_numbers(rng, x, b):
    """Zeros of both signs, terms that vanish below the smallest number, an infinity and a NaN behind a factor of 0."""
    x[x == 0] *= rng.choice(np.float32([1, -1]), (x == 0).sum())
    x[:, ::5] = np.where(x[:, ::5] == 0, x[:, ::5], np.float32(-1e-30))
    b[:, 1] = np.abs(b[:, 1]) * np.float32(1e-30)
    b[3, 40], b[5, -1] = np.inf, np.nan


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(
    "size", [(32, 96, 256), (24, 200, 65), (33, 70, 130), (64, 100, 512), (200, 300, 300)], ids=str
)
@pytest.mark.parametrize("unlike", [False, True])
def test_products_that_skip_zeros_have_the_bits_of_those_that_do_not(unlike, size, part, rng):
    M, K, N = size
    x, w, bias = with_zeros(rng, part, M, K), normal(rng, K, N), normal(rng, N)
    dy = normal(rng, M, N)
    if unlike:
        unlike_numbers(rng, x, w)
        unlike_numbers(rng, x, dy)
    fields, back = dense_fields(M, K, N), grad_w_fields(M, K, N)
    with np.errstate(invalid="ignore"):
        for isa, want in by_narrow_columns("dense", fields, x, w).items():
            (got,) = run_everywhere("dense", fields, [x, w, None], [((M, N), np.float32)])[isa]
            np.testing.assert_array_equal(got, want, err_msg=isa)
            np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]), err_msg=isa)
            full = {**fields, "bias": 1, "act": 1}
            (got,) = run_everywhere("dense", full, [x, w, bias], [((M, N), np.float32)])[isa]
            np.testing.assert_array_equal(got, np.maximum(want + bias, 0), err_msg=isa)
        for isa, want in by_narrow_columns("dense_grad_w", back, x, dy).items():
            (got,) = run_everywhere("dense_grad_w", back, [x, dy], [((K, N), np.float32)])[isa]
            np.testing.assert_array_equal(got, want, err_msg=isa)
            np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]), err_msg=isa)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(
    "size", [(32, 96, 256), (70, 200, 65), (129, 70, 130), (64, 100, 512), (300, 300, 300)], ids=str
)
@pytest.mark.parametrize("unlike", [False, True])
def test_gradients_that_skip_zeros_of_what_comes_back_have_the_bits_of_those_that_do_not(unlike, size, part, rng):
    M, N, K = size
    dy, w, h = with_zeros(rng, part, M, N), normal(rng, K, N), normal(rng, M, K)
    if unlike:
        unlike_numbers(rng, dy, w.T)
    fields = grad_x_fields(M, K, N)
    with np.errstate(invalid="ignore"):
        for isa, want in by_narrow_columns("dense_grad_x", fields, dy, w).items():
            (got,) = run_everywhere("dense_grad_x", fields, [dy, w, None], [((M, K), np.float32)])[isa]
            np.testing.assert_array_equal(got, want, err_msg=isa)
            np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]), err_msg=isa)
            (got,) = run_everywhere("dense_grad_x", {**fields, "mask": 1}, [dy, w, h], [((M, K), np.float32)])[isa]
            np.testing.assert_array_equal(got, np.where(h > 0, want, 0), err_msg=isa)


def test_an_output_that_no_cache_holds_is_streamed_with_the_same_bits(rng):
    M, K, N = 3, 2049, 4096
    x, dy = normal(rng, M, K), normal(rng, M, N)
    memory = np.empty(K * N + 32, np.float32)
    aligned = -memory.ctypes.data % 64 // 4
    for isa in _core.isas():
        results = []
        for first in (aligned, aligned + 1):  # only whole vectors at multiples of their size go past the caches
            memory[:] = np.nan
            out = memory[first : first + K * N].reshape(K, N)
            _core.run_kernel("dense_grad_w", grad_w_fields(M, K, N), [x, dy], [out], isa=isa, slices=2)
            assert np.isnan(memory[:first]).all() and np.isnan(memory[first + K * N :]).all()
            results.append(out.copy())
        assert results[0].tobytes() == results[1].tobytes(), isa
        check({isa: (results[0][::61],)}, x[:, ::61].T, dy, M)


@pytest.mark.parametrize("M,chunks", [(0, 3), (1, 4), (7, 3), (100, 7), (1000, 16), (5, 8), (65000, 7)])
def test_weight_gradient_chunks_are_sums_over_consecutive_rows(M, chunks, rng):
    K, N = 19, 33
    x, dy = normal(rng, M, K), normal(rng, M, N)
    rows = -(-M // chunks)
    parts = run_everywhere(
        "dense_grad_w", grad_w_fields(M, K, N, chunks=chunks), [x, dy], [((chunks, K, N), np.float32)]
    )
    bias = run_everywhere("column_sum", dict(M=M, N=N, chunks=chunks, ldx=0, x0=0), [dy], [((chunks, N), np.float32)])
    for c in range(chunks):
        cut = slice(c * rows, (c + 1) * rows)
        check({isa: (p[c],) for isa, (p,) in parts.items()}, x[cut].T, dy[cut], rows)
        check({isa: (p[c][None],) for isa, (p,) in bias.items()}, np.ones((1, len(x[cut])), np.float32), dy[cut], rows)
    whole = {}
    for isa, (p,) in parts.items():  # the join is a column sum, too
        joined = np.full((K, N), np.nan, np.float32)
        _core.run_kernel("column_sum", dict(M=chunks, N=K * N, chunks=0, ldx=0, x0=0), [p], [joined], isa=isa)
        whole[isa] = (joined,)
    check(whole, x.T, dy, M + chunks)


@pytest.mark.parametrize("N", [0, 1, 3, 4, 15, 16, 17, 100, 127, 128, 129, 1000])
@pytest.mark.parametrize("M", [0, 1, 2, 37])
def test_column_sum(M, N, rng):
    x = normal(rng, M, N)
    got = run_everywhere("column_sum", dict(M=M, N=N, chunks=0, ldx=0, x0=0), [x], [((N,), np.float32)])
    for isa, (y,) in got.items():
        close(y, x.astype(np.float64).sum(0), isa, M * EPS, np.abs(x).sum(0))


@pytest.mark.parametrize("M,K,N", [(3, 5, 7), (12, 70, 20), (40, 33, 130), (17, 100, 1)])
def test_reading_and_writing_columns_of_wider_buffers_touches_nothing_else(M, K, N, rng):
    ldx, x0, ldy, y0 = K + 5, 3, N + 9, 4
    wide_x, wide_y, w = normal(rng, M, ldx), normal(rng, M, ldy), normal(rng, K, N)
    x, dy = wide_x[:, x0 : x0 + K], wide_y[:, y0 : y0 + N]
    strides = dict(ldx=ldx, x0=x0, ldy=ldy, y0=y0)
    for isa in _core.isas():
        for split in SPLITS:
            out = np.full((M, ldy), np.nan, np.float32)
            _core.run_kernel("dense", dense_fields(M, K, N, **strides), [wide_x, w, None], [out], isa=isa, slices=split)
            check({isa: (out[:, y0 : y0 + N],)}, x, w, K)
            assert np.isnan(np.delete(out, np.s_[y0 : y0 + N], 1)).all()
            out = np.full((M, ldx), np.nan, np.float32)
            fields = grad_x_fields(M, K, N, mask=1, ldh=ldx, h0=x0, **strides)
            _core.run_kernel("dense_grad_x", fields, [wide_y, w, wide_x], [out], isa=isa, slices=split)
            check({isa: (out[:, x0 : x0 + K],)}, dy, w.T, N, lambda s, x=x: np.where(x > 0, s, 0))
            assert np.isnan(np.delete(out, np.s_[x0 : x0 + K], 1)).all()
    got = run_everywhere("dense_grad_w", grad_w_fields(M, K, N, **strides), [wide_x, wide_y], [((K, N), np.float32)])
    check(got, x.T, dy, M)


@pytest.mark.parametrize("name", ["dense", "dense_grad_x", "dense_grad_w", "matmul"])
@pytest.mark.parametrize("M,K,N", [(5, 7, 3), (13, 17, 65), (1, 1, 1), (33, 20, 18)])
def test_nothing_is_written_around_the_output(name, M, K, N, rng):
    a, b, out = {
        "dense": ((M, K), (K, N), M * N),
        "dense_grad_x": ((M, N), (K, N), M * K),
        "dense_grad_w": ((M, K), (M, N), K * N),
        "matmul": ((M, K), (K, N), M * N),
    }[name]
    fields = {
        "dense": dense_fields(M, K, N),
        "dense_grad_x": grad_x_fields(M, K, N),
        "dense_grad_w": grad_w_fields(M, K, N),
        "matmul": dict(B=1, M=M, K=K, N=N, TA=0, TB=0, SA=0, SB=0),
    }[name]
    inputs = [normal(rng, *a), normal(rng, *b)] + ([None] if name in ("dense", "dense_grad_x") else [])
    for isa in _core.isas():
        buffer = np.full(out + 128, np.nan, np.float32)
        _core.run_kernel(name, fields, inputs, [buffer[64 : 64 + out]], isa=isa)
        assert np.isfinite(buffer[64 : 64 + out]).all()
        assert np.isnan(buffer[:64]).all() and np.isnan(buffer[64 + out :]).all()


@pytest.mark.parametrize("TA", [0, 1])
@pytest.mark.parametrize("TB", [0, 1])
@pytest.mark.parametrize(
    "B,M,K,N",
    [
        (1, 5, 3, 4),
        (3, 17, 33, 16),
        (7, 1, 64, 50),
        (2, 128, 64, 128),
        (40, 4, 4, 4),
        (2, 0, 3, 2),
        (0, 1, 1, 1),
        (2, 3, 0, 5),
        (3, 70, 9, 10),
        # one row or column, or one step of k
        (300, 1, 50, 1),
        (5, 5, 128, 1),
        (6, 1, 20, 70),
        (4, 5, 1, 131),
        (3, 70, 1, 1),
        (9, 1, 1, 33),
        (2, 1, 0, 1),
    ],
)
def test_matmul(B, M, K, N, TA, TB, rng):
    a, b = normal(rng, B, *((K, M) if TA else (M, K))), normal(rng, B, *((N, K) if TB else (K, N)))
    full_a, full_b = (a.swapaxes(1, 2) if TA else a), (b.swapaxes(1, 2) if TB else b)
    fields = dict(B=B, M=M, K=K, N=N, TA=TA, TB=TB, SA=M * K, SB=K * N)
    check(run_everywhere("matmul", fields, [a, b], [((B, M, N), np.float32)]), full_a, full_b, K)
    if B:  # one matrix for the whole batch
        got = run_everywhere("matmul", {**fields, "SB": 0}, [a, b[0]], [((B, M, N), np.float32)])
        check(got, full_a, np.broadcast_to(full_b[:1], full_b.shape), K)
        got = run_everywhere("matmul", {**fields, "SA": 0}, [a[0], b], [((B, M, N), np.float32)])
        check(got, np.broadcast_to(full_a[:1], full_a.shape), full_b, K)


@pytest.mark.parametrize("TA", [0, 1])
@pytest.mark.parametrize("TB", [0, 1])
@pytest.mark.parametrize(
    "B,M,K,N",
    [
        (1, 5, 3, 4),
        (2, 97, 33, 33),
        (3, 1, 64, 50),
        (1, 7, 513, 64),
        (4, 6, 256, 31),
        (1, 99, 300, 40),
        (1, 64, 20, 16),
        (1, 8, 5, 9),
        (2, 4, 0, 3),
        (0, 1, 1, 1),
        (2, 3, 5, 0),
    ],
)
def test_matmul_of_doubles(B, M, K, N, TA, TB, rng):
    a = rng.standard_normal((B, *((K, M) if TA else (M, K))))
    b = rng.standard_normal((B, *((N, K) if TB else (K, N))))
    full_a, full_b = (a.swapaxes(1, 2) if TA else a), (b.swapaxes(1, 2) if TB else b)
    fields = dict(B=B, M=M, K=K, N=N, TA=TA, TB=TB, SA=M * K, SB=K * N)
    runs = [(fields, a, b, full_a, full_b)]
    if B:  # one matrix for the whole batch
        runs.append(({**fields, "SB": 0}, a, b[0], full_a, np.broadcast_to(full_b[:1], full_b.shape)))
        runs.append(({**fields, "SA": 0}, a[0], b, np.broadcast_to(full_a[:1], full_a.shape), full_b))
    for shape, left, right, wide_a, wide_b in runs:
        wide = wide_a.astype(np.longdouble) @ wide_b.astype(np.longdouble)
        bound = (K + 3) * np.finfo(np.float64).eps * (np.abs(wide_a) @ np.abs(wide_b))
        for isa, (y,) in run_everywhere("matmul_f64", shape, [left, right], [((B, M, N), np.float64)]).items():
            assert (np.abs(y - wide) <= bound).all(), isa


def test_not_a_number_and_infinity_arrive(rng):
    x, w = normal(rng, 9, 20), normal(rng, 20, 40)
    x[3, 7], x[5, 2] = np.nan, np.inf
    got = run_everywhere("dense", dense_fields(9, 20, 40, act=1), [x, w, None], [((9, 40), np.float32)])
    for isa, (y,) in got.items():
        assert np.isnan(y[3]).all(), isa
        np.testing.assert_array_equal(y[5], np.where(w[2] > 0, np.inf, 0), err_msg=isa)


@pytest.mark.parametrize(
    "name,fields",
    [
        ("dense", dense_fields(-1, 2, 3)),
        ("dense", dense_fields(2**40, 2**40, 2)),
        ("dense", dense_fields(2, 5, 3, ldx=4)),
        ("dense", dense_fields(2, 5, 3, act=9)),
        ("dense", dense_fields(2, 5, 3, y0=-1)),
        ("dense_grad_x", grad_x_fields(2, 3, 4, mask=2)),
        ("dense_grad_w", grad_w_fields(2, 3, 4, chunks=-1)),
        ("dense_grad_w", grad_w_fields(0, 2**31, 2**31, chunks=2**20)),
        ("column_sum", dict(M=-2, N=3, chunks=0, ldx=0, x0=0)),
        ("matmul", dict(B=1, M=1, K=1, N=1, TA=2, TB=0, SA=0, SB=0)),
        ("matmul", dict(B=2**62, M=2**10, K=1, N=1, TA=0, TB=0, SA=0, SB=0)),
        ("matmul_f64", dict(B=1, M=1, K=-1, N=1, TA=0, TB=0, SA=0, SB=0)),
        ("matmul_f64", dict(B=2**31, M=2**31, K=1, N=2, TA=0, TB=0, SA=0, SB=0)),
    ],
)
def test_impossible_fields_are_named(name, fields):
    for isa in _core.isas():
        assert _core.facts(name, fields, isa)["error"], isa


def test_large_products_have_units_for_many_cores():
    for isa in _core.isas():
        for name, fields in [
            ("dense", dense_fields(32, 784, 512)),
            ("dense_grad_x", grad_x_fields(32, 784, 512)),
            ("dense_grad_w", grad_w_fields(32, 784, 512)),
            ("dense", dense_fields(1024, 512, 512)),
        ]:
            assert _core.facts(name, fields, isa)["units"] >= 48, (isa, name)
        assert _core.facts("dense", dense_fields(8, 256, 256), isa)["units"] >= 2, isa
