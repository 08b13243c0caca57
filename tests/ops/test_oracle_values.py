"""Results of real Keras where the NumPy reference leaves a choice open: dtypes, ties, what lies outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nacre import ops

keras = pytest.importorskip("keras", reason="needs the extra `oracle` (pip install nacre[oracle])")

pytestmark = pytest.mark.oracle

F = np.array([[0.5, -1.25, 2.0], [3.0, -0.5, 1.5]], np.float32)
I = np.array([[1, -2, 3], [4, 0, -6]], np.int32)
B = np.array([[True, False, True], [False, False, True]])
IMAGE = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype(np.float32)

# Keras widens these where nacre has fewer integer dtypes.
SAME_DTYPE = {"uint32": "int64", "uint8": "uint8", "int8": "int32", "int16": "int32"}


def flat(result: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(result, (list, tuple)):
        return [a for r in result for a in flat(r)]
    return [np.asarray(result)]


def compare(call: Callable[[Any], Any], rtol: float = 2e-5) -> None:
    ours, theirs = flat(call(ops)), flat(call(keras.ops))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape
        assert a.dtype.name == SAME_DTYPE.get(b.dtype.name, b.dtype.name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=2e-6)


UNARY = [
    "abs",
    "absolute",
    "all",
    "amax",
    "amin",
    "any",
    "arcsinh",
    "arctan",
    "argmax",
    "argmin",
    "argsort",
    "average",
    "ceil",
    "copy",
    "cos",
    "cosh",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "deg2rad",
    "diagonal",
    "elu",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "fabs",
    "flip",
    "floor",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "i0",
    "isfinite",
    "isinf",
    "isnan",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logical_not",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "nan_to_num",
    "ndim",
    "negative",
    "nonzero",
    "normalize",
    "ones_like",
    "prod",
    "rad2deg",
    "ravel",
    "relu",
    "relu6",
    "round",
    "selu",
    "sigmoid",
    "sign",
    "signbit",
    "silu",
    "sin",
    "sinc",
    "sinh",
    "size",
    "softmax",
    "softplus",
    "softsign",
    "sort",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "sqrt",
    "square",
    "squareplus",
    "squeeze",
    "std",
    "sum",
    "tan",
    "tanh",
    "trace",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "var",
    "zeros_like",
    "cbrt",
    "layer_normalization",
    "isposinf",
    "isneginf",
    "angle",
    "real",
    "imag",
    "nansum",
    "nanmax",
]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("x", [F, I, B], ids=["float32", "int32", "bool"])
def test_one_argument(name: str, x: Any) -> None:
    if name in ("layer_normalization", "sparsemax") and x is not F:
        pytest.skip("Keras rounds the result to whole numbers")

    def call(m: Any) -> Any:
        function = getattr(m, name)
        return function(x, -1) if name == "expand_dims" else function(x)

    try:
        call(keras.ops)
    except Exception as error:
        pytest.skip(f"Keras refuses: {type(error).__name__}")
    with np.errstate(all="ignore"):
        compare(call)


BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "maximum",
    "minimum",
    "power",
    "mod",
    "floor_divide",
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "arctan2",
    "hypot",
    "logaddexp",
    "fmax",
    "fmin",
    "heaviside",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "left_shift",
    "right_shift",
    "gcd",
    "lcm",
    "isclose",
    "divide_no_nan",
    "outer",
    "vdot",
    "inner",
]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("a", [F, I, B, 2, 1.5], ids=["float32", "int32", "bool", "int", "float"])
@pytest.mark.parametrize("b", [F[:1], I[1:], B[:1], 3, 0.5], ids=["float32", "int32", "bool", "int", "float"])
def test_two_arguments_and_their_common_dtype(name: str, a: Any, b: Any) -> None:
    if name in ("floor_divide", "divide", "true_divide", "mod", "power") and np.asarray(b).dtype != np.float32:
        b = (
            np.abs(np.asarray(b, np.int32)) + 1 if not isinstance(b, int) else b
        )  # by 0, or a negative power, has no meaning

    def call(m: Any) -> Any:
        return getattr(m, name)(a, b)

    try:
        call(keras.ops)
    except Exception as error:
        pytest.skip(f"Keras refuses: {type(error).__name__}")
    with np.errstate(all="ignore"):
        compare(call)


LABELS = np.array([1, 0], np.int32)
PROBABILITIES = np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.1]], np.float32)
OTHER: dict[str, Callable[[Any], Any]] = {
    "take_outside": lambda m: m.take(F, [5, -1, -4, 0], axis=1),
    "take_outside_ints": lambda m: m.take(I, [5, -1, 0], axis=1),
    "take_along_axis": lambda m: m.take_along_axis(F, np.array([[2], [-1]]), axis=1),
    "one_hot_outside": lambda m: m.one_hot(np.array([0, 3, -1]), 3),
    "one_hot_axis_dtype": lambda m: m.one_hot(np.array([0, 2]), 3, axis=0, dtype="int32"),
    "multi_hot": lambda m: m.multi_hot(np.array([[0, 1], [1, 1]]), 3),
    "scatter": lambda m: m.scatter(np.array([[0], [0], [7]]), np.array([1.0, 2.0, 3.0], "float32"), (3,)),
    "slice_clamped": lambda m: m.slice(F, [1, 2], [2, 2]),
    "slice_update_clamped": lambda m: m.slice_update(F, [1, 2], np.full((1, 2), 9.0, "float32")),
    "cce": lambda m: m.categorical_crossentropy(np.eye(3, dtype="float32")[:2], PROBABILITIES),
    "cce_zero": lambda m: m.categorical_crossentropy(
        np.eye(2, dtype="float32"), np.eye(2, dtype="float32")[::-1].copy()
    ),
    "scce": lambda m: m.sparse_categorical_crossentropy(LABELS, PROBABILITIES),
    "scce_logits": lambda m: m.sparse_categorical_crossentropy(LABELS, F, from_logits=True),
    "bce_ends": lambda m: m.binary_crossentropy(np.array([1.0, 0.0], "float32"), np.array([0.0, 1.0], "float32")),
    "bce_logits": lambda m: m.binary_crossentropy(
        np.array([1.0, 0.0], "float32"), np.array([-3.0, 80.0], "float32"), True
    ),
    "argmax_nan": lambda m: m.argmax(np.array([1, np.nan, 2], "float32")),
    "max_nan": lambda m: m.max(np.array([1, np.nan, 2], "float32")),
    "max_initial": lambda m: m.max(I, initial=9),
    "clip_promotes": lambda m: m.clip(np.array([1, 2, 3]), 0, 1.5),
    "where_promotes": lambda m: m.where(B, I, 0.5),
    "concatenate_promotes": lambda m: m.concatenate([F, I], axis=0),
    "arange": lambda m: [m.arange(3), m.arange(0, 1, 0.25), m.arange(5, 0, -2)],
    "linspace": lambda m: m.linspace(0, 1, 5),
    "full": lambda m: [m.full((2,), 3), m.full_like(I, 2.5)],
    "eye": lambda m: m.eye(2, 3),
    "moments": lambda m: m.moments(F, axes=[0]),
    "quantile": lambda m: m.quantile(F, [0.1, 0.5], axis=1),
    "quantile_nearest": lambda m: m.quantile(F, 0.5, axis=0, method="nearest"),
    "percentile": lambda m: m.percentile(F, 30, axis=1),
    "digitize": lambda m: m.digitize(np.array([0.0, 1, 3], "float32"), np.array([1.0, 2.0], "float32")),
    "bincount": lambda m: m.bincount(np.array([1, 2, 2, 5])),
    "searchsorted": lambda m: m.searchsorted(np.array([1, 2, 2, 5]), np.array([2, 6])),
    "in_top_k": lambda m: m.in_top_k(LABELS, PROBABILITIES, 1),
    "top_k": lambda m: m.top_k(F, 2),
    "round": lambda m: m.round(np.array([0.5, 1.5, 2.5, -0.5], "float32")),
    "round_decimals": lambda m: m.round(np.array([1.25, 2.35], "float32"), 1),
    "average": lambda m: m.average(F, axis=0, weights=np.array([1.0, 3.0], "float32")),
    "segment_sum": lambda m: m.segment_sum(F, np.array([2, 0]), num_segments=4),
    "segment_max": lambda m: m.segment_max(F, np.array([2, 0]), num_segments=3),
    "norm": lambda m: [
        m.norm(F),
        m.norm(F, 1, 1),
        m.norm(F, "fro", (0, 1)),
        m.norm(F, np.inf, 0),
        m.norm(F, "nuc", (0, 1)),
    ],
    "conv_same_stride": lambda m: m.conv(IMAGE, np.ones((3, 2, 4, 3), "float32"), 2, "same"),
    "conv_groups": lambda m: m.conv(IMAGE, np.ones((3, 3, 2, 6), "float32")),
    "conv_dilation": lambda m: m.conv(IMAGE, np.ones((2, 2, 4, 3), "float32"), 1, "same", None, 2),
    "conv1d": lambda m: m.conv(IMAGE[:, 0], np.ones((3, 4, 3), "float32"), 2, "same"),
    "depthwise": lambda m: m.depthwise_conv(IMAGE, np.arange(72, dtype="float32").reshape(3, 3, 4, 2) / 50, 2, "same"),
    "separable": lambda m: m.separable_conv(
        IMAGE, np.ones((3, 3, 4, 1), "float32"), np.ones((1, 1, 4, 3), "float32"), 1, "same"
    ),
    "max_pool": lambda m: [m.max_pool(IMAGE, 3, 2, p) for p in ("valid", "same")],
    "average_pool": lambda m: [m.average_pool(IMAGE, 3, 2, p) for p in ("valid", "same")],
    "batch_normalization": lambda m: m.batch_normalization(
        F, np.ones(3, "float32"), np.ones(3, "float32") * 2, -1, np.ones(3, "float32"), np.ones(3, "float32") * 3
    ),
    "layer_normalization": lambda m: m.layer_normalization(IMAGE, axis=[1, 2]),
    "rms_normalization": lambda m: m.rms_normalization(F),
    "glu": lambda m: m.glu(IMAGE),
    "einsum": lambda m: m.einsum("bhwc,cd->bhwd", IMAGE, np.ones((4, 3), "float32")),
    "dot_product_attention": lambda m: m.dot_product_attention(IMAGE, IMAGE, IMAGE, is_causal=True),
    "matmul_ints": lambda m: m.matmul(I, I.T),
    "pad_modes": lambda m: [
        m.pad(F, ((1, 1), (2, 1)), mode)
        for mode in ("constant", "reflect", "symmetric", "edge", "wrap", "linear_ramp", "maximum", "mean", "median")
    ],
    "unravel": lambda m: m.where(F > 0),
    "cross": lambda m: m.cross(F[0], F[1]),
    "var_int": lambda m: [m.var(I), m.std(I, axis=0), m.mean(I, axis=1), m.median(I)],
    "nan_reductions": lambda m: [
        m.nanmean(np.array([1, np.nan], "float32")),
        m.nanvar(np.array([1, np.nan, 3], "float32")),
        m.nanargmax(np.array([[np.nan, 1], [np.nan, np.nan]], "float32"), axis=1),
    ],
}


@pytest.mark.parametrize("name", OTHER)
def test_the_rest(name: str) -> None:
    compare(OTHER[name], rtol=1e-4)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("extra", [None, 0, 1])
def test_transposed_convolution(padding: str, kernel: int, stride: int, extra: Any) -> None:
    if extra is not None and extra >= stride:
        pytest.skip("output_padding must be smaller than the stride")
    w = np.random.default_rng(1).standard_normal((kernel, kernel, 3, 4)).astype(np.float32)

    def call(m: Any) -> Any:
        return m.conv_transpose(IMAGE, w, stride, padding, extra)

    compare(call, rtol=1e-4)
