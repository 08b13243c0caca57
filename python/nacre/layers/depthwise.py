"""Convolutions of each channel by itself: DepthwiseConv, and SeparableConv that mixes the channels afterwards."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import config_of, is_int, weight_arguments
from nacre.layers.convolution import Windowed, check_filters


def _check_multiplier(depth_multiplier: Any) -> int:
    if not is_int(depth_multiplier) or depth_multiplier <= 0:
        raise ValueError(
            "Invalid value for argument `depth_multiplier`. Expected a strictly positive value. Received "
            f"depth_multiplier={depth_multiplier}."
        )
    return int(depth_multiplier)


class BaseDepthwiseConv(Windowed):
    """Base class of DepthwiseConv1D and DepthwiseConv2D.

    Weights: `kernel` (*kernel_size, channels, depth_multiplier), `bias` (channels * depth_multiplier,).
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = _check_multiplier(depth_multiplier)
        self._window(kernel_size, strides, padding, data_format, dilation_rate)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        weight_arguments(
            self,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        channels = self._channels(input_shape)
        self.compute_output_shape(input_shape)  # raises when the window does not fit
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self._add_bias("bias", channels * self.depth_multiplier)

    def call(self, inputs: Any) -> Any:
        """The convolution of each channel with its own kernels."""
        x = ops.depthwise_conv(
            self._floats(inputs), self.kernel, strides=self.strides, padding=self.padding, data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )  # fmt: skip
        return self._finish(x)

    def _output_channels(self, input_shape: Any) -> int:
        return int(self.depth_multiplier * input_shape[-1 if self.data_format == "channels_last" else 1])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "depth_multiplier", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
                "activation",
                "use_bias", "depthwise_initializer", "bias_initializer", "depthwise_regularizer", "bias_regularizer",
                "activity_regularizer", "depthwise_constraint", "bias_constraint",
            ),
        }  # fmt: skip


class DepthwiseConv1D(BaseDepthwiseConv):
    """Convolution along time of each channel by itself: (N, T, C) -> (N, OT, C * depth_multiplier)."""

    _RANK = 1


class DepthwiseConv2D(BaseDepthwiseConv):
    """Convolution over images of each channel by itself: (N, H, W, C) -> (N, OH, OW, C * depth_multiplier).

    Args:
        depth_multiplier: number of output channels per input channel.
        kernel_size, strides, padding, ...: as in Conv2D.
    """

    _RANK = 2

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation, use_bias,
            depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer, activity_regularizer,
            depthwise_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class BaseSeparableConv(Windowed):
    """Base class of SeparableConv1D and SeparableConv2D: a depthwise convolution, then a 1x1 convolution.

    Weights: `depthwise_kernel` (*kernel_size, channels, depth_multiplier), `pointwise_kernel` (1, .., channels *
    depth_multiplier, filters), `bias` (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = _check_multiplier(depth_multiplier)
        check_filters(filters)
        self.filters = int(filters)
        self._window(kernel_size, strides, padding, data_format, dilation_rate, causal=self._RANK == 1)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        weight_arguments(
            self,
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        channels = self._channels(input_shape)
        self.compute_output_shape(input_shape)  # raises when the window does not fit
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(*(1,) * self._RANK, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self._add_bias("bias", self.filters)

    def call(self, inputs: Any) -> Any:
        """The separable convolution of the inputs."""
        inputs = self._floats(inputs)
        padding = self.padding
        if padding == "causal":
            before = ((self.kernel_size[0] - 1) * self.dilation_rate[0], 0)
            last = self.data_format == "channels_last"
            inputs = ops.pad(inputs, ((0, 0), before, (0, 0)) if last else ((0, 0), (0, 0), before))
            padding = "valid"
        x = ops.separable_conv(
            inputs, self.depthwise_kernel, self.pointwise_kernel, strides=self.strides, padding=padding,
            data_format=self.data_format, dilation_rate=self.dilation_rate,
        )  # fmt: skip
        return self._finish(x)

    def _output_channels(self, input_shape: Any) -> int:
        return self.filters

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "depth_multiplier", "filters", "kernel_size", "strides", "padding", "data_format",
                "dilation_rate",
                "activation", "use_bias", "depthwise_initializer", "pointwise_initializer", "bias_initializer",
                "depthwise_regularizer", "pointwise_regularizer", "bias_regularizer", "activity_regularizer",
                "depthwise_constraint", "pointwise_constraint", "bias_constraint",
            ),
        }  # fmt: skip


class SeparableConv1D(BaseSeparableConv):
    """Depthwise, then pointwise convolution along time: (N, T, C) -> (N, OT, filters)."""

    _RANK = 1


class SeparableConv2D(BaseSeparableConv):
    """Depthwise, then pointwise convolution over images: (N, H, W, C) -> (N, OH, OW, filters)."""

    _RANK = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier, activation, use_bias,
            depthwise_initializer, pointwise_initializer, bias_initializer, depthwise_regularizer,
            pointwise_regularizer,
            bias_regularizer, activity_regularizer, depthwise_constraint, pointwise_constraint, bias_constraint,
            **kwargs,
        )  # fmt: skip
