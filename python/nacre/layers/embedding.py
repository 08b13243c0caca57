"""Embeddings: a row of a table per index."""

from __future__ import annotations

import warnings
from typing import Any

from nacre import ops
from nacre.core.spec import is_int as is_int_dtype
from nacre.layers.arguments import config_of, is_int, no_quantization, weight_arguments
from nacre.layers.low_rank import LowRank, adapted


class Embedding(LowRank):
    """A trained row per index: ints (...) -> (..., output_dim).

    Args:
        input_dim: number of rows; indices are in [0, input_dim).
        output_dim: length of a row.
        mask_zero: whether index 0 is padding that later layers skip.
        weights: a list with the table to start from.

    Weights: `embeddings` (input_dim, output_dim).
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: Any = None,
        lora_alpha: Any = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("input_length", None) is not None:
            warnings.warn("Argument `input_length` is deprecated. Just remove it.", UserWarning, stacklevel=2)
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not is_int(value) or value <= 0:
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value} (of type {type(value).__name__})."
                )
        no_quantization("Embedding", quantization_config=quantization_config)
        super().__init__(**kwargs)
        self._set_lora(lora_rank, lora_alpha)
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        weight_arguments(
            self,
            embeddings_initializer="random_uniform" if embeddings_initializer == "uniform" else embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        self.quantization_config = None
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, (list, tuple)) else [weights])

    _ADAPTED = "embeddings"
    embeddings = adapted("embeddings")

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights."""
        if self.built:
            return
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self._adapt_from_start()

    def call(self, inputs: Any) -> Any:
        """(...) -> (..., output_dim)."""
        if not is_int_dtype(inputs.dtype):
            inputs = ops.cast(inputs, "int32")
        rows = ops.take(self._embeddings, inputs, axis=0)
        if self.lora_enabled:
            a, b = self._factors()
            rows = rows + self._scale() * ops.matmul(ops.take(a, inputs, axis=0), b)
        return rows

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """False where the index is 0, with `mask_zero`."""
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(..., output_dim)."""
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "input_dim", "output_dim", "embeddings_initializer", "embeddings_regularizer",
                "activity_regularizer",
                "embeddings_constraint", "mask_zero", "quantization_config",
            ),
            **self._lora_config(),
        }  # fmt: skip
