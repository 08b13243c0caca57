"""What libraries around Keras take from inside of it, under `keras.src`: these few names, and what is public."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable
from typing import Any

import nacre
from nacre.core import trace
from nacre.core.operation import any_keras_tensor
from nacre.saving.archive import KERAS_VERSION as __version__  # noqa: F401

# Where names stand that are not public; `:` where they have another name there.
_HOMES = {
    "KerasTensor": "core.tensor",
    **dict.fromkeys(("Node", "Operation", "SymbolicScope"), "core.operation"),
    **dict.fromkeys(("auto_name", "get_uid", "name_scope", "to_snake_case"), "core.naming"),
    **dict.fromkeys(("SeedGenerator", "global_seed_generator"), "core.seed_generator"),
    "BaseConv": "layers.convolution",
    "BaseConvTranspose": "layers.conv_transpose",
    "BaseDepthwiseConv": "layers.depthwise",
    "BaseGlobalPooling": "layers.pooling",
    "BaseImagePreprocessingLayer": "layers.image_layer",
    "BaseOptimizer": "optimizers:Optimizer",
    "BasePooling": "layers.pooling",
    "BaseSeparableConv": "layers.depthwise",
    "CompileLoss": "training.compile_loss",
    "CompileMetrics": "training.compile_metrics",
    "DropoutRNNCell": "layers.rnn_cells",
    "Functional": "models.functional",
    "IndexLookup": "layers.lookup",
    "KerasVariable": "core.variable:Variable",
    "LossFunctionWrapper": "losses.loss",
    "Merge": "layers.merging",
    "RandomInitializer": "initializers.sampled",
    "StatelessScope": "core.stateless",
    "Trainer": "training.trainer",
    "Variable": "core.variable",
    "class_weight_to_sample_weights": "training.arrays",
    "compute_fans": "initializers.sampled",
    "correct_pad": "applications.building:stride_padding",
    "in_symbolic_scope": "core.trace:probing",
    "is_float_dtype": "core.spec:is_float",
    "is_int_dtype": "core.spec:is_int",
    "obtain_input_shape": "applications.building",
    "pack_x_y_sample_weight": "utils",
    "print_msg": "utils.progbar:print_message",
    "print_summary": "utils.summary",
    "squeeze_or_expand_to_same_rank": "losses.loss:same_rank",
    "standardize_data_format": "core.config",
}

_PUBLIC = tuple(
    f"nacre.{name}" for name in ("ops", "backend", "utils", "models", "layers", "losses", "saving", "config")
)
_AROUND = ("tensorflow", "jax", "torch", "torchvision", "scipy", "grain", "optree", "tensorflow_io", "tf2onnx")
_MODULES = ("naming", "tracking", "global_state", "common")  # modules inside of packages, and *_utils, *_lib


class Inside(types.ModuleType):
    """A module under `keras.src`: it has what is public around it, and the names above.

    Args:
        name: its own name.
        home: the module of nacre that has what is public.
    """

    def __init__(self, name: str, home: str) -> None:
        super().__init__(home)  # under its own name `from ... import` would look for more modules in it
        self.path, self.home = name, home

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        if (
            name.endswith(("_utils", "_lib"))
            or name in _MODULES
            or (self.home == "nacre" and name in nacre.__all__ and name.islower())
        ):
            return importlib.import_module(f"{self.path}.{name}")  # keras.src.backend has more than keras.backend
        where, _, other = _HOMES.get(name, "").partition(":")
        if where:
            return getattr(importlib.import_module(f"nacre.{where}"), other or name)
        if name in globals():
            return globals()[name]
        if name in _AROUND and self.path.endswith(".module_utils"):
            return LazyModule(name)
        for home in (self.home, self.home.rpartition(".")[0] or "nacre", *_PUBLIC):
            found = getattr(importlib.import_module(home), name, None)
            if found is not None:
                return found
        raise AttributeError(f"module {self.path!r} has no attribute {name!r}")


def any_symbolic_tensors(args: Any = (), kwargs: Any = None) -> bool:
    """Whether a KerasTensor is among the (nested) arguments."""
    return any_keras_tensor(args, kwargs)


def get_keras_mask(x: Any) -> Any:
    """The mask that a value carries."""
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Hangs a mask on a value."""
    x._keras_mask = mask


def in_tf_graph() -> bool:
    """Never: there are no graphs of TensorFlow."""
    return False


in_grain_data_pipeline = in_tf_graph


def no_automatic_dependency_tracking(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function: what it sets on a layer is tracked, and its errors are told as they are."""
    return fn


filter_traceback = no_automatic_dependency_tracking


def keras_export(path: Any) -> Callable[..., Any]:
    """A decorator that leaves what it decorates as it is: names outside of Keras are exported nowhere."""
    return no_automatic_dependency_tracking


def in_stateless_scope() -> bool:
    """Whether Variables stay as they are here."""
    return trace.scope() is not None


class LazyModule:
    """A module that is imported when something of it is asked for.

    Args:
        name: what is imported.
        pip_name: what brings it, for the error that says that it is missing.
        import_error_msg: that error's words, in place of the usual ones.
    """

    def __init__(self, name: str, pip_name: str | None = None, import_error_msg: str | None = None) -> None:
        self.name = name
        self.pip_name = pip_name or name
        self.import_error_msg = import_error_msg or (
            f"This requires the {name} module. You can install it via `pip install {self.pip_name}`"
        )
        self.module: Any = None

    @property
    def available(self) -> bool:
        """Whether it can be imported."""
        try:
            self.initialize()
        except ImportError:
            return False
        return True

    def initialize(self) -> Any:
        """Imports it. Raises ImportError where that fails."""
        try:
            self.module = importlib.import_module(self.name)
        except ImportError:
            raise ImportError(self.import_error_msg) from None
        return self.module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.module or self.initialize(), name)


def standardize_tuple(value: Any, n: int, name: str, allow_zero: bool = False) -> tuple[int, ...]:
    """`n` ints. Raises ValueError for another number of them, negative ones, and 0 unless it is allowed."""
    least = 0 if allow_zero else 1
    values = (value,) * n if isinstance(value, int) else value
    if not isinstance(values, (list, tuple)) or len(values) != n or any(int(v) < least for v in values):
        raise ValueError(
            f"The `{name}` argument must be a tuple of {n} integers of at least {least}. Received: {value}"
        )
    return tuple(int(v) for v in values)


def standardize_padding(value: Any, allow_causal: bool = False) -> Any:
    """`"valid"` or `"same"` (or `"causal"`) in small letters; pairs of numbers as they are."""
    known = ("valid", "same", *(("causal",) if allow_causal else ()))
    if isinstance(value, str) and value.lower() not in known:
        raise ValueError(f"The `padding` argument must be one of {known}. Received: {value}")
    return value.lower() if isinstance(value, str) else value
