"""The names of TensorFlow around Keras that tutorials use, in terms of `nacre.ops`."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nacre
from nacre import ops
from nacre import random as _random
from nacre.compat import data as _data
from nacre.core.autodiff import GradientTape as _GradientTape
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable as _Variable

keras = nacre
GradientTape = _GradientTape
__version__ = "2.16.1"  # what scripts that look at it can rely on here
newaxis = None

float16, bfloat16, float32, float64 = "float16", "bfloat16", "float32", "float64"
int8, int16, int32, int64 = "int8", "int16", "int32", "int64"
uint8, uint16, uint32, uint64 = "uint8", "uint16", "uint32", "uint64"
bool = "bool"
string = "string"

_SAME = (
    "abs add argmax argmin argsort broadcast_to cast ceil clip concatenate cos cumsum divide einsum equal exp "
    "expand_dims eye floor greater greater_equal less less_equal linspace log logical_and logical_not logical_or "
    "matmul maximum minimum multiply not_equal one_hot ones ones_like pad power repeat round rsqrt sign sigmoid sin "
    "slice sort split sqrt square squeeze stack stop_gradient subtract tanh tensordot tile where zeros zeros_like"
)
for _name in _SAME.split():
    globals()[_name] = getattr(ops, _name)
pow = ops.power
range = ops.arange
convert_to_tensor = ops.convert_to_tensor
is_tensor = ops.is_tensor


class TensorShape(tuple):  # type: ignore[type-arg]
    """A shape, with None where a size is not known."""

    def __new__(cls, dims: Any) -> TensorShape:
        return super().__new__(cls, dims)

    def as_list(self) -> list[int | None]:
        """The sizes as a list."""
        return list(self)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of that value (repeated to `shape`)."""
    out = ops.convert_to_tensor(value, dtype=dtype)
    if shape is None:
        return out
    return ops.broadcast_to(out, shape) if out.ndim == 0 else ops.reshape(out, shape)


def Variable(
    initial_value: Any, trainable: Any = True, name: str | None = None, dtype: Any = None, **kwargs: Any
) -> _Variable:
    """A variable with that first value."""
    value = initial_value() if callable(initial_value) else initial_value
    return _Variable(value, dtype=dtype, trainable=trainable, name=name)


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Any:
    """The same numbers in another shape."""
    return ops.reshape(tensor, tuple(int(d) for d in shape))


def shape(input: Any, **kwargs: Any) -> Any:
    """The shape as a tuple."""
    return tuple(ops.shape(input))


def fill(dims: Any, value: Any) -> Any:
    """`value` everywhere."""
    return ops.full(tuple(dims), value)


def concat(values: Any, axis: int, name: str | None = None) -> Any:
    """The tensors one after another along `axis`."""
    return ops.concatenate(list(values), axis=axis)


def transpose(a: Any, perm: Any = None, **kwargs: Any) -> Any:
    """The axes in the order `perm`; reversed by default."""
    return ops.transpose(a, perm)


def gather(params: Any, indices: Any, axis: int = 0, **kwargs: Any) -> Any:
    """The parts of `params` at `indices` along `axis`."""
    return ops.take(params, indices, axis=axis)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Any:
    """`t` limited to that range."""
    return ops.clip(t, clip_value_min, clip_value_max)


def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = False) -> Any:
    """The norm along `axis`."""
    return ops.norm(tensor, None if ord == "euclidean" else ord, axis, keepdims)


def identity(input: Any, name: str | None = None) -> Any:
    """The tensor itself."""
    return ops.convert_to_tensor(input)


def function(func: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """`func` itself: what is worth compiling is compiled by `fit`."""
    return func if func is not None else (lambda f: f)


def print(*inputs: Any, **kwargs: Any) -> None:
    """Prints the values."""
    import builtins

    builtins.print(*[np.asarray(x) if isinstance(x, Tensor) else x for x in inputs])


def _reduction(name: str) -> Callable[..., Any]:
    function = getattr(ops, name)

    def reduce(input_tensor: Any, axis: Any = None, keepdims: Any = False, name: str | None = None) -> Any:
        return function(input_tensor, axis=axis, keepdims=keepdims)

    return reduce


reduce_sum, reduce_mean, reduce_max, reduce_min = (_reduction(n) for n in ("sum", "mean", "max", "min"))
reduce_prod, reduce_any, reduce_all = (_reduction(n) for n in ("prod", "any", "all"))
reduce_logsumexp = _reduction("logsumexp")


# --- submodules ------------------------------------------------------------------------------------------------


def _module(name: str, **members: Any) -> types.ModuleType:
    made = types.ModuleType(f"{__name__}.{name}")
    made.__dict__.update(members)
    return made


def _normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None, name: Any = None
) -> Any:
    return _random.normal(tuple(shape), mean, stddev, dtype, seed)


def _uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = None, seed: Any = None, name: Any = None
) -> Any:
    if dtype is not None and np.dtype(dtype).kind in "iu":
        return _random.randint(tuple(shape), minval, maxval, dtype, seed)
    return _random.uniform(tuple(shape), minval, 1.0 if maxval is None else maxval, dtype, seed)


def _truncated(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None, name: Any = None
) -> Any:
    return _random.truncated_normal(tuple(shape), mean, stddev, dtype, seed)


random = _module(
    "random",
    normal=_normal,
    uniform=_uniform,
    truncated_normal=_truncated,
    shuffle=_random.shuffle,
    categorical=_random.categorical,
    set_seed=nacre.utils.set_random_seed,
)
data = _module("data", Dataset=_data.Dataset, AUTOTUNE=_data.AUTOTUNE, experimental=_module("data.experimental"))
data.experimental.AUTOTUNE = _data.AUTOTUNE
_MATH = (
    "abs add ceil cos cumsum divide equal erf exp expm1 floor greater less log log1p logical_and logical_not "
    "logical_or maximum minimum mod multiply negative not_equal round rsqrt sigmoid sign sin softplus sqrt square "
    "subtract tan tanh top_k argmax argmin"
)
_NN = "relu relu6 sigmoid softmax log_softmax softplus softsign silu elu selu gelu leaky_relu tanh"
math = _module(
    "math",
    reduce_sum=reduce_sum,
    reduce_mean=reduce_mean,
    reduce_max=reduce_max,
    reduce_min=reduce_min,
    reduce_prod=reduce_prod,
    reduce_any=reduce_any,
    reduce_all=reduce_all,
    reduce_logsumexp=reduce_logsumexp,
    pow=ops.power,
    **{name: getattr(ops, name) for name in _MATH.split()},
)
nn = _module(
    "nn",
    **{name: getattr(ops, name) for name in _NN.split()},
    swish=ops.silu,
    l2_normalize=nacre.backend.l2_normalize,
    dropout=lambda x, rate, noise_shape=None, seed=None, name=None: _random.dropout(x, rate, noise_shape, seed),
    softmax_cross_entropy_with_logits=lambda labels, logits, axis=-1, name=None: ops.categorical_crossentropy(
        labels, logits, from_logits=True, axis=axis
    ),
    sparse_softmax_cross_entropy_with_logits=lambda labels, logits, name=None: ops.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    ),
    sigmoid_cross_entropy_with_logits=lambda labels=None, logits=None, name=None: ops.binary_crossentropy(
        labels, logits, from_logits=True
    ),
)
linalg = _module("linalg", matmul=ops.matmul, norm=norm)
config = _module(
    "config",
    list_physical_devices=lambda device_type=None: [] if device_type == "GPU" else ["/physical_device:CPU:0"],
    experimental=_module(
        "config.experimental", list_physical_devices=lambda device_type=None: [], set_memory_growth=lambda *a: None
    ),
    run_functions_eagerly=lambda run_eagerly: None,
)
test = _module("test", is_gpu_available=lambda *a, **k: False, gpu_device_name=lambda: "")
errors = _module("errors", InvalidArgumentError=ValueError)


class device:
    """Does nothing: there is one device."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> device:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def unstack(value: Any, num: int | None = None, axis: int = 0) -> Iterator[Any]:
    """The parts along `axis`."""
    return ops.unstack(value, num, axis)  # type: ignore[no-any-return]


__all__ = [name for name in globals() if not name.startswith("_")]
