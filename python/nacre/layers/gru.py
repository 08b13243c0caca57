"""Gated recurrent units."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import config_of
from nacre.layers.input_spec import InputSpec
from nacre.layers.rnn import RecurrentLayer
from nacre.layers.rnn_cells import RecurrentCell
from nacre.ops.fused_rows import gru_step
from nacre.ops.recurrent import gru_sequence

_BEFORE = (
    "units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer",
    "bias_initializer", "kernel_regularizer", "recurrent_regularizer", "bias_regularizer",
)  # fmt: skip
_AFTER = (
    "kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "reset_after",
    "seed",
)  # fmt: skip


class GRUCell(RecurrentCell):
    """One step of a GRU (Cho et al. 2014), gates in the order update, reset, candidate.

    `z, r = sigmoid(...)`, `h = z * h + (1 - z) * tanh(x + r * (h @ U))`; without `reset_after` the reset comes before
    the product:
    `(r * h) @ U`.

    Weights: `kernel` (C, 3 units), `recurrent_kernel` (units, 3 units), `bias` (2, 3 units), or (3 units,) without
    `reset_after`.
    """

    _GATES = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        units = self._check_units(units)
        kwargs.pop("implementation", None)
        super().__init__(**kwargs)
        self._arguments(
            units, activation, use_bias, dropout, recurrent_dropout, seed,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        self.state_size = units
        self.output_size = units

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _input_bias(self) -> Any:
        if self.bias is None:
            return None
        return self.bias[0] if self.reset_after else self.bias

    def step(self, x: Any, states: Any, training: Any = False) -> tuple[Any, list[Any]]:
        """(h, [h]) from the projected input of one step."""
        h = self._recurrent(states[0], training)
        u = self.units
        gate = self.recurrent_activation
        if self.reset_after:
            inner = ops.matmul(h, self.recurrent_kernel)
            if self.bias is not None:
                inner = inner + self.bias[1]
            if gate is activations.sigmoid and self.activation is activations.tanh:
                h = gru_step(x, inner, h)
                return h, [h]
        x_z, x_r, x_h = ops.split(x, 3, axis=-1)
        if self.reset_after:
            h_z, h_r, h_h = ops.split(inner, 3, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = self.activation(x_h + r * h_h)
        else:
            h_z, h_r = ops.split(ops.matmul(h, self.recurrent_kernel[:, : 2 * u]), 2, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = self.activation(x_h + ops.matmul(r * h, self.recurrent_kernel[:, 2 * u :]))
        h = z * h + (1.0 - z) * candidate
        return h, [h]

    def whole(self, x: Any, states: Any, mask: Any = None) -> tuple[Any, list[Any]] | None:
        """(outputs (T, N, units), [h]) of a projected time-major sequence, for tanh and sigmoid in float32."""
        if not self._has_standard_gates(x) or not self.reset_after:
            return None
        bias = ops.zeros((3 * self.units,), dtype=x.dtype) if self.bias is None else self.bias[1]
        hs = gru_sequence(x, self.recurrent_kernel, bias, states[0], mask)
        return hs[1:], [hs[-1]]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, *_BEFORE, *_AFTER)}


GRUCell._projects = GRUCell.call  # type: ignore[attr-defined]


class GRU(RecurrentLayer):
    """Gated recurrent units along time: (N, T, C) -> (N, units), or (N, T, units) with `return_sequences`.

    Args:
        units: size of the state.
        reset_after: whether the reset gate comes behind the product with the state.
        dropout, recurrent_dropout: fractions of inputs and of the state that are dropped in training.
        return_sequences, return_state, go_backwards, stateful, unroll: as in RNN.
        activation, recurrent_activation, use_bias, kernel_initializer, ...: as in GRUCell.
    """

    _CELL_CONFIG = (*_BEFORE, "activity_regularizer", *_AFTER)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.pop("implementation", None)
        kwargs.pop("time_major", None)
        cell = GRUCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, reset_after, seed, dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True), name="gru_cell",
        )  # fmt: skip
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.use_cudnn = use_cudnn
        self.input_spec = InputSpec(ndim=3)
