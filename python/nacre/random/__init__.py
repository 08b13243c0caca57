"""keras.random: numbers drawn from a seed. The same seed gives the same numbers on every machine and at any number of
threads.
"""

from nacre._lazy import attach as _attach

_NAMES = {
    ".seed_generator": "SeedGenerator",
    ".draws": "beta binomial categorical dropout gamma normal randint shuffle truncated_normal uniform",
}

__getattr__, __dir__, __all__ = _attach(
    __name__, {name: module for module, names in _NAMES.items() for name in names.split()}
)
