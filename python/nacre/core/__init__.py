"""Values, ops, graphs and gradients: records and differentiates, knows nothing of layers or kernels."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "GradientTape": ".autodiff",
        "KerasTensor": ".tensor",
        "Operation": ".operation",
        "Tensor": ".tensor",
        "Variable": ".variable",
    },
)
