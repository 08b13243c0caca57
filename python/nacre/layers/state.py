"""What a layer owns: variables, sublayers, metrics, seeds and losses; in Keras' order, and into and out of files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from nacre import constraints, initializers, regularizers
from nacre.core import trace, tree
from nacre.core.naming import current_path, name_scope
from nacre.core.operation import Operation
from nacre.core.spec import is_float, standardize_dtype
from nacre.core.tensor import KerasTensor, Symbol
from nacre.core.variable import Structure, Variable
from nacre.layers.calling import context
from nacre.layers.tracking import TRACKED, is_metric, is_seed_generator

_PLAIN = (type(None), bool, int, float, str)
# Bookkeeping attributes: assigned as they are.
_OWN = frozenset(
    ("_layers", "_metrics", "_trainable_variables", "_non_trainable_variables", "_seed_generators", "_losses",
     "_inbound_nodes", "_outbound_nodes", "_build_shapes_dict", "_init_arguments", "_initial_weights")
)  # fmt: skip
_LOCKED = (
    "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All state "
    "must be created in the `__init__()` method or in the `build()` method."
)


def structure_version() -> int:
    """A number that grows whenever an attribute of any layer is set, or what a layer holds changes."""
    return Structure.version


class _Same:
    """Equal only to what holds the same object, which stays alive so that no other one takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


class LayerState(Operation):
    """The bookkeeping half of a Layer: see `Layer`."""

    _layers: list[Any]
    _metrics: list[Any]
    _trainable_variables: list[Variable]
    _non_trainable_variables: list[Variable]
    _seed_generators: list[Any]
    _losses: list[Any]
    _locked = False
    _trainable = True
    built = False
    _path: str | None = None
    _losses_of: Any = None  # the outermost call that the losses belong to
    _losses_below = False  # whether a layer of the tree added losses since the last outermost call

    def _initialize_state(self) -> None:
        own = self.__dict__
        if "_layers" not in own:
            for name in (
                "_layers",
                "_metrics",
                "_trainable_variables",
                "_non_trainable_variables",
                "_seed_generators",
                "_losses",
            ):
                own.setdefault(name, [])

    if TYPE_CHECKING:  # attributes that subclasses set by name

        def __getattr__(self, name: str) -> Any: ...

    # --- tracking -----------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        Structure.version += 1
        if isinstance(value, _PLAIN) or name in _OWN:
            object.__setattr__(self, name, value)
            return
        if "_layers" not in self.__dict__:
            self._initialize_state()
        before = self.__dict__.get(name)
        if before is not None and before is not value and isinstance(before, (LayerState, Variable)):
            self._forget_unless_elsewhere(name, before)
        try:
            object.__setattr__(self, name, self._track(value))
        except RecursionError:
            raise ValueError(
                f"{type(self).__name__}: the {type(value).__name__} in attribute {name!r} holds itself, or is nested "
                "too deeply"
            ) from None

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        object.__delattr__(self, name)
        if isinstance(value, (list, tuple, set)):
            for v in value:
                self._untrack(v)
        elif isinstance(value, dict):
            for v in value.values():
                self._untrack(v)
        else:
            self._untrack(value)

    def _forget_unless_elsewhere(self, name: str, value: Any) -> None:
        for other, held in self.__dict__.items():
            if (
                other != name
                and other not in _OWN
                and (held is value or (isinstance(held, (list, tuple)) and any(v is value for v in held)))
            ):
                return
        self._untrack(value)

    def _track(self, value: Any) -> Any:
        """Files `value` by its kind; containers come back as ones that report what is added later."""
        Structure.version += 1
        if isinstance(value, Variable):
            if value.is_weight:
                self._track_variable(value)
        elif isinstance(value, LayerState):
            self._track_layer(value)
        elif type(value) in TRACKED:
            if getattr(getattr(value, "_track", None), "__self__", None) is not self:
                return TRACKED[type(value)](value, self._track, self._untrack)
        elif isinstance(value, (list, tuple, set)):
            for v in value:
                self._track(v)
        elif isinstance(value, dict):
            for v in value.values():
                self._track(v)
        elif is_seed_generator(value):
            _add(self._seed_generators, value)
        elif is_metric(value):
            _add(self._metrics, value)
        return value

    def _track_layer(self, layer: LayerState) -> None:
        self._refuse_itself(layer)
        if not _holds(self._layers, layer):
            if self._locked:
                raise ValueError(_LOCKED)
            self._layers.append(layer)

    def _refuse_itself(self, layer: LayerState) -> None:
        if layer is self or (layer._layers and _holds(layer._flatten_layers(), self)):
            raise ValueError(f"{type(self).__name__} '{self.name}' cannot hold itself as a sublayer")

    def _track_variable(self, variable: Variable) -> None:
        kept = self._trainable_variables if variable.trainable else self._non_trainable_variables
        if _holds(self._trainable_variables, variable) or _holds(self._non_trainable_variables, variable):
            return
        if self._locked:
            raise ValueError(_LOCKED)
        kept.append(variable)
        Structure.version += 1

    def _untrack(self, value: Any) -> None:
        Structure.version += 1
        for name in ("_layers", "_metrics", "_trainable_variables", "_non_trainable_variables", "_seed_generators"):
            held = self.__dict__.get(name)
            if held is not None:
                held[:] = [v for v in held if v is not value]

    def _untrack_variable(self, variable: Variable) -> None:
        self._untrack(variable)

    def _lock_state(self) -> None:
        """After building, new variables and sublayers are refused."""
        object.__setattr__(self, "_locked", True)

    def _unlock_state(self) -> None:
        object.__setattr__(self, "_locked", False)

    def _settings(self) -> Any:
        """What a built-in layer was told to compute, for comparison."""
        if not type(self).__module__.startswith("nacre."):
            return None
        return [
            value if isinstance(value, _PLAIN) else _Same(value)
            for name, value in self.__dict__.items()
            if name[0] != "_" or name == "_dtype_policy"
        ]

    # --- variables ----------------------------------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """`add_weight` by another name."""
        return self.add_weight(shape, initializer, dtype, trainable, autocast, regularizer, constraint, name=name)

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new Variable of that shape, owned by this layer.

        Args:
            shape: sizes, all known; a scalar when it is not given.
            initializer: name, config, callable or Initializer; `glorot_uniform` for floats and zeros otherwise.
            dtype: that of the layer when it is not given.
            trainable: whether optimizers change it.
            regularizer, constraint: name, config or object; kept on the Variable.
            name: the last part of its path.
        """
        self._check_super_called()
        if isinstance(shape, str) and name is None:  # add_weight("kernel", shape), as it was before Keras 3
            shape, name = (initializer if isinstance(initializer, (tuple, list)) else None), shape
            initializer = None
        shape = () if shape is None else tuple(shape) if hasattr(shape, "__iter__") else (shape,)
        dtype = self.variable_dtype if dtype is None else dtype
        if initializer is None:
            initializer = "glorot_uniform" if is_float(standardize_dtype(dtype)) else "zeros"
        with self._own_scope():
            variable = Variable(
                initializers.get(initializer), shape, dtype, trainable, autocast, aggregation, name=name
            )
        if regularizer is not None:
            variable.regularizer = regularizers.get(regularizer)
        if constraint is not None:
            variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._track_variable(variable)
        return variable

    @property
    def trainable(self) -> bool:
        """Whether the weights change in training; setting it reaches every sublayer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        Structure.version += 1
        object.__setattr__(self, "_trainable", value)
        object.__setattr__(self, "_made_frozen", False)
        for v in self.__dict__.get("_trainable_variables", ()):
            v.trainable = value
        for layer in self.__dict__.get("_layers", ()):
            layer.trainable = value

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list[Any]:
        """This layer and the layers inside, each once, in the order in which they were attached."""
        found: list[Any] = [self] if include_self else []
        seen = {id(self)} if include_self else set()
        queue = list(self._layers)
        while queue:
            layer = queue.pop(0)
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            found.append(layer)
            if recursive:
                queue[:0] = layer._layers
        return found

    @property
    def variables(self) -> list[Variable]:
        """All Variables, those of seed generators included; metrics' are not."""
        found = [*self._trainable_variables, *self._non_trainable_variables]
        found += [generator.state for generator in self._seed_generators]
        for layer in self._layers:
            found += layer.variables
        return _unique(found)

    @property
    def trainable_variables(self) -> list[Variable]:
        """The Variables that optimizers change; empty when the layer is frozen."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The Variables that optimizers leave alone."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def weights(self) -> list[Variable]:
        """The Variables without those of metrics and seed generators: own ones first, then layer by layer."""
        found = [*self._trainable_variables, *self._non_trainable_variables]
        for layer in self._layers:
            found += layer.weights
        return _unique(found)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that optimizers change; empty when the layer is frozen."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that optimizers leave alone."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def metrics(self) -> list[Any]:
        """The metrics of this layer and of those inside."""
        found = list(self._metrics)
        for layer in self._layers:
            found += layer.metrics
        return found

    @property
    def metrics_variables(self) -> list[Variable]:
        """The Variables of all metrics."""
        return [v for metric in self.metrics for v in metric.variables]

    def _variables_aside(self) -> list[Variable]:
        """What a call may change beside `variables`: metrics, and the states of recurrent layers."""
        states = (v for layer in self._flatten_layers() for v in tree.flatten(getattr(layer, "_states", None) or ()))
        return [*self.metrics_variables, *(v for v in states if isinstance(v, Variable))]

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights as NumPy arrays, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Sets all weights. Raises ValueError unless number and shapes of the arrays are those of `get_weights()`."""
        mine = self.weights
        weights = list(weights)
        if len(mine) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, "
                f"but the layer was expecting {len(mine)} weights."
            )
        for variable, value in zip(mine, weights):
            if tuple(np.shape(value)) != tuple(variable.shape):
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight shape "
                    f"{tuple(np.shape(value))}."
                )
        for variable, value in zip(mine, weights):
            variable.assign(value)

    def count_params(self) -> int:
        """The number of scalars in all weights. Raises ValueError before the layer is built."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build it "
                "manually via: `layer.build(input_shape)`."
            )
        return int(sum(int(np.prod(v.shape, dtype=np.int64)) for v in self.weights))

    @property
    def path(self) -> str | None:
        """The names of the layers around this one and its own, joined by `/`, once it is built."""
        return self._path

    def _own_scope(self) -> Any:
        """The name scope of this layer, unless it is the innermost open one already."""
        if current_path().rpartition("/")[2] == self.name:
            return contextlib.nullcontext()
        # A built layer knows where it stands; a weight that comes later belongs there.
        if not self._path or current_path():
            return name_scope(self.name)
        parent, _, own = self._path.rpartition("/")
        return name_scope(own, override_parent=parent)

    def _remember_path(self) -> None:
        object.__setattr__(self, "_path", current_path() or self.name)

    # --- losses -------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Without losses of a compiled step, which belong to its trace."""
        losses = [x for x in self.__dict__.get("_losses", ()) if not isinstance(x, Symbol)]
        return {**super().__getstate__(), "_losses": losses, "_losses_of": None}

    def add_loss(self, loss: Any) -> None:
        """Adds scalar tensors to the loss of the model, until the next call of the outermost layer.

        Args:
            loss: a scalar tensor or a list of them, usually computed in `call`.
        """
        if trace.probing():
            return
        entry = context.entry
        if entry is not None:
            if self._losses_of is not entry[1]:
                self._losses.clear()
                object.__setattr__(self, "_losses_of", entry[1])
            object.__setattr__(entry[0], "_losses_below", True)
        for value in loss if isinstance(loss, (list, tuple)) else (loss,):
            if isinstance(value, (KerasTensor, str)) or (callable(value) and not hasattr(value, "shape")):
                raise ValueError(
                    f"`add_loss()` expects a scalar tensor, got {value!r}. Compute the loss in the `call()` of a layer "
                    "and pass its value."
                )
            if value is not None:
                self._losses.append(value)

    def _get_own_losses(self) -> list[Any]:
        """Losses added by this very layer; what belongs to a finished trace is not among them."""
        graph = trace.current_graph()
        return [x for x in self._losses if not isinstance(x, Symbol) or x.graph is graph]

    def _get_regularization_losses(self) -> list[Any]:
        return [v.regularizer(v) for v in self.trainable_weights if getattr(v, "regularizer", None) is not None]

    @property
    def losses(self) -> list[Any]:
        """Scalar tensors: those from `add_loss`, of activity regularizers, and the weights' regularization."""
        found: list[Any] = []
        for layer in self._flatten_layers():
            found += layer._get_own_losses()
        return found + self._get_regularization_losses()

    def _clear_losses(self) -> None:
        """Forgets added losses, here and in all sublayers."""
        for layer in self._flatten_layers():
            layer._losses.clear()
        object.__setattr__(self, "_losses_below", False)

    # --- files --------------------------------------------------------------------------------------------------------

    def save_own_variables(self, store: Any) -> None:
        """Writes the layer's own Variables into `store` (a mapping) under `"0"`, `"1"`, ..."""
        for i, v in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[f"{i}"] = v

    def load_own_variables(self, store: Any) -> None:
        """Sets the layer's own Variables from `store`. Raises ValueError when their number or a shape differs."""
        mine = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) != len(mine):
            if not mine and not self.built:
                raise ValueError(
                    f"Layer '{self.name}' was never built and thus it doesn't have any variables. However the "
                    "weights file "
                    f"lists {len(store.keys())} variables for this layer. Call the model once on data, or let the "
                    "`build()` of the layer that owns it build it too, before loading."
                )
            raise ValueError(
                f"Layer '{self.name}' expected {len(mine)} variables, but received {len(store.keys())} variables "
                f"during loading. Expected: {[v.name for v in mine]}"
            )
        for i, v in enumerate(mine):
            v.assign(np.asarray(store[f"{i}"]))

    def _check_super_called(self) -> None:
        raise NotImplementedError


def _holds(held: list[Any], value: Any) -> bool:
    return id(value) in map(id, held)  # without a step of Python per element: there may be tens of thousands


def _add(held: list[Any], value: Any) -> None:
    if not _holds(held, value):
        held.append(value)


def _unique(variables: list[Variable]) -> list[Variable]:
    return list({id(v): v for v in variables}.values())
