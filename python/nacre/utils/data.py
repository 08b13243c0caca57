"""How batches are given: `x`, `(x, y)` or `(x, y, sample_weight)`; splitting a data set in two."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.errors import told


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """`x` (`(x,)` when it is itself a tuple or list), `(x, y)` or `(x, y, sample_weight)`."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` from a batch as `fit` gets it; what is missing is None. Raises ValueError for more."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            f"Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: {data}"
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


@told
def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Two parts of `dataset` (an array, or a tuple, list or dict of arrays of one length), each with its structure.

    Args:
        dataset: what is split along its first axis.
        left_size: size of the first part: a fraction (float) or a number of samples (int).
        right_size: size of the second part; the rest when it is not given.
        shuffle: whether samples are mixed first, by `seed`.
        seed: of that order.
        preferred_backend: accepted for compatibility; the parts are arrays.

    Raises:
        ValueError: when both sizes are missing, a part is empty, or the parts do not fit.
    """
    arrays = [np.asarray(a) for a in tree.flatten(dataset)]
    lengths = {len(a) for a in arrays}
    if len(lengths) != 1:
        raise ValueError(f"split_dataset: expected arrays of one length, got lengths {sorted(lengths)}")
    n = lengths.pop()
    if left_size is None and right_size is None:
        raise ValueError("split_dataset: at least one of `left_size` and `right_size` must be given")
    left, right = _samples(left_size, n, "left_size"), _samples(right_size, n, "right_size")
    left = n - right if left is None else left  # type: ignore[operator]
    right = n - left if right is None else right
    if left + right > n or left <= 0 or right <= 0:
        raise ValueError(f"split_dataset: parts of {left} and {right} samples cannot be taken from {n}")
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    take = [[a[part] for a in arrays] for part in (order[:left], order[left : left + right])]
    first, second = (tree.pack_sequence_as(dataset, part) if tree.is_nested(dataset) else part[0] for part in take)
    return first, second


def _samples(size: Any, n: int, what: str) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, float)):
        raise TypeError(f"split_dataset: expected `{what}` to be a float or an int, got {size!r}")
    if isinstance(size, float):
        if not 0 < size < 1:
            raise ValueError(f"split_dataset: expected a fraction `{what}` between 0 and 1, got {size}")
        return round(size * n)
    return int(size)
