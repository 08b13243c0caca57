"""How a layer comes to its weights: shapes from arguments, `build` in its name scope, sublayers by tracing."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from nacre.core import naming, operation, tree
from nacre.core.errors import clearer, whole
from nacre.core.operation import any_keras_tensor
from nacre.core.tensor import KerasTensor
from nacre.layers.calling import CallPlan, has_tensor, is_tensor, plan_of
from nacre.layers.configuration import ConfiguredLayer
from nacre.layers.shapes import map_shapes, optional_parameters, shape_of, shape_parameters, standardize_shapes


def default(method: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a method of the base class that subclasses may leave as it is."""
    method._nacre_default = True  # type: ignore[attr-defined]
    return method


def is_default(method: Any) -> bool:
    """Whether a method was left as it is in the base class."""
    return getattr(method, "_nacre_default", False)


# Held by the thread that makes weights: others that call a new layer meanwhile wait, and find what it has made.
_making = threading.RLock()


def _forget() -> None:  # in the child of a fork, whose parent may have been making some in another thread
    global _making
    _making = threading.RLock()


os.register_at_fork(after_in_child=_forget)


def _wrap_build(build: Callable[..., Any]) -> Callable[..., Any]:
    """A `build` that runs in the layer's name scope, remembers its shapes and marks the layer built. One that does not
    come to its end leaves the layer as it was, so that the next makes no weights beside those of the first."""

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        with _making:
            make(self, *args, **kwargs)

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._building:  # super().build() from a subclass
            build(self, *args, **kwargs)
            return
        self._check_super_called()
        names = naming.scopes.open
        before = () if self._made_frozen else tuple(self._layers)
        original = (self, *args), kwargs
        try:
            naming.scopes.open = (*names, self.name)
            with whole(self):
                self._building = True
                self._remember_path()
                args = tuple(standardize_shapes(a) for a in args)
                kwargs = {name: standardize_shapes(a) for name, a in kwargs.items()}
                build(self, *args, **kwargs)
                given = inspect.signature(build).bind(self, *args, **kwargs).arguments
                self._build_shapes_dict = {
                    name: shape for name, shape in list(given.items())[1:] if name not in ("args", "kwargs")
                }
                self._building = False  # which counts the structure as changed, too
                self.built = True
                self._after_build(before)
        except Exception as error:
            told = clearer(error, f"{type(self).__name__} '{self.name}'", build, *original)
            if told is error:
                raise
            raise told from None
        finally:
            naming.scopes.open = names

    wrapped._nacre_wrapped = True  # type: ignore[attr-defined]
    return wrapped


class BuiltLayer(ConfiguredLayer):
    """The half of a Layer that makes weights: see `Layer`."""

    _building = False
    _made_frozen = False  # by the argument `trainable` of `__init__`, and nothing set since
    _initial_weights: Any = None
    _build_shapes_dict: dict[str, Any] | None = None
    _input_dtype: str | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        build = cls.__dict__.get("build")
        if build is not None and not hasattr(build, "_nacre_wrapped"):
            cls.build = _wrap_build(build)  # type: ignore[method-assign]

    def _build_at_init(self) -> None:
        """Marks a layer without weights as built, unless a subclass has something to build."""
        if type(self).build is BuiltLayer.build:
            self.built = True

    @_wrap_build
    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs of that shape. This one builds the sublayers, by tracing `call`."""
        self._check_super_called()
        if type(self).build is BuiltLayer.build and any(
            not layer.built for layer in self._flatten_layers(include_self=False)
        ):
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
                f"`build()` was called on layer '{self.name}', but its sublayers could not be built from the shapes "
                f"{shapes}: {error}. Implement `build()`, or call the layer on data once.",
                stacklevel=3,
            )

    def _build_for_call(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with _making:
            if not self.built:
                self._build_as_called(plan, args, kwargs)

    def _build_as_called(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cls = type(self)
        if cls.build is BuiltLayer.build:
            # Sublayers are built where `call` calls them; only a call that will not run needs a trace.
            if is_default(self.compute_output_shape) or not any_keras_tensor(args, kwargs):
                return
            if all(layer.built for layer in self._flatten_layers(include_self=False)):
                return
        masks = cls.build is not BuiltLayer.build and any(
            name.endswith("_mask_shape") for name in shape_parameters(self.build) or ()
        )
        shapes = self._shapes_by_argument(plan, args, kwargs, masks)
        if cls.build is BuiltLayer.build:
            with naming.name_scope(self.name):
                self._build_by_tracing(shapes)
            self._remember_default_build(plan, args, kwargs)
        else:
            self.build(**self._shapes_for(self.build, shapes))
            self.built = True

    def _remember_default_build(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """After the first call of a layer without a `build`: what it made is all that it will have."""
        shapes = self._shapes_by_argument(plan, args, kwargs)
        if shapes and self._build_shapes_dict is None:
            self._build_shapes_dict = {"input_shape": next(iter(shapes.values()))}  # which is all that `build` takes
        with naming.name_scope(self.name):
            self._remember_path()
        self.built = True
        self._after_build(() if self._made_frozen else self._layers)

    def _shapes_by_argument(
        self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any], masks: bool = False
    ) -> dict[str, Any]:
        """`<argument>_shape` -> shape (or structure of shapes), for the tensor arguments; for masks when asked for."""
        if len(args) == 1 and not kwargs and is_tensor(args[0]) and plan.positional:
            return {plan.positional[0] + "_shape": shape_of(args[0])}
        shapes = {}
        for name, value in plan.named(args, kwargs).items():
            if name != "mask" and (masks or not name.endswith("_mask")) and has_tensor(value):
                shapes[name + "_shape"] = tree.map_structure(shape_of, value)
        return shapes

    def _shapes_for(self, function: Callable[..., Any], shapes: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments for a `build` or `compute_output_shape` with that signature."""
        parameters = shape_parameters(function)
        if parameters is None:
            return shapes
        if len(parameters) == 1:
            return {parameters[0]: next(iter(shapes.values()), None)}
        for name in parameters:
            if not name.endswith("_shape"):
                raise ValueError(
                    f"For a `{function.__name__}()` method with more than one argument, all arguments should have a "
                    f"`_shape` suffix and match an argument from `call()`. E.g. `{function.__name__}(self, foo_shape, "
                    "bar_shape)`. "
                    f"For layer '{type(self).__name__}', received `{function.__name__}()` argument `{name}`, which "
                    "does not end in `_shape`."
                )
        names = plan_of(type(self)).names
        for name in parameters:
            argument = name.removesuffix("_shape")
            if name not in shapes and names and argument not in names and argument != "input":
                raise ValueError(
                    f"For a `{function.__name__}()` method with more than one argument, all arguments should have a "
                    f"`_shape` suffix and match an argument from `call()`. For layer '{type(self).__name__}', received "
                    f"`{function.__name__}()` argument `{name}`, but `call()` does not have argument `{argument}`."
                )
        missing = [n for n in parameters if n not in shapes and n not in optional_parameters(function)]
        if len(missing) == 1 and missing[0] == "input_shape" and shapes:
            first = next(iter(shapes))
            shapes = {("input_shape" if name == first else name): shape for name, shape in shapes.items()}
        elif missing:
            shapes = {**shapes, **dict.fromkeys(missing)}
        return {name: shapes[name] for name in parameters if name in shapes}

    def _after_build(self, before: Iterable[Any]) -> None:
        if not self._trainable:
            for v in self._trainable_variables:
                v.trainable = False
            # Layers made since are as frozen as this one: no configuration says so of them.
            for layer in self._layers:
                if all(layer is not other for other in before):
                    layer.trainable = False
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
