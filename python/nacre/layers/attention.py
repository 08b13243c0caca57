"""Dot-product and additive attention without projections."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops, random
from nacre.core.tensor import Tensor
from nacre.core.tree import is_shape
from nacre.layers.arguments import config_of
from nacre.layers.layer import Layer

_FAR = 1.0e9  # subtracted from the scores of masked positions


class Attention(Layer):
    """`softmax(query @ key^T) @ value` for `[query (N, T, D), value (N, S, D)]` or `[query, value, key]`: (N, T, D).

    Args:
        use_scale: whether scores are multiplied by a learned number.
        score_mode: `"dot"`, or `"concat"`: the sum of tanh(query + key).
        dropout: fraction of attention weights that are dropped in training.
        seed: of the dropout.

    Masks `[query_mask (N, T), value_mask (N, S)]`: values that are masked get no weight, masked queries give zeros.
    """

    def __init__(
        self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"Invalid value for argument score_mode. Expected one of {{'dot', 'concat'}}. Received: "
                f"score_mode={score_mode}"
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        if dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def _check(self, inputs: Any, what: str = "inputs") -> None:
        name = type(self).__name__
        if not isinstance(inputs, (list, tuple)) or (what == "inputs" and is_shape(inputs)):
            raise ValueError(
                f"{name} layer must be called on a list of inputs, namely [query, value] or [query, value, key]. "
                f"Received: inputs={inputs}."
            )
        if not 2 <= len(inputs) <= 3:
            raise ValueError(
                f"{name} layer accepts inputs list of length 2 or 3, namely [query, value] or [query, value, key]. "
                f"Received length: {len(inputs)}."
            )

    def _check_mask(self, mask: Any) -> None:
        name = type(self).__name__
        if not isinstance(mask, (list, tuple)):
            raise ValueError(
                f"{name} layer mask must be a list, namely [query_mask, value_mask]. Received: mask={mask}."
            )
        if not 2 <= len(mask) <= 3:
            raise ValueError(
                f"{name} layer accepts mask list of length 2 or 3. Received: inputs, where the length of the mask is "
                f"{len(mask)}."
            )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(name="concat_score_weight", shape=(), initializer="ones")

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        """(N, T, S)."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -1, -2))
            return scores if self.scale is None else scores * self.scale
        x = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        x = ops.tanh(x if self.scale is None else self.scale * x)
        return self.concat_score_weight * ops.sum(x, axis=-1)

    def _calculate_score_mask(self, scores: Any, v_mask: Any, use_causal_mask: bool) -> Any:
        """What the scores (N, T, S) may attend to; None for everything. A subclass may replace it, and the scores."""
        allowed = None if v_mask is None else ops.expand_dims(v_mask, -2)
        if not use_causal_mask:
            return allowed
        causal = Tensor(np.tri(*scores.shape[-2:], dtype=np.bool_)[None])
        return causal if allowed is None else ops.logical_and(allowed, causal)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """(N, T, D), and the weights (N, T, S) when they are asked for."""
        self._check(inputs, "tensors")
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        if mask is not None:
            self._check_mask(mask)
        query_mask, value_mask = (mask[0], mask[1]) if mask is not None else (None, None)
        scores = self._calculate_scores(query, key)
        allowed = self._calculate_score_mask(scores, value_mask, use_causal_mask)
        if allowed is not None:
            scores = scores - _FAR * ops.cast(ops.logical_not(allowed), scores.dtype)
        weights = ops.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        result = ops.matmul(weights, value)
        if query_mask is not None:
            result = result * ops.cast(ops.expand_dims(query_mask, -1), result.dtype)
        return (result, weights) if return_attention_scores else result

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """KerasTensors of what `call` gives."""
        self._check(inputs, "tensors")
        shapes = [x.shape for x in inputs]
        output = self._output_tensor(self.compute_output_shape(shapes))
        if not return_attention_scores:
            return output
        return output, self._output_tensor((*shapes[0][:-1], shapes[1][-2]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, T, D)."""
        self._check(input_shape)
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return None if mask is None else mask[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "use_scale", "score_mode", "dropout", "seed")}


class AdditiveAttention(Attention):
    """`softmax(sum(scale * tanh(query + key))) @ value` (Bahdanau et al. 2014); inputs and masks as for Attention.

    Weights: `scale` (D,) with `use_scale`.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(input_shape[0][-1],), initializer="glorot_uniform")

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        x = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        return ops.sum(x if self.scale is None else self.scale * x, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = super().get_config()
        config.pop("score_mode")
        return config
