"""The base class of all layers: configuration, building, and the steps of a call."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import dtype_policies, regularizers
from nacre.core import naming, operation, trace, tree
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.operation import Node, Operation, any_keras_tensor
from nacre.core.spec import is_float, standardize_dtype
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.core.trace import current_graph
from nacre.layers.calling import CallPlan, context, has_tensor, is_tensor, mask_of, plan_of, tell
from nacre.layers.conversion import convert_input
from nacre.layers.input_spec import assert_input_compatibility
from nacre.layers.shapes import is_shape, map_shapes, shape_of, standardize_shapes
from nacre.layers.state import LayerState

_LEGACY = ("input_shape", "input_dim", "batch_input_shape", "weights", "input_dtype")


def _wrap_build(build: Callable[..., Any]) -> Callable[..., Any]:
    """A `build` that runs in the layer's name scope, remembers its shapes and marks the layer built."""

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._building:  # super().build() from a subclass
            build(self, *args, **kwargs)
            return
        self._check_super_called()
        names = naming._stack()
        names.append(self.name)
        self._building = True
        try:
            self._remember_path()
            args = tuple(standardize_shapes(a) for a in args)
            kwargs = {name: standardize_shapes(a) for name, a in kwargs.items()}
            build(self, *args, **kwargs)
            given = inspect.signature(build).bind(self, *args, **kwargs).arguments
            self._build_shapes_dict = {name: shape for name, shape in list(given.items())[1:] if name not in ("args", "kwargs")}
        finally:
            self._building = False
            names.pop()
        self.built = True
        self._after_build()

    wrapped._nacre_wrapped = True  # type: ignore[attr-defined]
    return wrapped


class Layer(LayerState):
    """Turns tensors into tensors, and owns the weights that it needs for that.

    A subclass stores its arguments in `__init__`, makes weights in `build(input_shape)` and computes in `call(inputs)`:

    >>> import nacre as keras
    >>> class Scale(keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.scale
    >>> Scale()(keras.ops.ones((2, 3))).shape
    (2, 3)

    Args:
        activity_regularizer: regularizer (name, config, callable) of the output; its value joins `losses`.
        trainable: whether optimizers change the weights.
        dtype: a dtype, a policy name or a DTypePolicy; the global policy when not given.
        autocast: whether float inputs are cast to `compute_dtype`.
        name: unique within a model; made from the class name when not given.
    """

    input_spec: Any = None
    supports_masking = False
    autocast = True
    _initialized = False
    _building = False
    _convert_input_args = True
    _allow_non_tensor_positional_args = False
    _input_shape_arg: tuple[Any, ...] | None = None  # from the legacy arguments input_shape= and input_dim=
    _batch_shape_arg: tuple[Any, ...] | None = None  # the same with the batch axis
    _initial_weights: Any = None
    _build_shapes_dict: dict[str, Any] | None = None
    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    activity_regularizer: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        build = cls.__dict__.get("build")
        if build is not None and not hasattr(build, "_nacre_wrapped"):
            cls.build = _wrap_build(build)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = object.__new__(cls)
        layer.__dict__["_init_arguments"] = (args, kwargs)
        return layer

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            self._take_legacy_arguments(kwargs)
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name} (of type {type(name)})"
            )
        Operation.__init__(self, name)
        self._initialize_state()
        self._initialized = True
        self.built = False
        self.autocast = bool(autocast)
        self._trainable = bool(trainable)
        self.dtype_policy = dtype  # type: ignore[assignment]
        if activity_regularizer is not None:
            self.activity_regularizer = regularizers.get(activity_regularizer)

    def _take_legacy_arguments(self, kwargs: dict[str, Any]) -> None:
        unknown = {key: value for key, value in kwargs.items() if key not in _LEGACY}
        if unknown:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {unknown}")
        shape = kwargs.get("input_shape")
        if kwargs.get("input_dim") is not None:
            shape = (kwargs["input_dim"],)
        if kwargs.get("batch_input_shape") is not None:
            object.__setattr__(self, "_batch_shape_arg", tuple(kwargs["batch_input_shape"]))
            shape = kwargs["batch_input_shape"][1:]
        if shape is not None:
            warnings.warn(
                "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, prefer using "
                "an `Input(shape)` object as the first layer in the model instead.",
                UserWarning,
                stacklevel=4,
            )
            shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
            object.__setattr__(self, "_input_shape_arg", shape)
            if self._batch_shape_arg is None:
                object.__setattr__(self, "_batch_shape_arg", (None, *shape))
        if kwargs.get("weights") is not None:
            object.__setattr__(self, "_initial_weights", kwargs["weights"])

    def _check_super_called(self) -> None:
        if not self._initialized:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in the "
                "`__init__()` method. Go add it!"
            )

    # --- dtypes ------------------------------------------------------------------------------------------------------------

    @property
    def dtype_policy(self) -> Any:
        """The DTypePolicy."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy = dtype_policies.get(value)
        if isinstance(policy, dtype_policies.DTypePolicyMap):
            policy = policy[self.path or self.name]
        object.__setattr__(self, "_dtype_policy", policy)
        compute = policy.compute_dtype
        object.__setattr__(self, "_input_dtype", standardize_dtype(compute) if compute != "string" else None)

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self._dtype_policy.variable_dtype  # type: ignore[no-any-return]

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self._dtype_policy.variable_dtype  # type: ignore[no-any-return]

    @property
    def compute_dtype(self) -> str:
        """The dtype of inputs and outputs."""
        return self._dtype_policy.compute_dtype  # type: ignore[no-any-return]

    @property
    def input_dtype(self) -> str:
        """The dtype that float inputs are cast to."""
        return self.compute_dtype

    # --- building ----------------------------------------------------------------------------------------------------------

    @_wrap_build
    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs of that shape. This one builds the sublayers, by tracing `call`."""
        self._check_super_called()
        if any(not layer.built for layer in self._flatten_layers(include_self=False)):
            self._build_by_tracing({next(iter(plan_of(type(self)).positional), "inputs") + "_shape": input_shape})

    def _build_by_tracing(self, shapes: dict[str, Any]) -> None:
        """Runs `call` on symbols of these shapes, so that sublayers make their weights; a warning when that fails."""
        def placeholder(shape: Any) -> KerasTensor:
            return KerasTensor(shape, self._input_dtype or "float32")

        inputs = {name.removesuffix("_shape"): map_shapes(placeholder, shape) for name, shape in shapes.items()}
        try:
            operation.compute_output_spec(lambda kwargs: self.call(**kwargs), (inputs,), {}, self.name)
        except Exception as error:
            warnings.warn(
                f"`build()` was called on layer '{self.name}', but its sublayers could not be built from the shapes {shapes}: "
                f"{error}. Implement `build()`, or call the layer on data once.",
                stacklevel=3,
            )

    def _build_for_call(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cls = type(self)
        if cls.build is Layer.build:
            # Sublayers are built where `call` calls them; only a call that will not run needs a trace.
            if cls.compute_output_shape is Layer.compute_output_shape or not any_keras_tensor(args, kwargs):
                return
            if all(layer.built for layer in self._flatten_layers(include_self=False)):
                return
        shapes = self._shapes_by_argument(plan, args, kwargs)
        if cls.build is Layer.build:
            self._build_by_tracing(shapes)
        else:
            self.build(**self._shapes_for(self.build, shapes))
        self.built = True

    def _shapes_by_argument(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """`<argument>_shape` -> shape (or structure of shapes), for the tensor arguments that are no masks."""
        if len(args) == 1 and not kwargs and is_tensor(args[0]) and plan.positional:
            return {plan.positional[0] + "_shape": shape_of(args[0])}
        shapes = {}
        for name, value in plan.named(args, kwargs).items():
            if name != "mask" and not name.endswith("_mask") and has_tensor(value):
                shapes[name + "_shape"] = tree.map_structure(shape_of, value)
        return shapes

    def _shapes_for(self, function: Callable[..., Any], shapes: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments for a `build` or `compute_output_shape` with that signature."""
        parameters = _shape_parameters(function)
        if parameters is None:
            return shapes
        if len(parameters) == 1:
            return {parameters[0]: next(iter(shapes.values()), None)}
        for name in parameters:
            if not name.endswith("_shape"):
                raise ValueError(
                    f"For a `{function.__name__}()` method with more than one argument, all arguments should have a `_shape` "
                    f"suffix and match an argument from `call()`. E.g. `{function.__name__}(self, foo_shape, bar_shape)`. "
                    f"For layer '{type(self).__name__}', received `{function.__name__}()` argument `{name}`, which does not "
                    "end in `_shape`."
                )
        missing = [n for n in parameters if n not in shapes and n not in _optional_parameters(function)]
        if len(missing) == 1 and missing[0] == "input_shape" and shapes:
            first = next(iter(shapes))
            shapes = {("input_shape" if name == first else name): shape for name, shape in shapes.items()}
        elif missing:
            shapes = {**shapes, **dict.fromkeys(missing)}
        return {name: shapes[name] for name in parameters if name in shapes}

    def _after_build(self) -> None:
        if not self._trainable:
            for v in self._trainable_variables:
                v.trainable = False
        if self._initial_weights is not None and self.weights:
            weights, self._initial_weights = self._initial_weights, None
            self.set_weights(weights)
        self._lock_state()

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that `build` got, or None before."""
        shapes = self._build_shapes_dict
        if shapes is None:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": shapes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds as `get_build_config` says."""
        if not config:
            return
        if "input_shape" in config:
            self.build(standardize_shapes(config["input_shape"]))
        elif "shapes_dict" in config:
            self.build(**{name: standardize_shapes(shape) for name, shape in config["shapes_dict"].items()})

    # --- calling -----------------------------------------------------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation: tensors in, tensors out. Defined by subclasses."""
        self._check_super_called()
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the layer: inputs converted and checked, weights built at the first call, masks and `training` handed on."""
        if not self._initialized:
            self._check_super_called()
        plan = plan_of(type(self))
        args, kwargs = self._convert(args, kwargs)
        before = context.entry, context.training
        kwargs, training = self._training(plan, args, kwargs, before[1])
        plan.check(args, kwargs)
        first = args[0] if args else kwargs.get(plan.positional[0]) if plan.positional else None
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, first, self.name)
        mask = mask_of(first)
        if plan.has_mask or plan.mask_names:
            kwargs = self._with_masks(plan, args, kwargs, mask)
        context.training = training
        if before[0] is None:
            if self._losses_below:
                self._clear_losses()
            context.entry = (self, object())
        try:
            if not self.built:
                self._build_for_call(plan, args, kwargs)
            outputs = self._run(plan, args, kwargs)
            if self.activity_regularizer is not None:
                self._regularize_activity(outputs)
            self._hand_on_mask(first, outputs, mask)
        finally:
            context.entry, context.training = before
        return outputs

    def _convert(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arrays as tensors, floats in the compute dtype."""
        if self._convert_input_args:
            dtype = self._input_dtype if self.autocast else None
            if dtype is not None and not is_float(dtype):
                dtype = None
            args = tuple([convert_input(x, dtype) for x in args])
            if kwargs:
                kwargs = {key: convert_input(x, dtype) for key, x in kwargs.items()}
        if not self._allow_non_tensor_positional_args:
            for x in args:
                kind = type(x)
                if kind is not Tensor and kind is not Symbol:
                    _only_tensors(x)
        return args, kwargs

    def _training(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], outer: bool | None
    ) -> tuple[dict[str, Any], bool | None]:
        """The flag in force: the argument, else that of the enclosing layer, else the default of `call`."""
        training = kwargs.get("training")
        if training is None and plan.has_training and len(args) > 1:
            index = plan.positional.index("training") if "training" in plan.positional else len(args)
            if index < len(args):
                training = args[index]
                if training is not None:
                    return kwargs, bool(training)
        if "training" in kwargs and (training is None or not (plan.has_training or plan.any_keyword)):
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        if training is None:
            training = outer
        if training is None:
            return kwargs, plan.training_default
        training = bool(training)
        if plan.has_training:
            kwargs = {**kwargs, "training": training}
        return kwargs, training

    def _with_masks(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Any) -> dict[str, Any]:
        """Masks that tensors carry, as the arguments `mask` and `<argument>_mask` that the user did not give."""
        given = plan.named(args, kwargs)
        found = {}
        tensors = {n: v for n, v in given.items() if n != "mask" and not n.endswith("_mask") and has_tensor(v)}
        if len(tensors) == 1:
            if plan.has_mask and mask is not None and given.get("mask") is None:
                found["mask"] = mask
        for name, value in tensors.items() if plan.mask_names else ():
            its_mask = f"{name}_mask"
            if its_mask in plan.mask_names and given.get(its_mask) is None:
                carried = mask_of(value)
                if carried is not None:
                    found[its_mask] = carried
        return {**kwargs, **found} if found else kwargs

    def _run(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = naming._stack()
        names.append(self.name)
        try:
            if any_keras_tensor(args, kwargs):
                outputs = self.symbolic_call(*args, **kwargs)
            else:
                outputs = self.call(*args, **kwargs)
        except (TracedBranch, NotCompilable):
            raise
        except Exception as error:
            told = tell(error, plan, f"{type(self).__name__}.call()", args, kwargs)
            if told is error:
                raise
            raise told.with_traceback(error.__traceback__) from None
        finally:
            names.pop()
        if not self.built:
            self._remember_default_build(plan, args, kwargs)
        return outputs

    def _remember_default_build(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """After the first call of a layer without a `build`: what it made is all that it will have."""
        shapes = self._shapes_by_argument(plan, args, kwargs)
        if shapes and self._build_shapes_dict is None:
            self._build_shapes_dict = shapes if len(shapes) > 1 else {"input_shape": next(iter(shapes.values()))}
        names = naming._stack()
        names.append(self.name)
        self._remember_path()
        names.pop()
        self.built = True
        self._after_build()

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors in, KerasTensors out; a Node remembers the call."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """`call` with these values in place of the Variables' own.

        Returns `(outputs, non_trainable_variables)`, with the new values of the latter, and the losses when they are asked for. The
        layer itself is left as it was.
        """
        self._check_super_called()
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables must have been already "
                "created). You can build it by calling it on some data."
            )
        pairs: list[tuple[Any, Any]] = []
        for kind, mine, given in (
            ("trainable_variables", self.trainable_variables, list(trainable_variables)),
            ("non_trainable_variables", self.non_trainable_variables, list(non_trainable_variables)),
        ):
            if len(mine) != len(given):
                raise ValueError(
                    f"Argument `{kind}` must be a list of tensors corresponding 1:1 to {type(self).__name__}().{kind}. "
                    f"Received list with length {len(given)}, but expected {len(mine)} variables."
                )
            pairs += zip(mine, given)
        with _variables_as(pairs):
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
            state = [v.value for v in self.non_trainable_variables]
        return (outputs, state, losses) if return_losses else (outputs, state)

    # --- shapes and masks --------------------------------------------------------------------------------------------------

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape (or structure of shapes) of the output for inputs of that shape; None is any size."""
        def placeholder(shape: Any) -> KerasTensor:
            return KerasTensor(shape, self._input_dtype or "float32")

        args = tuple(map_shapes(placeholder, shape) for shape in args)
        kwargs = {name.removesuffix("_shape"): map_shapes(placeholder, shape) for name, shape in kwargs.items()}
        if "input" in kwargs and "input" not in plan_of(type(self)).names:
            args = (kwargs.pop("input"), *args)
        return tree.map_structure(lambda y: y.shape, self.compute_output_spec(*args, **kwargs))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors of the shape and dtype that `call` gives for these arguments."""
        if type(self).compute_output_shape is Layer.compute_output_shape:
            args, kwargs = tree.map_structure(self._in_compute_dtype, (args, kwargs))
            return operation.compute_output_spec(self.call, args, kwargs, self.name)
        shapes = self._shapes_by_argument(plan_of(type(self)), args, kwargs)
        output = self.compute_output_shape(**self._shapes_for(self.compute_output_shape, shapes))
        return map_shapes(self._output_tensor, output if is_shape(output) else standardize_shapes(output))

    def _output_tensor(self, shape: Any) -> KerasTensor:
        return KerasTensor(shape, self.compute_dtype, name=naming.auto_name("keras_tensor"))

    def _in_compute_dtype(self, x: Any) -> Any:
        if not isinstance(x, KerasTensor) or not self.autocast or not is_float(x.dtype):
            return x
        if x.dtype == self._input_dtype or not is_float(self._input_dtype or ""):
            return x
        cast = KerasTensor(x.shape, self._input_dtype, name=x.name)
        mask = getattr(x, "_keras_mask", None)
        if mask is not None:
            cast._keras_mask = mask  # type: ignore[attr-defined]
        return cast

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output; that of the input unless a subclass knows better."""
        return previous_mask

    def _hand_on_mask(self, first: Any, outputs: Any, mask: Any) -> None:
        if not self.supports_masking:
            if mask is not None and not trace.probing():
                warnings.warn(
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask attached to it. "
                    "However, this layer does not support masking and will therefore destroy the mask information. "
                    "Downstream layers will not see the mask.",
                    stacklevel=3,
                )
            return
        if mask is None and type(self).compute_mask is Layer.compute_mask:
            return
        flat = tree.flatten(outputs)
        if all(getattr(y, "_keras_mask", None) is not None for y in flat):
            return
        masks = self.compute_mask(first, mask)
        if masks is None:
            return
        for y, m in zip(flat, tree.flatten(masks)):
            if m is not None and getattr(y, "_keras_mask", None) is None and hasattr(y, "shape"):
                y._keras_mask = m

    def _regularize_activity(self, outputs: Any) -> None:
        for y in tree.flatten(outputs):
            if isinstance(y, (Tensor, Symbol)):
                loss = self.activity_regularizer(y)
                batch = y.shape[0] if y.shape else 1
                self.add_loss(loss / float(batch) if batch else loss)

    # --- configuration -----------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal layer from.

        Raises NotImplementedError for a subclass without a `get_config` whose arguments are not all plain data.
        """
        self._check_super_called()
        config: dict[str, Any] = {"name": self.name}
        if type(self).get_config is Layer.get_config:
            config.update(self._recorded_arguments())
            if not _takes_any_keyword(type(self)):
                config.pop("name", None)
        config["trainable"] = self.trainable
        config["dtype"] = dtype_policies.serialize(self.dtype_policy)
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    def _recorded_arguments(self) -> dict[str, Any]:
        args, kwargs = self._init_arguments
        names = [p for p in inspect.signature(type(self).__init__).parameters][1:]
        given = {**dict(zip(names, args)), **kwargs}
        for name in ("trainable", "dtype"):
            given.pop(name, None)
        if len(args) > len(names) or not all(_is_plain(v) for v in tree.flatten(list(given.values()))):
            cls = type(self).__name__
            raise NotImplementedError(
                f"Object {cls} was created by passing non-serializable argument values in `__init__()`, and therefore the "
                "object must override `get_config()` in order to be serializable. Please implement `get_config()`: call "
                "`super().get_config()` and add every argument of `__init__()` to the dict."
            )
        return given

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of that configuration, not built yet."""
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = dtype_policies.deserialize(config["dtype"])
        try:
            return cls(**config)
        except Exception as error:
            # `def __init__(self, units)` without **kwargs cannot take what every layer's configuration has.
            extra = {k: config[k] for k in ("name", "trainable", "dtype") if k in config and not _accepts(cls, k)}
            if extra and isinstance(error, TypeError):
                layer = cls(**{k: v for k, v in config.items() if k not in extra})
                layer.trainable = extra.get("trainable", True)
                if "dtype" in extra:
                    layer.dtype_policy = extra["dtype"]
                if "name" in extra:
                    layer.name = extra["name"]
                return layer
            raise TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={config}.\n\nException encountered: {error}"
            ) from error

    def __repr__(self) -> str:
        if not self._initialized:
            return f"<{type(self).__name__}, not initialized>"
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    __str__ = __repr__


# --- helpers -----------------------------------------------------------------------------------------------------------------


def _only_tensors(x: Any) -> None:
    for leaf in tree.flatten(x):
        if leaf is not None and not is_tensor(leaf) and not isinstance(leaf, np.ndarray):
            raise ValueError(
                "Only input tensors may be passed as positional arguments. The following argument value should be passed as "
                f"a keyword argument: {leaf} (of type {type(leaf)})"
            )


@functools.lru_cache(maxsize=2048)
def _parameters_of(function: Any) -> tuple[tuple[str, ...], frozenset[str], bool]:
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    optional = frozenset(p.name for p in named if p.default is not p.empty)
    names = tuple(p.name for p in named if p.name != "self")
    return names, optional, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _shape_parameters(function: Any) -> tuple[str, ...] | None:
    """The parameter names of a `build`-like method; None when it takes any keyword."""
    names, _, any_keyword = _parameters_of(getattr(function, "__func__", function))
    return None if any_keyword and not names else names


def _optional_parameters(function: Any) -> frozenset[str]:
    return _parameters_of(getattr(function, "__func__", function))[1]


def _takes_any_keyword(cls: type) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls.__init__).parameters.values())  # type: ignore[misc]


def _accepts(cls: type, name: str) -> bool:
    return _takes_any_keyword(cls) or name in inspect.signature(cls.__init__).parameters  # type: ignore[misc]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


class _variables_as:
    """Variables have other values inside: given as (Variable, tensor) pairs."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = [(v, t.value if hasattr(t, "assign") else convert_input(t, None)) for v, t in pairs]

    def __enter__(self) -> None:
        graph = current_graph()
        self.graph = graph
        if graph is not None:
            self.before = [(v, graph.read(v)) for v, _ in self.pairs]
            for v, t in self.pairs:
                graph.write(v, t)
            return
        self.before = [(v, (v._array, v._tensor)) for v, _ in self.pairs]
        for v, t in self.pairs:
            v._set_array(t._array)
            v._tensor = t

    def __exit__(self, *exc: Any) -> None:
        for v, value in self.before:
            if self.graph is not None:
                self.graph.write(v, value)
            else:
                v._set_array(value[0])
                v._tensor = value[1]


