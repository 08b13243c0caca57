"""Activation functions: elementwise (or per row) functions that a layer puts behind its product."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(
            (
                "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid",
                "hard_silu",
                "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
                "serialize",
                "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
                "sparsemax", "squareplus", "tanh", "tanh_shrink", "threshold",
            ),
            ".functions",
        ),
        "hard_swish": ".functions:hard_silu",
        "swish": ".functions:silu",
    },
)  # fmt: skip
