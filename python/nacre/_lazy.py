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

# Names of Keras that nacre does not have, and why.
_ABSENT = {
    **dict.fromkeys(
        (
            "AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy",
            "QuantizedFloat8DTypePolicy", "AWQConfig", "GPTQConfig", "Float8QuantizationConfig",
            "Int4QuantizationConfig", "Int8QuantizationConfig", "QuantizationConfig",
            "abs_max_quantize_grouped_with_zero_point", "pack_int4", "quantize_and_dequantize", "unpack_int4",
        ),
        "nacre computes in float32 and has no quantized layers",
    ),
    "export": "a model writes ONNX files itself, `model.export(path, format=\"onnx\")`",
    **dict.fromkeys(
        ("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
        "layers written in other libraries cannot run here",
    ),
    "OrbaxCheckpoint": "Orbax is a library of JAX; use ModelCheckpoint",
    **dict.fromkeys(("polar", "view_as_complex", "view_as_real"), "there are no complex dtypes"),
}  # fmt: skip


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for a name that a module does not have; for one that Keras has, it says why."""
    why = f": {_ABSENT[name]}" if name in _ABSENT else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{why}", name=name, obj=sys.modules[module])


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
            raise no_attribute(package, name) from None
        if source is None:
            return importlib.import_module(f".{name}", package)
        module, _, attribute = source.partition(":")
        value = getattr(importlib.import_module(module, package), attribute or name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*names, *(n for n in vars(sys.modules[package]) if n.startswith("__"))})

    return __getattr__, __dir__, sorted(names)
