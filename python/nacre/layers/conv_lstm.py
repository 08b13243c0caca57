"""LSTMs whose products are convolutions: ConvLSTM1D, ConvLSTM2D, ConvLSTM3D."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import (
    conv_output_length,
    standardize_data_format,
    standardize_padding,
    standardize_tuple,
)
from nacre.layers.convolution import check_filters
from nacre.layers.input_spec import InputSpec
from nacre.layers.lstm import ForgetBias
from nacre.layers.rnn import RecurrentLayer
from nacre.layers.rnn_cells import RecurrentCell

_BEFORE = (
    "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
    "recurrent_activation",
    "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias",
    "kernel_regularizer",
    "recurrent_regularizer", "bias_regularizer",
)  # fmt: skip
_AFTER = ("kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "seed")


class ConvLSTMCell(RecurrentCell):
    """One step of a convolutional LSTM (Shi et al. 2015); states [h, c] are feature maps (N, OH, OW, filters).

    Weights: `kernel` (*kernel_size, C, 4 filters), `recurrent_kernel` (*kernel_size, filters, 4 filters), `bias` (4
    filters,).
    """

    def __init__(
        self, rank: int, filters: int, kernel_size: Any, strides: Any, padding: str, data_format: Any,
        dilation_rate: Any,
        activation: Any, recurrent_activation: Any, use_bias: bool, unit_forget_bias: bool, dropout: float,
        recurrent_dropout: float, seed: Any, weights_by: dict[str, Any], **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        check_filters(filters)
        self.rank = rank
        self.filters = filters
        self.kernel_size = standardize_tuple(kernel_size, rank, "kernel_size")
        self.strides = standardize_tuple(strides, rank, "strides")
        self.padding = standardize_padding(padding)
        self.data_format = standardize_data_format(data_format)
        self.dilation_rate = standardize_tuple(dilation_rate, rank, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "Specifying `strides > 1` is not compatible with `dilation_rate > 1`. Received: strides="
                f"{strides}, dilation_rate={dilation_rate}"
            )
        self._arguments(filters, activation, use_bias, dropout, recurrent_dropout, seed, **weights_by)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self._step_shape: tuple[Any, ...] = (None, *(None,) * rank, None)

    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def output_shape_of(self, step_shape: Any) -> tuple[Any, ...]:
        """The shape of a state, without batch axis, for steps of that shape (N, H, W, C)."""
        last = self.data_format == "channels_last"
        spatial = step_shape[1:-1] if last else step_shape[2:]
        out = tuple(
            conv_output_length(n, k, self.padding, s, d)
            for n, k, s, d in zip(spatial, self.kernel_size, self.strides, self.dilation_rate)
        )
        if any(n is not None and n <= 0 for n in out):
            raise ValueError(
                f"Computed output size would be zero or negative. Received `inputs shape={tuple(step_shape)}`, "
                f"`kernel shape={self.kernel_size}`, `strides={self.strides}`, `padding={self.padding}`."
            )
        return (*out, self.filters) if last else (self.filters, *out)

    @property
    def state_size(self) -> list[Any]:
        """The shapes of the two states, known once the cell has seen a shape."""
        shape = self.output_shape_of(self._step_shape)
        return [shape, shape]

    @property
    def output_size(self) -> Any:
        """The shape of the output."""
        return self.output_shape_of(self._step_shape)

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        channels = input_shape[self._channel_axis()]
        if channels is None:
            raise ValueError(
                f"ConvLSTM '{self.name}': the channel axis of the input must be known, got shape {input_shape}"
            )
        self.remember(input_shape)
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, channels, self.filters * 4),
            initializer=self.kernel_initializer,
            name="kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            shape=(*self.kernel_size, self.filters, self.filters * 4),
            initializer=self.recurrent_initializer,
            name="recurrent_kernel",
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            bias = ForgetBias(self.bias_initializer, self.filters) if self.unit_forget_bias else self.bias_initializer
            self.bias = self.add_weight(
                shape=(self.filters * 4,),
                name="bias",
                initializer=bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def remember(self, step_shape: Any) -> None:
        """Notes the shape of steps, which the shape of the states follows from."""
        object.__setattr__(self, "_step_shape", tuple(step_shape))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """(N, H, W, C), [h, c] -> (N, OH, OW, filters), [h, c]."""
        h, c = states
        if training and 0.0 < self.dropout < 1.0:
            inputs = inputs * self.get_dropout_mask(inputs)
        h = self._recurrent(h, training)
        x = ops.conv(
            inputs, self.kernel, strides=self.strides, padding=self.padding, data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )  # fmt: skip
        if self.bias is not None:
            last = self.data_format == "channels_last"
            x = x + (self.bias if last else ops.reshape(self.bias, (-1, *(1,) * self.rank)))
        x = x + ops.conv(h, self.recurrent_kernel, strides=1, padding="same", data_format=self.data_format)
        i, f, candidate, o = ops.split(x, 4, axis=self._channel_axis())
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(candidate)
        h = gate(o) * self.activation(c)
        return h, [h, c]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros for both states."""
        shape = (batch_size, *self.output_shape_of(self._step_shape))
        return [ops.zeros(shape, dtype=self._input_dtype), ops.zeros(shape, dtype=self._input_dtype)]


class ConvLSTM(RecurrentLayer):
    """Base class of ConvLSTM1D, ConvLSTM2D and ConvLSTM3D."""

    _RANK: int
    _CELL_CONFIG = (*_BEFORE, "activity_regularizer", *_AFTER)

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        **kwargs: Any,
    ) -> None:
        unroll = kwargs.pop("unroll", False)
        weights = {
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
        }
        cell = ConvLSTMCell(
            self._RANK, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation,
            use_bias, unit_forget_bias, dropout, recurrent_dropout, seed, weights, dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True), name="conv_lstm_cell",
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
        self.input_spec = InputSpec(ndim=self._RANK + 3)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell for one step."""
        self.cell.remember((sequences_shape[0], *sequences_shape[2:]))
        super().build(sequences_shape, initial_state_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """(N, T, H, W, C) -> (N, OH, OW, filters), or as the arguments of the layer say."""
        self.cell.remember((sequences.shape[0], *sequences.shape[2:]))
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """(N, OH, OW, filters), or as the arguments of the layer say."""
        batch, time = sequences_shape[0], sequences_shape[1]
        state = self.cell.output_shape_of((batch, *sequences_shape[2:]))
        output = (batch, time, *state) if self.return_sequences else (batch, *state)
        return (output, (batch, *state), (batch, *state)) if self.return_state else output


class ConvLSTM1D(ConvLSTM):
    """Convolutional LSTM over sequences of signals: (N, T, L, C) -> (N, OL, filters)."""

    _RANK = 1


class ConvLSTM2D(ConvLSTM):
    """Convolutional LSTM over sequences of images: (N, T, H, W, C) -> (N, OH, OW, filters)."""

    _RANK = 2


class ConvLSTM3D(ConvLSTM):
    """Convolutional LSTM over sequences of volumes: (N, T, D, H, W, C) -> (N, OD, OH, OW, filters)."""

    _RANK = 3
