"""Learning rates that change with the iteration."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "LearningRateSchedule": ".schedule",
        **dict.fromkeys(
            (
                "CosineDecay",
                "CosineDecayRestarts",
                "ExponentialDecay",
                "InverseTimeDecay",
                "PiecewiseConstantDecay",
                "PolynomialDecay",
            ),
            ".decay",
        ),
        **dict.fromkeys(("deserialize", "serialize"), ".schedule"),
    },
)
