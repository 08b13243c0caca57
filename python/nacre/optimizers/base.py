"""The order of operations that every optimizer shares; subclasses say what one step does to one variable.

`apply`: drop missing gradients, unscale, (accumulate), clip, decay the weights, update, average (EMA), constrain,
    count.
Everything is written in ops on Variables, so that it runs eagerly and inside a compiled step alike.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nacre import _core, initializers, ops
from nacre.core import naming, trace
from nacre.core.errors import Told, told, wholly
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.stateless import StatelessScope
from nacre.core.variable import Variable
from nacre.ops.base import is_number
from nacre.optimizers.at_once import AtOnce
from nacre.optimizers.clipping import clip_by_global_norm, clip_by_norm
from nacre.optimizers.schedules.schedule import LearningRateSchedule
from nacre.utils.atomic import uninterrupted


class Optimizer(Told):
    """Changes variables by their gradients.

    A subclass defines `update_step(gradient, variable, learning_rate)`, makes its slots in `build(variables)` with
    `add_optimizer_variables`, and adds its arguments in `get_config`.

    Args:
        learning_rate: a float, a LearningRateSchedule, or a function (of nothing, or of the iteration) that gives one.
        weight_decay: `w -= w * weight_decay * learning_rate` before each update.
        clipnorm: each gradient longer than this is shortened to it.
        clipvalue: every element of a gradient is clipped to [-clipvalue, clipvalue].
        global_clipnorm: all gradients together, when longer than this, are shortened to it.
        use_ema: keep a moving average of the variables, with `ema_momentum`; put in place of the variables every
            `ema_overwrite_frequency` steps, and at the end of `fit`.
        loss_scale_factor: the loss is multiplied by it (`scale_loss`), and gradients divided.
        gradient_accumulation_steps: gradients of that many steps are averaged, and applied at the last of them.
        name: numbered by class when not given.

    Raises:
        ValueError: for arguments outside their range or not known.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if "lr" in kwargs:
            warnings.warn("Argument `lr` is the old name of `learning_rate`.", stacklevel=3)
            learning_rate = kwargs.pop("lr")
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        self.name = name if name is not None else naming.auto_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_options()

        self.built = False
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._not_decayed: list[Variable] = []
        self._not_decayed_names: list[str] = []
        self._shared: dict[str, Any] | None = None
        self._at_once = AtOnce()
        with naming.name_scope(self.name):
            self._iterations = Variable(0, name="iteration", dtype="int32", trainable=False)
            self._track(self._iterations)
            self._learning_rate: Any
            if isinstance(learning_rate, LearningRateSchedule) or callable(learning_rate):
                self._learning_rate = learning_rate
            else:
                if isinstance(learning_rate, bool) or not isinstance(learning_rate, (int, float, np.number, Variable)):
                    raise ValueError(
                        "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a "
                        "callable "
                        "(that takes in the current iteration value and returns the corresponding learning rate "
                        f"value). Received instead: learning_rate={learning_rate!r}"
                    )
                self._learning_rate = Variable(
                    float(learning_rate), name="learning_rate", dtype="float32", trainable=False
                )
                self._track(self._learning_rate)

    def _check_options(self) -> None:
        given = [x for x in (self.clipnorm, self.clipvalue, self.global_clipnorm) if x is not None]
        if len(given) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={self.clipnorm}, clipvalue={self.clipvalue}, global_clipnorm={self.global_clipnorm}"
            )
        for name in ("clipnorm", "clipvalue", "global_clipnorm"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise ValueError(f"`{name}` must be a positive number. Received: {name}={value}")
        if self.use_ema:
            if not 0 <= self.ema_momentum <= 1:
                raise ValueError(
                    f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={self.ema_momentum}"
                )
            every = self.ema_overwrite_frequency
            if every is not None and (not isinstance(every, (int, np.integer)) or every < 1):
                raise ValueError(
                    "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                    f"ema_overwrite_frequency={every}"
                )
        steps = self.gradient_accumulation_steps
        if steps is not None and (not isinstance(steps, (int, np.integer)) or steps < 2):
            raise ValueError(
                f"`gradient_accumulation_steps` must be an integer >= 2. Received: gradient_accumulation_steps={steps}"
            )

    # --- state -------------------------------------------------------------------------------------------------------

    def _track(self, variable: Variable) -> None:
        self._variables.append(variable)

    @property
    def variables(self) -> list[Variable]:
        """The optimizer's own state: iteration, learning rate, then slots in the order in which they were made."""
        return self._variables[:]

    @property
    def iterations(self) -> Any:
        """How many updates were made; with gradient accumulation, how many were applied."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    @iterations.setter
    def iterations(self, variable: Variable) -> None:
        if self.built:
            raise RuntimeError("Cannot set `iterations` to a new Variable after the optimizer is built")
        self._variables = [variable if v is self._iterations else v for v in self._variables]
        self._iterations = variable

    @property
    def learning_rate(self) -> Any:
        """The Variable that holds the learning rate, or the schedule's value at this iteration; assign a float to
        change it."""
        return self._current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        before = self._learning_rate
        if isinstance(value, LearningRateSchedule) or (callable(value) and not isinstance(value, Variable)):
            self._learning_rate = value
            if isinstance(before, Variable):
                self._variables = [v for v in self._variables if v is not before]
            return
        if not isinstance(before, Variable):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor "
                "argument, "
                "hence its learning rate is not settable. If you need the learning rate to be settable, you should "
                "instantiate the optimizer with a float `learning_rate` argument."
            )
        before.assign(value)

    def _current_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self._iterations)
        return rate(self._iterations) if _takes_argument(rate) else rate()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = wholly(cls.build)  # type: ignore[method-assign]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._index = {id(v): i for i, v in enumerate(self._trainable_variables)}  # those of the copy

    @wholly
    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`; called by the first `apply`."""
        if self.built:
            return
        variables = list(variables)
        for v in variables:
            if not isinstance(v, Variable):
                raise TypeError(f"{type(self).__name__}: expected Variables to train, got {type(v).__name__}")
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = self.add_optimizer_variables(variables, "gradient_accumulator")
        self._trainable_variables = variables
        self._index = {id(v): i for i, v in enumerate(variables)}
        self._at_once = AtOnce()
        self.built = True

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new Variable of the optimizer's state."""
        with naming.name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                name=name,
                aggregation=aggregation,
            )
        self._track(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A slot: a Variable of the shape and dtype of `reference_variable`, named after both."""
        path = getattr(reference_variable, "path", None) or reference_variable.name
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=f"{path.replace('/', '_')}_{name or 'var'}",
        )

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: str | Sequence[str], initializer: Any = "zeros"
    ) -> Any:
        """One slot for each variable; for several names a tuple of lists, made variable by variable."""
        names = [name] if isinstance(name, str) else list(name)
        first = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        slots: tuple[list[Variable], ...] = tuple([] for _ in names)
        for v in trainable_variables:
            for slot, n, init in zip(slots, names, first):
                slot.append(self.add_variable_from_reference(v, n, init))
        return slots[0] if isinstance(name, str) else slots

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[id(variable)]

    # --- changing variables ------------------------------------------------------------------------------------------

    def assign(self, variable: Variable, value: Any) -> None:
        """Sets `variable`."""
        variable.assign(ops.cast(value, variable.dtype))

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Adds `value` to `variable`."""
        variable.assign(variable + ops.cast(value, variable.dtype))

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtracts `value` from `variable`."""
        variable.assign(variable - ops.cast(value, variable.dtype))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        raise NotImplementedError(f"{type(self).__name__} must define `update_step`")

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """`apply` for pairs; gives `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    @told
    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Changes each variable by its gradient, in the order of operations that stands at the head of this file."""
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        if not self._at_once(self, grads, variables):
            with uninterrupted():  # between two variables Ctrl-C would leave half a step
                self._apply(grads, variables)

    def _apply(self, grads: list[Any], variables: list[Variable]) -> None:
        grads, variables = self._present(grads, variables)
        if self.loss_scale_factor is not None:
            grads = [g / self.loss_scale_factor for g in grads]
        self._apply_present(grads, variables)
        for v in variables:
            if v.constraint is not None:
                v.assign(v.constraint(v))
        self._iterations.assign(ops.add(self._iterations, 1))

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """`apply` on these values in place of the Variables' own: the new values of the trainable variables and of the
        optimizer's. Nothing else changes."""
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {type(self).__name__} must be built (i.e. its variables must have been "
                "created). You can build it via `optimizer.build(trainable_variables)`."
            )
        for name, mine, given in (
            ("optimizer_variables", self.variables, optimizer_variables),
            ("trainable_variables", self._trainable_variables, trainable_variables),
        ):
            if len(mine) != len(given):
                raise ValueError(
                    f"Argument `{name}` must be a list of tensors corresponding 1:1 to {type(self).__name__}()."
                    f"{'variables' if name == 'optimizer_variables' else 'trainable variables'}. Received list with "
                    f"length {len(given)}, but expected {len(mine)} variables."
                )
        pairs = [*zip(self._trainable_variables, trainable_variables), *zip(self.variables, optimizer_variables)]
        with StatelessScope(pairs):
            self.apply(grads)
            return [v.value for v in self._trainable_variables], [v.value for v in self.variables]

    def _variables_for(self, grads: list[Any], variables: Sequence[Variable] | None) -> list[Variable]:
        if variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be built on a list of "
                    "variables. Call `optimizer.build(trainable_variables)` first. "
                )
            variables = self._trainable_variables
        variables = list(variables)
        if len(grads) != len(variables):
            raise ValueError(
                "When passing `grads` as a list of gradient tensors, the gradients must match `optimizer.variables` "
                "one-to-on. "
                f"Received a list of {len(grads)} gradients, but the optimizer is tracking {len(variables)} trainable "
                "variables."
            )
        if not self.built:
            self.build(variables)
            self.built = True
        for v in variables:
            if id(v) not in self._index:
                raise ValueError(
                    f"Unknown variable: {v}. This optimizer can only be called for the variables it was originally "
                    "built with. When working with a new set of variables, you should recreate a new optimizer "
                    "instance."
                )
        return variables

    def _present(self, grads: list[Any], variables: list[Variable]) -> tuple[list[Any], list[Variable]]:
        pairs = [(ops.convert_to_tensor(g), v) for g, v in zip(grads, variables) if g is not None]
        missing = [v.path for g, v in zip(grads, variables) if g is None]
        if not pairs:
            raise ValueError("No gradients provided for any variable.")
        for g, v in pairs:
            if tuple(g.shape) != tuple(v.shape):
                raise ValueError(
                    f"The gradient of variable '{v.path}' must have its shape {v.shape}, got shape {g.shape}"
                )
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If using "
                "`model.compile()`, did you "
                "forget to provide a `loss` argument?",
                stacklevel=3,
            )
        present = []
        for g, v in pairs:
            if v.overwrite_with_gradient:
                self.assign(v, g)
            else:
                present.append((g, v))
        return [g for g, _ in present], [v for _, v in present]

    def _apply_present(self, grads: list[Any], variables: list[Variable]) -> None:
        steps = self.gradient_accumulation_steps
        if not variables:
            return
        if steps:
            sums = [self._accumulated_gradients[self._index[id(v)]] for v in variables]
            last = ops.equal(ops.mod(ops.add(self._iterations, 1), steps), 0)
            totals = [s + g for s, g in zip(sums, grads)]

            def apply_mean() -> None:
                self._decay_and_update([t / steps for t in totals], variables)
                for s in sums:
                    s.assign(ops.zeros_like(s))

            self._when(
                last, apply_mean, lambda: [s.assign(t) for s, t in zip(sums, totals)], [*self._variables, *variables]
            )
        else:
            self._decay_and_update(grads, variables)
        if self.use_ema:
            self._update_averages(self._trainable_variables)
            every = self.ema_overwrite_frequency
            if every:
                due = ops.equal(ops.mod(ops.convert_to_tensor(self.iterations) + 1, every), 0)
                everything = self._trainable_variables
                self._when(due, lambda: self._overwrite_with_averages(everything), lambda: None, everything)

    def _when(
        self, condition: Any, do: Callable[[], Any], otherwise: Callable[[], Any], touched: list[Variable]
    ) -> None:
        """Does one thing or the other. In a trace both are recorded, and each touched variable takes the chosen
        value."""
        if trace.current_graph() is None:
            do() if bool(condition) else otherwise()
            return
        before = [v.value for v in touched]
        do()
        done = [v.value for v in touched]
        for v, old in zip(touched, before):
            v.assign(old)
        otherwise()
        for v, new in zip(touched, done):
            other = v.value
            if new is not other:
                v.assign(ops.where(condition, new, other))

    def _decay_and_update(self, grads: list[Any], variables: list[Variable]) -> None:
        grads = self._clip_gradients(grads)
        with _core.Swap(self, _shared={}):
            rate = self._current_learning_rate()
            self._apply_weight_decay(variables, rate)
            for g, v in zip(grads, variables):
                self.update_step(g, v, rate)

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        """`make()`, computed once for all variables of one update."""
        if self._shared is None:
            return make()
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _local_step(self) -> Any:
        """The number of this update, from 1, as float32."""
        return self._once("local_step", lambda: ops.cast(ops.convert_to_tensor(self.iterations) + 1, "float32"))

    # --- the shared steps --------------------------------------------------------------------------------------------

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if self.clipnorm is not None and self.clipnorm > 0:
            return [clip_by_norm(g, self.clipnorm) for g in grads]
        if self.global_clipnorm is not None and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue is not None and self.clipvalue > 0:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """No weight decay for these variables, and for variables whose name holds one of `var_names`; before
        `build`."""
        self._not_decayed = list(var_list or ())
        self._not_decayed_names = list(var_names or ())
        self._at_once = AtOnce()

    def _use_weight_decay(self, variable: Variable) -> bool:
        if any(v is variable for v in self._not_decayed):
            return False
        return not any(re.search(name, variable.name) for name in self._not_decayed_names)

    def _apply_weight_decay(self, variables: list[Variable], rate: Any = None) -> None:
        if self.weight_decay is None:
            return
        rate = self._current_learning_rate() if rate is None else rate
        share = ops.convert_to_tensor(rate) * self.weight_decay
        for v in variables:
            if self._use_weight_decay(v):
                v.assign(v - v * ops.cast(share, v.dtype))

    def _update_averages(self, variables: list[Variable]) -> None:
        # The first step copies, later ones average.
        started = ops.cast(ops.not_equal(ops.convert_to_tensor(self.iterations), 0), "float32")
        momentum = started * self.ema_momentum
        for v in variables:
            average = self._model_variables_moving_average[self._index[id(v)]]
            average.assign(ops.cast(momentum, v.dtype) * average + ops.cast(1.0 - momentum, v.dtype) * v)

    def _overwrite_with_averages(self, variables: Sequence[Variable]) -> None:
        for v in variables:
            v.assign(self._model_variables_moving_average[self._index[id(v)]])

    @property
    def finalizes(self) -> bool:
        """Whether `finalize_variable_values` may do something, so that a short `fit` need not collect the weights."""
        return self.use_ema or type(self).finalize_variable_values is not Optimizer.finalize_variable_values

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """Puts the averages in place of the variables, if averages are kept; called at the end of training."""
        if self.use_ema and self.built:
            self._overwrite_with_averages([v for v in var_list if id(v) in self._index])

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # --- saving ------------------------------------------------------------------------------------------------------

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets the optimizer's variables from arrays in their order. Raises ValueError for a wrong number or shape."""
        if not self.built:
            raise ValueError("You are calling `set_weights()` on an optimizer that has not yet been built.")
        if len(weights) != len(self.variables):
            raise ValueError(f"The optimizer has {len(self.variables)} variables, got {len(weights)} arrays")
        for v, w in zip(self.variables, weights):
            if tuple(np.shape(w)) != v.shape:
                raise ValueError(f"Optimizer variable '{v.path}' has shape {v.shape}, which does not fit {np.shape(w)}")
        for v, w in zip(self.variables, weights):
            v.assign(w)

    def save_own_variables(self, store: Any) -> None:
        """Writes every variable into `store` under its number."""
        for i, v in enumerate(self.variables):
            store[str(i)] = v

    def load_own_variables(self, store: Any) -> None:
        """Reads every variable from `store`; with a warning and without any change if the numbers differ."""
        if len(store.keys()) != len(self.variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has {len(self.variables)} "
                "variables whereas "
                f"the saved optimizer has {len(store.keys())} variables. ",
                stacklevel=2,
            )
            return
        arrays = [np.asarray(store[str(i)]) for i in range(len(self.variables))]
        for v, a in zip(self.variables, arrays):
            if a.shape != v.shape:
                raise ValueError(f"Optimizer variable '{v.path}' has shape {v.shape}, the file has shape {a.shape}")
        for v, a in zip(self.variables, arrays):
            v.assign(a)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer (without its state)."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            config_rate: Any = float(rate.numpy())
        else:
            config_rate = serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": config_rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The optimizer that `config` describes."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = deserialize_keras_object(config["learning_rate"], custom_objects=custom_objects)
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _takes_argument(fn: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)
