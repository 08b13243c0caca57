"""What Keras' tests take from Keras' internals, said in nacre's words. Only names that no user's script needs."""

from __future__ import annotations

import importlib
import types
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
        "standardize_data_format": "nacre.core.config:standardize_data_format",
    },
    "backend.common": {"is_float_dtype": "nacre.backend:is_float_dtype"},
    "backend.common.global_state": {"clear_session": "nacre.utils:clear_session"},
    "backend.common.keras_tensor": {"any_symbolic_tensors": "nacre.core.operation:any_keras_tensor"},
    "backend.common.masking": {"get_keras_mask": "get_keras_mask", "set_keras_mask": "set_keras_mask"},
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

false, true = False, True


def find(path: str, name: str) -> Any:
    """The object, or None when there is no glue for it."""
    where = _NAMES.get(path, {}).get(name)
    if where is None:
        return None
    module, _, attribute = where.rpartition(":")
    return getattr(importlib.import_module(module), attribute) if module else globals()[attribute]


def conftest() -> types.ModuleType:
    """The conftest.py of Keras' repository: a mark that skips on engines that are not nacre."""
    import pytest

    module = types.ModuleType("conftest")
    module.skip_if_backend = lambda backend, reason: pytest.mark.skipif(backend == "nacre", reason=reason)
    return module


def false_function() -> bool:
    return False


def removesuffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def get_keras_mask(x: Any) -> Any:
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    x._keras_mask = mask


def compute_output_spec(fn: Any, *args: Any, **kwargs: Any) -> Any:
    from nacre.core.operation import compute_output_spec as spec

    return spec(fn, args, kwargs, getattr(fn, "__name__", "function"))
