"""What all models have: layers, a summary, training, files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nacre import onnx, saving, utils
from nacre.core import registry
from nacre.layers.calling import context
from nacre.models.compiled_call import CompiledCall, outermost, taped_call
from nacre.runtime.taped_call import under_one_tape
from nacre.training.trainer import Trainer


def functional_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether these are `Model(inputs, outputs)`, by position or name."""
    if "inputs" in kwargs and "outputs" in kwargs:
        return True
    if len(args) == 1 and "outputs" in kwargs:
        return True
    return len(args) in (2, 3)


class Model(Trainer):
    """A layer that can be trained and saved.

    Three ways to make one: a graph of layers, `Model(inputs, outputs)`; a chain, `Sequential`; or a subclass with
    layers as attributes
    and a `call`:

    >>> import nacre as keras
    >>> class Net(keras.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = keras.layers.Dense(2)
    ...     def call(self, x):
    ...         return self.dense(x)
    >>> Net()(keras.ops.ones((1, 3))).shape
    (1, 2)
    """

    _functional_class: type[Model]  # set by the module that defines it

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and functional_arguments(args, kwargs):
            return super().__new__(cls._functional_class, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if functional_arguments(args, kwargs):
            # A subclass that hands inputs and outputs to super().__init__ is a graph of layers, too.
            _make_functional(type(self))
            self._functional_class.__init__(self, *args, **kwargs)
            return
        if args:
            raise TypeError(
                f"{type(self).__name__}: expected the inputs and outputs of a graph of layers, `Model(inputs, "
                f"outputs)`, or keyword arguments such as `name`, got {', '.join(map(repr, args)):.200}"
            )
        super().__init__(**kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the model on data, or joins it to a graph of layers. Without a tape and under one it is one program
        where that can be."""
        if len(args) == 1 and kwargs.keys() <= {"training"}:
            training = kwargs.get("training")
            y = None
            if outermost():
                y = self._at_once("_call_function", CompiledCall, args[0], training)
            elif context.entry is None and under_one_tape():
                y = self._at_once("_taped_function", taped_call, args[0], training)
            if y is not None:
                return y
        return super().__call__(*args, **kwargs)

    def _at_once(self, name: str, kind: Any, x: Any, training: Any) -> Any:
        self._notice_changes()
        if getattr(self, name) is None and self._all_built():
            object.__setattr__(self, name, kind(self))
        function = getattr(self, name)
        return function and function(x, training)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors in, tensors out; defined by subclasses."""
        self._check_super_called()
        raise NotImplementedError(f"Model {type(self).__name__} does not have a `call()` method implemented.")

    # --- layers ------------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Any]:
        """The layers directly inside, in the order in which they were attached."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError("`Model.layers` attribute is reserved and should not be used. Please use another name.")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of that name, or at that place in `layers`. Raises ValueError when there is none."""
        if index is not None and name is not None:
            raise ValueError(f"Provide only a layer name or a layer index. Received: index={index}, name={name}.")
        layers = self.layers
        if index is not None:
            if len(layers) <= index:
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        if name is None:
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Prints the layers, their output shapes and numbers of parameters, and the totals."""
        utils.summary.print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any) -> None:
        """Writes the whole model (configuration, weights, optimizer) into a `.keras` file; `zipped=False`: a folder."""
        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
        """Writes the weights into a `.weights.h5` file; `max_shard_size` (GB): several and their `.weights.json`."""
        saving.save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Reads weights from a `.weights.h5`, `.weights.json`, `.keras` or `.h5` file of the same architecture."""
        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration (without weights) as JSON; the reverse of `model_from_json`."""
        return str(saving.model_to_json(self, **kwargs))

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes what the model does in inference, weights included, into a file of another runtime.

        The only `format` is "onnx", which needs the package onnx; see `nacre.onnx.export_onnx` for the other arguments.
        Raises ValueError for others: for them, save the model and export it with Keras.
        """
        if format != "onnx":
            raise ValueError(
                f"Unrecognized format={format}. Supported formats are: ['onnx']. For others save the model with "
                "`model.save('model.keras')`, load it with Keras and export it there"
            )
        onnx.export_onnx(self, filepath, verbose, input_signature, **kwargs)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, Any]:
        """All Variables' values as nested dicts by the parts of their paths.

        The keys above are `trainable_variables`, `non_trainable_variables`, `optimizer_variables` and
        `metrics_variables`; `value_format` is `"backend_tensor"` or `"numpy_array"`. Raises ValueError when two
        Variables have one path.
        """
        if value_format not in ("backend_tensor", "numpy_array"):
            raise ValueError(
                "Invalid `value_format` argument. Expected one of {'numpy_array', 'backend_tensor'}. Received: "
                f"value_format={value_format}"
            )
        nested: dict[str, Any] = {}
        for family, variables in self._families().items():
            by_path: dict[str, Any] = {}
            for v in variables:
                if v.path in by_path:
                    raise ValueError(
                        f"The following variable path is found twice in the model: '{v.path}'. `get_state_tree()` can "
                        "only be called when all variable paths are unique. Make sure to give unique names to your "
                        "layers (and other objects)."
                    )
                by_path[v.path] = v.numpy() if value_format == "numpy_array" else v.value
            nested[family] = {}
            for path, value in by_path.items():
                *above, last = path.split("/")
                place = nested[family]
                for part in above:
                    place = place.setdefault(part, {})
                place[last] = value
        return nested

    def set_state_tree(self, state_tree: dict[str, Any]) -> None:
        """Assigns values as `get_state_tree` gives them; Variables that are not in the tree stay as they are."""
        families = self._families()
        for family, values in state_tree.items():
            if family not in families:
                raise ValueError(f"Unknown variable name: {family}")
            variables = {v.path: v for v in families[family]}
            for path, value in _by_path(values):
                if path in variables:
                    variables[path].assign(value)

    def _families(self) -> dict[str, list[Any]]:
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": self.optimizer.variables if self.optimizer is not None else [],
            "metrics_variables": self.metrics_variables,
        }

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that the model was built for."""
        return super().get_build_config()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The model of that configuration, with fresh weights."""
        keys = ("name", "layers", "input_layers", "output_layers")
        graph = all(key in config for key in keys)
        if graph and (cls is Model or issubclass(cls, cls._functional_class)):
            return cls._functional_class.from_config.__func__(cls, config, custom_objects)  # type: ignore[attr-defined]
        with registry.CustomObjectScope(custom_objects):
            return super().from_config(config)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Not available. Raises NotImplementedError."""
        raise NotImplementedError("quantize: nacre computes in float32 and has no quantized layers")


def _by_path(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _by_path(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _make_functional(cls: type) -> None:
    """Gives a subclass of Model the base class Functional in place of Model."""
    if issubclass(cls, Model._functional_class):
        return
    for base in cls.__bases__:
        if base is Model:
            cls.__bases__ = tuple(Model._functional_class if b is Model else b for b in cls.__bases__)
            return
        if issubclass(base, Model):
            _make_functional(base)
