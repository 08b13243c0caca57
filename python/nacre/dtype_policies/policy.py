"""Dtype policies: `"float32"` keeps and computes in one dtype, `"mixed_float16"` names two.

nacre's kernels hold float16 and bfloat16 as float32, so a mixed policy is accepted and remembered, and computes in
float32.
"""

from __future__ import annotations

import re
from typing import Any

from nacre.core import config as core_config
from nacre.core import registry
from nacre.core.spec import standardize_dtype

_MIXED = {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_DTYPES = (
    *_FLOATS, "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string",
)  # fmt: skip


class DTypePolicy:
    """The dtypes of a layer by one name: a dtype (`"float32"`), `"mixed_float16"` or `"mixed_bfloat16"`.

    Attributes: `name`, `compute_dtype`, `variable_dtype`, `quantization_mode` (always None).

    >>> DTypePolicy("mixed_float16").variable_dtype
    'float32'
    """

    quantization_mode: str | None = None

    def __init__(self, name: str | None = None, source_name: str | None = None) -> None:
        if name is None:
            name = _global_policy().name
        if not isinstance(name, str):
            raise TypeError(
                f"'name' must be a string, such as 'mixed_float16'. Received: name={name} (of type {type(name)})"
            )
        self._name = name
        self._source_name = source_name
        self._compute_dtype, self._variable_dtype = _parse(name)

    @property
    def name(self) -> str:
        """The name that the policy was made from."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype of inputs and outputs."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of weights."""
        return self._variable_dtype

    def get_config(self) -> dict[str, Any]:
        """`{"name": ...}`."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy of that configuration."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self._name))

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'


FloatDTypePolicy = DTypePolicy


def _parse(name: str) -> tuple[str, str]:
    if name in _MIXED:
        return _MIXED[name]
    plain = {"float": "float32", "half": "float16", "double": "float64", "int": "int32"}.get(name, name)
    if plain not in _DTYPES:
        raise ValueError(
            f"Cannot convert '{name}' to a mixed precision DTypePolicy. Valid policies include 'mixed_float16', "
            "'mixed_bfloat16', and the name of any float dtype such as 'float32'."
        )
    return plain, plain


class DTypePolicyMap(dict):  # type: ignore[type-arg]
    """Policies by layer path, with a default: what layers get when their path is not listed.

    A key that is the path itself goes before all; else the keys are regular expressions for the whole path.
    """

    def __init__(self, default_policy: Any = None, policy_map: dict[str, Any] | None = None) -> None:
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(
                "If specified, `policy_map` must be a dict. "
                f"Received: policy_map={policy_map} of type {type(policy_map)}"
            )
        super().__init__({path: get(policy) for path, policy in (policy_map or {}).items()})
        self._default = None if default_policy is None else get(default_policy)

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths that are not listed; the global policy when none was given."""
        return self._default if self._default is not None else dtype_policy()

    name = property(lambda self: "map_" + self.default_policy.name)
    compute_dtype = property(lambda self: self.default_policy.compute_dtype)
    variable_dtype = property(lambda self: self.default_policy.variable_dtype)
    quantization_mode = None

    def __missing__(self, path: str) -> DTypePolicy:
        found = [policy for pattern, policy in self.items() if re.fullmatch(pattern, path)]
        if len(found) > 1:
            raise ValueError(
                f"Path '{path}' matches multiple dtype policy specification keys. Please make sure each path only "
                "matches at most one pattern."
            )
        return found[0] if found else self.default_policy

    def __setitem__(self, path: str, policy: Any) -> None:
        if path in self:
            raise ValueError(
                f"{path} already exist in the DTypePolicyMap with value {self[path]}. Please make sure to not use "
                "duplicated keys."
            )
        if not isinstance(policy, (DTypePolicy, str, dict)):
            raise ValueError(f"Cannot interpret the assigned value by `keras.dtype_policies.get`. Received: {policy}")
        super().__setitem__(path, get(policy))

    def __repr__(self) -> str:
        mapping = [(path, policy.name) for path, policy in self.items()]
        return f"<DTypePolicyMap at {hex(id(self))} default_policy={self.default_policy.name}, mapping={mapping}>"

    def get_config(self) -> dict[str, Any]:
        """The default policy and the map, serialized."""
        default = None if self._default is None else serialize(self._default)
        return {"default_policy": default, "policy_map": {path: serialize(policy) for path, policy in self.items()}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicyMap:
        """The map of that configuration."""
        return cls(**config)


_GLOBAL: dict[str, DTypePolicy] = {}


def _global_policy() -> DTypePolicy:
    policy = _GLOBAL.get("policy")
    return policy if policy is not None else DTypePolicy(core_config.floatx())


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are not told another one; `floatx()` unless `set_dtype_policy` changed it."""
    return _global_policy()


def set_dtype_policy(policy: Any) -> None:
    """Sets the global policy: a name, a dtype or a DTypePolicy."""
    try:
        if policy is None:
            raise ValueError("A policy is not None.")
        _GLOBAL["policy"] = get(policy)
    except ValueError as error:
        raise ValueError(
            "Invalid `policy` argument. Expected the string name of a policy (such as 'mixed_float16') or a "
            f"`DTypePolicy` instance. Received: policy={policy} (of type {type(policy)}). {error}"
        ) from None


def get(identifier: Any) -> Any:
    """The policy that `identifier` means: None (the global one), a policy, its config, a name or a dtype."""
    if identifier is None:
        return _global_policy()
    if isinstance(identifier, (DTypePolicy, DTypePolicyMap)):
        return identifier
    if isinstance(identifier, dict) and "class_name" in identifier:
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(standardize_dtype(identifier))
    except (TypeError, ValueError):
        raise ValueError(
            "Cannot interpret `dtype` argument. Expected a string or an instance of DTypePolicy. "
            f"Received: dtype={identifier}"
        ) from None


def serialize(dtype_policy: Any) -> dict[str, Any]:
    """The configuration of a policy; the reverse of `deserialize`."""
    return registry.serialize_keras_object(dtype_policy)  # type: ignore[no-any-return]


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The policy that a configuration describes."""
    return registry.deserialize_keras_object(config, custom_objects, package="dtype_policies")
