"""Where randomness comes from: a seed and a counter that every draw moves on."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from nacre.core import naming
from nacre.core.tensor import Symbol, Tensor
from nacre.core.variable import Variable


class SeedGenerator:
    """A stream of random numbers: its `state` is the Variable [seed, counter], and each draw counts one on.

    Args:
        seed: an int; one is picked when it is None.
        name: of the state's Variable.

    >>> a, b = SeedGenerator(7), SeedGenerator(7)
    >>> a.next().tolist() == b.next().tolist()
    True
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        kwargs.pop("backend", None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to `SeedGenerator`: {kwargs}")
        if seed is None:
            seed = make_default_seed()
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        seed = int(seed)
        if seed < 0:
            raise ValueError(f"Argument `seed` cannot be negative. Received: seed={seed}")
        self.name = name if name is not None else naming.auto_name("SeedGenerator")
        self._initial_seed = seed
        with naming.name_scope(self.name):
            self.state = Variable(
                np.array([seed % 2**63, 0], np.int64), dtype="int64", trainable=False, name="seed_generator_state"
            )

    def next(self, ordered: bool = True) -> Any:
        """The state for one draw; the counter moves on, or both numbers do to seemingly random ones below a million."""
        state = self.state.value
        self.state.assign(state + _ONE_ON if ordered else (state + 1) * 5387 % 933199)
        return state

    def get_config(self) -> dict[str, Any]:
        """The seed it was made with, and its name."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator at the beginning of the stream that `config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<SeedGenerator seed={self._initial_seed} name={self.name}>"


_ONE_ON = Tensor(np.array([0, 1], np.int64))
_global: SeedGenerator | None = None


def make_default_seed() -> int:
    """A seed drawn from Python's own generator, so that seeding that one is enough."""
    return python_random.randint(1, 10**9)


def global_seed_generator() -> SeedGenerator:
    """What draws when nobody gives a seed."""
    global _global
    if _global is None:
        _global = SeedGenerator(name="global_seed_generator")
    return _global


def set_global_seed(seed: int | None) -> None:
    """Starts the stream that serves draws without a seed; None: anew from a random seed at the next draw."""
    global _global
    _global = None if seed is None else SeedGenerator(seed, name="global_seed_generator")


def draw_state(seed: Any) -> Any:
    """The state [seed, counter] for one draw from a SeedGenerator, an int, a tensor of two ints, or (None) the global
    stream.
    """
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return Tensor(np.array([int(seed) % 2**63, 0], np.int64))
    if isinstance(seed, (Tensor, Symbol)) and seed.shape == (2,) and seed.dtype in ("int32", "int64"):
        return seed
    raise ValueError(
        "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
        f"Received: seed={seed} (of type {type(seed)})"
    )
