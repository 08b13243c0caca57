"""Layers that only move elements: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math
from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int, standardize_data_format
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer


def _product(sizes: Any) -> int | None:
    return None if any(n is None for n in sizes) else math.prod(sizes)


class Flatten(Layer):
    """All axes but the first as one: (N, ...) -> (N, prod(...)); (N,) -> (N, 1)."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"

    def call(self, inputs: Any) -> Any:
        """(N, ...) -> (N, prod(...))."""
        shape = inputs.shape
        if self._channels_first and len(shape) > 2:
            inputs = ops.transpose(inputs, (0, *range(2, len(shape)), 1))
        return ops.reshape(inputs, (shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, prod(...))."""
        return (input_shape[0], _product(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "data_format")}


class Reshape(Layer):
    """Another shape behind the batch axis: (N, ...) -> (N, *target_shape), where one size may be -1."""

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target_shape = tuple(target_shape) if hasattr(target_shape, "__iter__") else (target_shape,)
        if target_shape.count(-1) > 1:
            raise ValueError(
                "There must be at most one unknown dimension (-1) in `target_shape`. Received: "
                f"target_shape={target_shape}."
            )
        for n in target_shape:
            if not is_int(n) or n < -1:
                raise ValueError(
                    "Each dimension of `target_shape` must be a non-negative integer, or -1 for the one to be "
                    f"inferred. Received: target_shape={target_shape}"
                )
        self.target_shape = tuple(int(n) for n in target_shape)
        self._build_at_init()

    def _resolve(self, sizes: Any) -> tuple[Any, ...]:
        target = self.target_shape
        total = _product(sizes)
        known = math.prod(n for n in target if n != -1)
        if total is None:
            return tuple(None if n == -1 else n for n in target)
        if (-1 not in target and known != total) or (-1 in target and (known == 0 or total % known)):
            raise ValueError(
                "The total size of the tensor must be unchanged. Received: "
                f"input_shape={tuple(sizes)}, target_shape={target}"
            )
        return tuple(total // known if n == -1 else n for n in target)

    def call(self, inputs: Any) -> Any:
        """(N, ...) -> (N, *target_shape)."""
        return ops.reshape(inputs, (inputs.shape[0], *self._resolve(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, *target_shape)."""
        return (input_shape[0], *self._resolve(input_shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "target_shape")}


class Permute(Layer):
    """The axes behind the batch axis in another order; `dims` counts from 1: (2, 1) swaps the first two."""

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
                f"consecutive and start from 1. Received dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """The inputs with permuted axes."""
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The permuted shape."""
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "dims")}


class RepeatVector(Layer):
    """Each row `n` times: (N, C) -> (N, n, C)."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_int(n):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        if n <= 0:
            raise ValueError(f"Argument `n` should be a positive integer. Received: n={n}")
        self.n = int(n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """(N, C) -> (N, n, C)."""
        shape = inputs.shape
        return ops.broadcast_to(ops.reshape(inputs, (shape[0], 1, shape[1])), (shape[0], self.n, shape[1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, n, C)."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "n")}
