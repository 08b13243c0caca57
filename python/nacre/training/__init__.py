"""Training: data in, steps over batches, losses and metrics of all outputs, and the loops of fit, evaluate and
predict."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "ArraySource": ".sources",
        "CompileLoss": ".compile_loss",
        "CompileMetrics": ".compile_metrics",
        "Source": ".sources",
        "Mode": ".steps",
        "StepRunner": ".steps",
        "Trainer": ".trainer",
        "make_source": ".sources",
    },
)
