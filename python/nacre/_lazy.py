"""Packages whose names are loaded on first use (PEP 562), so that `import nacre` costs next to nothing.

    __getattr__, __dir__, __all__ = attach(__name__, {"Dense": ".core.dense", "core": None})

maps a public name to the submodule that defines it; `None` means that the name is itself a submodule. `"name:other"`
style renames are written as `".module:attribute"`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, where: Mapping[str, str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`(__getattr__, __dir__, __all__)` for the module named `package`; each name is imported at its first use."""
    names = dict(where)
    for name, source in names.items():
        if source == f".{name}":
            # The import of package.name would bind the *module* to the attribute and hide the object.
            raise ValueError(f"{package}.{name} and its module have the same name; rename the module")

    def __getattr__(name: str) -> Any:
        try:
            source = names[name]
        except KeyError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        if source is None:
            return importlib.import_module(f".{name}", package)
        module, _, attribute = source.partition(":")
        value = getattr(importlib.import_module(module, package), attribute or name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*names, *(n for n in vars(sys.modules[package]) if n.startswith("__"))})

    return __getattr__, __dir__, sorted(names)
