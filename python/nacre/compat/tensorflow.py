"""The names of TensorFlow around Keras that tutorials use, in terms of `nacre.ops`."""

from __future__ import annotations

import logging as _logging
import sys as _sys
import types as _types
from builtins import slice as slice_
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nacre
from nacre import ops
from nacre import random as _random
from nacre.compat import candidates as _candidates
from nacre.compat import checkpoints as _checkpoints
from nacre.compat import datasets as _datasets
from nacre.compat import forms as _forms
from nacre.compat import functions as _functions
from nacre.compat import machinery as _machinery
from nacre.compat import pictures as _pictures
from nacre.compat import ragged as _ragged
from nacre.compat import records as _records
from nacre.compat import sets as _sets
from nacre.compat import sounds as _sounds
from nacre.compat import sparse as _sparse
from nacre.compat import strings as _strings
from nacre.compat import summaries as _summaries
from nacre.compat import tables as _tables
from nacre.compat.derivatives import ForwardAccumulator as _ForwardAccumulator
from nacre.compat.derivatives import gradients  # noqa: F401  # public here
from nacre.compat.functions import function as function
from nacre.compat.networks import (  # noqa: F401  # public here
    add_n,
    global_norm,
    linalg,
    math,
    nn,
    norm,
    reduce_all,
    reduce_any,
    reduce_logsumexp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_sum,
)
from nacre.compat.sounds import complex  # noqa: F401  # public here
from nacre.compat.sparse import SparseTensor, edit_distance  # noqa: F401  # public here
from nacre.compat.values import (  # noqa: F401  # public here
    DTYPES,
    DType,
    IndexedSlices,
    Module,
    TensorArray,
    TensorShape,
    TensorSpec,
    Variable,
    as_dtype,
)
from nacre.core import trace as _trace
from nacre.core import tree as _tree
from nacre.core.autodiff import GradientTape as _GradientTape
from nacre.core.tensor import Tensor, Value
from nacre.core.variable import Variable as _Variable
from nacre.utils import dataset as _dataset

keras = nacre
for _name in ["constant", "ones", "random_normal", "random_uniform", "truncated_normal", "zeros"]:
    globals()[f"{_name}_initializer"] = nacre.initializers.get(_name).__class__
initializers, losses, metrics, optimizers = nacre.initializers, nacre.losses, nacre.metrics, nacre.optimizers
GradientTape = _GradientTape
__version__ = "2.16.1"  # what scripts that look at it can rely on here
newaxis = None

globals().update(DTYPES)
float32, int32, int64, complex64 = (DTYPES[_name] for _name in ("float32", "int32", "int64", "complex64"))

_SAME = "clip concatenate einsum sigmoid tanh tan cond while_loop vectorized_map meshgrid"
for _name in _SAME.split():
    globals()[_name] = getattr(ops, _name)
globals().update(_forms.RENAMED)
globals().update(_forms.FORMS)
pow = _forms.RENAMED["power"]
constant_initializer, zeros_initializer, ones_initializer = initializers.Constant, initializers.Zeros, initializers.Ones
random_normal_initializer, random_uniform_initializer = initializers.RandomNormal, initializers.RandomUniform
acos, asin, atan, atan2 = ops.arccos, ops.arcsin, ops.arctan, ops.arctan2
truediv = ops.true_divide
is_tensor = ops.is_tensor
abs, is_nan = math.abs, ops.isnan
squared_difference = math.squared_difference


def cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    """`x` in that dtype; also the values of a sparse tensor."""
    if isinstance(x, SparseTensor):
        return x._replace(values=ops.cast(x.values, dtype))
    return np.asarray(x, np.complex64) if dtype == complex64 else ops.cast(x, dtype)


def _text(value: Any) -> Any:
    """`value` as an array of strings, or of complex numbers, when it holds such: what no tensor can; else None."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return value
    if isinstance(value, bytes):
        return _dataset.scalar(value)
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind in "SUO"):
        return np.asarray(value).view(_dataset.Text)
    if isinstance(value, (list, tuple)) and value and _text(value[0]) is not None:
        return np.asarray(value).view(_dataset.Text)
    return None


def convert_to_tensor(value: Any, dtype: Any = None, dtype_hint: Any = None, name: str | None = None) -> Any:
    """`value` as a tensor, or as an array of strings or complex numbers."""
    text = _text(value)
    return ops.convert_to_tensor(value, dtype) if text is None else text


def expand_dims(input: Any, axis: Any, name: str | None = None) -> Any:
    """With an axis of size 1 at `axis`."""
    text = _text(input)
    return ops.expand_dims(input, axis) if text is None else np.expand_dims(text, axis)


def squeeze(input: Any, axis: Any = None, name: str | None = None) -> Any:
    """Without the axes of size 1."""
    text = _text(input)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return ops.squeeze(input, axis) if text is None else np.squeeze(text, axis)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of that value (repeated to `shape`)."""
    out = convert_to_tensor(value, dtype)
    wrong = {"int": float, "float": str}.get(str(dtype).strip("u0123456789"))
    if wrong is not None and any(isinstance(v, wrong) for v in _tree.flatten(value)):
        raise TypeError(f"Cannot convert {value!r:.200} to a tensor of dtype {dtype}")
    if shape is None or isinstance(out, _dataset.Text):
        return out
    return ops.broadcast_to(out, shape) if out.ndim == 0 else ops.reshape(out, shape)


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Any:
    """The same numbers in another shape."""
    text = _text(tensor)
    sizes = tuple(int(d) for d in shape)
    return ops.reshape(tensor, sizes) if text is None else text.reshape(sizes)


def shape(input: Any, **kwargs: Any) -> Any:
    """The shape: of a value as a tensor, of a symbol as a tuple."""
    sizes = input.shape if isinstance(input, np.ndarray) else tuple(ops.shape(input))
    return Tensor(np.array(sizes, np.int32)) if isinstance(input, (Tensor, _Variable, np.ndarray)) else sizes


def size(input: Any, **kwargs: Any) -> Any:
    """The number of elements."""
    return ops.convert_to_tensor(ops.size(input), "int32")


def rank(input: Any, name: str | None = None) -> Any:
    """The number of axes."""
    return ops.convert_to_tensor(ops.ndim(input), "int32")


def reverse(tensor: Any, axis: Any, name: str | None = None) -> Any:
    """Reversed along those axes."""
    return ops.flip(ops.convert_to_tensor(tensor), axis=tuple(axis) if isinstance(axis, (list, tuple)) else axis)


def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Any:
    """The elements moved on along `axis`; those that leave come in again at the other end."""
    return ops.roll(ops.convert_to_tensor(input), shift, axis)


def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Any:
    """`x` itself. Raises ValueError when its shape is another one."""
    sizes = tuple(ops.shape(x))
    if len(sizes) != len(shape) or any(w is not None and w != n for n, w in zip(sizes, shape)):
        raise ValueError(f"ensure_shape: expected a tensor of shape {tuple(shape)}, got {sizes}")
    return ops.convert_to_tensor(x)


def _set_shape(self: Any, shape: Any) -> None:
    ensure_shape(self, shape)


# Tensors have these as methods there.
Value.set_shape = _set_shape  # type: ignore[attr-defined]
Value.get_shape = lambda self: TensorShape(self.shape)  # type: ignore[attr-defined]


def sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = "bool", name: str | None = None) -> Any:
    """Per length, whether a position is below it: (..., maxlen)."""
    lengths = ops.convert_to_tensor(lengths)
    places = ops.arange(int(np.max(np.asarray(lengths))) if maxlen is None else maxlen, dtype=lengths.dtype)
    return ops.cast(ops.less(places, ops.expand_dims(lengths, -1)), dtype)


def split(value: Any, num_or_size_splits: Any, axis: int = 0, num: int | None = None, name: str | None = None) -> Any:
    """So many equal parts along `axis`, or parts of these sizes (-1: what is left)."""
    value = ops.convert_to_tensor(value)
    if not isinstance(num_or_size_splits, (list, tuple, np.ndarray)):
        return ops.split(value, int(num_or_size_splits), axis)
    sizes = [int(n) for n in num_or_size_splits]
    sizes = [value.shape[axis] - sum(sizes) - 1 if n == -1 else n for n in sizes]
    if sum(sizes) != value.shape[axis]:
        raise ValueError(f"split: sizes {sizes} do not add up to {value.shape[axis]}, the size of axis {axis}")
    return ops.split(value, np.cumsum(sizes[:-1]).tolist(), axis)


def boolean_mask(tensor: Any, mask: Any, axis: int | None = None, name: str | None = None) -> Any:
    """The elements where `mask` holds."""
    before = (slice_(None),) * (axis or 0)
    return ops.convert_to_tensor(tensor)[(*before, ops.convert_to_tensor(mask, "bool"))]


def get_static_value(tensor: Any, partial: Any = False) -> Any:
    """The value as an array; None where it is not known yet."""
    return np.asarray(tensor) if isinstance(tensor, (Tensor, _Variable)) else None


def clip_by_norm(t: Any, clip_norm: float, axes: Any = None, name: str | None = None) -> Any:
    """`t`, made shorter where its norm is larger than `clip_norm`."""
    length = ops.sqrt(ops.sum(ops.square(t), axis=axes, keepdims=True))
    return ops.multiply(t, clip_norm / ops.maximum(length, clip_norm))


def clip_by_global_norm(t_list: Any, clip_norm: float, use_norm: Any = None, name: str | None = None) -> Any:
    """The tensors, made shorter together when their common norm is larger than `clip_norm`; and that norm."""
    length = global_norm(t_list) if use_norm is None else use_norm
    factor = clip_norm / ops.maximum(length, clip_norm)
    factor = ops.where(ops.isfinite(length), factor, float("nan"))  # which is to be seen everywhere
    return [None if t is None else ops.multiply(t, factor) for t in t_list], length


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns its value and the function that gives the gradients of its arguments."""
    return ops.custom_gradient(f)  # type: ignore[no-any-return]


def executing_eagerly() -> Any:
    """Whether values are known: not while a step is being compiled."""
    return _trace.current_graph() is None


def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Any:
    """Zeros of that shape, with `updates` added at `indices`."""
    return ops.scatter(indices, updates, shape)


def tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
    """`tensor` with `updates` at `indices`."""
    return ops.scatter_update(tensor, indices, updates)


def _returned(found: Any, dtypes: Any) -> Any:
    """What a function returned, as these dtypes: as a list where they are one."""
    if isinstance(dtypes, (list, tuple)):
        each = list(found) if isinstance(found, (list, tuple)) else [] if found is None else [found]
        return [_returned(x, dtype) for x, dtype in zip(each, dtypes, strict=True)]
    value = _dataset.as_values(found)
    return value if dtypes is None or isinstance(value, _dataset.Text) else ops.cast(value, dtypes)


def py_function(func: Callable[..., Any], inp: Any, Tout: Any = None, name: str | None = None) -> Any:
    """`func` of values, as the dtypes `Tout`: a list of results where that is a list."""
    return _returned(func(*inp), Tout)


def numpy_function(func: Callable[..., Any], inp: Any, Tout: Any = None, name: str | None = None, **_: Any) -> Any:
    """`func` of NumPy arrays, as the dtypes `Tout`: a list of results where that is a list."""
    return _returned(func(*(x.numpy() if hasattr(x, "numpy") else np.asarray(x) for x in inp)), Tout)


def fill(dims: Any, value: Any) -> Any:
    """`value` everywhere; one number is the length of a vector."""
    return ops.broadcast_to(ops.convert_to_tensor(value), (dims,) if np.ndim(dims) == 0 else tuple(dims))


def concat(values: Any, axis: int, name: str | None = None) -> Any:
    """The tensors one after another along `axis`."""
    if any(isinstance(value, _strings.Ragged) for value in values):
        return _ragged.concat(values, int(axis))
    if len(values) and _text(values[0]) is not None:
        return np.concatenate(values, axis=axis).view(_dataset.Text)
    return ops.concatenate(list(values), axis=axis)


def transpose(a: Any, perm: Any = None, **kwargs: Any) -> Any:
    """The axes in the order `perm`; reversed by default."""
    return ops.transpose(a, perm)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Any:
    """`t` limited to that range."""
    return ops.clip(t, clip_value_min, clip_value_max)


def identity(input: Any, name: str | None = None) -> Any:
    """The tensor itself."""
    return ops.convert_to_tensor(input)


def print(*inputs: Any, **kwargs: Any) -> None:
    """Prints the values."""
    import builtins

    builtins.print(*[np.asarray(x) if isinstance(x, Tensor) else x for x in inputs])


# --- submodules ------------------------------------------------------------------------------------------------


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


def _gamma(shape: Any, alpha: Any, beta: Any = None, dtype: Any = "float32", seed: Any = None, name: Any = None) -> Any:
    """As many numbers of each gamma distribution as `shape` says."""
    alpha, beta = (ops.convert_to_tensor(v, dtype) for v in (alpha, 1.0 if beta is None else beta))
    every = (*map(int, shape), *np.broadcast_shapes(alpha.shape, beta.shape))
    return _random.gamma(every, ops.broadcast_to(alpha, every), dtype, seed) / beta


def _seeded(draw: Callable[..., Any]) -> Callable[..., Any]:
    """The same numbers for the same two numbers of `seed`."""

    def drawn(shape: Any, seed: Any, *args: Any, **kwargs: Any) -> Any:
        a, b = (int(n) for n in seed)
        return draw(shape, *args, seed=hash((a, b)) % 2**31, **kwargs)

    return drawn


random = _machinery.module(
    "random",
    get_global_generator=_machinery.Generator.from_non_deterministic_state,
    stateless_normal=_seeded(_normal),
    stateless_uniform=_seeded(_uniform),
    stateless_truncated_normal=_seeded(_truncated),
    poisson=lambda shape, lam, dtype="float32", seed=None, name=None: Tensor(
        np.random.default_rng(seed).poisson(np.asarray(lam), (*shape, *np.shape(lam))).astype(str(dtype))
    ),
    gamma=_gamma,
    normal=_normal,
    uniform=_uniform,
    truncated_normal=_truncated,
    shuffle=_random.shuffle,
    categorical=_random.categorical,
    set_seed=nacre.utils.set_random_seed,
    Generator=_machinery.Generator,
    **_candidates.SAMPLERS,
)
strings, sparse, RaggedTensor, as_string = _strings, _sparse, _strings.Ragged, _strings.as_string


autodiff = _machinery.module("autodiff", ForwardAccumulator=_ForwardAccumulator, GradientTape=GradientTape)
audio = _machinery.module("audio", decode_wav=_sounds.decode_wav)
ragged = _machinery.module("ragged", constant=_strings.ragged, **_ragged.ROWS)
sets = _sets
signal = _machinery.module(
    "signal",
    **_sounds.SIGNALS,
)
train = _machinery.module(
    "train",
    Checkpoint=_checkpoints.Checkpoint,
    CheckpointManager=_checkpoints.CheckpointManager,
    latest_checkpoint=_checkpoints.latest_checkpoint,
    **{c.__name__: c for c in _records.MESSAGES},
)
_FILES = "read_file write_file decode_image decode_jpeg decode_png decode_bmp encode_jpeg encode_png"
io = _machinery.module(
    "io",
    **{name: getattr(_pictures, name) for name in _FILES.split()},
    **{f.__name__: f for f in _records.READING},
    decode_csv=_tables.decode_csv,
    gfile=_machinery.module("io.gfile", **_machinery.FILES),
)
image = _pictures
_SUMMARY = "create_file_writer create_noop_writer should_record_summaries record_if scalar histogram image text"
summary = _machinery.module(
    "summary",
    **{name: getattr(_summaries, name) for name in _SUMMARY.split()},
    SummaryWriter=_summaries.Writer,
    experimental=_machinery.module("summary.experimental", set_step=_summaries.set_step, get_step=_summaries.get_step),
    trace_on=_machinery.nothing,
    trace_off=_machinery.nothing,
    trace_export=_machinery.nothing,
    graph=_machinery.nothing,
)


def _cardinality(dataset: Any) -> Any:
    return dataset.cardinality()


data = _machinery.module(
    "data", Dataset=_dataset.Dataset, AUTOTUNE=_dataset.AUTOTUNE, Options=_machinery.Anything,
    TextLineDataset=_tables.TextLineDataset, TFRecordDataset=_records.TFRecordDataset,
    experimental=_machinery.module(
        "data.experimental", INFINITE_CARDINALITY=-1, UNKNOWN_CARDINALITY=-2, **_datasets.EXPERIMENTAL
    ),
    INFINITE_CARDINALITY=-1, UNKNOWN_CARDINALITY=-2,
)  # fmt: skip
data.experimental.AUTOTUNE = _dataset.AUTOTUNE
data.experimental.cardinality = _cardinality
data.experimental.sample_from_datasets = _dataset.Dataset.sample_from_datasets
data.experimental.choose_from_datasets = _dataset.Dataset.choose_from_datasets
data.experimental.AutoShardPolicy = _machinery.Anything()
data.experimental.CsvDataset = _tables.CsvDataset
data.experimental.make_csv_dataset = _tables.make_csv_dataset
lookup = _machinery.module(
    "lookup",
    KeyValueTensorInitializer=_tables.KeyValueTensorInitializer,
    StaticHashTable=_tables.StaticHashTable,
    StaticVocabularyTable=_tables.StaticVocabularyTable,
)
experimental = _machinery.module("experimental", numpy=ops)
dtypes = _machinery.module("dtypes", cast=_forms.RENAMED["cast"], as_dtype=as_dtype, DType=DType, **DTYPES)
nest = _machinery.module(
    "nest", **{name: getattr(_tree, name) for name in ("flatten", "map_structure", "pack_sequence_as", "is_nested")}
)
autograph = _machinery.module(
    "autograph",
    set_verbosity=_machinery.nothing,
    to_code=lambda entity, *args, **kwargs: _functions.source(entity),
    experimental=_machinery.module("autograph.experimental", do_not_convert=lambda f=None, **k: f),
)
_CONFIG = (
    "set_logical_device_configuration set_visible_devices set_soft_device_placement experimental_connect_to_cluster"
)
config = _machinery.module(
    "config",
    list_physical_devices=_machinery.devices("/physical_device:CPU:0"),
    list_logical_devices=_machinery.devices("/device:CPU:0"),
    get_visible_devices=_machinery.devices("/physical_device:CPU:0"),
    LogicalDeviceConfiguration=_types.SimpleNamespace,
    experimental=_machinery.module(
        "config.experimental",
        list_physical_devices=_machinery.devices("/physical_device:CPU:0"),
        list_logical_devices=_machinery.devices("/device:CPU:0"),
        VirtualDeviceConfiguration=_types.SimpleNamespace,
        set_memory_growth=_machinery.nothing,
        set_virtual_device_configuration=_machinery.nothing,
        set_visible_devices=_machinery.nothing,
        enable_op_determinism=_machinery.nothing,  # it always holds
        enable_tensor_float_32_execution=_machinery.nothing,
    ),
    run_functions_eagerly=lambda run_eagerly: _functions.eagerly.__setitem__(0, run_eagerly),
    experimental_run_functions_eagerly=lambda run_eagerly: _functions.eagerly.__setitem__(0, run_eagerly),
    functions_run_eagerly=lambda: _functions.eagerly[0],
    threading=_machinery.module("config.threading", **_machinery.THREADS),
    optimizer=_machinery.module("config.optimizer", set_jit=_machinery.nothing),
    **dict.fromkeys(_CONFIG.split(), _machinery.nothing),
)
test = _machinery.module(
    "test",
    is_gpu_available=lambda *a, **k: False,
    gpu_device_name=lambda: "",
    is_built_with_cuda=lambda: False,
    TestCase=_machinery.TestCase,
    main=_machinery.TestCase.main,
)
get_logger = _machinery.get_logger
distribute = _machinery.module(
    "distribute",
    Strategy=_machinery.Strategy,
    MirroredStrategy=_machinery.Strategy,
    OneDeviceStrategy=_machinery.Strategy,
    MultiWorkerMirroredStrategy=_machinery.Strategy,
    InputContext=_machinery.InputContext,
    cluster_resolver=_machinery.module("distribute.cluster_resolver", TPUClusterResolver=_machinery.no_tpu),
    has_strategy=lambda: False,
    ReduceOp=_machinery.ReduceOp,
    get_strategy=_machinery.Strategy,
)
# Old programs turn things on and off that are here as they were off and on.
logging = _machinery.module(
    "compat.v1.logging",
    set_verbosity=lambda level: _machinery.get_logger().setLevel(level),
    **{name: getattr(_logging, name) for name in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")},
)
disable_eager_execution = disable_v2_behavior = enable_eager_execution = enable_v2_behavior = _machinery.nothing
set_random_seed = nacre.utils.set_random_seed
compat = _machinery.module("compat", v1=_sys.modules[__name__], v2=_sys.modules[__name__], **_strings.CONVERSIONS)
errors = _machinery.module("errors", **_machinery.ERRORS)
_BITS = {"bitwise_and": "", "bitwise_or": "", "bitwise_xor": "", "left_shift": "bitwise_", "right_shift": "bitwise_"}
bitwise = _machinery.module("bitwise", **{name: getattr(ops, front + name) for name, front in _BITS.items()})
globals().update(_machinery.ASSERTIONS)
debugging = _machinery.module(
    "debugging",
    disable_traceback_filtering=nacre.config.disable_traceback_filtering,
    enable_traceback_filtering=nacre.config.enable_traceback_filtering,
    is_traceback_filtering_enabled=nacre.config.is_traceback_filtering_enabled,
    **_machinery.ASSERTIONS,
    assert_all_finite=_forms.check_numerics,
    enable_check_numerics=_machinery.nothing,
    check_numerics=_forms.check_numerics,
    set_log_device_placement=_machinery.nothing,
)


class device:
    """Does nothing: there is one device."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> Any:
        return self.name

    def __exit__(self, *exc: object) -> None:
        return None


name_scope = init_scope = control_dependencies = device  # names of operations say nothing, and all happens in order
group = no_op = _machinery.nothing
__internal__ = _machinery.module(
    "__internal__",
    tracking=_machinery.module("__internal__.tracking", no_automatic_dependency_tracking=lambda method: method),
)
version = _machinery.module("version", VERSION=__version__)
UnconnectedGradients = _types.SimpleNamespace(NONE="none", ZERO="zero")


def map_fn(fn: Callable[..., Any], elems: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """`fn` of each part along the first axis."""
    return ops.map(fn, _tree.map_structure(ops.convert_to_tensor, elems))


def unstack(value: Any, num: int | None = None, axis: int = 0) -> Iterator[Any]:
    """The parts along `axis`."""
    return ops.unstack(value, num, axis)  # type: ignore[no-any-return]


__all__ = [name for name in globals() if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_machinery.ABSENT.get(name, '')}", name=name)
