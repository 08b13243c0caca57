"""keras.random: numbers drawn from a seed. The same seed gives the same numbers on every machine and at any number of
threads.
"""

from nacre._lazy import attach as _attach

_NAMES = {"SeedGenerator": "nacre.core.seed_generator"}
_DRAWS = "beta binomial categorical dropout gamma normal randint shuffle truncated_normal uniform"

__getattr__, __dir__, __all__ = _attach(__name__, {**_NAMES, **dict.fromkeys(_DRAWS.split(), ".draws")})
