"""Regularizers: a penalty on weights or outputs that joins the loss."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(
            ("L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "serialize"),
            ".penalties",
        ),
        "l1": ".penalties:L1",
        "l1_l2": ".penalties:L1L2",
        "l2": ".penalties:L2",
        "orthogonal_regularizer": ".penalties:OrthogonalRegularizer",
    },
)
