"""What Keras' tests take from Keras' internals, said in nacre's words. Only names that no user's script needs."""

from __future__ import annotations

import contextlib
import importlib
import types
import unittest
from collections import OrderedDict, deque
from typing import Any

from keras_glue_ops import operation

from nacre.core.remat import remat

# Path below keras.src -> name -> "module:attribute" in nacre, or a name of this module.
_NAMES: dict[str, dict[str, str]] = {
    "backend": {
        "SUPPORTS_SPARSE_TENSORS": "false",
        "SUPPORTS_RAGGED_TENSORS": "false",
        "random_seed_dtype": "random_seed_dtype",
        "SUPPORTS_COMPLEX_DTYPES": "false",
        "IS_THREAD_SAFE": "true",
        "convert_to_tensor": "nacre.ops:convert_to_tensor",
        "convert_to_numpy": "nacre.ops:convert_to_numpy",
        "is_tensor": "nacre.ops:is_tensor",
        "shape": "nacre.ops:shape",
        "core": "CORE",
        "compute_output_spec": "compute_output_spec",
        "name_scope": "nacre.core.naming:name_scope",
        "get_keras_mask": "get_keras_mask",
        "set_keras_mask": "set_keras_mask",
        "device": "nothing",
        "image": "nacre.ops:image",
        "standardize_shape": "nacre.core.spec:partial_shape",
        "standardize_data_format": "nacre.core.config:standardize_data_format",
    },
    "backend.common": {"is_float_dtype": "nacre.backend:is_float_dtype"},
    "backend.common.global_state": {"clear_session": "nacre.utils:clear_session"},
    "backend.common.keras_tensor": {"any_symbolic_tensors": "nacre.core.operation:any_keras_tensor"},
    "backend.common.masking": {"get_keras_mask": "get_keras_mask", "set_keras_mask": "set_keras_mask"},
    "backend.common.backend_utils": {
        "compute_conv_transpose_output_shape": "conv_transpose_shape",
        "compute_conv_transpose_padding_args_for_jax": "conv_transpose_padding",
    },
    "backend.common.dtypes": {
        "ALLOWED_DTYPES": "DTYPES",
        "INT_TYPES": "INT_DTYPES",
        "FLOAT_TYPES": "FLOAT_DTYPES",
        "FLOAT8_TYPES": "NO_DTYPES",
    },
    "layers.core.einsum_dense": {"_analyze_einsum_string": "absent"},
    "backend.common.symbolic_scope": {"in_symbolic_scope": "nacre.core.trace:probing"},
    "backend.config": {
        "disable_flash_attention": "false_function",
        "enable_flash_attention": "false_function",
        "is_flash_attention_enabled": "false_function",
        "is_nnx_enabled": "false_function",
    },
    "backend.common.remat": {
        "RematScope": "nacre:RematScope",
        "get_current_remat_mode": "nacre.core.remat:get_current_remat_mode",
    },
    "backend.common.variables": {
        "AutocastScope": "absent",
        "shape_equal": "absent",
        "standardize_dtype": "nacre.backend:standardize_dtype",
        "standardize_shape": "nacre.core.spec:partial_shape",
    },
    "legacy.saving.legacy_h5_format": {"save_model_to_hdf5": "absent"},
    "backend.common.stateless_scope": {"StatelessScope": "nacre.core.stateless:StatelessScope"},
    "backend.common.name_scope": {
        "name_scope": "nacre.core.naming:name_scope",
        "current_path": "nacre.core.naming:current_path",
    },
    "initializers.random_initializers": {"compute_fans": "nacre.initializers.sampled:compute_fans"},
    "layers.preprocessing.image_preprocessing.bounding_boxes.converters": {
        "affine_transform": "nacre.utils.bounding_boxes:affine_transform",
    },
    "losses.loss": {"squeeze_or_expand_to_same_rank": "nacre.losses.loss:same_rank"},
    "metrics.metrics_utils": {"AUCCurve": "CURVES", "AUCSummationMethod": "SUMMATIONS"},
    "regularizers.regularizers": {"validate_float_arg": "validate_float_arg"},
    "random.seed_generator": {
        "draw_seed": "nacre.core.seed_generator:draw_state",
        "global_seed_generator": "nacre.core.seed_generator:global_seed_generator",
        "make_default_seed": "nacre.core.seed_generator:make_default_seed",
    },
    "optimizers.loss_scale_optimizer": {"LossScaleOptimizer": "nacre.optimizers:LossScaleOptimizer"},
    "dtype_policies": {
        "QuantizedDTypePolicy": "QUANTIZED",
        "AWQDTypePolicy": "QUANTIZED",
        "Int4DTypePolicy": "QUANTIZED",
        "GPTQDTypePolicy": "QUANTIZED",
        "QuantizedFloat8DTypePolicy": "QUANTIZED",
    },
    "dtype_policies.dtype_policy": {
        "QuantizedDTypePolicy": "QUANTIZED",
        "AWQDTypePolicy": "QUANTIZED",
        "Int4DTypePolicy": "QUANTIZED",
        "GPTQDTypePolicy": "QUANTIZED",
        "QuantizedFloat8DTypePolicy": "QUANTIZED",
        "dtype_policy": "nacre.dtype_policies.policy:dtype_policy",
        "set_dtype_policy": "nacre.dtype_policies.policy:set_dtype_policy",
    },
    "callbacks": {"MonitorCallback": "nacre.callbacks.monitors:MonitorCallback"},
    "models": {"Functional": "nacre.models.functional:Functional"},
    "models.functional": {"Functional": "nacre.models.functional:Functional"},
    "ops.node": {"Node": "nacre.core.operation:Node"},
    "trainers.compile_utils": {
        "CompileLoss": "nacre.training:CompileLoss",
        "CompileMetrics": "nacre.training:CompileMetrics",
    },
    "trainers.trainer": {"Trainer": "trainer"},
    "layers": {
        "GroupedQueryAttention": "nacre.layers:GroupQueryAttention",
        "IndexLookup": "nacre.layers.lookup:IndexLookup",
    },
    "utils.naming": {
        "auto_name": "nacre.core.naming:auto_name",
        "to_snake_case": "nacre.core.naming:to_snake_case",
    },
    "saving.saving_lib": {"_MEMORY_UPPER_BOUND": "true", "_ZIP_MEMBER_BOMB_FLOOR_BYTES": "true"},
    "saving.saving_api": {
        name: f"nacre.saving:{name}" for name in ("load_model", "save_model", "load_weights", "save_weights")
    },
    "saving.object_registration": {"GLOBAL_CUSTOM_NAMES": "nacre.core.custom_objects:_names_by_object"},
    "utils.summary_utils": {"print_summary": "nacre.utils.summary:print_summary"},
    "utils.module_utils": {"optree": "PRESENT", "dmtree": "NOT_PRESENT"},
    "utils.tracking": {name: name for name in ("TrackedDict", "TrackedList", "TrackedOrderedDict", "TrackedSet")},
    "utils.backend_utils": {"convert_tf_tensor": "nacre.ops:convert_to_tensor"},
    "utils": {"removesuffix": "removesuffix"},
    "utils.file_utils": {"join": "os.path:join", "exists": "os.path:exists", "makedirs": "os:makedirs"},
    "utils.io_utils": {"print_msg": "nacre.utils.progbar:print_message"},
    "utils.python_utils": {"removesuffix": "removesuffix"},
    "utils.traceback_utils": {
        "is_traceback_filtering_enabled": "false_function",
        "disable_traceback_filtering": "false_function",
        "enable_traceback_filtering": "false_function",
    },
}

# Areas that nacre does not have: their names can be imported, a test that uses one is skipped.
_ABSENT = {
    "quantizers": "quantization",
    "distribution": "several devices",
    "backend.jax": "the JAX engine",
    "backend.torch": "the PyTorch engine",
    "backend.tensorflow": "the TensorFlow engine",
    "utils.module_utils": "a library that is not there",
}
# Source text of a test that refuses engines it does not know, and what stands for it.
ENGINES = [
    ('raise ImportError(f"Invalid backend: {backend.backend()}")', "from keras.src.trainers.trainer import Trainer"),
    ("named_product(dtypes=combinations(FLOAT_DTYPES, 2))", "named_product(dtypes=[(d, d) for d in FLOAT_DTYPES])"),
    ('"jax": "cpu:0",', '"jax": "cpu:0", "nacre": "cpu",'),
    ('in ("numpy", "jax", "torch", "openvino"):', 'in ("numpy", "jax", "torch", "openvino", "nacre"):'),
]
false, true = False, True
# What tests are repeated for: the dtypes that nacre computes in. The others are held in the next wider one.
DTYPES, FLOAT_DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64"), ("float32", "float64")
INT_DTYPES, NO_DTYPES = ("uint8", "int32", "int64"), ()
running = False  # whether a test is running, as opposed to a file being imported


def find(path: str, name: str) -> Any:
    """The object, or None when there is no glue for it."""
    where = _NAMES.get(path, {}).get(name)
    for area, what in _ABSENT.items():
        if where is None and f"{path}.".startswith(f"{area}."):
            return Absent(what)
    if where is None:
        return operation(name) if path == "ops" or path.startswith("ops.") else None
    module, _, attribute = where.rpartition(":")
    if module:
        return getattr(importlib.import_module(module), attribute)
    return trainer() if attribute == "trainer" else globals()[attribute]


class Absent:
    """In the place of something that is not there: skips the test that calls it or looks into it."""

    def __init__(self, what: str) -> None:
        self._what = what

    def _use(self, *args: Any, **kwargs: Any) -> Any:
        if running:
            raise unittest.SkipTest(f"needs {self._what}")
        return Absent(self._what)  # as in the arguments of a decorator

    __call__ = __iter__ = __len__ = __enter__ = __getitem__ = _use

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(self._what)


class AbsentModule(types.ModuleType):
    """A library that is not installed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(self.__name__)


QUANTIZED = Absent("quantization")
CORE = types.SimpleNamespace(remat=remat)
PRESENT, NOT_PRESENT = types.SimpleNamespace(available=True), types.SimpleNamespace(available=False)
CURVES = types.SimpleNamespace(from_str=str, ROC="ROC", PR="PR", PRGAIN="PRGAIN")
SUMMATIONS = types.SimpleNamespace(
    from_str=str, INTERPOLATION="interpolation", MAJORING="majoring", MINORING="minoring"
)


class TrackedList(list):  # type: ignore[type-arg]
    """A list that is no plain one, as a layer's are."""


class TrackedSet(deque[Any]):
    """Walked as a sequence."""


class TrackedDict(dict):  # type: ignore[type-arg]
    """A dict that is no plain one."""


class TrackedOrderedDict(OrderedDict[Any, Any]):
    """The same, in its own order."""


def conftest() -> types.ModuleType:
    """The conftest.py of Keras' repository: a mark that skips on engines that are not nacre."""
    import pytest

    module = types.ModuleType("conftest")
    module.skip_if_backend = lambda backend, reason: pytest.mark.skipif(backend == "nacre", reason=reason)
    return module


def false_function() -> bool:
    return False


def absent(*_: Any, **__: Any) -> Any:
    raise unittest.SkipTest("an internal function of Keras")


@contextlib.contextmanager
def nothing(*_: Any) -> Any:
    yield


def conv_transpose_shape(
    input_shape: Any, kernel_size: Any, filters: int, strides: Any, padding: str, output_padding: Any = None,
    data_format: str = "channels_last", dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """The output shape of a transposed convolution, as nacre's layer gives it."""
    from nacre import layers

    cls = getattr(layers, f"Conv{len(input_shape) - 2}DTranspose")
    options = dict(output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate)
    if not isinstance(kernel_size, int):
        kernel_size = tuple(kernel_size)[: len(input_shape) - 2]
    return cls(filters, kernel_size, strides=strides, padding=padding, **options).compute_output_shape(input_shape)


def conv_transpose_padding(
    input_shape: Any, kernel_shape: Any, strides: Any, padding: str, output_padding: Any, dilation_rate: Any
) -> Any:
    """What is put around the spread input, (before, after) per axis, so that a plain convolution gives the result."""
    from nacre.ops.convolution import transposed_length

    axes = range(len(input_shape) - 2)
    steps, gaps, extra = (
        (v,) * len(axes) if isinstance(v, int) or v is None else v for v in (strides, dilation_rate, output_padding)
    )
    pads = []
    for i in axes:
        n, size = input_shape[1 + i], kernel_shape[i]
        _, (before, after) = transposed_length(n, size, steps[i], gaps[i], padding == "same", extra[i])
        reach = (size - 1) * gaps[i]
        pads.append((reach - before, reach - after))
    return pads


def trainer() -> Any:
    """nacre's Trainer is a Layer; Keras' tests mix theirs into one that has been initialized."""
    from nacre.training import Trainer

    class OfModel(Trainer):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    return OfModel


def random_seed_dtype() -> str:
    return "int64"


def validate_float_arg(value: Any, name: str) -> float:
    from nacre.regularizers.penalties import _checked

    return _checked(name, value)


def removesuffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def get_keras_mask(x: Any) -> Any:
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    x._keras_mask = mask


def compute_output_spec(fn: Any, *args: Any, **kwargs: Any) -> Any:
    from nacre.core.operation import compute_output_spec as spec

    return spec(fn, args, kwargs, getattr(fn, "__name__", "function"))
