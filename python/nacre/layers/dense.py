"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from nacre import activations, ops
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, no_quantization, positive_int, weight_arguments
from nacre.layers.input_spec import InputSpec
from nacre.layers.low_rank import LowRank, adapted


class Dense(LowRank):
    """`activation(inputs @ kernel + bias)`: (..., K) -> (..., units).

    Args:
        units: size of the last axis of the output.
        activation: function or its name; none when not given.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
        kernel_constraint,
            bias_constraint: by name, config or object.

    Weights: `kernel` (K, units), `bias` (units,).

    >>> import nacre as keras
    >>> keras.layers.Dense(3, activation="relu")(keras.ops.ones((2, 5))).shape
    (2, 3)
    """

    def __init__(
        self,
        units: int,
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
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        units = positive_int(
            "units",
            units,
            "Received an invalid value for `{name}`, expected a positive integer. Received: {name}={value}",
        )
        no_quantization("Dense", quantization_config=quantization_config)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._set_lora(lora_rank, lora_alpha)
        self.units = units
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
        self.quantization_config = None
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True
        self.bias: Any = None

    kernel = adapted("kernel")

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        size = input_shape[-1]
        if size is None:
            raise ValueError(f"Dense '{self.name}': the last axis of the input must be known, got shape {input_shape}")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})
        self._adapt_from_start()

    def call(self, inputs: Any, training: Any = None) -> Any:
        """(..., K) -> (..., units)."""
        if not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        x = ops.matmul(inputs, self._kernel)
        if self.lora_enabled:
            a, b = self._factors()
            x = x + self._scale() * ops.matmul(ops.matmul(inputs, a), b)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(..., units)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "units", "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
                "bias_regularizer", "kernel_constraint", "bias_constraint", "quantization_config",
            ),
            **self._lora_config(),
        }  # fmt: skip
