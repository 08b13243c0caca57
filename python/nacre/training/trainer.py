"""What a model can do beside computing: compile, fit, evaluate, predict, and the steps that users override."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nacre import callbacks as callbacks_package
from nacre import optimizers
from nacre.callbacks.lists import python_logs
from nacre.core import operation, trace, tree
from nacre.core.autodiff import GradientTape
from nacre.core.config import max_epochs
from nacre.core.errors import NotCompilable
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.tensor import KerasTensor, Tensor
from nacre.layers.layer import Layer
from nacre.layers.state import structure_version
from nacre.metrics.metric import Mean
from nacre.optimizers.base import Optimizer
from nacre.training.arrays import check_lengths, class_weight_to_sample_weights, rows, to_arrays
from nacre.training.checks import check_count, check_fit_arguments, check_labels, check_verbose
from nacre.training.compile_loss import CompileLoss
from nacre.training.compile_metrics import CompileMetrics
from nacre.training.epochs import EpochIterator, executions, run_epoch
from nacre.training.profile import Profile
from nacre.training.sources import ArraySource, first_batch, make_source, train_validation_split
from nacre.training.steps import Mode, StepRunner
from nacre.utils.data import pack_x_y_sample_weight, unpack_x_y_sample_weight

# Methods that models had in older versions of Keras, and what stands in their place.
_REMOVED = {
    "predict_classes": "`np.argmax(model.predict(x), axis=-1)`, or `model.predict(x) > 0.5` for one sigmoid output",
    "predict_proba": "`model.predict(x)`",
    "fit_generator": "`model.fit(generator, ...)`",
    "evaluate_generator": "`model.evaluate(generator, ...)`",
    "predict_generator": "`model.predict(generator, ...)`",
    "add_metric": "`compile(metrics=[...])`, or a metric made in `__init__` and updated in `call`",
    "reset_states": "`layer.reset_state()` for each recurrent layer in `model.layers`",
}

_set = object.__setattr__  # past the layer's filing of attributes: what compile makes is no part of the model's state


_FUNCTIONS = ("train_function", "test_function", "predict_function")
_COMPILED = (*_FUNCTIONS, "_call_function", "_output_specs", "_state_seen", "_structure_seen", "_metrics_seen")


class Trainer(Layer):
    """The half of `Model` that trains."""

    compiled = False
    stop_training = False
    loss: Any = None
    optimizer: Any = None
    history: Any = None
    steps_per_execution = 1
    train_function: Any = None
    test_function: Any = None
    predict_function: Any = None
    _run_eagerly = False
    _jit_compile: Any = "auto"
    _compile_loss: CompileLoss | None = None
    _compile_metrics: CompileMetrics | None = None
    _loss_tracker: Mean | None = None
    _compile_config: dict[str, Any] | None = None
    _mode: Mode | None = None
    _output_specs: Any = None
    _state_seen: Any = None
    # The version of all layers' structure at which all was built and the functions fitted.
    _structure_seen: int | None = None
    _metrics_seen: tuple[int, list[Any]] | None = None  # the version at which these metrics of layers were found
    _call_function: Any = None
    _initial_epoch: int | None = None

    def __getattr__(self, name: str) -> Any:
        instead = _REMOVED.get(name)
        told = f". Keras has removed it: use {instead}" if instead else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{told}")

    # --- compile -----------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Says how the model is trained.

        Args:
            optimizer: name, configuration or Optimizer.
            loss: a loss (name, function or Loss) for all outputs, or a list or dict of them by output.
            loss_weights: factors of the losses in the total.
            metrics: metrics (names, functions or Metrics), or lists or dicts of them by output.
            weighted_metrics: metrics that see sample weights.
            run_eagerly: run every step op by op in Python, to debug it.
            steps_per_execution: how many batches lie between calls of the callbacks' batch hooks.
            jit_compile, auto_scale_loss: accepted; steps are always compiled where that is possible.
        """
        names = getattr(self, "output_names", None)
        compiled_optimizer = optimizers.get(optimizer) if optimizer is not None else None
        compile_loss = None if loss is None else CompileLoss(loss, loss_weights, output_names=names)
        compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            compile_metrics = CompileMetrics(metrics, weighted_metrics, output_names=names)
        check_count("steps_per_execution", steps_per_execution, 1, none=False)
        for name, value in (
            ("optimizer", compiled_optimizer),
            ("loss", loss),
            ("_compile_loss", compile_loss),
            ("_compile_metrics", compile_metrics),
            ("_loss_tracker", Mean(name="loss")),
            ("_run_eagerly", bool(run_eagerly)),
            ("_jit_compile", jit_compile),
            ("steps_per_execution", steps_per_execution),
            ("_mode", Mode(bool(run_eagerly))),
            ("stop_training", False),
            ("compiled", True),
        ):
            _set(self, name, value)
        self._forget_functions()
        _set(
            self,
            "_compile_config",
            {
                "optimizer": optimizer if compiled_optimizer is None else compiled_optimizer,
                "loss": loss,
                "loss_weights": loss_weights,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
                "run_eagerly": run_eagerly,
                "steps_per_execution": steps_per_execution,
                "jit_compile": jit_compile,
            },
        )

    def _forget_functions(self) -> None:
        for name in _COMPILED:
            _set(self, name, None)

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled functions, which belong to this object and not to a copy of it."""
        return {name: value for name, value in super().__getstate__().items() if name not in _COMPILED}

    def _assert_compile_called(self, method: str | None = None) -> None:
        if not self.compiled:
            raise ValueError(
                "You must call `compile()` before using the model."
                if method is None
                else f"You must call `compile()` before calling `{method}()`."
            )

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run op by op in Python."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        _set(self, "_run_eagerly", bool(value))
        _set(self, "_mode", Mode(bool(value)))
        self._forget_functions()

    @property
    def jit_compile(self) -> Any:
        """What `compile` was given; nacre compiles steps whatever it says."""
        return self._jit_compile

    @jit_compile.setter
    def jit_compile(self, value: Any) -> None:
        _set(self, "_jit_compile", value)

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile` as plain data; None when they are not known."""
        if self.compiled and self._compile_config is not None:
            return serialize_keras_object(self._compile_config)  # type: ignore[no-any-return]
        return None

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says."""
        if type(self).compile is not Trainer.compile and set(config) - set(
            inspect.signature(type(self).compile).parameters
        ):
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's `compile()` method is custom. "
                "Please overwrite `get_compile_config()` and `compile_from_config()`, or call `compile()` by hand.",
                stacklevel=2,
            )
            return
        self.compile(**_without_unknown(deserialize_keras_object(config)))
        if isinstance(self.optimizer, Optimizer) and self.built:
            self.optimizer.build(self.trainable_variables)

    # --- losses and metrics ------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The mean loss, the metrics of `compile` and of single losses, then those held by the model and its layers."""
        found: list[Any] = [] if self._loss_tracker is None else [self._loss_tracker]
        if self._compile_metrics is not None:
            found.append(self._compile_metrics)
        if self._compile_loss is not None:
            found += self._compile_loss.metrics
        version, held = self._metrics_seen or (None, [])
        if version != structure_version():
            held = list(self._metrics)
            for layer in self._flatten_layers(include_self=False):
                if not isinstance(layer, Trainer):
                    held += [m for m in layer._metrics if not any(m is f for f in held)]
            _set(self, "_metrics_seen", (structure_version(), held))
        return found + [m for m in held if not any(m is f for f in found)]

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [m.name for m in self.metrics]

    @property
    def metrics_variables(self) -> list[Any]:
        """The Variables of all metrics."""
        return [v for m in self.metrics for v in m.variables]

    def reset_metrics(self) -> None:
        """Starts every metric again."""
        for m in self.metrics:
            m.reset_state()

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The total loss of a batch: losses of `compile`, `add_loss` and regularizers, as a scalar tensor."""
        losses = []
        if self._compile_loss is not None:
            loss = self._compile_loss(y, y_pred, sample_weight)
            if loss is not None:
                losses.append(loss)
        losses += self.losses
        if not losses:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        return total

    def _compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """`compute_loss`, also of classes whose version has no `training` argument."""
        parameters = inspect.signature(self.compute_loss).parameters
        takes = "training" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        options = {"training": training} if takes else {}
        return self.compute_loss(x, y, y_pred, sample_weight, **options)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Adds a batch to the metrics of `compile`; the values of all metrics by name."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The values of all metrics by name."""
        found: dict[str, Any] = {}
        for m in self.metrics:
            if isinstance(m, CompileMetrics) and not m.built:
                continue
            value = m.result()
            if isinstance(value, dict):
                found.update(value)
            else:
                found[m.name] = value
        return found

    def _metrics_or_logs(self, logs: Any) -> dict[str, Any]:
        """What a step returned; the metrics' own values where it returned just these."""
        values = self.get_metrics_result()
        if isinstance(logs, dict) and set(logs) == set(values):
            return values
        return logs if isinstance(logs, dict) else values

    # --- steps -------------------------------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training on a batch; override it for a training loop of your own. Logs by name."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss) if self.optimizer is not None else loss
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss, sample_weight=_batch_of(x))
        variables = self.trainable_weights
        if variables:
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation on a batch. Logs by name."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=False)
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss, sample_weight=_batch_of(x))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def _state(self) -> Any:
        """Changes when other weights are trained, or layers frozen: then steps are compiled anew."""
        return tuple((id(layer), layer.trainable) for layer in self._flatten_layers()), tuple(map(id, self.variables))

    def _notice_changes(self) -> None:
        """Forgets compiled functions that were made for other layers, or when others were trained."""
        if self._structure_seen == structure_version():
            return
        version, state = structure_version(), self._state()
        if state != self._state_seen:
            for name in (*_FUNCTIONS, "_call_function"):
                _set(self, name, None)
            _set(self, "_state_seen", state)
        if all(layer.built for layer in self._flatten_layers()):
            _set(self, "_structure_seen", version)

    def _all_built(self) -> bool:
        return self._structure_seen == structure_version() or all(layer.built for layer in self._flatten_layers())

    def _make(self, which: str, step: Any, force: bool) -> Any:
        self._notice_changes()
        if getattr(self, which) is None or force:
            if self._mode is None:
                _set(self, "_mode", Mode(self._run_eagerly))
            _set(self, which, StepRunner(step, self._mode))
        return getattr(self, which)

    def make_train_function(self, force: bool = False) -> Any:
        """The compiled `train_step`: batch -> logs."""
        return self._make("train_function", lambda data: self.train_step(data), force)

    def make_test_function(self, force: bool = False) -> Any:
        """The compiled `test_step`: batch -> logs."""
        return self._make("test_function", lambda data: self.test_step(data), force)

    def make_predict_function(self, force: bool = False) -> Any:
        """The compiled `predict_step`: batch -> outputs."""
        return self._make("predict_function", lambda data: self.predict_step(data), force)

    # --- building ----------------------------------------------------------------------------------------------------

    def _needs_build(self) -> bool:
        return (
            not self._all_built()
            or (self._compile_metrics is not None and not self._compile_metrics.built)
            or (self._compile_loss is not None and not self._compile_loss.built)
            or (isinstance(self.optimizer, Optimizer) and not self.optimizer.built)
        )

    def _symbolic_build(self, data: Any, optimizer: bool = True) -> None:
        """Makes all weights, metrics and optimizer slots for batches like `data`, without computing anything."""
        x, y, _ = unpack_x_y_sample_weight(data)
        y_pred = self._shapes_of_outputs(x)
        if y_pred is not None:
            _set(self, "_output_specs", y_pred)
            if y is not None or self._compile_metrics is None:
                y_spec = _specs(y)
                if self._compile_loss is not None and not self._compile_loss.built:
                    if type(self).compute_loss is Trainer.compute_loss:
                        self._compile_loss.build(y_spec, y_pred)
                    else:  # it may hand other predictions to the losses than the model's outputs
                        self._loss_of_shapes(_specs(x), y_spec, y_pred)
                if self._compile_metrics is not None and not self._compile_metrics.built:
                    self._compile_metrics.build(y_spec, y_pred)
        if optimizer and isinstance(self.optimizer, Optimizer) and not self.optimizer.built and y_pred is not None:
            self.optimizer.build(self.trainable_variables)

    def _loss_of_shapes(self, x: Any, y: Any, y_pred: Any) -> None:
        with contextlib.suppress(NotImplementedError, NotCompilable, TypeError):
            operation.compute_output_spec(
                lambda x, y, y_pred: self._compute_loss(x, y, y_pred), (x, y, y_pred), {}, self.name
            )

    def _shapes_of_outputs(self, x: Any) -> Any:
        specs = _specs(x)
        if specs is _TEXT:
            return _specs(self(x, training=False))
        try:
            return operation.compute_output_spec(lambda inputs: self(inputs, training=False), (specs,), {}, self.name)
        except NotImplementedError:
            # A model without `call`, such as a GAN: its own train_step says what happens.
            if type(self).train_step is not Trainer.train_step:
                return None
            raise
        except (TypeError, ValueError) as error:
            if not isinstance(error.__cause__, TypeError):
                if type(self).train_step is not Trainer.train_step:
                    return None  # what a batch is to the model, only that step knows
                raise
            with trace.no_tapes():  # `call` looks at values: run it once on the batch
                return _specs(self(x, training=False))

    # --- fit ---------------------------------------------------------------------------------------------------------

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
        step = self.make_train_function()
        callbacks.on_train_begin()
        logs: dict[str, Any] | None = None
        first = initial_epoch if self._initial_epoch is None else self._initial_epoch
        for epoch in range(first, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            last = run_epoch(self, step, iterator, callbacks, "train")
            logs = python_logs(self._metrics_or_logs(last))
            if validation is not None and _due(epoch, validation_freq):
                found = self._evaluate(validation, validation_steps, callbacks)
                logs.update({f"val_{name}": value for name, value in found.items()})
            callbacks.on_epoch_end(epoch, logs)
            if self.stop_training or iterator.exhausted:
                break
        if isinstance(self.optimizer, Optimizer) and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        callbacks.on_train_end(logs=logs)
        return self.history

    # --- evaluate ----------------------------------------------------------------------------------------------------

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
        if self._needs_build() or self._output_specs is None:
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
            return tree.map_structure(lambda a: a if a.ndim else np.stack([a]), self.predict_on_batch(x))
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
        parts: list[list[Any]] = []
        structure: Any = None
        for begin, end, group in executions(iterator.epoch(self.steps_per_execution), self.steps_per_execution):
            callbacks.on_predict_batch_begin(begin)
            for data in group:
                structure = step(data)
                parts.append([_numpy(a) for a in tree.flatten(structure)])
            callbacks.on_predict_batch_end(end, {"outputs": structure})
            if getattr(self, "stop_predicting", False):
                break
        callbacks.on_predict_end()
        if not parts:
            raise ValueError("x: expected at least one batch of data, got none")
        return tree.pack_sequence_as(structure, [_joined(column) for column in zip(*parts, strict=True)])

    def _symbolic_build_inputs(self, data: Any) -> None:
        x, _, _ = unpack_x_y_sample_weight(data)
        self._shapes_of_outputs(x)

    # --- single batches ----------------------------------------------------------------------------------------------

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
        if not check_lengths(x=x, y=y, sample_weight=w):
            raise ValueError("x: expected at least one sample, got arrays of length 0")
        data = pack_x_y_sample_weight(x, y, w)
        if self._needs_build() or self._output_specs is None:
            self._symbolic_build(data)
        check_labels(self._compile_loss, y, self._output_specs)
        return data

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays in the structure of the model's outputs."""
        x = to_arrays(x, "x")
        if not self._all_built():
            self._shapes_of_outputs(x)
        outputs = tree.map_structure(_numpy, self.make_predict_function()(pack_x_y_sample_weight(x)))
        # A program's outputs are new arrays; an eager model may have handed on what it was given.
        eager = self._mode is None or self._mode.eager
        return tree.map_structure(np.array, outputs) if eager else outputs

    def profile(self, x: Any, y: Any = None, sample_weight: Any = None, repeats: int = 20) -> Any:
        """Where the time of a step on one batch goes: a Profile, which prints as a table.

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
            return Profile(self.make_predict_function().profile(pack_x_y_sample_weight(x), repeats))
        self._assert_compile_called("profile")
        data = self._batch(x, y, sample_weight)
        return Profile(self.make_train_function().profile(data, repeats))


# --- helpers ---------------------------------------------------------------------------------------------------------

_TEXT = object()


def _numpy(output: Any) -> np.ndarray[Any, Any]:
    return output._array if isinstance(output, Tensor) else np.asarray(output)


def _joined(parts: tuple[np.ndarray[Any, Any], ...]) -> np.ndarray[Any, Any]:
    """The outputs of all batches as one new array."""
    return np.concatenate(parts) if parts[0].ndim else np.stack(parts)


def _specs(data: Any) -> Any:
    """KerasTensors of the shapes and dtypes of arrays; `_TEXT` when there is text among them."""
    if data is None:
        return None
    if any(isinstance(a, np.ndarray) and a.dtype.kind in "SUO" for a in tree.flatten(data)):
        return _TEXT
    return tree.map_structure(
        lambda a: None if a is None else KerasTensor(a.shape, a.dtype if isinstance(a.dtype, str) else a.dtype.name),
        data,
    )


def _row_specs(x: Any) -> list[Any]:
    return [(a.shape[1:], a.dtype) for a in tree.flatten(x) if a is not None]


def _batch_of(x: Any) -> float:
    return float(next(a for a in tree.flatten(x) if a is not None).shape[0])


def _unpack_validation(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, (list, tuple)):
        return unpack_x_y_sample_weight(data)
    return data, None, None


def _due(epoch: int, frequency: Any) -> bool:
    number = epoch + 1
    return number in frequency if isinstance(frequency, (list, tuple, set)) else number % frequency == 0


def _without_unknown(config: Mapping[str, Any]) -> dict[str, Any]:
    known = inspect.signature(Trainer.compile).parameters
    return {name: value for name, value in config.items() if name in known}
