"""What `compile` gives a model: losses and metrics, the steps that users override, and these compiled."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nacre import optimizers
from nacre.core import operation, trace, tree
from nacre.core.autodiff import GradientTape
from nacre.core.errors import NotCompilable, told
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.tensor import KerasTensor
from nacre.layers.layer import Layer
from nacre.layers.state import structure_version
from nacre.layers.substitution import variables_as
from nacre.metrics.metric import Mean
from nacre.optimizers.base import Optimizer
from nacre.training.arrays import check_batch
from nacre.training.checks import check_count
from nacre.training.compile_loss import CompileLoss
from nacre.training.compile_metrics import CompileMetrics
from nacre.training.steps import Mode, StepRunner
from nacre.utils.data import unpack_x_y_sample_weight

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
_CALLS = ("_call_function", "_taped_function")
_COMPILED = (*_FUNCTIONS, *_CALLS, "_output_specs", "_state_seen", "_structure_seen", "_metrics_seen")


class Compilable(Layer):
    """A layer with a loss, an optimizer and metrics, and with the functions that take one step."""

    compiled = False
    stop_training = False
    loss: Any = None
    optimizer: Any = None
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
    _taped_function: Any = None

    def __getattr__(self, name: str) -> Any:
        instead = _REMOVED.get(name)
        if instead:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}. Keras has removed it: use {instead}"
            )
        return object.__getattribute__(self, name)  # raises again, with the words of a property that raised

    # --- compile -----------------------------------------------------------------------------------------------------

    @told
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
        # Without a loss, or without metrics, those of an earlier call stay, and what the model calls its `loss`.
        if loss is not None:
            _set(self, "loss", loss)
            _set(self, "_compile_loss", CompileLoss(loss, loss_weights, output_names=names))
        if metrics is not None or weighted_metrics is not None:
            _set(self, "_compile_metrics", CompileMetrics(metrics, weighted_metrics, output_names=names))
        check_count("steps_per_execution", steps_per_execution, 1, none=False)
        for name, value in (
            ("optimizer", compiled_optimizer),
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
        if type(self).compile is not Compilable.compile and set(config) - set(
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
                if not isinstance(layer, Compilable):
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

    def stateless_compute_loss(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        """`compute_loss` with these values in place of the Variables' own, and the values that all have then."""
        held = self.trainable_variables, self.non_trainable_variables, self.metrics_variables
        given = trainable_variables, non_trainable_variables, metrics_variables
        with variables_as([pair for mine, values in zip(held, given) for pair in zip(mine, values, strict=True)]):
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=training)
            _, others, metrics = ([v.value for v in variables] for variables in held)
        return loss, (trainable_variables, others, metrics)

    def compiled_loss(self, y: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None) -> Any:
        """`compute_loss`, as steps of older programs ask for it."""
        warnings.warn(
            "`model.compiled_loss()` is deprecated. Use `compute_loss(x, y, y_pred, sample_weight)`.", stacklevel=2
        )
        return self._compute_loss(None, y, y_pred, sample_weight)

    @property
    def compiled_metrics(self) -> CompileMetrics | None:
        """The metrics of `compile`, of which older programs call `update_state(y, y_pred)`."""
        warnings.warn("`model.compiled_metrics` is deprecated. Use `compute_metrics(x, y, y_pred)`.", stacklevel=2)
        return self._compile_metrics if self._compile_metrics is not None else CompileMetrics(None, None)

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
        check_batch(x, y, sample_weight)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
            if self.optimizer is None and self.trainable_weights:
                raise ValueError("No optimizer to train with. Provide an `optimizer` argument in `compile()`.")
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
        check_batch(x, y, sample_weight)
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
        """Changes when other weights are trained, layers frozen, or built-in layers have other settings: then steps are
        compiled anew."""
        layers, variables = self._flatten_layers(), self.variables
        frozen = [layer.trainable for layer in layers], [v.trainable for v in variables]
        return [*map(id, layers)], [*map(id, variables)], frozen, [layer._settings() for layer in layers]

    def _settings(self) -> Any:
        return "call" in self.__dict__  # the rest of a model is its layers

    def _notice_changes(self) -> None:
        """Forgets compiled functions that were made for other layers, or when others were trained."""
        if self._unchanged():
            return
        version, state = structure_version(), self._state()
        if state != self._state_seen:
            for name in (*_FUNCTIONS, *_CALLS):
                _set(self, name, None)
            _set(self, "_state_seen", state)
        if all(layer.built for layer in self._flatten_layers()):
            _set(self, "_structure_seen", version)

    def _unchanged(self) -> bool:
        """Whether what is known of the model, all of which is built, still holds."""
        return self._structure_seen == structure_version()

    def _all_built(self) -> bool:
        return self._unchanged() or all(layer.built for layer in self._flatten_layers())

    def _step_of(self, which: str) -> Any:
        """`train_step`, `test_step` or `predict_step`: data -> logs, also where it has JAX' form.

        That is `(state, data) -> (logs, new state)`, where a state is lists of the values of variables.
        """
        step = getattr(self, f"{which}_step")
        wanted = [p for p in inspect.signature(step).parameters.values() if p.default is p.empty]
        if [p.kind for p in wanted].count(inspect.Parameter.POSITIONAL_OR_KEYWORD) < 2:
            return lambda data: getattr(self, f"{which}_step")(data)

        def with_state(data: Any) -> Any:
            held = [self.trainable_variables, self.non_trainable_variables]
            if which == "train":
                held.append(self.optimizer.variables)
            if which != "predict":
                held.append(self.metrics_variables)
            logs, after = step(tuple([v.value for v in variables] for variables in held), data)
            if which == "predict":  # gives the second list alone
                held, after = held[1:], [after]
            for variables, values in zip(held, after, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            return logs

        return with_state

    def _make(self, which: str, force: bool) -> Any:
        self._notice_changes()
        name = f"{which}_function"
        known = getattr(self, name)
        if known is None or force:
            if self._mode is None:
                _set(self, "_mode", Mode(self._run_eagerly))
            known = StepRunner(self._step_of(which), self._mode)
            _set(self, name, known)
        return known

    def make_train_function(self, force: bool = False) -> Any:
        """The compiled `train_step`: batch -> logs."""
        return self._make("train", force)

    def make_test_function(self, force: bool = False) -> Any:
        """The compiled `test_step`: batch -> logs."""
        return self._make("test", force)

    def make_predict_function(self, force: bool = False) -> Any:
        """The compiled `predict_step`: batch -> outputs."""
        return self._make("predict", force)

    # --- building ----------------------------------------------------------------------------------------------------

    def _needs_build(self, optimizer: bool = True) -> bool:
        return (
            not self._all_built()
            or (self._compile_metrics is not None and not self._compile_metrics.built)
            or (self._compile_loss is not None and not self._compile_loss.built)
            or (optimizer and isinstance(self.optimizer, Optimizer) and not self.optimizer.built)
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
                    if type(self).compute_loss is Compilable.compute_loss:
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
            if type(self).train_step is not Compilable.train_step:
                return None
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            if not isinstance(error.__cause__, TypeError) and not getattr(error, "depends_on_values", False):
                if type(self).train_step is not Compilable.train_step:
                    return None  # what a batch is to the model, only that step knows
                raise
            with trace.no_tapes():  # `call` looks at values, or has sizes that they tell: run it once on the batch
                return _specs(self(x, training=False))


# --- helpers ---------------------------------------------------------------------------------------------------------

_TEXT = object()


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


def _batch_of(x: Any) -> float:
    return float(next(a for a in tree.flatten(x) if a is not None).shape[0])


def _without_unknown(config: Mapping[str, Any]) -> dict[str, Any]:
    known = inspect.signature(Compilable.compile).parameters
    return {name: value for name, value in config.items() if name in known}
