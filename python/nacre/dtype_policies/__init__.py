"""Which dtype a layer computes in and which it keeps its variables in."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    dict.fromkeys(
        (
            "DTypePolicy",
            "DTypePolicyMap",
            "FloatDTypePolicy",
            "deserialize",
            "dtype_policy",
            "get",
            "serialize",
            "set_dtype_policy",
        ),
        ".policy",
    ),
)
