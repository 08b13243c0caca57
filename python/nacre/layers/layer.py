"""The base class of all layers: configuration, building, and the steps of a call."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nacre import dtype_policies, regularizers
from nacre.core import naming, operation, trace, tree
from nacre.core.errors import NotCompilable, TracedBranch, clearer, described
from nacre.core.operation import Node, Operation, any_keras_tensor
from nacre.core.spec import is_float, standardize_dtype
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.core.tree import is_shape
from nacre.layers.building import BuiltLayer, default, is_default
from nacre.layers.calling import CallPlan, context, has_tensor, mask_of, only_tensors, plan_of, tell
from nacre.layers.conversion import convert_input
from nacre.layers.input_spec import assert_input_compatibility
from nacre.layers.shapes import map_shapes, standardize_shapes
from nacre.layers.substitution import variables_as

_LEGACY = ("input_shape", "input_dim", "batch_input_shape", "weights", "input_dtype")


class Layer(BuiltLayer):
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
    _convert_input_args = True
    _allow_non_tensor_positional_args = False
    _input_shape_arg: tuple[Any, ...] | None = None  # from the legacy arguments input_shape= and input_dim=
    _batch_shape_arg: tuple[Any, ...] | None = None  # the same with the batch axis

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "supports_masking" not in cls.__dict__ and not is_default(cls.compute_mask):
            cls.supports_masking = True  # who says what becomes of a mask lets it through

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
        if not isinstance(trainable, (bool, np.bool_)):
            raise ValueError(
                f"Expected `trainable` to be a boolean. Received: trainable={trainable} (of type {type(trainable)})"
            )
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name} (of type "
                f"{type(name)})"
            )
        Operation.__init__(self, name)
        self._initialize_state()
        self._initialized = True
        self.built = False
        self.autocast = bool(autocast)
        self._trainable = bool(trainable)
        self._made_frozen = not trainable
        self.dtype_policy = dtype
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
                "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, prefer "
                "using an `Input(shape)` object as the first layer in the model instead.",
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
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement "
                "in the `__init__()` method. Go add it!"
            )

    # --- dtypes -------------------------------------------------------------------------------------------------------

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
    def quantization_mode(self) -> str | None:
        """How the weights are quantized: None, they are not."""
        return self._dtype_policy.quantization_mode  # type: ignore[no-any-return]

    @property
    def input_dtype(self) -> str:
        """The dtype that float inputs are cast to."""
        return self.compute_dtype

    # --- calling ------------------------------------------------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation: tensors in, tensors out. Defined by subclasses."""
        self._check_super_called()
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call` method implemented.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the layer: inputs converted and checked, weights built once, masks and `training` handed on."""
        if not self._initialized:
            self._check_super_called()
        plan = plan_of(type(self))
        alone = len(args) == 1 and not kwargs and isinstance(args[0], KerasTensor)
        before = context.entry, context.training
        try:
            args, kwargs = self._convert(args, kwargs)
            kwargs, training = self._training(plan, args, kwargs, before[1])
            plan.check(args, kwargs)
            first = args[0] if args else kwargs.get(plan.positional[0]) if plan.positional else None
            if self.input_spec is not None:
                assert_input_compatibility(self.input_spec, first, self.name)
            mask = mask_of(first)
        except RecursionError as error:
            raise clearer(error, f"{type(self).__name__} '{self.name}'", self.call, args, kwargs) from None
        recorded = kwargs  # in graphs; masks that several tensors carry are no part of them, as in Keras
        if plan.has_mask or plan.mask_names:
            kwargs = self._with_masks(plan, args, kwargs, mask)
            recorded = kwargs if alone else recorded
            if mask is None and self.supports_masking:
                mask = kwargs.get("mask")  # one that was given is handed on as well
        try:
            if before[0] is None:
                if self._losses_below:
                    self._clear_losses()
                context.entry = (self, object())
            context.training = training
            if not self.built:
                self._build_for_call(plan, args, kwargs)
                context.training = training
            outputs = self._run(plan, args, kwargs, recorded)
            if self.activity_regularizer is not None:
                self._regularize_activity(outputs)
            given = kwargs.get("mask")  # the one that the user gave, or that of the tensor
            self._hand_on_mask(first, outputs, mask if given is None else given)
        finally:
            if before[0] is None:  # a flag holds from the call that was given it to the end of the outermost one
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
                    only_tensors(x)
        return args, kwargs

    def _training(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], outer: bool | None
    ) -> tuple[dict[str, Any], bool | None]:
        """The flag in force: the argument, else that of the last call before this one in the outermost layer, else the
        default of `call`."""
        training = kwargs.get("training")
        if training is None and plan.has_training and len(args) > 1:
            index = plan.positional.index("training") if "training" in plan.positional else len(args)
            if index < len(args):
                training = args[index]
                if training is not None:
                    return kwargs, self._flag(training)
        if "training" in kwargs and (training is None or not (plan.has_training or plan.any_keyword)):
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        if training is None:
            training = outer
        if training is None:
            return kwargs, plan.training_default
        training = self._flag(training)
        if plan.has_training:
            kwargs = {**kwargs, "training": training}
        return kwargs, training

    def _flag(self, training: Any) -> bool:
        if has_tensor(training) and any(n != 1 for n in getattr(training, "shape", (None,))):
            raise TypeError(
                f"{type(self).__name__} '{self.name}': expected True, False or None for `training`, got "
                f"{described(training)}. Do several inputs go in as one list, `layer([x, y])`?"
            )
        return bool(training)

    def _with_masks(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Any) -> dict[str, Any]:
        """Masks that tensors carry, as the arguments `mask` and `<argument>_mask` that the user did not give."""
        given = plan.named(args, kwargs)
        found = {}
        tensors = {n: v for n, v in given.items() if n != "mask" and not n.endswith("_mask") and has_tensor(v)}
        if len(tensors) == 1 and plan.has_mask and mask is not None and given.get("mask") is None:
            found["mask"] = mask
        for name, value in tensors.items() if plan.mask_names else ():
            its_mask = f"{name}_mask"
            if its_mask in plan.mask_names and given.get(its_mask) is None:
                carried = mask_of(value)
                if carried is not None:
                    found[its_mask] = carried
        return {**kwargs, **found} if found else kwargs

    def _run(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], recorded: dict[str, Any]) -> Any:
        names = naming.scopes.open
        try:
            naming.scopes.open = (*names, self.name)
            if any_keras_tensor(args, kwargs):
                outputs = self.symbolic_call(*args, **kwargs)
                Node(self, args, recorded, outputs)
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
            naming.scopes.open = names
        if not self.built:
            self._remember_default_build(plan, args, kwargs)
        return outputs

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors in, KerasTensors out; the Node that remembers the call is made by `__call__`."""
        return self.compute_output_spec(*args, **kwargs)

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> None:
        """Not available. Raises NotImplementedError."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `quantize()` method implemented: nacre computes in float32 "
            "and has no quantized layers"
        )

    def rematerialized_call(self, layer_call: Any, *args: Any, **kwargs: Any) -> Any:
        """The function that calls this layer inside a `keras.RematScope`: itself (see `keras.remat`)."""
        return layer_call

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """`call` with these values in place of the Variables' own.

        Returns `(outputs, non_trainable_variables)`, with the new values of the latter, and the losses when they are
        asked for. The
        layer itself is left as it was.
        """
        self._check_super_called()
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables must have been "
                "already created). You can build it by calling it on some data."
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
        with variables_as(pairs + [(v, v.value) for v in self._variables_aside()]):
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
            state = [v.value for v in self.non_trainable_variables]
        return (outputs, state, losses) if return_losses else (outputs, state)

    # --- shapes and masks ---------------------------------------------------------------------------------------------

    @default
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape (or structure of shapes) of the output for inputs of that shape; None is any size."""
        if type(self).call is Layer.call:
            raise NotImplementedError(
                f"Layer {type(self).__name__} does not have a `compute_output_shape` method implemented."
            )

        def placeholder(shape: Any) -> KerasTensor:
            return KerasTensor(shape, self._input_dtype or "float32")

        args = tuple(map_shapes(placeholder, shape) for shape in args)
        kwargs = {name.removesuffix("_shape"): map_shapes(placeholder, shape) for name, shape in kwargs.items()}
        if "input" in kwargs and "input" not in plan_of(type(self)).names:
            args = (kwargs.pop("input"), *args)
        return tree.map_structure(lambda y: y.shape, self.compute_output_spec(*args, **kwargs))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors of the shape and dtype that `call` gives for these arguments."""
        if is_default(type(self).compute_output_shape):
            return self._traced_spec(*args, **kwargs)
        shapes = self._shapes_by_argument(plan_of(type(self)), args, kwargs)
        output = self.compute_output_shape(**self._shapes_for(self.compute_output_shape, shapes))
        return map_shapes(self._output_tensor, output if is_shape(output) else standardize_shapes(output))

    def _traced_spec(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree.map_structure(self._in_compute_dtype, (args, kwargs))
        return operation.compute_output_spec(self.call, args, kwargs, self.name)

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

    @default
    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output; that of the input unless a subclass knows better."""
        return previous_mask

    def _hand_on_mask(self, first: Any, outputs: Any, mask: Any) -> None:
        if not self.supports_masking:
            if mask is not None and not trace.probing():
                warnings.warn(
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask attached "
                    "to it. "
                    "However, this layer does not support masking and will therefore destroy the mask information. "
                    "Downstream layers will not see the mask.",
                    stacklevel=3,
                )
            return
        if mask is None and is_default(type(self).compute_mask):
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
                if not hasattr(loss, "shape") and not isinstance(loss, (int, float)):
                    raise ValueError(
                        f"{type(self).__name__} '{self.name}': expected activity_regularizer to return a scalar, got "
                        f"{loss!r}"
                    )
                batch = y.shape[0] if y.shape else 1
                self.add_loss(loss / float(batch) if batch else loss)

    def __repr__(self) -> str:
        if not self._initialized:
            return f"<{type(self).__name__}, not initialized>"
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"
