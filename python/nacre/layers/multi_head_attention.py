"""Multi-head attention."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.seed_generator import draw_state
from nacre.core.tensor import Tensor
from nacre.layers.activation import Softmax
from nacre.layers.arguments import config_of, is_int, weight_arguments
from nacre.layers.dropout import Dropout
from nacre.layers.einsum_dense import EinsumDense
from nacre.layers.layer import Layer
from nacre.ops.attention import attention, fits

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WEIGHTS = ("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer")
_CONSTRAINTS = ("kernel_constraint", "bias_constraint")


def checked_window(sliding_window: Any) -> Any:
    """The argument itself. Raises ValueError unless it is None or a positive int."""
    if sliding_window is not None and (not is_int(sliding_window) or sliding_window <= 0):
        raise ValueError(
            f"`sliding_window` must be `None` or a positive integer. Received: sliding_window={sliding_window}"
        )
    return sliding_window


def _for_heads(mask: Any, scores: Any, attended: int) -> Any:
    """The mask with axes of size 1 in front of the last `attended`, up to the rank of the scores."""
    while len(mask.shape) < len(scores.shape):
        mask = ops.expand_dims(mask, max(len(mask.shape) - attended, 0))
    return mask


class ProjectedAttention(Layer):
    """Base class of attention behind learned projections."""

    _flash_attention = False
    _takes_masks_off = False  # its inputs, as Keras' layer does: a residual sum that reads them later has no masks
    dropout: float
    use_bias: bool
    use_gate: bool
    _sliding_window: Any
    seed: Any
    _attended: tuple[int, ...]
    _dropout_layer: Any
    _query_dense: Any
    _key_dense: Any
    _value_dense: Any
    _gate_dense: Any
    _output_dense: Any

    def _set_flash_attention(self, wanted: Any) -> None:
        """Here every attention is one computation; the restrictions of the option are kept."""
        self._flash_attention = bool(wanted)
        if self._flash_attention and self.dropout > 0:
            raise ValueError(
                "Dropout is not supported when flash attention is enabled. Please set dropout to 0.0 to use flash "
                "attention."
            )

    def _heads(self, keys: Any) -> Any:
        """Projected keys or values (N, S, heads, D) for the heads of the queries."""
        return keys

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """(N, T, D), and the weights (N, H, T, S) when they are asked for."""
        if return_attention_scores and self._flash_attention:
            raise ValueError(
                "Returning attention scores is not supported when flash attention is enabled. Please disable flash "
                "attention to access attention scores."
            )
        mask = self._compute_attention_mask(
            query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
        )
        for x in (query, value, key) if self._takes_masks_off else ():
            if getattr(x, "_keras_mask", None) is not None:
                x._keras_mask = None
        gate = ops.sigmoid(self._gate_dense(query)) if self.use_gate else None
        q = self._query_dense(query)
        k, v = self._heads(self._key_dense(value if key is None else key)), self._heads(self._value_dense(value))
        wanted = {"return_attention_scores": True} if return_attention_scores else {}
        output, weights = self._compute_attention(q, k, v, mask, training, **wanted)
        output = self._output_dense(output if gate is None else output * gate)
        return (output, weights) if return_attention_scores else output

    # --- what a subclass may replace ----------------------------------------------------------------------------------

    def _compute_attention_mask(
        self,
        query: Any,
        value: Any,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """One boolean mask (N, T, S), or what broadcasts to it, of all that there are; None for none."""
        masks = [attention_mask, self._compute_causal_mask(query, value) if use_causal_mask else None]
        masks.append(None if query_mask is None else ops.expand_dims(query_mask, -1))
        masks += [None if mask is None else ops.expand_dims(mask, -2) for mask in (value_mask, key_mask)]
        if self._sliding_window is not None:
            distance = np.arange(query.shape[1])[:, None] - np.arange(value.shape[1])
            masks.append(Tensor((np.abs(distance) < self._sliding_window)[None]))
        given = [ops.cast(mask, "bool") for mask in masks if mask is not None]
        return functools.reduce(ops.logical_and, given) if given else None

    def _compute_causal_mask(self, query: Any, value: Any = None) -> Any:
        """(1, T, S): no query looks behind its own place."""
        return Tensor(np.tri(query.shape[1], (query if value is None else value).shape[1], dtype=np.bool_)[None])

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """What is attended to (N, T, H, V), and the weights, of projected values; `call` has put the causal mask into
        the other."""
        mask = attention_mask if attention_mask is None else ops.cast(attention_mask, "bool")
        if use_causal_mask:
            causal = self._compute_causal_mask(query, value)
            mask = causal if mask is None else ops.logical_and(mask, causal)
        query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
        query = query * (1.0 / math.sqrt(query.shape[-1]))
        query, mask = self._attend_to_all(query, mask, return_attention_scores)
        if not return_attention_scores and len(self._attended) == 1 and fits(query, key, self.dropout):
            mask = None if mask is None else _for_heads(mask, query, 2)
            rate = self.dropout if training else 0.0
            state = draw_state(self._dropout_layer.seed_generator) if rate > 0 else None
            return attention(query, key, value, mask, rate, state), None
        weights = self._masked_softmax(ops.einsum(self._dot_product_equation, key, query), mask)
        dropped = self._dropout_layer(weights, training=training) if self.dropout > 0 else weights
        return ops.einsum(self._combine_equation, dropped, value), weights

    def _masked_softmax(self, attention_scores: Any, attention_mask: Any = None) -> Any:
        """The weights of scores (N, H, T, S); those that the mask (N, T, S) forbids are 0."""
        if attention_mask is not None:
            attention_mask = _for_heads(attention_mask, attention_scores, 2 * len(self._attended))
        return self._softmax(attention_scores, mask=attention_mask)

    # ------------------------------------------------------------------------------------------------------------------

    def _attend_to_all(self, q: Any, mask: Any, scores_wanted: bool) -> Any:
        """Queries (N, T, H, D) and the mask so that a query that may attend to nothing attends to everything alike: as
        in Keras, where there is neither dropout nor a wish for scores (else its output is 0)."""
        if mask is None or scores_wanted or self.dropout > 0 or len(q.shape) != 4:
            return q, mask
        mask = _for_heads(mask, q, 2)
        some = ops.any(mask, axis=-1, keepdims=True)
        if isinstance(some, Tensor) and np.all(some):  # causal masks are known when a model is traced
            return q, mask
        return q * ops.cast(ops.transpose(some, (0, 2, 1, 3)), q.dtype), ops.logical_or(mask, ops.logical_not(some))

    def _prepare_attention(self, rank: int, attended: tuple[int, ...]) -> None:
        """Softmax, dropout and the einsums over the `attended` axes of projections of that rank (N, ..., H, D): that of
        keys and queries, and that of weights and values.

        Scores are (N, axes not attended, H, query axes, key axes).
        """
        self._attended = attended
        self._softmax = Softmax(axis=tuple(range(-len(attended), 0)), dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)
        query = list(_LETTERS[:rank])
        value = list(query)
        for i, axis in enumerate(attended):
            value[axis] = _LETTERS[rank + i]
        batch = [i for i in range(rank - 1) if i not in attended]
        scores = [query[i] for i in batch] + [query[i] for i in attended] + [value[i] for i in attended]
        q, v, s = ("".join(x) for x in (query, value, scores))
        self._dot_product_equation, self._combine_equation = f"{v},{q}->{s}", f"{s},{v}->{q}"

    def _projection(self, name: str, rank: int, sizes: tuple[int, ...], contract: int = 1) -> EinsumDense:
        """A layer (N, ..., last `contract` axes) -> (N, ..., *sizes)."""
        free = _LETTERS[: rank - contract]
        gone = _LETTERS[rank - contract : rank]
        new = _LETTERS[rank : rank + len(sizes)]
        dense = EinsumDense(
            f"{free}{gone},{gone}{new}->{free}{new}",
            (None,) * (rank - contract - 1) + tuple(sizes),
            bias_axes=new if self.use_bias else None,
            name=name,
            dtype=self.dtype_policy,
            **{key: _clone(getattr(self, key)) for key in (*_WEIGHTS, "activity_regularizer", *_CONSTRAINTS)},
        )
        dense.supports_masking = True  # this layer heeds the masks itself: nothing is lost here
        return dense


class MultiHeadAttention(ProjectedAttention):
    """Attention in `num_heads` learned projections (Vaswani et al. 2017).

    `call(query (N, T, D), value (N, S, E), key=None)` gives (N, T, D): queries, keys and values are projected to
    `key_dim` (values to
    `value_dim`) per head, attended, and projected back to the size of the query.

    Args:
        num_heads, key_dim, value_dim: number of heads, sizes per head.
        dropout: fraction of attention weights that are dropped in training.
        use_bias: whether the projections have a bias.
        output_shape: sizes of the last axes of the output, those of the query when not given.
        attention_axes: the axes to attend over; all but batch and features when not given.
        use_gate: whether the heads' outputs are multiplied by sigmoid of a projection of the query.

    Weights: kernel and bias of `query`, `key`, `value` and `attention_output`.

    >>> import nacre as keras
    >>> mha = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)
    >>> mha(keras.ops.ones((1, 4, 8)), keras.ops.ones((1, 5, 8))).shape
    (1, 4, 8)
    """

    _takes_masks_off = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        sizes: tuple[tuple[str, Any], ...] = (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim))
        for name, value in sizes:
            if not (is_int(value) and value > 0) and not (name == "value_dim" and value is None):
                raise ValueError(
                    f"Received an invalid value for argument `{name}`, expected a positive integer. Received: "
                    f"{name}={value}"
                )
        self.num_heads = int(num_heads)
        self.key_dim = int(key_dim)
        self.value_dim = int(value_dim) if value_dim else self.key_dim
        self.dropout = dropout
        self.use_bias = use_bias
        if output_shape is not None:
            output_shape = (output_shape,) if is_int(output_shape) else output_shape
            if not isinstance(output_shape, (list, tuple)) or not all(is_int(n) for n in output_shape):
                raise ValueError(
                    "Invalid `output_shape`: it must be an int or a list or tuple of ints. Received: "
                    f"output_shape={output_shape}"
                )
            output_shape = tuple(output_shape)
        self.sizes_out = output_shape
        if attention_axes is not None and not is_int(attention_axes) and not isinstance(attention_axes, (list, tuple)):
            raise ValueError(
                f"`attention_axes` must be an int, list, or tuple. Received: attention_axes={attention_axes}"
            )
        self.attention_axes = (
            (attention_axes,) if is_int(attention_axes) else None if attention_axes is None else tuple(attention_axes)
        )
        self._sliding_window = checked_window(sliding_window)
        self.use_gate = use_gate
        self.seed = seed
        self._set_flash_attention(flash_attention)
        weight_arguments(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    @property
    def query_dense(self) -> Any:
        """The projection of queries."""
        return self._query_dense

    @property
    def key_dense(self) -> Any:
        """The projection of keys."""
        return self._key_dense

    @property
    def value_dense(self) -> Any:
        """The projection of values."""
        return self._value_dense

    @property
    def output_dense(self) -> Any:
        """The projection of what was attended."""
        return self._output_dense

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: "
                f"value_shape={value_shape} and "
                f"key_shape={key_shape}"
            )
        rank = len(query_shape)
        self._query_dense = self._projection("query", rank, (self.num_heads, self.key_dim))
        self._query_dense.build(query_shape)
        self._key_dense = self._projection("key", len(key_shape), (self.num_heads, self.key_dim))
        self._key_dense.build(key_shape)
        if self.use_gate:
            self._gate_dense = self._projection("gate", rank, (self.num_heads, self.value_dim))
            self._gate_dense.build(query_shape)
        self._value_dense = self._projection("value", len(value_shape), (self.num_heads, self.value_dim))
        self._value_dense.build(value_shape)
        if self.attention_axes is None:
            self.attention_axes = tuple(range(1, rank - 1))
        self._prepare_attention(rank + 1, tuple(a % rank for a in self.attention_axes))
        sizes = self.sizes_out or (query_shape[-1],)
        self._output_dense = self._projection("attention_output", rank + 1, sizes, contract=2)
        self._output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        """(N, T, D), or with the given `output_shape`."""
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: "
                f"value_shape={value_shape} and "
                f"key_shape={key_shape}"
            )
        return (*query_shape[:-1], *(self.sizes_out or (query_shape[-1],)))

    def compute_output_spec(self, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
        """KerasTensors of what `call` gives."""
        shape = self.compute_output_shape(query.shape, value.shape, None if key is None else key.shape)
        output = self._output_tensor(shape)
        if not kwargs.get("return_attention_scores"):
            return output
        attended = getattr(self, "_attended", tuple(range(1, len(query.shape) - 1)))
        batch = [n for i, n in enumerate(query.shape[:-1]) if i not in attended]
        scores = (*batch, self.num_heads, *(query.shape[i] for i in attended), *(value.shape[i] for i in attended))
        return output, self._output_tensor(scores)

    def compute_mask(self, query: Any, query_mask: Any = None) -> Any:
        """That of the query."""
        return query_mask

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(self, "num_heads", "key_dim", "value_dim", "dropout", "use_bias", "use_gate"),
            "output_shape": self.sizes_out,
            "sliding_window": self._sliding_window,
            **config_of(self, "attention_axes", *_WEIGHTS, "activity_regularizer", *_CONSTRAINTS, "seed"),
        }


def _clone(value: Any) -> Any:
    """Another object with the same configuration, so that no two projections share a seed."""
    if value is None or not hasattr(value, "get_config"):
        return value
    return type(value).from_config(value.get_config())
