"""`import keras` finds nacre: an import hook that hands out nacre's own modules under Keras' names."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

import nacre
from nacre.core.config import engine
from nacre.saving.archive import KERAS_VERSION

# Modules that Keras once had, or has under another name; the value is relative to nacre.
_MOVED = {
    "api": "",
    "engine": "layers",
    "engine.base_layer": "layers",
    "engine.input_layer": "layers",
    "engine.sequential": "models",
    "engine.topology": "layers",
    "engine.training": "models",
    "applications": "applications",
    "callbacks.callbacks": "callbacks",
    "layers.advanced_activations": "layers",
    "layers.convolutional": "layers",
    "layers.core": "layers",
    "layers.embeddings": "layers",
    "layers.experimental": "layers",
    "layers.experimental.preprocessing": "layers",
    "layers.local": "layers",
    "layers.merge": "layers",
    "layers.noise": "layers",
    "layers.normalization": "layers",
    "layers.pooling": "layers",
    "layers.preprocessing": "layers",
    "layers.recurrent": "layers",
    "layers.wrappers": "layers",
    "objectives": "losses",
    "optimizers.legacy": "optimizers",
    "optimizers.experimental": "optimizers",
    "utils.data_utils": "utils",
    "utils.generic_utils": "utils",
    "utils.image_utils": "utils",
    "utils.layer_utils": "utils",
    "utils.np_utils": "utils",
    "utils.vis_utils": "utils",
    "preprocessing.image": "preprocessing.image",
}
# Packages under `keras.src` that are not public: what is asked of them may be.
_SOURCES = ("api_export", "export", "legacy", "trainers", "version")
# What old programs reach as attributes: tf.keras.layers.experimental.preprocessing.Rescaling. Relative to nacre.
_ATTRIBUTES = {
    ("layers", "experimental"): "layers",
    ("layers", "preprocessing"): "layers",
    ("mixed_precision", "experimental"): "mixed_precision",
    ("optimizers", "experimental"): "optimizers",
    ("optimizers", "legacy"): "optimizers",
    ("utils", "np_utils"): "utils",
    ("utils", "tracking"): "compat.internals",
    ("utils", "vis_utils"): "utils",
    ("utils", "generic_utils"): "utils",
}
# `import tensorflow.compat.v1 as tf`: what there is of TensorFlow is the same under all of its names.
_TENSORFLOW = ("tensorflow", "tensorflow.python", "tensorflow.compat", "tensorflow.compat.v1", "tensorflow.compat.v2")
# The longer of two that begin alike is first; editors complete imports with `keras._tf_keras` and `keras.api._v2`.
_NAMES = (
    "keras._tf_keras.keras", "keras._tf_keras", "keras.api._v2.keras", "keras.api._v2", "keras", "tensorflow.keras",
    "tensorflow.python.keras", "tensorflow.compat.v1.keras", "tensorflow.compat.v2.keras", "tf_keras",
)  # fmt: skip


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `keras.layers` as `nacre.layers`, and so on; and `tensorflow` where that was asked for."""

    def __init__(self) -> None:
        self.tensorflow = self.jax = False

    def target(self, name: str) -> str | None:
        """The module of nacre that stands behind `name`, or None; with a colon where it is another one around it."""
        if self.tensorflow and name in _TENSORFLOW:
            return "nacre.compat.tensorflow"
        if self.tensorflow and name == "tensorboard.compat.notf":  # TensorBoard: do without TensorFlow
            return "nacre.compat"
        for prefix in _NAMES:
            if name == prefix or name.startswith(f"{prefix}."):
                if prefix.startswith("tensorflow") and not self.tensorflow:
                    return None
                rest = name[len(prefix) + 1 :]
                moved = _MOVED.get(rest, rest)
                if moved == "src":
                    return "nacre:"
                if moved.startswith("src."):  # where Keras itself keeps things: the package that hands them out
                    top = moved[4:].partition(".")[0]
                    if not (top in _MOVED or top in _SOURCES or _exists(f"nacre.{top}")):
                        return "nacre.src"  # and there is nothing
                    moved = _MOVED.get(moved[4:], moved[4:])
                    while not _exists(f"nacre.{moved}") and moved:
                        moved = moved.rpartition(".")[0]
                    return f"nacre.{moved}:" if moved else "nacre:"
                return f"nacre.{moved}" if moved else "nacre"
        root = name.partition(".")[0]
        if (root == "tensorflow" and self.tensorflow) or (root == "jax" and self.jax):
            return f"nacre.compat.{name}"
        return None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        where = self.target(name)
        if where is None:
            return None
        if not _exists(where.rstrip(":")) and not _attribute(where):
            # Nobody else may look: under this name a module of nacre would be run a second time.
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        where = self.target(spec.name)
        assert where is not None  # find_spec has asked the same
        if where.endswith(":"):
            return importlib.import_module("nacre.compat.internals").Inside(spec.name, where[:-1])  # type: ignore
        module = _attribute(where) or importlib.import_module(where)
        spec.loader_state = getattr(module, "__spec__", None)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """The module has run already; the import system has only put its own spec into it."""
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            module.__spec__ = spec.loader_state


def _exists(where: str) -> bool:
    try:
        return importlib.util.find_spec(where) is not None
    except ModuleNotFoundError:
        return False


def _attribute(where: str) -> Any:
    """`tensorflow.data` and the like are objects of one module; None when there is none."""
    home, _, rest = where.removeprefix("nacre.compat.").partition(".")
    if home not in ("tensorflow", "jax") or not rest:
        return None
    found: Any = importlib.import_module(f"nacre.compat.{home}")
    for part in rest.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, types.ModuleType) else None


def _engine() -> str:
    """The engine whose names a program finds here: the one that it asks for, else the one that Keras takes unasked."""
    finder = next(f for f in sys.meta_path if isinstance(f, Finder))
    there = [name for name in ("tensorflow", "jax") if getattr(finder, name)]
    asked = os.environ.get("KERAS_BACKEND", "")
    return asked if asked in there else [*there, "nacre"][0]


def install_as_keras(tensorflow: bool = False, jax: bool = False) -> None:
    """Makes `import keras` and `from keras.layers import Dense` find nacre in this process.

    With `tensorflow=True`, `tensorflow.keras` is nacre as well, and `tensorflow` has the few names around it that
    tutorials use (`tf.constant`, `tf.random.normal`, `tf.GradientTape`, `tf.data.Dataset`, ...). With `jax=True`, `jax`
    has what training loops for Keras on JAX use (`jax.value_and_grad`, `jax.jit`, `jax.numpy`). Call it before
    anything imports Keras. `keras.__version__` is that of the Keras whose API this is, and `keras.config.backend()`
    says the engine whose names are there, the one in the environment variable KERAS_BACKEND where both are.

    Raises ImportError when the real library has been imported already.
    """
    for name in ("keras", *(("tensorflow",) if tensorflow else ()), *(("jax",) if jax else ())):
        loaded = sys.modules.get(name)
        home = getattr(loaded, "__name__", "")
        if loaded is not None and not home.startswith("nacre"):
            raise ImportError(f"install_as_keras: the real {name!r} has been imported already; call this before that")
    finder = next((f for f in sys.meta_path if isinstance(f, Finder)), None)
    if finder is None:
        finder = Finder()
        sys.meta_path.insert(0, finder)
    finder.tensorflow, finder.jax = finder.tensorflow or tensorflow, finder.jax or jax
    engine[:] = [_engine]
    nacre.__version__ = KERAS_VERSION  # what scripts, and libraries around Keras, go by
    for (owner, name), target in _ATTRIBUTES.items():
        setattr(importlib.import_module(f"nacre.{owner}"), name, importlib.import_module(f"nacre.{target}"))
