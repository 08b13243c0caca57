"""A graph of operations as one operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.operation import Operation
from nacre.core.tensor import KerasTensor
from nacre.models.graph import Schedule, map_graph


def check_tensors(structure: Any, what: str) -> list[KerasTensor]:
    """The KerasTensors of a structure. Raises ValueError for anything else in it."""
    flat = tree.flatten(structure)
    for x in flat:
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"All `{what}` values must be KerasTensors. Received: {what}={structure} including invalid value {x} "
                f"of type {type(x)}"
            )
    if not flat:
        raise ValueError(f"`{what}` argument cannot be empty: it must hold at least one KerasTensor. Got {structure!r}")
    return flat


class Function(Operation):
    """The computation between `inputs` and `outputs` (KerasTensors, or structures of them), without state of its own.

    >>> import nacre as keras
    >>> x = keras.Input((2,))
    >>> Function(x, keras.ops.add(x, 1.0))(keras.ops.ones((1, 2))).numpy().tolist()
    [[2.0, 2.0]]
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name)
        flat_inputs, flat_outputs = check_tensors(inputs, "inputs"), check_tensors(outputs, "outputs")
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self._inputs, self._outputs = flat_inputs, flat_outputs
        self._graph = map_graph(flat_inputs, flat_outputs, outputs)
        self._schedule = Schedule(self._graph, flat_inputs, flat_outputs)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The inputs, as a flat list."""
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The outputs, as a flat list."""
        return self._outputs

    @property
    def operations(self) -> list[Any]:
        """The operations, those next to the inputs first."""
        return list(self._graph.operations)

    def __call__(self, inputs: Any) -> Any:
        self._check(inputs)
        return super().__call__(inputs)

    def call(self, inputs: Any) -> Any:
        """The outputs for these inputs, which have the structure of `inputs`."""
        outputs = self._schedule.run(tree.flatten(inputs))
        return (
            tree.pack_sequence_as(self._outputs_struct, outputs) if tree.is_nested(self._outputs_struct) else outputs[0]
        )

    def compute_output_spec(self, inputs: Any) -> Any:
        """KerasTensors of what comes out for these; sizes that they leave open are those of the function's inputs."""
        self._check(inputs)
        known = [
            KerasTensor([n if m is None else m for m, n in zip(x.shape, own.shape)], x.dtype)
            for x, own in zip(tree.flatten(inputs), self._inputs)
        ]
        return super().compute_output_spec(tree.pack_sequence_as(inputs, known) if tree.is_nested(inputs) else known[0])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes that come out for these shapes, which have the structure of `inputs`."""
        dtypes = iter([x.dtype for x in self._inputs])
        inputs = tree.map_shape_structure(lambda shape: KerasTensor(shape, next(dtypes, None)), input_shape)
        return tree.map_structure(lambda y: y.shape, self.compute_output_spec(inputs))

    def _check(self, inputs: Any) -> None:
        """Raises ValueError for another structure or shape than that of the function's own inputs."""
        try:
            tree.assert_same_structure(self._inputs_struct, inputs)
        except ValueError as error:
            raise ValueError(
                f"{self.name}: called with an invalid input structure: {error}. Expected the structure of "
                f"{self._inputs_struct}, got {inputs}"
            ) from None
        for x, own in zip(tree.flatten(inputs), self._inputs):
            shape = tuple(getattr(x, "shape", None) or np.shape(x))
            if len(shape) != len(own.shape) or any(None not in (m, n) and m != n for m, n in zip(shape, own.shape)):
                raise ValueError(
                    f"{self.name}: called with incompatible inputs: expected shape {own.shape} for input "
                    f"'{own.name}', got {shape}"
                )
