"""Well-known small data sets, in Keras' cache under Keras' file names."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    dict.fromkeys(
        (
            "boston_housing",
            "california_housing",
            "cifar10",
            "cifar100",
            "digits",
            "fashion_mnist",
            "imdb",
            "mnist",
            "reuters",
        )
    ),
)
