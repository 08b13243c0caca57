"""Transposed convolutions: the gradient of a convolution used forward, to enlarge."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import config_of, standardize_tuple, weight_arguments
from nacre.layers.convolution import Windowed, check_filters


class BaseConvTranspose(Windowed):
    """Base class of Conv1DTranspose, Conv2DTranspose and Conv3DTranspose.

    Weights: `kernel` (*kernel_size, filters, channels), `bias` (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        check_filters(filters)
        self._window(kernel_size, strides, padding, data_format, dilation_rate)
        self.filters = int(filters)
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = standardize_tuple(output_padding, self._RANK, "output_padding", allow_zero=True)
            if any(extra >= stride for extra, stride in zip(self.output_padding, self.strides)):
                raise ValueError(
                    "`output_padding` must be strictly less than `strides` for all dimensions. Received: "
                    f"strides={self.strides}, "
                    f"output_padding={self.output_padding}"
                )
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
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, channels),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias("bias", self.filters)

    def call(self, inputs: Any) -> Any:
        """The transposed convolution of the inputs."""
        x = ops.conv_transpose(
            self._floats(inputs), self.kernel, strides=self.strides, padding=self.padding,
            output_padding=self.output_padding,
            data_format=self.data_format, dilation_rate=self.dilation_rate,
        )  # fmt: skip
        return self._finish(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, OH, OW, filters), or (N, filters, OH, OW) for channels_first."""
        last = self.data_format == "channels_last"
        extra = self.output_padding or (None,) * self._RANK
        spatial = tuple(input_shape[1:-1] if last else input_shape[2:])
        sizes = zip(spatial, self.kernel_size, self.strides, self.dilation_rate, extra)
        out = tuple(_length(n, k, self.padding, s, d, e) for n, k, s, d, e in sizes)
        return (input_shape[0], *out, self.filters) if last else (input_shape[0], self.filters, *out)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate",
                "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
                "bias_regularizer",
                "activity_regularizer", "kernel_constraint", "bias_constraint",
            ),
        }  # fmt: skip


def _length(n: Any, kernel: int, padding: str, stride: int, dilation: int, extra: int | None) -> Any:
    """The length of a transposed convolution along an axis; None when the input's is not known."""
    if n is None:
        return None
    kernel = (kernel - 1) * dilation + 1
    if extra is not None:
        return (n - 1) * stride + kernel - 2 * (kernel // 2 if padding == "same" else 0) + extra
    return n * stride if padding == "same" else n * stride + max(kernel - stride, 0)


class Conv1DTranspose(BaseConvTranspose):
    """Transposed convolution along time: (N, T, C) -> (N, OT, filters); `padding="same"` gives OT = T * strides."""

    _RANK = 1


class Conv2DTranspose(BaseConvTranspose):
    """Transposed convolution over images: (N, H, W, C) -> (N, OH, OW, filters).

    Args:
        output_padding: extra rows and columns at the end of the output, less than the strides; automatic when not
            given.
        filters, kernel_size, strides, padding, ...: as in Conv2D; `padding="same"` gives OH = H * stride.
    """

    _RANK = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
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
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip


class Conv3DTranspose(BaseConvTranspose):
    """Transposed convolution over volumes: (N, D, H, W, C) -> (N, OD, OH, OW, filters)."""

    _RANK = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        dilation_rate: Any = (1, 1, 1),
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
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip
