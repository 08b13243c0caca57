"""Optimizers: how gradients change variables; `optimizers.schedules` change the learning rate over time."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "Optimizer": ".base",
        **dict.fromkeys(("SGD",), ".momentum"),
        **dict.fromkeys(("Adam", "AdamW", "Adamax", "Lamb", "Lion", "Nadam"), ".moments"),
        **dict.fromkeys(("Adadelta", "Adagrad", "Ftrl", "RMSprop"), ".accumulators"),
        "Adafactor": ".factored",
        "LossScaleOptimizer": ".loss_scale",
        "Muon": ".orthogonal",
        "ScheduleFreeAdamW": ".schedule_free",
        **dict.fromkeys(("MultiOptimizer", "OptimizerMap"), ".multi"),
        **dict.fromkeys(("deserialize", "get", "serialize"), ".identifiers"),
        "legacy": None,
        "schedules": None,
    },
)
