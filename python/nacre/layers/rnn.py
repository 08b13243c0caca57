"""Recurrent layers: a cell applied step by step along time, and cells stacked on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core import trace, tree
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.variable import Variable
from nacre.layers.arguments import config_of, is_int
from nacre.layers.layer import Layer
from nacre.layers.rnn_cells import DropoutRNNCell


def _reset_dropout_masks(cell: Any) -> None:
    """The next sequence gets other masks; a stack of cells is asked for those in it."""
    for each in getattr(cell, "cells", (cell,)):
        if isinstance(each, DropoutRNNCell):
            each.reset_dropout_mask()
            each.reset_recurrent_dropout_mask()


def _state_sizes(cell: Any) -> list[tuple[int, ...]]:
    """The shapes of a cell's states without batch axis."""
    sizes = cell.state_size
    sizes = [sizes] if is_int(sizes) else list(sizes)
    flat: list[tuple[int, ...]] = []
    for size in sizes:
        if is_int(size):
            flat.append((int(size),))
        elif size and all(is_int(n) or n is None for n in size) and not hasattr(cell, "cells"):
            flat.append(tuple(size))
        else:
            flat += [(int(n),) if is_int(n) else tuple(n) for n in tree.flatten(size)]
    return flat


class StackedRNNCells(Layer):
    """Cells on top of each other as one cell: the output of each is the input of the next."""

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not cells:
            raise ValueError(f"{type(self).__name__}: expected at least one cell, got {cells!r}")
        for cell in cells:
            if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
                raise ValueError(
                    f"All cells must have a `call` method and a `state_size` attribute. Received cell: {cell}"
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of the cells, in order."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The size of the last cell's output."""
        last = self.cells[-1]
        size = getattr(last, "output_size", None)
        return size if size is not None else last.state_size if is_int(last.state_size) else last.state_size[0]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The zero states of all cells, nested as `state_size`."""
        return [initial_state_of(cell, batch_size, self._input_dtype or "float32") for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        """Builds the cells."""
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            size = getattr(cell, "output_size", None)
            if size is None:
                size = cell.state_size if is_int(cell.state_size) else cell.state_size[0]
            input_shape = (input_shape[0], *((size,) if is_int(size) else tuple(size)))

    def call(self, inputs: Any, states: Any, training: bool = False, **kwargs: Any) -> Any:
        """(N, C), states -> (N, units), new states."""
        new_states = []
        for cell, state in zip(self.cells, states):
            state = list(state) if isinstance(state, (list, tuple)) else [state]
            inputs, new = call_cell(cell, inputs, state, training)
            new_states.append(new)
        return inputs, new_states

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The cells of that configuration, stacked."""
        config = dict(config)
        cells = [deserialize_keras_object(c, custom_objects, package="layers") for c in config.pop("cells")]
        return cls(cells, **{**config, "dtype": _policy(config.get("dtype"))})


def _policy(dtype: Any) -> Any:
    return deserialize_keras_object(dtype, package="dtype_policies") if isinstance(dtype, dict) else dtype


def initial_state_of(cell: Any, batch_size: Any, dtype: str) -> Any:
    """The state that a cell starts from."""
    if getattr(cell, "get_initial_state", None) is not None:
        return cell.get_initial_state(batch_size=batch_size)
    states = [ops.zeros((batch_size, *size), dtype=dtype) for size in _state_sizes(cell)]
    return states


def call_cell(cell: Any, inputs: Any, states: Any, training: Any) -> tuple[Any, Any]:
    """(output, new states as a list) of one step."""
    kwargs = {"training": training} if isinstance(cell, Layer) else {}
    output, new_states = cell(inputs, states, **kwargs)
    return output, list(new_states) if isinstance(new_states, (list, tuple)) else [new_states]


class RNN(Layer):
    """A cell applied step by step: (N, T, C) -> (N, units), or (N, T, units) with `return_sequences`.

    Args:
        cell: a layer with `call(inputs, states) -> (output, new_states)` and `state_size`, or a list of such: they are
            stacked.
        return_sequences: whether all outputs are returned, or the last one.
        return_state: whether the last states are returned, too: `(output, *states)`.
        go_backwards: whether to start at the end; the sequence of outputs is then in reversed order, too.
        stateful: whether each batch starts from the states that the one before ended with. Needs a fixed batch size.
        unroll: accepted; it changes nothing, steps are always laid out one by one.
        zero_output_for_mask: whether outputs of masked steps are zero, instead of the output before.

    A masked step leaves the states as they are.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        for name, what in (("call", "method"), ("state_size", "attribute")):
            if not hasattr(cell, name):
                raise ValueError(f"Argument `cell` should have a `{name}` {what}. Received: cell={cell}")
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self._states: Any = None

    @property
    def states(self) -> Any:
        """The states that the next batch starts from, when stateful."""
        return self._states

    @property
    def state_size(self) -> Any:
        """The sizes of the cell's states."""
        return self.cell.state_size

    def _output_size(self) -> tuple[int, ...]:
        size = getattr(self.cell, "output_size", None)
        if size is None:
            return _state_sizes(self.cell)[0]
        return (int(size),) if is_int(size) else tuple(size)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell for one step."""
        if len(sequences_shape) < 3:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected an input of shape (N, T, ...), got {sequences_shape}"
            )
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful and self._states is None:
            if sequences_shape[0] is None:
                raise ValueError(
                    "When using `stateful=True` in a RNN, the batch size must be static. Found dynamic batch size: "
                    f"sequence.shape={sequences_shape}. Give the batch size with `batch_size=` or `batch_shape=` of "
                    "Input."
                )
            states = [
                Variable(np.zeros((sequences_shape[0], *size), self._input_dtype), trainable=False, name="rnn_state")
                for size in _state_sizes(self.cell)
            ]
            object.__setattr__(self, "_states", states)  # no weights: what they hold belongs to the data

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states that a batch starts from, as a flat list."""
        return tree.flatten(initial_state_of(self.cell, batch_size, self._input_dtype or "float32"))

    def reset_states(self) -> None:
        """The next batch starts from zero states."""
        for v in tree.flatten(self._states) if self._states is not None else []:
            v.assign(ops.zeros_like(v.value))

    reset_state = reset_states

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """(N, T, C) -> (N, units), or as the arguments of the layer say."""
        if sequences.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected at least one step, got shape {sequences.shape}"
            )
        if initial_state is not None:
            states = [s.value if isinstance(s, Variable) else s for s in tree.flatten(initial_state)]
        elif self.stateful:
            states = [v.value for v in self._states]
            if states and states[0].shape[0] != sequences.shape[0]:
                raise ValueError(
                    f"{type(self).__name__} '{self.name}' is stateful and was built for batch size "
                    f"{states[0].shape[0]}, "
                    f"so that its states have that batch size; got an input of batch size {sequences.shape[0]}"
                )
        else:
            states = self.get_initial_state(sequences.shape[0])
        expected = len(_state_sizes(self.cell))
        if len(states) != expected:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected {expected} initial states, got {len(states)}"
            )
        mask = self._mask_of_steps(mask, sequences)
        try:
            whole = self._whole(sequences, states, mask, training)
            if whole is None:
                last, outputs, states = self._loop(sequences, states, mask, training)
        finally:
            _reset_dropout_masks(self.cell)
        if whole is not None:
            states = whole[1]
        if self.stateful:
            for v, s in zip(self._states, states):
                v.assign(s)
        if whole is not None:
            from_zero = initial_state is None and not self.stateful
            shown = whole[0] if mask is None else self._shown(whole[0], mask, from_zero)
            output = ops.transpose(shown, (1, 0, 2)) if self.return_sequences else shown[-1]
        else:
            output = ops.stack(outputs, axis=1) if self.return_sequences else last
        if not self.return_state:
            return output
        return (output, *self._by_cell(states))

    def _by_cell(self, states: list[Any]) -> list[Any]:
        """States as they are returned: those of stacked cells cell by cell, a list where one has several."""
        if not hasattr(self.cell, "cells"):
            return states
        return [s[0] if len(s) == 1 else s for s in initial_structure(self.cell, states)]

    def _mask_of_steps(self, mask: Any, sequences: Any) -> Any:
        """The mask as (N, T); it may come as (N, T, 1)."""
        if mask is None:
            return None
        mask = ops.convert_to_tensor(tree.flatten(mask)[0])
        if len(mask.shape) == 3 and mask.shape[2] == 1:
            mask = ops.squeeze(mask, -1)
        if tuple(mask.shape) != tuple(sequences.shape[:2]) and not trace.probing():
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected a mask of shape {tuple(sequences.shape[:2])}, one "
                f"value per step, got shape {tuple(mask.shape)}"
            )
        return mask

    def _in_order(self, mask: Any) -> Any:
        """The mask (N, T) as (T, N, 1), in the order of the steps."""
        mask = ops.expand_dims(ops.transpose(mask, (1, 0)), -1)
        return ops.flip(mask, 0) if self.go_backwards else mask

    def _shown(self, outputs: Any, mask: Any, from_zero: bool) -> Any:
        """Outputs (T, N, units), in which masked steps show the output before: zero when there was none."""
        valid = ops.cast(self._in_order(mask), "bool")
        if self.zero_output_for_mask:
            return ops.where(valid, outputs, 0.0)
        if from_zero:  # the state at the start is zero itself
            return outputs
        return ops.where(ops.cumsum(ops.cast(valid, "int32"), axis=0) > 0, outputs, 0.0)

    def _whole(self, sequences: Any, states: list[Any], mask: Any, training: bool) -> Any:
        """(outputs (T, N, units), last states) where the cell has one op for all steps, else None."""
        cell = self.cell
        if getattr(type(cell), "_projects", None) is not type(cell).call or (training and cell.recurrent_dropout):
            return None
        x = ops.transpose(cell._dropped(sequences, training), (1, 0, 2))
        x = cell._product(ops.flip(x, 0) if self.go_backwards else x)
        return cell.whole(x, states, None if mask is None else ops.cast(self._in_order(mask), "float32"))

    def _loop(self, sequences: Any, states: list[Any], mask: Any, training: bool) -> tuple[Any, list[Any], list[Any]]:
        """(last output, outputs step by step, last states)."""
        step = self._step(training)
        if getattr(type(self.cell), "_projects", None) is type(self.cell).call:
            # The product with the inputs is one for all steps; the cell's step continues from there.
            sequences = self.cell.project(sequences, training)
        steps = ops.unstack(sequences, axis=1)
        masks = ops.unstack(mask, axis=1) if mask is not None else [None] * len(steps)
        if self.go_backwards:
            steps, masks = steps[::-1], masks[::-1]
        structure = states
        if hasattr(self.cell, "cells"):
            structure = initial_structure(self.cell, states)
        output = None
        outputs = []
        for x, valid in zip(steps, masks):
            new_output, new_structure = step(x, structure)
            if valid is not None:
                before = output if output is not None else ops.zeros_like(new_output)
                shown = _choose(valid, new_output, ops.zeros_like(new_output) if self.zero_output_for_mask else before)
                output = _choose(valid, new_output, before)
                new_structure = tree.map_structure(lambda n, o, v=valid: _choose(v, n, o), new_structure, structure)
            else:
                shown = output = new_output
            structure = new_structure
            if self.return_sequences:
                outputs.append(shown)
        last = shown if self.zero_output_for_mask else output
        return last, outputs, tree.flatten(structure)

    def _step(self, training: bool) -> Any:
        cell = self.cell
        if getattr(type(cell), "_projects", None) is type(cell).call:
            return lambda x, states: cell.step(x, states, training)
        return lambda x, states: call_cell(cell, x, states, training)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """(N, units), or as the arguments of the layer say."""
        batch, time = sequences_shape[0], sequences_shape[1]
        size = self._output_size()
        output = (batch, time, *size) if self.return_sequences else (batch, *size)
        if self.return_state:
            states = [(batch, *s) for s in _state_sizes(self.cell)]
            return (output, *self._by_cell(states))
        return output

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        """That of the input when whole sequences are returned."""
        mask = tree.flatten(mask)[0] if mask is not None else None
        output = mask if self.return_sequences else None
        if self.return_state:
            return [output, *[None for _ in _state_sizes(self.cell)]]
        return output

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask",
            ),
            "cell": serialize_keras_object(self.cell),
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer of that configuration."""
        config = dict(config)
        if "cell" in config:
            config["cell"] = deserialize_keras_object(config["cell"], custom_objects, package="layers")
        return super().from_config(config)


def initial_structure(cell: Any, states: list[Any]) -> Any:
    """Flat states as a stacked cell nests them: a list of lists."""
    out, at = [], 0
    for inner in cell.cells:
        n = len(_state_sizes(inner))
        out.append(states[at : at + n])
        at += n
    return out


def _choose(valid: Any, new: Any, old: Any) -> Any:
    """`new` for the samples that `valid` (N,) names, else `old`."""
    condition = ops.reshape(valid, (valid.shape[0], *(1,) * (len(new.shape) - 1)))
    return ops.where(condition, new, old)


class RecurrentLayer(RNN):
    """Base class of SimpleRNN, LSTM and GRU: an RNN around one cell whose arguments are the layer's own."""

    _CELL_CONFIG: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        # The cell's arguments (units, activation, dropout, ...) are attributes of the layer, too.
        if name in type(self)._CELL_CONFIG and "cell" in self.__dict__:
            return getattr(self.__dict__["cell"], name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = RNN.get_config(self)
        config.pop("cell")
        return {**config, **config_of(self, *self._CELL_CONFIG)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer of that configuration."""
        return Layer.from_config.__func__(cls, config)  # type: ignore[attr-defined]
