"""nacre: train and run small and medium neural networks on CPUs, with the API of Keras 3.

    import nacre as keras          # an ordinary Keras 3 script runs unchanged from here on

Everything below is imported at its first use.
"""

from ._lazy import attach as _attach

__version__ = "0.1.0"


def version() -> str:
    """The version of nacre, such as `"0.1.0"`."""
    return __version__


_MODULES = (
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "distillation",
    "distribution",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "quantizers",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
    "visualization",
    "wrappers",
)

_NAMES = {
    "DTypePolicy": ".dtype_policies",
    "FloatDTypePolicy": ".dtype_policies",
    "Function": ".models",
    "GradientTape": ".core.autodiff",
    "Initializer": ".initializers",
    "Input": ".layers",
    "InputSpec": ".layers",
    "KerasTensor": ".core.tensor",
    "Layer": ".layers",
    "Loss": ".losses",
    "Metric": ".metrics",
    "Model": ".models",
    "Operation": ".core.operation",
    "Optimizer": ".optimizers",
    "Quantizer": ".quantizers",
    "Regularizer": ".regularizers",
    "RematScope": ".core.remat",
    "Sequential": ".models",
    "StatelessScope": ".core.stateless",
    "SymbolicScope": ".core.operation",
    "Variable": ".core.variable",
    "device": ".core.naming",
    "name_scope": ".core.naming",
    "remat": ".core.remat:remat",
    "install_as_keras": ".compat.install",
}

__getattr__, __dir__, __all__ = _attach(__name__, {**dict.fromkeys(_MODULES), **_NAMES})
__all__ += ["__version__", "version"]
