"""Constraints: what the optimizer does to a weight after each update."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(
            ("Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "serialize"),
            ".projections",
        ),
        "max_norm": ".projections:MaxNorm",
        "min_max_norm": ".projections:MinMaxNorm",
        "non_neg": ".projections:NonNeg",
        "unit_norm": ".projections:UnitNorm",
        # The spellings of Keras 1 and 2.
        "maxnorm": ".projections:MaxNorm",
        "nonneg": ".projections:NonNeg",
        "unitnorm": ".projections:UnitNorm",
    },
)
