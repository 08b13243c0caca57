"""Random tensors. A draw is a function of (seed, counter, place), so bits depend on neither threads nor machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.config import floatx
from nacre.core.seed_generator import draw_state
from nacre.core.spec import broadcast_shapes, is_float, is_int, normalize_axis, standardize_dtype
from nacre.core.tensor import Symbol, Tensor
from nacre.ops.base import is_number, public, scalar, value
from nacre.ops.elementwise import (
    Add,
    BroadcastTo,
    Cast,
    Div,
    Ge,
    Gt,
    Log,
    LogicalAnd,
    Lt,
    Mul,
    Neg,
    Pow,
    Select,
    Sqrt,
    Sub,
    SumTo,
    cast_to,
    floating,
)
from nacre.ops.gather import Take
from nacre.ops.manipulation import sizes_of
from nacre.ops.movement import reshaped, slice_axis
from nacre.ops.reduction import ArgReduce
from nacre.ops.sampling import Dropout, Random
from nacre.ops.sorting import argsort


def _float_dtype(dtype: Any, name: str) -> str:
    found = standardize_dtype(dtype, floatx())
    if not is_float(found):
        raise ValueError(f"`keras.random.{name}` requires a floating point `dtype`. Received: dtype={dtype}")
    return found


@public
def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers evenly from `minval` up to, not including, `maxval`.

    >>> uniform((2, 3), seed=1).shape
    (2, 3)
    """
    name = _float_dtype(dtype, "uniform")
    sizes = sizes_of(shape, "random.uniform")
    state = draw_state(seed)
    if is_number(minval) and is_number(maxval):
        return Random("uniform", sizes, name, float(minval), float(maxval))(state)
    low, high = cast_to(minval, name), cast_to(maxval, name)
    return Add()(Mul()(Random("uniform", sizes, name)(state), Sub()(high, low)), low)


@public
def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the normal distribution.

    >>> normal((2, 3), seed=1).shape
    (2, 3)
    """
    return _normal("normal", shape, mean, stddev, dtype, seed)


@public
def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the normal distribution within two standard deviations of the mean."""
    return _normal("truncated_normal", shape, mean, stddev, dtype, seed)


def _normal(kind: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: Any) -> Any:
    name = _float_dtype(dtype, kind)
    sizes = sizes_of(shape, f"random.{kind}")
    state = draw_state(seed)
    if is_number(mean) and is_number(stddev):
        return Random(kind, sizes, name, float(mean), float(stddev))(state)
    return Add()(Mul()(Random(kind, sizes, name)(state), cast_to(stddev, name)), cast_to(mean, name))


@public
def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    """Whole numbers from `minval` up to, not including, `maxval`."""
    name = standardize_dtype(dtype, "int32")
    if not is_int(name):
        raise ValueError(f"`keras.random.randint` requires an integer `dtype`. Received: dtype={dtype}")
    limits = []
    for limit in (minval, maxval):
        number = np.asarray(limit)
        if number.size != 1 or number.dtype.kind not in "iuf":
            raise ValueError(f"random.randint: expected limits to be numbers, got {minval!r} and {maxval!r}")
        limits.append(int(number.item()))
    info = np.iinfo(name)
    if not info.min <= limits[0] < limits[1] <= info.max + 1:
        raise ValueError(f"random.randint: expected minval < maxval within {name}, got {minval!r} and {maxval!r}")
    sizes = sizes_of(shape, "random.randint")
    return Random("randint", sizes, name, float(limits[0]), float(limits[1]))(draw_state(seed))


@public
def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Class numbers drawn with the probabilities softmax(logits): logits (B, C) -> (B, num_samples)."""
    x = floating(logits)
    if len(x.shape) != 2 or not x.shape[1]:
        raise ValueError(f"random.categorical: expected logits (batch, classes), got shape {x.shape}")
    (count,) = sizes_of(num_samples, "random.categorical")
    rows, classes = x.shape
    # The largest of logit + Gumbel noise falls on each class with its probability.
    u = Random("uniform", (rows, count, classes), x.dtype, float(np.finfo(x.dtype).tiny), 1.0)(draw_state(seed))
    noise = Neg()(Log()(Neg()(Log()(u))))
    drawn = ArgReduce(2, True)(Add()(noise, reshaped(x, (rows, 1, classes))))
    return cast_to(drawn, standardize_dtype(dtype, "int32"))


@public
def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """`inputs` with a share of `rate` set to 0 and the rest divided by 1 - rate.

    `noise_shape`, with None or 1 for some axes, drops along those together.
    """
    x = floating(inputs)
    if not is_number(rate) or not 0 <= rate <= 1:
        raise ValueError(f"random.dropout: expected rate to be a number from 0 to 1, got {rate!r}")
    state = draw_state(seed)
    if rate == 0:
        return x
    if rate == 1:
        return Mul()(x, scalar(0.0, x.dtype))
    shape = x.shape
    if noise_shape is not None:
        given = tuple(noise_shape)
        if len(given) != len(x.shape) or any(n not in (None, 1, d) for n, d in zip(given, x.shape)):
            raise ValueError(f"random.dropout: noise_shape {given} does not fit inputs of shape {x.shape}")
        shape = tuple(d if n is None else n for n, d in zip(given, x.shape))
    if shape == x.shape and x.dtype == "float32":
        return Dropout(float(rate))(state, x)
    kept = Random("bernoulli", shape, x.dtype, 1.0 - rate)(state)
    return Mul()(x, Mul()(kept, scalar(1.0 / (1.0 - rate), x.dtype)))


@public
def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """The slices of `x` along `axis` in a random order."""
    x = value(x)
    at = normalize_axis(axis, len(x.shape), "random.shuffle: axis")
    n = x.shape[at]
    bits = Random("bits", (n,), "int64")(draw_state(seed))
    return Take(at)(x, argsort(bits))


# --- gamma and what is made of it -----------------------------------------------------------------------------------


def _parameter(p: Any, shape: tuple[int, ...], dtype: str, name: str) -> Any:
    p = cast_to(p, dtype)
    try:
        if broadcast_shapes(p.shape, shape) != shape:
            raise ValueError
    except ValueError:
        raise ValueError(f"{name}: parameters of shape {p.shape} cannot be broadcast to {shape}") from None
    return p


@public
def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution with the shape parameter `alpha` (a number or what broadcasts) and scale 1."""
    name = _float_dtype(dtype, "gamma")
    sizes = sizes_of(shape, "random.gamma")
    state = draw_state(seed)
    if is_number(alpha):
        if not alpha > 0:
            raise ValueError(f"random.gamma: expected alpha to be positive, got {alpha!r}")
        return Random("gamma", sizes, name, float(alpha), 1.0)(state)
    return _gamma(sizes, _parameter(alpha, sizes, name, "random.gamma"), name, state)


_ROUNDS = 8  # Marsaglia and Tsang accept at least 95 %, so 8 rounds leave 4e-11 to the last candidate


def _gamma(shape: tuple[int, ...], alpha: Any, dtype: str, state: Any) -> Any:
    """Marsaglia and Tsang 2000 for an alpha per element: all candidates at once, the first accepted one is taken."""
    one = scalar(1.0, dtype)
    small = Lt()(alpha, one)
    raised = Select()(small, Add()(alpha, one), alpha)  # below 1: drawn for alpha + 1, times u ** (1 / alpha)
    d = Sub()(raised, scalar(1.0 / 3.0, dtype))
    c = Div()(scalar(1.0 / 3.0, dtype), Sqrt()(d))
    normals = Random("normal", (_ROUNDS, *shape), dtype)(state)
    uniforms = Random("uniform", (_ROUNDS + 1, *shape), dtype, float(np.finfo(dtype).tiny), 1.0)(_next(state))
    taken = None
    for i in reversed(range(_ROUNDS)):
        z = reshaped(slice_axis(normals, 0, i, i + 1), shape)
        u = reshaped(slice_axis(uniforms, 0, i, i + 1), shape)
        root = Add()(one, Mul()(c, z))
        v = Mul()(Mul()(root, root), root)
        positive = Gt()(v, scalar(0.0, dtype))
        v = Select()(positive, v, one)
        bound = Add()(Mul()(Mul()(z, z), scalar(0.5, dtype)), Mul()(d, Add()(Sub()(one, v), Log()(v))))
        accepted = LogicalAnd()(positive, Lt()(Log()(u), bound))
        candidate = Mul()(d, v)
        taken = candidate if taken is None else Select()(accepted, candidate, taken)
    u = reshaped(slice_axis(uniforms, 0, _ROUNDS, _ROUNDS + 1), shape)
    boost = Select()(small, Pow()(u, Div()(one, alpha)), one)
    return Mul()(taken, boost)


def _next(state: Any) -> Any:
    """Another stream of the same seed, far from the counters that draws use."""
    return Add()(state, Tensor(np.array([0, 2**40], np.int64).astype(state.dtype)))


@public
def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the beta distribution on [0, 1] with the parameters `alpha` and `beta`."""
    name = _float_dtype(dtype, "beta")
    sizes = sizes_of(shape, "random.beta")
    return _beta(
        sizes,
        _parameter(alpha, sizes, name, "random.beta"),
        _parameter(beta, sizes, name, "random.beta"),
        name,
        draw_state(seed),
    )


def _beta(shape: tuple[int, ...], alpha: Any, beta: Any, dtype: str, state: Any) -> Any:
    a = _gamma(shape, alpha, dtype, state)
    b = _gamma(shape, beta, dtype, _next(_next(state)))
    return Div()(a, Add()(a, b))


_COUNTED = 64  # trials that are drawn one by one; more are first halved


@public
def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Any:
    """How many of `counts` trials succeed, each with its probability: floats of whole numbers."""
    name = _float_dtype(dtype, "binomial")
    sizes = sizes_of(shape, "random.binomial")
    state = draw_state(seed)
    n = _parameter(counts, sizes, name, "random.binomial")
    p = _parameter(probabilities, sizes, name, "random.binomial")
    if isinstance(n, Symbol):
        raise TypeError("random.binomial: counts must be known when the function is compiled")
    most = float(np.max(np.asarray(n), initial=0.0))
    n, p = (BroadcastTo(sizes)(v) if v.shape != sizes else v for v in (n, p))
    done = Mul()(n, scalar(0.0, name))
    one = scalar(1.0, name)
    while most > _COUNTED:
        # The i-th smallest of n uniform numbers is beta(i, n + 1 - i); it says on which side of p at least i of them
        # lie.
        large = Gt()(n, scalar(float(_COUNTED), name))
        i = Select()(large, Cast(name)(Cast("int32")(Add()(Mul()(n, scalar(0.5, name)), one))), one)
        rest = Select()(large, Sub()(Add()(n, one), i), one)
        x = _beta(sizes, i, rest, name, state)
        state = _next(_next(_next(_next(state))))
        below = Ge()(p, x)
        ahead = LogicalAnd()(large, below)
        done = Add()(done, Select()(ahead, i, scalar(0.0, name)))
        new_n = Select()(below, Sub()(n, i), Sub()(i, one))
        span = Select()(below, Sub()(one, x), x)
        new_p = Div()(Select()(below, Sub()(p, x), p), Select()(Gt()(span, scalar(0.0, name)), span, one))
        n, p = Select()(large, new_n, n), Select()(large, new_p, p)
        most = math.floor(most / 2)
    trials = int(most)
    if not trials:
        return done
    u = Random("uniform", (trials, *sizes), name)(state)
    number = Tensor(np.arange(trials, dtype=name).reshape(trials, *(1,) * len(sizes)))
    success = Cast(name)(LogicalAnd()(Lt()(u, p), Lt()(number, n)))
    return Add()(done, reshaped(SumTo((1, *sizes))(success), sizes))
