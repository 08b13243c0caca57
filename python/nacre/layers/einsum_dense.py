"""A dense layer whose product is any einsum of inputs and kernel."""

from __future__ import annotations

import re
from typing import Any

from nacre import activations, initializers, ops
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, is_int, no_quantization, weight_arguments
from nacre.layers.low_rank import LowRank, adapted

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(LowRank):
    """`activation(einsum(equation, inputs, kernel) + bias)`.

    Args:
        equation: as for `ops.einsum`, `"ab,bc->ac"` is a Dense layer; `...` may stand before or behind the letters of
            both
            the input and the output.
        output_shape: sizes of the output axes without the batch axis (or without those of `...`); None for sizes of
            the input.
        bias_axes: letters of the output axes that have a bias of their own; none: no bias.
        activation, kernel_initializer, ...: as in Dense.

    Weights: `kernel`, and `bias` when there are bias axes.

    >>> import nacre as keras
    >>> keras.layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d")(keras.ops.ones((2, 4, 5))).shape
    (2, 4, 6)
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: Any = None,
        lora_alpha: Any = None,
        gptq_unpacked_column_size: Any = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        no_quantization("EinsumDense", quantization_config=quantization_config)
        super().__init__(**kwargs)
        self._set_lora(lora_rank, lora_alpha)
        if not isinstance(equation, str):
            raise ValueError(f"EinsumDense: expected `equation` to be text such as 'abc,cd->abd', got {equation!r}")
        self.equation = equation
        self.partial_output_shape = (output_shape,) if is_int(output_shape) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
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
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        kernel_shape, bias_shape, _ = analyze(
            self.equation, self.bias_axes, tuple(input_shape), self.partial_output_shape
        )
        if any(n is None for n in kernel_shape):
            raise ValueError(
                f"EinsumDense '{self.name}': the axes of the kernel must be known, got input shape {input_shape} for "
                f"'{self.equation}'"
            )
        initializer = self.kernel_initializer
        if isinstance(initializer, initializers.VarianceScaling):
            initializer = initializer.along(*fan_axes(self.equation))
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if bias_shape is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=bias_shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self._adapt_from_start()

    kernel = adapted("kernel")

    def call(self, inputs: Any, training: Any = None) -> Any:
        """The product, behind bias and activation."""
        if not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        x = ops.einsum(self.equation, inputs, self.kernel)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The full output shape."""
        return analyze(self.equation, self.bias_axes, tuple(input_shape), self.partial_output_shape)[2]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            **config_of(
                self, "equation", "activation", "bias_axes", "kernel_initializer", "bias_initializer",
                "kernel_regularizer",
                "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint",
                "quantization_config",
            ),
            **self._lora_config(),
        }  # fmt: skip


def fan_axes(equation: str) -> tuple[list[int], list[int]]:
    """The axes of the kernel that are summed over, its inputs, and those that the output has.

    >>> fan_axes("abc,cde->abde")
    ([0], [1, 2])
    """
    _, weights, outputs = re.findall("[a-zA-Z]+", equation.replace(" ", ""))
    axes = range(len(weights))
    return [i for i in axes if weights[i] not in outputs], [i for i in axes if weights[i] in outputs]


def analyze(
    equation: str, bias_axes: str | None, input_shape: tuple[Any, ...], output_shape: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...] | None, tuple[Any, ...]]:
    """(kernel shape, bias shape or None, full output shape) of an EinsumDense.

    >>> analyze("...x,xy->...y", "y", (None, 4, 5), (6,))
    ((5, 6), (6,), (None, 4, 6))
    """
    match = _EQUATION.fullmatch(equation.replace(" ", ""))
    if match is None or bool(match[1]) != bool(match[5]) or bool(match[3]) != bool(match[7]) or (match[1] and match[3]):
        raise ValueError(
            f"Invalid einsum equation '{equation}'. Equations must be in the form [X],[Y]->[Z], ...[X],[Y]->...[Z], or "
            "[X]...,[Y]->[Z]...."
        )
    left, right = bool(match[1]), bool(match[3])
    inputs, weights, outputs = match[2], match[4], match[6]
    hidden = len(input_shape) - len(inputs)
    if hidden < 0 or (hidden and not (left or right)):
        raise ValueError(f"EinsumDense: an input of shape {input_shape} does not fit the equation '{equation}'")
    own = input_shape[hidden:] if left else input_shape[: len(input_shape) - hidden]
    elided = input_shape[:hidden] if left else input_shape[len(input_shape) - hidden :]
    sizes_in = dict(zip(inputs, own))
    # Without an ellipsis in front, the batch axis is not part of the given output shape.
    given = output_shape if left else (input_shape[0], *output_shape)
    if len(given) > len(outputs):
        given = given[len(given) - len(outputs) :] if left else given[: len(outputs)]
    elif len(given) < len(outputs):
        missing = (None,) * (len(outputs) - len(given))
        given = (*missing, *given) if left else (*given, *missing)
    sizes_out = {}
    for letter, size in zip(outputs, given):
        known = sizes_in.get(letter)
        if size is not None and known is not None and size != known:
            raise ValueError(
                f"Input shape and output shape do not match at shared dimension '{letter}'. Input shape is {known}, "
                f"and output shape is {size}."
            )
        sizes_out[letter] = size if size is not None else known
        if letter not in inputs and letter not in weights:
            raise ValueError(
                f"Dimension '{letter}' was specified in the output '{outputs}' but has no corresponding dim in the "
                f"input spec '{inputs}' or weight spec '{weights}'"
            )
    for letter in weights:
        if letter not in sizes_in and letter not in sizes_out:
            raise ValueError(
                f"Weight dimension '{letter}' did not have a match in either the input spec '{inputs}' or the output "
                f"spec '{outputs}'. For this layer, the weight must be fully specified."
            )
    kernel = tuple(sizes_in[n] if n in sizes_in else sizes_out[n] for n in weights)
    bias = None
    if bias_axes is not None:
        for letter in bias_axes:
            if letter not in outputs:
                raise ValueError(
                    f"Bias dimension '{letter}' was requested, but is not part of the output spec '{outputs}'"
                )
        first = min(outputs.find(letter) for letter in bias_axes)
        bias = tuple(sizes_out[n] if n in bias_axes else 1 for n in outputs[first:]) + ((1,) * hidden if right else ())
    full = tuple(sizes_out[n] for n in outputs)
    return kernel, bias, (*elided, *full) if left else (*full, *elided)
