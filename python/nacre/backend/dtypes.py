"""Questions about dtypes, and numbers for names."""

from __future__ import annotations

from typing import Any

from nacre.core.config import floatx
from nacre.core.spec import is_float, is_int, result_dtype
from nacre.core.spec import standardize_dtype as _standardize


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype; `floatx()` for None."""
    return _standardize(dtype, floatx())


def is_float_dtype(dtype: Any) -> bool:
    """Whether numbers of this dtype are floats."""
    return is_float(standardize_dtype(dtype))


def is_int_dtype(dtype: Any) -> bool:
    """Whether numbers of this dtype are integers (booleans are not)."""
    return is_int(standardize_dtype(dtype))


def result_type(*dtypes: Any) -> str:
    """The dtype that holds any combination of these; Python's own numbers (and `int`, `float`) only say of which kind.

    >>> result_type("uint8", int), result_type("uint8", "int32"), result_type("int32", float)
    ('uint8', 'int32', 'float32')
    """
    weak, strong = set(), []
    for d in dtypes:
        kind = d if isinstance(d, type) else type(d)
        if kind in (bool, int, float):
            weak.add(kind)
        else:
            strong.append(standardize_dtype(getattr(d, "dtype", d)))
    known = result_dtype(*strong) if strong else "bool" if weak else floatx()
    if float in weak and not is_float(known):
        return floatx()
    return "int32" if int in weak and known == "bool" else known
