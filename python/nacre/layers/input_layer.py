"""Where a graph of layers starts."""

from __future__ import annotations

import warnings
from typing import Any

from nacre.core import naming
from nacre.core.config import floatx
from nacre.core.operation import Node
from nacre.core.spec import partial_shape, standardize_dtype
from nacre.core.tensor import KerasTensor
from nacre.layers.layer import Layer


class InputLayer(Layer):
    """The layer of an input: gives a KerasTensor, `output`. `Input` makes one and hands that tensor over."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        if "input_shape" in kwargs:
            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", UserWarning, stacklevel=2)
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to InputLayer: {kwargs}")
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    "Argument `input_tensor` must be a KerasTensor. Received invalid type: "
                    f"input_tensor={input_tensor} "
                    f"(of type {type(input_tensor)})"
                )
            for argument, value, its in (
                ("batch_size", batch_size, input_tensor.shape[0] if input_tensor.shape else None),
                ("shape", None if shape is None else partial_shape(shape), input_tensor.shape[1:]),
                ("batch_shape", None if batch_shape is None else partial_shape(batch_shape), input_tensor.shape),
                ("dtype", dtype, input_tensor.dtype),
                ("sparse", sparse, input_tensor.sparse),
            ):
                if value is not None and value != its:
                    raise ValueError(
                        "When providing the `input_tensor` argument, you cannot provide an incompatible "
                        f"`{argument}` argument. Received: {argument}={value}, where the tensor has {its}"
                    )
            batch_shape, shape, batch_size, dtype = input_tensor.shape, None, None, input_tensor.dtype
        for argument, value in (("sparse", sparse), ("ragged", ragged)):
            if value:
                raise ValueError(f"`{argument}=True` is not supported with the nacre backend: pass dense tensors")
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_size is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        if shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        self.batch_shape = partial_shape((batch_size, *partial_shape(shape)) if shape is not None else batch_shape)
        self._input_dtype_name = _input_dtype(dtype)
        self.sparse, self.ragged = bool(sparse), bool(ragged)
        self.optional = bool(optional)
        output = input_tensor
        if output is None or output._keras_history is not None:
            tensor_name = name if name is not None else naming.auto_name("keras_tensor")
            output = KerasTensor(self.batch_shape, self._input_dtype_name, name=tensor_name)
        Node(self, (), {}, output)
        self.built = True

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_tensor_name": self._inbound_nodes[0].outputs[0].name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        name = self.__dict__.pop("_tensor_name")
        Node(self, (), {}, KerasTensor(self.batch_shape, self._input_dtype_name, name=name))

    def call(self) -> Any:
        """Nothing comes in here: the model sets the value."""
        return None

    @property
    def dtype(self) -> str:
        """The dtype of the input."""
        return self._input_dtype_name

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
            "optional": self.optional,
        }


def _input_dtype(dtype: Any) -> str:
    if dtype is None:
        return floatx()
    if dtype == "string":
        return "string"
    return dtype if isinstance(dtype, str) and standardize_dtype(dtype) else standardize_dtype(dtype)


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> Any:
    """A KerasTensor (batch_size, *shape) that stands for the data a model will get.

    Args:
        shape: sizes without the batch axis; None for any size.
        batch_size: the size of the batch axis, any when not given.
        dtype: `floatx()` when not given.
        batch_shape: sizes with the batch axis, instead of the two.
        name: name of the input; keys of dict data refer to it.
        tensor: a KerasTensor whose shape and dtype to take.
        optional: whether None may be passed for it.

    >>> Input((28, 28, 1), name="image").shape
    (None, 28, 28, 1)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        input_tensor=tensor,
        optional=optional,
    )
    return layer.output
