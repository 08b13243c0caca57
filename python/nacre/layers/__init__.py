"""The layers: tensors in, tensors out, with weights of their own."""

from nacre._lazy import attach as _attach

_WHERE = {
    ".layer": ("Layer",),
    ".input_spec": ("InputSpec",),
    ".input_layer": ("Input", "InputLayer"),
    ".serialization": ("deserialize", "serialize"),
}
_ALIASES: dict[str, str] = {}

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {name: module for module, names in _WHERE.items() for name in names} | _ALIASES,
)
