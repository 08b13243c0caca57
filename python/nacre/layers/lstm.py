"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from nacre import activations, initializers, ops
from nacre.layers.arguments import config_of
from nacre.layers.input_spec import InputSpec
from nacre.layers.rnn import RecurrentLayer
from nacre.layers.rnn_cells import RecurrentCell
from nacre.ops.fused_rows import lstm_step
from nacre.ops.recurrent import lstm_sequence

_BEFORE = ("units", "activation", "recurrent_activation", "use_bias")
_INITIALIZERS = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
_REGULARIZERS = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
_CONSTRAINTS = ("kernel_constraint", "recurrent_constraint", "bias_constraint")
_AFTER = ("dropout", "recurrent_dropout", "seed")


class LSTMCell(RecurrentCell):
    """One step of an LSTM (Hochreiter & Schmidhuber 1997), gates in the order input, forget, candidate, output.

    `i, f, o = sigmoid(...)`, `c = f * c + i * tanh(...)`, `h = o * tanh(c)`; states are [h, c].

    Weights: `kernel` (C, 4 units), `recurrent_kernel` (units, 4 units), `bias` (4 units,).
    """

    _GATES = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
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
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]
        self.output_size = units

    def _bias_initializer(self) -> Any:
        return ForgetBias(self.bias_initializer, self.units) if self.unit_forget_bias else self.bias_initializer

    def step(self, x: Any, states: Any, training: Any = False) -> tuple[Any, list[Any]]:
        """(h, [h, c]) from the projected input of one step."""
        z = x + ops.matmul(self._recurrent(states[0], training), self.recurrent_kernel)
        gate = self.recurrent_activation
        if gate is activations.sigmoid and self.activation is activations.tanh:
            h, c = lstm_step(z, states[1])
            return h, [h, c]
        i, f, candidate, o = ops.split(z, 4, axis=-1)
        c = gate(f) * states[1] + gate(i) * self.activation(candidate)
        h = gate(o) * self.activation(c)
        return h, [h, c]

    def whole(self, x: Any, states: Any, mask: Any = None) -> tuple[Any, list[Any]] | None:
        """(outputs (T, N, units), [h, c]) of a projected time-major sequence, for tanh and sigmoid in float32."""
        if not self._has_standard_gates(x):
            return None
        hs, cs = lstm_sequence(x, self.recurrent_kernel, states[0], states[1], mask)
        return hs[1:], [hs[-1], cs[-1]]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(self, *_BEFORE, "unit_forget_bias", *_INITIALIZERS, *_REGULARIZERS, *_CONSTRAINTS, *_AFTER),
        }


LSTMCell._projects = LSTMCell.call  # type: ignore[attr-defined]


class ForgetBias:
    """The bias of four gates with ones at the forget gate, which then starts open (Jozefowicz et al. 2015)."""

    def __init__(self, initializer: Any, units: int) -> None:
        self.initializer, self.units = initializer, units

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A bias (4 units,)."""
        u = self.units
        ones = initializers.Ones()((u,), dtype=dtype)
        rest = self.initializer((u,), dtype=dtype), self.initializer((2 * u,), dtype=dtype)
        return ops.concatenate([rest[0], ones, rest[1]], axis=0)


class LSTM(RecurrentLayer):
    """Long short-term memory along time: (N, T, C) -> (N, units), or (N, T, units) with `return_sequences`.

    Args:
        units: size of the state.
        unit_forget_bias: whether the forget gate's bias starts at one.
        dropout, recurrent_dropout: fractions of inputs and of the state that are dropped in training.
        return_sequences, return_state, go_backwards, stateful, unroll: as in RNN.
        activation, recurrent_activation, use_bias, kernel_initializer, ...: as in LSTMCell.
    """

    _CELL_CONFIG = (
        *_BEFORE, *_INITIALIZERS, "unit_forget_bias", *_REGULARIZERS, "activity_regularizer", *_CONSTRAINTS, *_AFTER,
    )  # fmt: skip

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.pop("implementation", None)
        kwargs.pop("time_major", None)
        cell = LSTMCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True), name="lstm_cell",
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
