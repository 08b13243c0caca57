"""What a layer accepts: rank, sizes of axes, names; and the check that every call goes through."""

from __future__ import annotations

from typing import Any

from nacre.core import tree
from nacre.core.spec import standardize_dtype


class InputSpec:
    """Rank, dtype and shape that one input of a layer must have. None means that anything is accepted.

    Args:
        dtype: recorded, not enforced: layers cast their inputs.
        shape: full shape with None for any size; implies `ndim`.
        ndim, max_ndim, min_ndim: the rank, or bounds on it.
        axes: dict from axis number to required size.
        allow_last_axis_squeeze: whether a trailing axis of size 1 may be missing or too many.
        name: key of this input when data are passed as a dict.
        optional: whether the input may be None.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[Any, Any] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = _standardize(dtype) if dtype is not None else None
        self.shape = tuple(shape) if shape is not None else None
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (AttributeError, TypeError, ValueError):
            raise TypeError(f"Argument `axes` must be a dict with integer keys. Received: axes={axes}") from None
        limit = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and limit is not None and max(self.axes) > limit - 1:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {limit - 1}")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """The spec of that configuration."""
        return cls(**config)

    def __repr__(self) -> str:
        known = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        parts = [f"{name}={getattr(self, name)}" for name in known if getattr(self, name) not in (None, {})]
        return f"InputSpec({', '.join(parts)})"


def _standardize(dtype: Any) -> str:
    try:
        return standardize_dtype(dtype)
    except ValueError:
        raise ValueError(f"Invalid dtype: {dtype}") from None


def _by_name(spec: Any, inputs: dict[str, Any], layer_name: str) -> list[Any]:
    names = [s.name for s in spec]
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(
            f"Missing data for input '{missing[0]}'. You passed a data dictionary with keys {list(inputs)}. "
            f"Expected the following keys: {names}"
        )
    return [inputs[name] for name in names]


def assert_input_compatibility(input_spec: Any, inputs: Any, layer_name: str) -> None:
    """Raises ValueError unless `inputs` (tensors, nested) fits `input_spec` (an InputSpec or a structure of them)."""
    if type(input_spec) is InputSpec and hasattr(inputs, "shape"):
        _check(input_spec, inputs, 0, layer_name)
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(getattr(s, "name", None) is not None for s in specs):
        values = _by_name(specs, inputs, layer_name)
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} input(s), but it received {len(values)} input tensors. Inputs '
            f"received: {[getattr(v, 'shape', type(v).__name__) for v in values]}"
        )
    for i, (spec, x) in enumerate(zip(specs, values)):
        if spec is None or (x is None and spec.optional):
            continue
        if not hasattr(x, "shape"):
            raise ValueError(
                f"Inputs to a layer should be tensors. Got '{x}' (of type {type(x)}) as input for layer '{layer_name}'."
            )
        _check(spec, x, i, layer_name)


def _check(spec: InputSpec, x: Any, index: int, layer_name: str) -> None:
    shape = x.shape
    ndim = len(shape)

    def fail(why: str) -> ValueError:
        return ValueError(
            f"Input {index} with name '{spec.name}' of layer '{layer_name}' is incompatible with the layer: {why}"
        )

    if spec.ndim is not None and ndim != spec.ndim and not _squeezable(spec, shape):
        raise fail(f"expected ndim={spec.ndim}, found ndim={ndim}. Full shape received: {tuple(shape)}")
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        raise fail(f"expected max_ndim={spec.max_ndim}, found ndim={ndim}")
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        raise fail(f"expected min_ndim={spec.min_ndim}, found ndim={ndim}. Full shape received: {tuple(shape)}")
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] is not None and shape[axis] != size:
            raise fail(
                f"expected axis {axis} of input shape to have value {size}, but received input with shape "
                f"{tuple(shape)}"
            )
    if spec.shape is not None:
        wanted = spec.shape
        if spec.allow_last_axis_squeeze:
            shape, wanted = _squeezed(shape), _squeezed(wanted)
        for want, have in zip(wanted, shape):
            if want is not None and have is not None and want != have:
                raise fail(f"expected shape={spec.shape}, found shape={tuple(x.shape)}")


def _squeezed(shape: Any) -> tuple[Any, ...]:
    return tuple(shape[:-1]) if shape and shape[-1] == 1 else tuple(shape)


def _squeezable(spec: InputSpec, shape: Any) -> bool:
    if not spec.allow_last_axis_squeeze or spec.shape is None:
        return False
    return len(_squeezed(shape)) == len(_squeezed(spec.shape))
