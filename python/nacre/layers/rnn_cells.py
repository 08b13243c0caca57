"""What recurrent cells share: dropout masks that stay the same for a whole sequence."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops, random
from nacre.layers.arguments import positive_int, weight_arguments
from nacre.layers.layer import Layer


class DropoutRNNCell:
    """Dropout masks of a recurrent cell with the attributes `dropout`, `recurrent_dropout` and `seed_generator`.

    A mask is made when it is first asked for, and the same for all steps until it is reset, as a recurrent layer does
    behind each sequence.
    """

    dropout: float
    recurrent_dropout: float
    seed_generator: Any

    def _mask(self, name: str, like: Any, rate: float) -> Any:
        masks = self.__dict__.setdefault("_masks", {})
        if rate and name not in masks:
            masks[name] = random.dropout(ops.ones_like(like), rate, seed=self.seed_generator)
        return masks.get(name)

    def get_dropout_mask(self, step_input: Any) -> Any:
        """The mask for inputs; None without dropout."""
        return self._mask("inputs", step_input, self.dropout)

    def get_recurrent_dropout_mask(self, step_input: Any) -> Any:
        """The mask for states; None without dropout."""
        return self._mask("states", step_input, self.recurrent_dropout)

    def reset_dropout_mask(self) -> None:
        """The next sequence gets another mask for its inputs."""
        self.__dict__.get("_masks", {}).pop("inputs", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """The next sequence gets another mask for its states."""
        self.__dict__.get("_masks", {}).pop("states", None)


class RecurrentCell(DropoutRNNCell, Layer):
    """Base class of SimpleRNNCell, LSTMCell and GRUCell.

    `call(inputs, states)` is `step(project(inputs), states)`: `project` is the product with the inputs, which a layer
    does for all steps at once; `step` is what has to wait for the state.
    """

    _GATES = 1

    def _arguments(
        self,
        units: Any,
        activation: Any,
        use_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: Any,
        **weights: Any,
    ) -> None:
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        weight_arguments(self, **weights)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)

    @staticmethod
    def _check_units(units: Any) -> int:
        return positive_int(
            "units", units, "Received an invalid value for argument `{name}`, expected a positive integer, got {value}."
        )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        wide = self.units * self._GATES
        if input_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': the last axis must be known, got shape {input_shape}"
            )
        self.kernel = self.add_weight(
            shape=(input_shape[-1], wide),
            name="kernel",
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, wide),
            name="recurrent_kernel",
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=self._bias_shape(),
                name="bias",
                initializer=self._bias_initializer(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.units * self._GATES,)

    def _bias_initializer(self) -> Any:
        return self.bias_initializer

    def _input_bias(self) -> Any:
        return self.bias

    def project(self, inputs: Any, training: Any = False) -> Any:
        """`inputs @ kernel + bias` for one step (N, C) or a sequence (N, T, C), behind dropout of the inputs."""
        return self._product(self._dropped(inputs, training))

    def _dropped(self, inputs: Any, training: Any) -> Any:
        """The inputs behind dropout, the same for every step of a sequence."""
        if not (training and 0.0 < self.dropout < 1.0):
            return inputs
        if len(inputs.shape) == 2:
            return inputs * self.get_dropout_mask(inputs)
        return inputs * ops.expand_dims(self.get_dropout_mask(inputs[:, 0]), 1)

    def _product(self, inputs: Any) -> Any:
        x = ops.matmul(inputs, self.kernel)
        bias = self._input_bias()
        return x if bias is None else ops.add(x, bias)

    def whole(self, x: Any, states: Any, mask: Any = None) -> tuple[Any, list[Any]] | None:
        """(outputs (T, N, units), last states) of a projected time-major sequence in one op; None without one.

        A float mask (T, N, 1) is 0 at the steps that leave the states as they are.
        """
        return None

    def _has_standard_gates(self, x: Any) -> bool:
        return (
            x.dtype == "float32"
            and self.activation is activations.tanh
            and self.recurrent_activation is activations.sigmoid
        )

    def step(self, x: Any, states: Any, training: Any = False) -> tuple[Any, list[Any]]:
        """(output, new states) from the projected input of one step."""
        raise NotImplementedError

    def _recurrent(self, h: Any, training: Any) -> Any:
        """The state that goes into the product, behind dropout."""
        if training and 0.0 < self.recurrent_dropout < 1.0:
            return h * self.get_recurrent_dropout_mask(h)
        return h

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """(N, C), states -> (N, units), new states."""
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        return self.step(self.project(inputs, training), states, training)

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros (batch_size, units) for every state."""
        n = 1 if isinstance(self.state_size, int) else len(self.state_size)
        return [ops.zeros((batch_size, self.units), dtype=self._input_dtype) for _ in range(n)]
