"""Keras' ways to spread work over devices, where there is one: the cores of this machine, as `"cpu:0"`.

A script that lays its model out over the devices that it finds runs as it stands; one that names more is refused when
its distribution is set.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from nacre import ops

__all__ = [
    "DataParallel",
    "DeviceMesh",
    "LayoutMap",
    "ModelParallel",
    "TensorLayout",
    "distribute_tensor",
    "distribution",
    "get_device_count",
    "initialize",
    "list_devices",
    "set_distribution",
]


def list_devices(device_type: str | None = None) -> list[str]:
    """The names of the devices: `["cpu:0"]`. Raises RuntimeError for a `device_type` other than `"cpu"`."""
    if device_type not in (None, "cpu"):
        raise RuntimeError(f"list_devices: nacre runs on CPUs, there are no devices of type {device_type!r}")
    return ["cpu:0"]


def get_device_count(device_type: str | None = None) -> int:
    """How many devices there are: 1."""
    return len(list_devices(device_type))


def initialize(
    job_addresses: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Does nothing for one process. Raises RuntimeError when there should be several, ValueError when the environment
    does not say how many."""
    text = os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", "1")
    if not num_processes and not text.isdecimal():
        raise ValueError(
            f"the environment variable KERAS_DISTRIBUTION_NUM_PROCESSES should be a positive int, got {text!r}"
        )
    count = num_processes or int(text)
    if count > 1:
        raise RuntimeError(f"initialize: nacre trains in one process, got num_processes={count}")


class DeviceMesh:
    """Devices in an array whose axes have names.

    Args:
        shape: the sizes of the array. axis_names: a name for each axis.
        devices: their names, as many as the array has places; those of `list_devices()` by default.
    """

    def __init__(self, shape: Any, axis_names: Any, devices: Any = None) -> None:
        if not shape or not axis_names:
            raise ValueError(f"Shape and axis_names cannot be empty. Received: shape={shape}, axis_names={axis_names}")
        if len(shape) != len(axis_names):
            raise ValueError(
                f"Shape and axis_names should have same size. Received: shape={shape}, axis_names={axis_names}"
            )
        found = np.array(list_devices() if devices is None else devices)
        if found.size != np.prod(shape):
            raise ValueError(
                f"Shape does not match the number of devices. Received: shape={shape}; devices.shape={found.shape}"
            )
        self.shape, self.axis_names, self.devices = shape, axis_names, found.reshape(shape)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} shape={self.shape}, axis_names={self.axis_names}>"


class TensorLayout:
    """Which axis of a mesh each axis of a tensor is cut along; None for those that are not cut."""

    def __init__(self, axes: Any, device_mesh: DeviceMesh | None = None) -> None:
        self.axes = tuple(axes)
        self._device_mesh: DeviceMesh | None = None
        self.device_mesh = device_mesh

    @property
    def device_mesh(self) -> DeviceMesh | None:
        """The mesh; it can be given once."""
        return self._device_mesh

    @device_mesh.setter
    def device_mesh(self, device_mesh: DeviceMesh | None) -> None:
        if self._device_mesh is not None:
            raise ValueError(f"Cannot override device mesh value. Existing value is {self._device_mesh}")
        if device_mesh is not None:
            names, valid = {a for a in self.axes if a is not None}, set(device_mesh.axis_names)
            if names - valid:
                raise ValueError(f"Invalid axis names for Layout. Valid axis names: {valid}, Got {names}")
        self._device_mesh = device_mesh

    def __repr__(self) -> str:
        return f"<{type(self).__name__} axes={self.axes}, device_mesh={self.device_mesh}>"


class LayoutMap(MutableMapping[str, Any]):
    """Layouts by the paths of variables: a key is a path or a regular expression for some."""

    def __init__(self, device_mesh: DeviceMesh | None) -> None:
        self.device_mesh = device_mesh
        self._layouts: dict[str, TensorLayout] = {}

    def __getitem__(self, key: str) -> TensorLayout | None:
        """The layout for a path, None without one. Raises ValueError when several keys fit."""
        fitting = [key] if key in self._layouts else [k for k in self._layouts if re.fullmatch(k, key)]
        if len(fitting) > 1:
            raise ValueError(
                f"Path '{key}' matches multiple layout specification keys: {fitting}. Please make sure each "
                "tensor/variable path only matches at most one layout specification key in the LayoutMap."
            )
        return self._layouts[fitting[0]] if fitting else None

    def __setitem__(self, key: str, layout: Any) -> None:
        if key in self._layouts:
            raise ValueError(
                f"{key} already exist in the LayoutMap with value {self._layouts[key]}. Please make sure to not use "
                "duplicated keys."
            )
        if isinstance(layout, tuple):
            layout = TensorLayout(layout)
        if not isinstance(layout, TensorLayout):
            raise ValueError(f"{layout} should be a TensorLayout type, got {type(layout)}")
        if layout.device_mesh is None:
            layout.device_mesh = self.device_mesh
        self._layouts[key] = layout

    def __delitem__(self, key: str) -> None:
        del self._layouts[key]

    def __len__(self) -> int:
        return len(self._layouts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layouts)


class Distribution:
    """How work is spread over the devices of a mesh."""

    num_processes, data_shard_id = 1, 0

    def __init__(
        self, device_mesh: DeviceMesh, batch_dim_name: str | None = None, auto_shard_dataset: bool = True
    ) -> None:
        self.device_mesh, self.batch_dim_name, self.auto_shard_dataset = device_mesh, batch_dim_name, auto_shard_dataset

    def get_data_layout(self, data_shape: Any) -> TensorLayout:
        """Samples are cut along the axis of the batch."""
        return TensorLayout([self.batch_dim_name, *[None] * (len(data_shape) - 1)], self.device_mesh)

    def get_variable_layout(self, variable: Any) -> TensorLayout:
        """That of the variable's path, or whole on every device."""
        return self.get_tensor_layout(variable.path) or TensorLayout([None] * len(variable.shape), self.device_mesh)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        """That of a value within a model; None: as it comes."""
        return None

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Sets this distribution for a while."""
        before = distribution()
        set_distribution(self)
        try:
            yield
        finally:
            set_distribution(before)

    def distribute_dataset(self, dataset: Any) -> Any:
        """The part of a data set for this process: all of it."""
        return dataset

    def __repr__(self) -> str:
        return f"<{type(self).__name__} device_mesh={self.device_mesh}>"


class DataParallel(Distribution):
    """The weights on every device, each with its part of the batch.

    Args:
        device_mesh: a mesh, of which the first axis counts; or `devices`: their names; `list_devices()` by default.
        auto_shard_dataset: whether several processes share a data set; there is one.
    """

    def __init__(
        self, device_mesh: DeviceMesh | None = None, devices: Any = None, auto_shard_dataset: bool = True
    ) -> None:
        if device_mesh is None:
            found = np.array(devices or list_devices())
            device_mesh = DeviceMesh(found.shape, ["batch"], found)
        if not isinstance(device_mesh, DeviceMesh):
            raise ValueError(
                "Expect `mesh` to be an instance of `DeviceMesh`. "
                f"Received: mesh={device_mesh} (of type {type(device_mesh)})"
            )
        if device_mesh.devices.ndim != 1:
            warnings.warn(
                f"Expect the input mesh to be 1D, but received mesh.devices.ndim={device_mesh.devices.ndim}. "
                "The first axis will be used for data-parallel sharding.",
                stacklevel=2,
            )
        super().__init__(device_mesh, device_mesh.axis_names[0], auto_shard_dataset)

    @property
    def num_model_replicas(self) -> int:
        """How many devices hold the model."""
        return int(self.device_mesh.devices.size)


class ModelParallel(Distribution):
    """Weights cut as a LayoutMap says, samples along `batch_dim_name`, the first axis of its mesh by default."""

    def __init__(
        self,
        *,
        layout_map: LayoutMap | None = None,
        batch_dim_name: str | None = None,
        auto_shard_dataset: bool = True,
        **kwargs: Any,
    ) -> None:
        if layout_map is None:
            raise ValueError("You must specify a layout_map argument.")
        if not isinstance(layout_map, LayoutMap) or layout_map.device_mesh is None:
            raise ValueError(f"Argument `layout_map` must be a `LayoutMap` instance. Received: layout_map={layout_map}")
        mesh = layout_map.device_mesh
        super().__init__(mesh, batch_dim_name or mesh.axis_names[0], auto_shard_dataset)
        self._layout_map = layout_map

    @property
    def num_model_replicas(self) -> int:
        """How many devices the batch is cut over."""
        return int(self.device_mesh.shape[list(self.device_mesh.axis_names).index(self.batch_dim_name)])

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        """What the LayoutMap says."""
        return self._layout_map[path]


def distribute_tensor(tensor: Any, layout: TensorLayout) -> Any:
    """`tensor` itself: it is whole on the one device."""
    return ops.convert_to_tensor(tensor)


_current: list[Distribution | None] = [None]


def distribution() -> Distribution | None:
    """The distribution that is set."""
    return _current[0]


def set_distribution(value: Distribution | None) -> None:
    """Sets the distribution, None for none. Raises ValueError when it wants more devices than there are."""
    if value is not None and value.device_mesh.devices.size > get_device_count():
        raise ValueError(
            f"set_distribution: {value} is laid out over {value.device_mesh.devices.size} devices, but nacre has one, "
            "'cpu:0', whose cores it uses by itself. Give DeviceMesh what list_devices() says?"
        )
    _current[0] = value
