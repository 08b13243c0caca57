"""What a model can do with data: fit, evaluate, predict, and single batches."""

from __future__ import annotations

import collections
import warnings
from typing import Any

import numpy as np

from nacre import callbacks as callbacks_package
from nacre.callbacks.lists import python_logs
from nacre.core import tree
from nacre.core.config import max_epochs
from nacre.core.errors import told
from nacre.core.tensor import Tensor
from nacre.optimizers.base import Optimizer
from nacre.training.arrays import class_weight_to_sample_weights, leaves, rows, to_arrays
from nacre.training.checks import check_count, check_fit_arguments, check_labels, check_verbose
from nacre.training.compilable import Compilable
from nacre.training.compile_metrics import CompileMetrics
from nacre.training.epochs import EpochIterator, executions, run_epoch
from nacre.training.sources import ArraySource, first_batch, make_source, train_validation_split
from nacre.training.steps import StepRunner
from nacre.utils.data import pack_x_y_sample_weight, unpack_x_y_sample_weight

_set = object.__setattr__  # past the layer's filing of attributes: what training notes is no part of the model's state


class Trainer(Compilable):
    """The half of `Model` that trains."""

    history: Any = None
    _initial_epoch: int | None = None

    # --- fit ---------------------------------------------------------------------------------------------------------

    @told
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """Trains for `epochs` passes over the data; gives a History, whose `history` holds a list of floats by name.

        Args:
            x: inputs: an array, a list or dict of arrays, or batches from a generator, PyDataset or iterable.
            y: targets, when `x` is made of arrays.
            batch_size: samples per step, 32 by default.
            epochs: the number of the last epoch, `initial_epoch` that of the first.
            verbose: 0 silent, 1 a progress bar, 2 one line per epoch.
            callbacks: a list of Callbacks.
            validation_split: share of the samples, taken from the end before shuffling, that is only evaluated.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, or batches, to evaluate after each epoch.
            shuffle: True for a new order each epoch, "batch" for a new order within each batch.
            class_weight: weight of each class in the loss.
            sample_weight: weight of each sample in the loss.
            steps_per_epoch: batches per epoch; data go on from epoch to epoch then.
            validation_steps, validation_batch_size, validation_freq: the same for validation; every how many epochs,
                or which.

        Raises:
            ValueError, TypeError: for arguments or data that do not fit; nothing was trained then.
        """
        self._assert_compile_called("fit")
        check_fit_arguments(
            batch_size, epochs, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size, validation_freq
        )
        most = max_epochs()
        if most is not None and most < epochs:
            warnings.warn(f"Limiting epochs to {most}", stacklevel=2)
            epochs = most
        verbose = check_verbose(verbose)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(x, y, sample_weight, validation_split)
        source = make_source(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight)
        validation = None
        if validation_data is not None:
            val_x, val_y, val_w = _unpack_validation(validation_data)
            validation = make_source(val_x, val_y, val_w, validation_batch_size or batch_size, validation_steps)
        if self._needs_build() or self._output_specs is None:
            self._symbolic_build(first_batch(source))
        if isinstance(source, ArraySource):
            check_labels(self._compile_loss, source.y, self._output_specs)
        if isinstance(validation, ArraySource):
            if not isinstance(source, ArraySource) or _row_specs(validation.x) != _row_specs(source.x):
                self._shapes_of_outputs(rows(validation.x, slice(0, validation.batch_size)))
            check_labels(self._compile_loss, validation.y, self._output_specs)
        source.on_epoch_end()  # as in Keras, data sets that mix their samples here start mixed
        iterator = EpochIterator(source, steps_per_epoch)
        if not isinstance(callbacks, callbacks_package.CallbackList):
            callbacks = callbacks_package.CallbackList(
                callbacks,
                add_history=True,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=epochs,
                steps=iterator.num_batches,
                model=self,
            )
        _set(self, "stop_training", False)
        step, compiled = self.make_train_function(), self._compile_config
        _set(self, "_initial_epoch", None)  # for a callback to say where training goes on
        callbacks.on_train_begin()
        logs: dict[str, Any] | None = None
        first = initial_epoch if self._initial_epoch is None else self._initial_epoch
        for epoch in range(first, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            if self._compile_config is not compiled:  # a callback has compiled the model anew
                if self._needs_build():
                    self._symbolic_build(first_batch(source))
                step, compiled = self.make_train_function(), self._compile_config
            last = run_epoch(self, step, iterator, callbacks, "train")
            if self._compile_config is not compiled:
                raise RuntimeError(
                    "compile() was called in the middle of an epoch of fit(). Call it in on_epoch_begin or on_epoch_end"
                )
            logs = dict(self._metrics_or_logs(last))
            if validation is not None and _due(epoch, validation_freq):
                found = self._evaluate(validation, validation_steps, callbacks)
                logs.update({f"val_{name}": value for name, value in found.items()})
            callbacks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        if isinstance(self.optimizer, Optimizer) and epochs > 0 and self.optimizer.finalizes:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        callbacks.on_train_end(logs=logs)
        return self.history

    # --- evaluate ----------------------------------------------------------------------------------------------------

    @told
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss, and the metrics after it in a list if there are any, on the given data; by name with
        `return_dict`."""
        self._assert_compile_called("evaluate")
        check_count("batch_size", batch_size, 1)
        check_count("steps", steps, 1)
        verbose = check_verbose(verbose)
        source = make_source(x, y, sample_weight, batch_size, steps)
        if self._needs_build(optimizer=False) or self._output_specs is None:
            self._symbolic_build(first_batch(source), optimizer=False)
        if isinstance(source, ArraySource):
            check_labels(self._compile_loss, source.y, self._output_specs)
        if not isinstance(callbacks, callbacks_package.CallbackList):
            callbacks = callbacks_package.CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=1,
                steps=EpochIterator(source, steps).num_batches,
                model=self,
            )
        logs = self._evaluate(source, steps, callbacks)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def _evaluate(self, source: Any, steps: int | None, callbacks: Any) -> dict[str, Any]:
        source.on_epoch_end()
        step = self.make_test_function()
        _set(self, "stop_evaluating", False)
        callbacks.on_test_begin()
        self.reset_metrics()
        last = run_epoch(self, step, EpochIterator(source, steps), callbacks, "test")
        logs = python_logs(self._metrics_or_logs(last))
        callbacks.on_test_end(logs)
        return logs

    def _flatten_metrics_in_order(self, logs: dict[str, Any]) -> Any:
        """Values in the order of `metrics`, the others after them by name; the bare value if there is only one."""
        names: list[str] = []
        for m in self.metrics:
            names += [inner.name for inner in m.metrics] if isinstance(m, CompileMetrics) else [m.name]
        values = [logs[name] for name in names if name in logs]
        values += [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values

    # --- predict -----------------------------------------------------------------------------------------------------

    @told
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all samples, as NumPy arrays in the structure of the model's outputs."""
        check_count("batch_size", batch_size, 1)
        check_count("steps", steps, 1)
        verbose = check_verbose(verbose)
        alone = isinstance(x, np.ndarray) and x.ndim and 0 < len(x) <= (batch_size or 32)
        if alone and not verbose and callbacks is None and steps is None:  # one batch, and nobody to tell of it
            outputs = self._predicted(x)
            if type(outputs) is np.ndarray and outputs.ndim:
                return outputs
            return tree.map_structure(lambda a: a if a.ndim else np.stack([a]), outputs)
        source = make_source(x, None, None, batch_size, steps)
        if not self._all_built():
            self._symbolic_build_inputs(first_batch(source))
        iterator = EpochIterator(source, steps)
        if not isinstance(callbacks, callbacks_package.CallbackList):
            callbacks = callbacks_package.CallbackList(
                callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=iterator.num_batches, model=self
            )
        step = self.make_predict_function()
        _set(self, "stop_predicting", False)
        callbacks.on_predict_begin()
        samples = source.num_samples if isinstance(source, ArraySource) and iterator.steps is None else None
        results: dict[int, _Result] = collections.defaultdict(lambda: _Result(samples))
        room = {"room": lambda i, *of: results[i].room(*of)} if isinstance(step, StepRunner) else {}
        structure: Any = None
        for begin, end, group in executions(iterator.epoch(self.steps_per_execution), self.steps_per_execution):
            callbacks.on_predict_batch_begin(begin)
            for data in group:
                structure = step(data, **room)
                for i, output in enumerate(tree.flatten(structure)):
                    results[i].add(_numpy(output))
            callbacks.on_predict_batch_end(end, {"outputs": structure})
            if getattr(self, "stop_predicting", False):
                break
        callbacks.on_predict_end()
        if structure is None:
            raise ValueError("x: expected at least one batch of data, got none")
        return tree.pack_sequence_as(structure, [results[i].joined() for i in sorted(results)])

    def _symbolic_build_inputs(self, data: Any) -> None:
        x, _, _ = unpack_x_y_sample_weight(data)
        self._shapes_of_outputs(x)

    # --- single batches ----------------------------------------------------------------------------------------------

    @told
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training; loss and metrics of this batch, as `evaluate` gives them."""
        self._assert_compile_called("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at the same time. Received: "
                    f"sample_weight={sample_weight}, class_weight={class_weight}"
                )
            sample_weight = class_weight_to_sample_weights(to_arrays(y, "y"), class_weight)
        data = self._batch(x, y, sample_weight)
        self.reset_metrics()
        logs = python_logs(self.make_train_function()(data))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @told
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch, as `evaluate` gives them."""
        self._assert_compile_called("test_on_batch")
        data = self._batch(x, y, sample_weight)
        self.reset_metrics()
        logs = python_logs(self.make_test_function()(data))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def _batch(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """One batch as steps take it, checked; everything is built for it."""
        x, y, w = to_arrays(x, "x"), to_arrays(y, "y"), to_arrays(sample_weight, "sample_weight")
        if not any(len(a) for a in leaves(x)):
            raise ValueError("x: expected at least one sample, got arrays of length 0")
        data = pack_x_y_sample_weight(x, y, w)
        if self._needs_build() or self._output_specs is None:
            self._symbolic_build(data)
        check_labels(self._compile_loss, y, self._output_specs)
        return data

    @told
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays in the structure of the model's outputs."""
        return self._predicted(x)

    def _predicted(self, x: Any) -> Any:
        step = self.predict_function
        own = type(self).make_predict_function is Compilable.make_predict_function
        if own and type(step) is StepRunner and self._unchanged():
            y = step.again(x)
            if y is not None:
                return y
        x = to_arrays(x, "x")
        if not self._all_built():
            self._shapes_of_outputs(x)
        outputs = self.make_predict_function()(pack_x_y_sample_weight(x))
        outputs = _numpy(outputs) if type(outputs) is Tensor else tree.map_structure(_numpy, outputs)
        # A program's outputs are new arrays; an eager model may have handed on what it was given.
        eager = self._mode is None or self._mode.eager
        return tree.map_structure(np.array, outputs) if eager else outputs

    def profile(self, x: Any, y: Any = None, sample_weight: Any = None, repeats: int = 20) -> Any:
        """Where the time of a step on one batch goes, and the memory it needs: a Profile, which prints as a table.

        With `y` that of a training step of the compiled model, else that of a prediction. Weights, metrics and the
        optimizer stay as they are.

        Args:
            x, y, sample_weight: one batch, as for `train_on_batch`.
            repeats: every instruction is timed so many times; the least counts.

        Raises:
            ValueError: for data that do not fit the model, or `y` for a model that is not compiled.
            NotCompilable: when the step cannot be compiled and runs eagerly.
        """
        check_count("repeats", repeats, 1, none=False)
        if y is None:
            x = to_arrays(x, "x")
            if not self._all_built():
                self._shapes_of_outputs(x)
            return self.make_predict_function().profile(pack_x_y_sample_weight(x), repeats)
        self._assert_compile_called("profile")
        data = self._batch(x, y, sample_weight)
        return self.make_train_function().profile(data, repeats)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _numpy(output: Any) -> np.ndarray[Any, Any]:
    return output._array if isinstance(output, Tensor) else np.asarray(output)


class _Result:
    """An output of all batches as one array. Where the number of samples is known, each batch is computed where it
    belongs, if it fits there."""

    def __init__(self, samples: int | None) -> None:
        self._samples = samples
        self._whole: np.ndarray[Any, Any] | None = None
        self._filled = 0
        self._parts: list[np.ndarray[Any, Any]] = []  # that have no place there, and what comes after them
        self._given: np.ndarray[Any, Any] | None = None

    def room(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """Memory for the next batch."""
        place = self._place(shape, dtype)
        self._given = np.empty(shape, dtype) if place is None else place
        return self._given

    def add(self, part: np.ndarray[Any, Any]) -> None:
        place = self._place(part.shape, part.dtype)
        if place is None:
            self._parts.append(part)
            return
        if part is not self._given:
            np.copyto(place, part)
        self._filled += len(part)

    def _place(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any] | None:
        if self._parts or not shape:
            return None
        if self._whole is None and self._samples is not None and shape[0] < self._samples:
            self._whole = np.empty((self._samples, *shape[1:]), dtype)
        whole, end = self._whole, self._filled + shape[0]
        if whole is None or shape[1:] != whole.shape[1:] or dtype != whole.dtype or end > len(whole):
            return None
        return whole[self._filled : end]

    def joined(self) -> np.ndarray[Any, Any]:
        if self._whole is None:
            return np.concatenate(self._parts) if self._parts[0].ndim else np.stack(self._parts)
        begin = self._whole[: self._filled]
        return np.concatenate([begin, *self._parts]) if self._parts else begin


def _row_specs(x: Any) -> list[Any]:
    return [(a.shape[1:], a.dtype) for a in tree.flatten(x) if a is not None]


def _unpack_validation(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, (list, tuple)):
        return unpack_x_y_sample_weight(data)
    return data, None, None


def _due(epoch: int, frequency: Any) -> bool:
    number = epoch + 1
    return number in frequency if isinstance(frequency, (list, tuple, set)) else number % frequency == 0
