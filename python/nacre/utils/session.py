"""What belongs to the process: automatic names and random seeds."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from nacre.core import naming
from nacre.core.seed_generator import set_global_seed
from nacre.core.tensor import KerasTensor


def clear_session(free_memory: bool = True) -> None:
    """Starts automatic names (`dense`, `dense_1`, ...) and the global stream of random numbers from the beginning."""
    naming.reset_names()
    set_global_seed(None)


def set_random_seed(seed: int) -> None:
    """Seeds Python's `random`, NumPy and nacre, so that the same program gives the same bits again."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"Expected `seed` argument to be an integer. Received: seed={seed} (of type {type(seed)})")
    random.seed(int(seed))
    np.random.seed(int(seed))
    set_global_seed(int(seed))


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor of a functional model (`keras.Input` and what layers make of it)."""
    return isinstance(x, KerasTensor)


def get_source_inputs(tensor: Any) -> list[KerasTensor]:
    """The KerasTensors that `tensor` is computed from: those of the `Input`s in front of it."""
    found: list[KerasTensor] = []
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        x = waiting.pop(0)
        history = getattr(x, "_keras_history", None)
        if id(x) in seen:
            continue
        seen.add(id(x))
        sources = [] if history is None else history.operation._inbound_nodes[history.node_index].input_tensors
        if sources:
            waiting += sources
        else:
            found.append(x)
    return found
