"""Attention whose query heads share keys and values in groups."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int, weight_arguments
from nacre.layers.multi_head_attention import _CONSTRAINTS, _WEIGHTS, ProjectedAttention, checked_window


class GroupedQueryAttention(ProjectedAttention):
    """Attention with `num_query_heads` heads over fewer heads of keys and values (Ainslie et al. 2023).

    `call(query (N, T, D), value (N, S, E), key=None)` gives (N, T, D).

    Args:
        head_dim: size of a head.
        num_query_heads, num_key_value_heads: the second divides the first; one: multi-query attention.
        dropout, use_bias, use_gate, sliding_window, ...: as in MultiHeadAttention.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: Any = None,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.supports_masking = True
        for name, value in (
            ("head_dim", head_dim), ("num_query_heads", num_query_heads), ("num_key_value_heads", num_key_value_heads),
        ):  # fmt: skip
            if not is_int(value) or value <= 0:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")
        if num_query_heads % num_key_value_heads:
            raise ValueError("`num_query_heads` must be divisible by `num_key_value_heads`.")
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_gate = use_gate
        self._set_flash_attention(flash_attention)
        self.sliding_window = self._sliding_window = checked_window(sliding_window)
        self.seed = seed
        weight_arguments(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        self._query_dense = self._projection("query", 3, (self.num_query_heads, self.head_dim))
        self._query_dense.build(query_shape)
        self._key_dense = self._projection("key", 3, (self.num_key_value_heads, self.head_dim))
        self._key_dense.build(key_shape)
        if self.use_gate:
            self._gate_dense = self._projection("gate", 3, (self.num_query_heads, self.head_dim))
            self._gate_dense.build(query_shape)
        self._value_dense = self._projection("value", 3, (self.num_key_value_heads, self.head_dim))
        self._value_dense.build(value_shape)
        self._prepare_attention(4, (1,))
        self._output_dense = self._projection("attention_output", 4, (query_shape[-1],), contract=2)
        self._output_dense.build((*query_shape[:-1], self.num_query_heads, self.head_dim))

    def _heads(self, keys: Any) -> Any:
        """Each head of keys or values as often as queries share it."""
        return ops.repeat(keys, self.num_query_heads // self.num_key_value_heads, axis=2)

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        """That of the query."""
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                "The last dimension of `query_shape` and `value_shape` must be equal, but are "
                f"{query_shape[-1]}, {value_shape[-1]}. Received: query_shape={query_shape}, value_shape={value_shape}"
            )
        if key_shape is not None and tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: "
                f"value_shape={value_shape} and key_shape={key_shape}"
            )
        return tuple(query_shape)

    def compute_output_spec(self, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
        """KerasTensors of what `call` gives."""
        output = self._output_tensor(query.shape)
        if not kwargs.get("return_attention_scores"):
            return output
        return output, self._output_tensor((query.shape[0], self.num_query_heads, query.shape[1], value.shape[1]))

    def compute_mask(self, query: Any, query_mask: Any = None) -> Any:
        """That of the query."""
        return query_mask

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "head_dim", "num_query_heads", "num_key_value_heads", "use_bias", "use_gate", "sliding_window",
                "dropout",
                *_WEIGHTS, "activity_regularizer", *_CONSTRAINTS, "seed",
            ),
        }  # fmt: skip
