"""The plain recurrent layer: h = tanh(x W + h U + b)."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import config_of
from nacre.layers.input_spec import InputSpec
from nacre.layers.rnn import RecurrentLayer
from nacre.layers.rnn_cells import RecurrentCell
from nacre.ops.recurrent import ACTIVATIONS, simple_sequence

_WEIGHTS = (
    "kernel_initializer", "recurrent_initializer", "bias_initializer", "kernel_regularizer", "recurrent_regularizer",
    "bias_regularizer",
)  # fmt: skip
_CONSTRAINTS = ("kernel_constraint", "recurrent_constraint", "bias_constraint")


class SimpleRNNCell(RecurrentCell):
    """`activation(inputs @ kernel + state @ recurrent_kernel + bias)`, which is also the new state.

    Weights: `kernel` (C, units), `recurrent_kernel` (units, units), `bias` (units,).
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        units = self._check_units(units)
        super().__init__(**kwargs)
        self._arguments(
            units, activation, use_bias, dropout, recurrent_dropout, seed,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
        )  # fmt: skip
        self.state_size = units
        self.output_size = units

    def step(self, x: Any, states: Any, training: Any = False) -> tuple[Any, list[Any]]:
        """(output, [output]) from the projected input of one step."""
        h = self.activation(x + ops.matmul(self._recurrent(states[0], training), self.recurrent_kernel))
        return h, [h]

    def whole(self, x: Any, states: Any, mask: Any = None) -> tuple[Any, list[Any]] | None:
        """(outputs (T, N, units), [h]) of a projected time-major sequence, for the usual activations in float32."""
        name = getattr(self.activation, "__name__", "")
        if x.dtype != "float32" or name not in ACTIVATIONS or self.activation is not getattr(activations, name):
            return None
        hs = simple_sequence(x, self.recurrent_kernel, states[0], name, mask)
        return hs[1:], [hs[-1]]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self,
                "units",
                "activation",
                "use_bias",
                *_WEIGHTS,
                *_CONSTRAINTS,
                "dropout",
                "recurrent_dropout",
                "seed",
            ),
        }


SimpleRNNCell._projects = SimpleRNNCell.call  # type: ignore[attr-defined]


class SimpleRNN(RecurrentLayer):
    """`h = activation(x_t @ kernel + h @ recurrent_kernel + bias)` along time: (N, T, C) -> (N, units).

    Args:
        units: size of the state.
        dropout, recurrent_dropout: fractions of inputs and of the state that are dropped in training.
        return_sequences, return_state, go_backwards, stateful, unroll: as in RNN.
        activation, use_bias, kernel_initializer, ...: as in Dense.
    """

    _CELL_CONFIG = (
        "units", "activation", "use_bias", *_WEIGHTS, "activity_regularizer", *_CONSTRAINTS, "dropout",
        "recurrent_dropout",
    )  # fmt: skip

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer,
            recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, bias_constraint, dropout,
            recurrent_dropout, seed, dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True),
            name="simple_rnn_cell",
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
        self.input_spec = [InputSpec(ndim=3)]
