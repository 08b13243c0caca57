"""Elements of data sets: arrays, in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.tensor import as_array


def is_shape(given: Any) -> bool:
    """Whether this is one shape, not several in a structure; None may be any."""
    return given is None or (not isinstance(given, dict) and all(n is None or np.ndim(n) == 0 for n in given))


def per_array(element: Any, given: Any, is_one: Callable[[Any], bool]) -> list[Any]:
    """What is given for each array of an element: once for all, or in its structure."""
    count = len(tree.flatten(element))
    if is_one(given):
        return [given] * count
    found = [given[k] for k in sorted(given)] if isinstance(given, dict) else list(given)
    nested = [element[k] for k in sorted(element)] if isinstance(element, dict) else list(element)
    return [one for e, g in zip(nested, found, strict=True) for one in per_array(e, g, is_one)]


def lists_as_arrays(structure: Any) -> Any:
    """Lists of numbers are one array, of int32 or float32; tuples and dicts are structure."""
    if isinstance(structure, list):
        array = np.asarray(structure)
        return as_array(structure) if array.dtype.kind in "if" else array
    if isinstance(structure, tuple):
        return tuple(lists_as_arrays(s) for s in structure)
    if isinstance(structure, dict):
        return {k: lists_as_arrays(v) for k, v in structure.items()}
    return np.asarray(structure)
