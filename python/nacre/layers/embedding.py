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


class ReversibleEmbedding(Embedding):
    """An Embedding that also goes back: vectors (..., output_dim) -> scores of every index (..., input_dim),
    `reverse=True`.

    Args:
        tie_weights: whether the way back uses the same table; else it has one of its own, `reverse_embeddings`.
        reverse_dtype: what the way back computes in, when it is not the layer's dtype.
        logit_soft_cap: scores s become `cap * tanh(s / cap)`.
        input_dim, output_dim, embeddings_initializer, ...: as in Embedding.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero,
            **kwargs,
        )  # fmt: skip
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
                name="reverse_embeddings",
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """(...) -> (..., output_dim), or (..., output_dim) -> (..., input_dim)."""
        if not reverse:
            outputs = super().call(inputs)
            mask = super().compute_mask(inputs)
            if mask is not None:
                outputs._keras_mask = mask
            return outputs
        kernel = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs, kernel = ops.cast(inputs, self.reverse_dtype), ops.cast(kernel, self.reverse_dtype)
        scores = ops.matmul(inputs, kernel)
        if self.logit_soft_cap is None:
            return scores
        return ops.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: `call` hands the mask on where there is one."""
        return None

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        """(..., output_dim), or (..., input_dim)."""
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        """A KerasTensor of that shape."""
        return self._output_tensor(self.compute_output_shape(inputs.shape, reverse))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "tie_weights", "reverse_dtype", "logit_soft_cap")}
