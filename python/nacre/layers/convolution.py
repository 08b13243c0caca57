"""Convolutions: Conv1D, Conv2D, Conv3D, and what all convolution layers share."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.core.spec import is_float
from nacre.layers.arguments import (
    config_of,
    is_int,
    standardize_data_format,
    standardize_padding,
    standardize_tuple,
    weight_arguments,
    windowed_shape,
)
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.layers.low_rank import LowRank, adapted
from nacre.ops.convolution import conv_padded


class Windowed(Layer):
    """Base class of layers that slide a window over spatial axes: checks and keeps the window's arguments."""

    _RANK: int

    def _window(
        self, kernel_size: Any, strides: Any, padding: Any, data_format: Any, dilation_rate: Any, causal: bool = False
    ) -> None:
        rank = self._RANK
        self.kernel_size = standardize_tuple(kernel_size, rank, "kernel_size")
        self.strides = standardize_tuple(strides, rank, "strides")
        self.dilation_rate = standardize_tuple(dilation_rate, rank, "dilation_rate")
        self.padding = standardize_padding(padding, allow_causal=causal)
        self.data_format = standardize_data_format(data_format)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.input_spec = InputSpec(min_ndim=rank + 2, max_ndim=rank + 2)

    def _channels(self, input_shape: Any) -> int:
        """The number of input channels; from now on inputs must have as many."""
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': the channel axis of the input must be known, got shape "
                f"{input_shape}"
            )
        self.input_spec = InputSpec(min_ndim=self._RANK + 2, max_ndim=self._RANK + 2, axes={axis: channels})
        return int(channels)

    def _floats(self, inputs: Any) -> Any:
        """The inputs, images of integers as floats."""
        return inputs if is_float(inputs.dtype) else ops.cast(inputs, self._input_dtype)

    def _add_bias(self, name: str, size: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name=name,
                shape=(size,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _finish(self, x: Any) -> Any:
        """Bias and activation behind the convolution."""
        if self.bias is not None:
            bias = self.bias
            if self.data_format == "channels_first":
                bias = ops.reshape(bias, (bias.shape[0], *(1,) * self._RANK))
            x = ops.add(x, bias)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, OH, OW, channels), or (N, channels, OH, OW) for channels_first."""
        if len(input_shape) != self._RANK + 2:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected an input shape of rank {self._RANK + 2}, got "
                f"{tuple(input_shape)}"
            )
        what = f"`kernel shape={self.kernel_size}`, `dilation_rate={list(self.dilation_rate)}`, "
        return windowed_shape(
            input_shape, self._output_channels(input_shape), self.kernel_size, self.strides, self.padding,
            self.data_format,
            self.dilation_rate, what,
        )  # fmt: skip

    def _output_channels(self, input_shape: Any) -> int:
        raise NotImplementedError


class BaseConv(Windowed, LowRank):
    """Base class of Conv1D, Conv2D and Conv3D: `activation(conv(inputs, kernel) + bias)`.

    Weights: `kernel` (*kernel_size, channels // groups, filters), `bias` (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: Any = None,
        lora_alpha: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._set_lora(lora_rank, lora_alpha)
        check_filters(filters, groups)
        self._window(kernel_size, strides, padding, data_format, dilation_rate, causal=self._RANK == 1)
        self.filters = int(filters)
        self.groups = int(groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        weight_arguments(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received groups="
                f"{self.groups}, but the input has {channels} channels (full input shape is {input_shape})."
            )
        self.compute_output_shape(input_shape)  # raises when the window does not fit
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias("bias", self.filters)
        self._adapt_from_start()

    kernel = adapted("kernel")

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution alone, as the layer's arguments say; a layer of another kind overrides it."""
        return conv_padded(inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)

    def call(self, inputs: Any) -> Any:
        """The convolution of the inputs."""
        return self._finish(self.convolution_op(self._floats(inputs), self.kernel))

    def _output_channels(self, input_shape: Any) -> int:
        return self.filters

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups",
                "activation",
                "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
                "activity_regularizer", "kernel_constraint", "bias_constraint",
            ),
            **self._lora_config(),
        }  # fmt: skip


def check_filters(filters: Any, groups: Any = 1) -> None:
    """Raises ValueError unless filters and groups are positive and one divides the other."""
    if not is_int(filters) or filters <= 0:
        raise ValueError(
            f"Invalid value for argument `filters`. Expected a strictly positive value. Received filters={filters}."
        )
    if not is_int(groups) or groups <= 0:
        raise ValueError(f"The number of groups must be a positive integer. Received: groups={groups}.")
    if filters % groups:
        raise ValueError(
            "The number of filters must be evenly divisible by the number of groups. Received: "
            f"groups={groups}, filters={filters}."
        )


class Conv1D(BaseConv):
    """Convolution along time: (N, T, C) -> (N, OT, filters).

    Args:
        filters: number of output channels.
        kernel_size: length of the window.
        strides, dilation_rate: step of the window, and distance between its taps; one of them must be 1.
        padding: `"valid"` (no padding), `"same"` (OT = ceil(T / strides)) or `"causal"` (no look into the future).
        groups: channels are split into that many groups, convolved separately.
        data_format: `"channels_last"` or `"channels_first"`.
        activation, use_bias, kernel_initializer, ...: as in Dense.
    """

    _RANK = 1


class Conv2D(BaseConv):
    """Convolution over images: (N, H, W, C) -> (N, OH, OW, filters).

    Args:
        filters: number of output channels.
        kernel_size: height and width of the window, or one int for both.
        strides, dilation_rate: step of the window, and distance between its taps; one of them must be 1.
        padding: `"valid"` (no padding) or `"same"` (OH = ceil(H / stride)).
        groups: channels are split into that many groups, convolved separately.
        data_format: `"channels_last"` or `"channels_first"`.
        activation, use_bias, kernel_initializer, ...: as in Dense.

    >>> import nacre as keras
    >>> keras.layers.Conv2D(8, 3, activation="relu")(keras.ops.ones((1, 28, 28, 3))).shape
    (1, 26, 26, 8)
    """

    _RANK = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation, use_bias,
            kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint,
            **kwargs,
        )  # fmt: skip


class Conv3D(BaseConv):
    """Convolution over volumes: (N, D, H, W, C) -> (N, OD, OH, OW, filters); arguments as in Conv2D."""

    _RANK = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation, use_bias,
            kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint,
            **kwargs,
        )  # fmt: skip
