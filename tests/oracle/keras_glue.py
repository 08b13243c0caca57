"""What Keras' tests take from Keras' internals, said in nacre's words. Only names that no user's script needs."""

from __future__ import annotations

import contextlib
import importlib
import types
import unittest
from typing import Any

# Path below keras.src -> name -> "module:attribute" in nacre, or a name of this module.
_NAMES: dict[str, dict[str, str]] = {
    "backend": {
        "SUPPORTS_SPARSE_TENSORS": "false",
        "SUPPORTS_RAGGED_TENSORS": "false",
        "SUPPORTS_COMPLEX_DTYPES": "false",
        "IS_THREAD_SAFE": "true",
        "convert_to_tensor": "nacre.ops:convert_to_tensor",
        "convert_to_numpy": "nacre.ops:convert_to_numpy",
        "is_tensor": "nacre.ops:is_tensor",
        "shape": "nacre.ops:shape",
        "compute_output_spec": "compute_output_spec",
        "name_scope": "nacre.core.naming:name_scope",
        "get_keras_mask": "get_keras_mask",
        "set_keras_mask": "set_keras_mask",
        "device": "nothing",
        "image": "nacre.ops:image",
        "standardize_shape": "nacre.layers.input_layer:_shape",
        "standardize_data_format": "nacre.core.config:standardize_data_format",
    },
    "backend.common": {"is_float_dtype": "nacre.backend:is_float_dtype"},
    "backend.common.global_state": {"clear_session": "nacre.utils:clear_session"},
    "backend.common.keras_tensor": {"any_symbolic_tensors": "nacre.core.operation:any_keras_tensor"},
    "backend.common.masking": {"get_keras_mask": "get_keras_mask", "set_keras_mask": "set_keras_mask"},
    "backend.common.backend_utils": {
        "compute_conv_transpose_output_shape": "conv_transpose_shape",
        "compute_conv_transpose_padding_args_for_jax": "absent",
    },
    "layers.core.einsum_dense": {"_analyze_einsum_string": "absent"},
    "backend.common.symbolic_scope": {"in_symbolic_scope": "nacre.core.trace:probing"},
    "backend.config": {
        "disable_flash_attention": "false_function",
        "enable_flash_attention": "false_function",
        "is_flash_attention_enabled": "false_function",
        "is_nnx_enabled": "false_function",
    },
    "backend.common.name_scope": {
        "name_scope": "nacre.core.naming:name_scope",
        "current_path": "nacre.core.naming:current_path",
    },
    "models": {"Functional": "nacre.models.functional:Functional"},
    "models.functional": {"Functional": "nacre.models.functional:Functional"},
    "ops.node": {"Node": "nacre.core.operation:Node"},
    "trainers.compile_utils": {
        "CompileLoss": "nacre.training:CompileLoss",
        "CompileMetrics": "nacre.training:CompileMetrics",
    },
    "trainers.trainer": {"Trainer": "trainer"},
    "layers": {"GroupedQueryAttention": "nacre.layers:GroupQueryAttention"},
    "utils.naming": {
        "auto_name": "nacre.core.naming:auto_name",
        "to_snake_case": "nacre.core.naming:to_snake_case",
    },
    "utils": {"removesuffix": "removesuffix"},
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
    "distillation": "distillation",
    "backend.common.remat": "rematerialization",
    "backend.jax": "the JAX engine",
    "backend.torch": "the PyTorch engine",
    "backend.tensorflow": "the TensorFlow engine",
    "utils.module_utils": "a library that is not there",
}
# Source text of a test that refuses engines it does not know, and what stands for it.
ENGINES = [
    ('raise ImportError(f"Invalid backend: {backend.backend()}")', "from keras.src.trainers.trainer import Trainer"),
    ('"jax": "cpu:0",', '"jax": "cpu:0", "nacre": "cpu",'),
]
false, true = False, True
running = False  # whether a test is running, as opposed to a file being imported


def find(path: str, name: str) -> Any:
    """The object, or None when there is no glue for it."""
    for area, what in _ABSENT.items():
        if f"{path}.".startswith(f"{area}."):
            return Absent(what)
    where = _NAMES.get(path, {}).get(name)
    if where is None:
        return None
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

    rank = len(input_shape) - 2
    cls = getattr(layers, f"Conv{rank}DTranspose")
    kernel_size = tuple(kernel_size)[:rank]  # or the shape of a kernel
    options = dict(output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate)
    return cls(filters, kernel_size, strides=strides, padding=padding, **options).compute_output_shape(input_shape)


def trainer() -> Any:
    """nacre's Trainer is a Layer; Keras' tests mix theirs into one that has been initialized."""
    from nacre.training import Trainer

    class OfModel(Trainer):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    return OfModel


def removesuffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def get_keras_mask(x: Any) -> Any:
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    x._keras_mask = mask


def compute_output_spec(fn: Any, *args: Any, **kwargs: Any) -> Any:
    from nacre.core.operation import compute_output_spec as spec

    return spec(fn, args, kwargs, getattr(fn, "__name__", "function"))
