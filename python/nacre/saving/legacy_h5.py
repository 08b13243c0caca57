"""Whole models in one HDF5 file, as Keras 2 wrote them and Keras 3 still does when a path ends in `.h5`.

The configuration is JSON in an attribute; weights stand in groups by layer name, listed in attributes.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any, BinaryIO

import numpy as np

from nacre.core import registry
from nacre.core.custom_objects import PUBLIC_AS
from nacre.core.variable import Postponed
from nacre.saving import h5
from nacre.saving.archive import KERAS_VERSION, Window, filling
from nacre.saving.h5 import DamagedFile, Reader

_MODELS = ("Sequential", "Functional", "Model")
_ATTRIBUTE_LIMIT = 64000  # bytes; HDF5 allows 65536 for the whole object header


# --- reading ---------------------------------------------------------------------------------------------------


def read_model(file: BinaryIO, what: str, custom_objects: Any, compile: bool, safe_mode: bool) -> Any:
    """The model in an open `.h5` file."""
    from nacre.saving.api import build

    with h5.reading(file, what) as reader:
        source = reader.file
        config = _json(source, "model_config", what)
        if config is None:
            raise ValueError(f"No model config found in the file at {what}: it holds weights only. Use load_weights().")
        fresh = Postponed(h5.room(file.seek(0, os.SEEK_END)), what)
        with fresh.open():
            model = build(_modern(config, what), what, custom_objects, False, safe_mode)
            weights = reader.child(source, "model_weights")
            if weights is None:
                raise DamagedFile(f"{what}: there is no group 'model_weights'")
            fresh.loaded(_read_group(model, weights, reader))
        fresh.settle()
        training = _json(source, "training_config", what) if compile else None
        if compile and training is None:
            warnings.warn("No training configuration found in the save file: compile the model manually.", stacklevel=4)
        if training is not None:
            _compile(model, training, what, custom_objects, safe_mode)
            _read_optimizer(model, reader)
    return model


def read_weights(model: Any, reader: Reader, skip_mismatch: bool, by_name: bool, skip: list[Any]) -> None:
    """Fills `model` from an HDF5 file with weights by layer."""
    source = reader.file
    group = source if "layer_names" in source.attrs else reader.child(source, "model_weights")
    if group is None:
        raise DamagedFile(f"{reader.what}: there are no weights in it")
    _read_group(model, group, reader, skip_mismatch, by_name, {id(obj) for obj in skip})


def _json(source: Any, name: str, what: str) -> Any:
    text = h5.text_attribute(source, name)
    if text is None:
        try:
            there = name in source.attrs
        except (OSError, RuntimeError, KeyError, ValueError):
            there = True
        if there:
            raise DamagedFile(f"{what}: the attribute {name!r} is damaged: it cannot be read as a text")
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{what}: the attribute {name!r} is damaged: {error}") from error


def names(group: Any, name: str, what: str) -> list[str]:
    """A list of names in an attribute, which may be spread over `name0`, `name1`, ..."""
    found: list[Any] = []
    try:
        if name in group.attrs:
            found = list(np.ravel(group.attrs[name]))
        else:
            i = 0
            while f"{name}{i}" in group.attrs:
                found += list(np.ravel(group.attrs[f"{name}{i}"]))
                i += 1
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFile(f"{what}: the attribute {name!r} of {group.name} is damaged: {error}") from error
    if not all(isinstance(n, (str, bytes)) for n in found):
        raise DamagedFile(f"{what}: the attribute {name!r} of {group.name} must list names")
    return [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in found]


def _weights(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _layers(model: Any) -> list[Any]:
    """The layers of a model, and those with weights that a subclass of a functional model has beside its graph."""
    inside = model._flatten_layers(include_self=False, recursive=False)
    return list(dict.fromkeys([*model.layers, *(layer for layer in inside if _weights(layer))]))


def _read_group(
    model: Any,
    group: Any,
    reader: Reader,
    skip_mismatch: bool = False,
    by_name: bool = False,
    skip: set[int] | None = None,
) -> list[Any]:
    """Fills `model` from groups by layer name; hands back the variables that have values now."""
    saved = []
    for name in names(group, "layer_names", reader.what):
        inner = reader.child(group, name)
        if inner is None:
            raise DamagedFile(f"{reader.what}: the group of layer {name!r} is missing")
        stored = names(inner, "weight_names", reader.what)
        if stored:
            saved.append((name, inner, stored))
    layers = [layer for layer in _layers(model) if _weights(layer)]
    if by_name:
        wanted = {layer.name: layer for layer in layers}
        pairs = [(wanted[name], (name, inner, stored)) for name, inner, stored in saved if name in wanted]
    else:
        if len(saved) != len(layers):
            raise ValueError(
                f"Layer count mismatch when loading weights from {reader.what}. Model expected {len(layers)} layers, "
                f"found {len(saved)} saved layers."
            )
        pairs = list(zip(layers, saved, strict=True))
    plan: list[tuple[Any, np.ndarray[Any, Any]]] = []
    for layer, (name, inner, stored) in pairs:
        if skip and id(layer) in skip:
            continue
        try:
            plan += _layer_plan(layer, name, inner, stored, reader)
        except DamagedFile:
            raise
        except ValueError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"Skipping loading of weights for layer {layer.name!r}: {error}", stacklevel=5)
    top = reader.child(group, "top_level_model_weights")
    own = [*getattr(model, "_trainable_variables", ()), *getattr(model, "_non_trainable_variables", ())]
    stored = names(top, "weight_names", reader.what) if top is not None and own else []
    if stored:
        plan += _plan(own, f"the model {model.name!r}", top, stored, reader)
    for variable, array in plan:  # only now, when everything has been found to fit
        variable.assign(array)
    for layer in model._flatten_layers():
        finalize = getattr(layer, "finalize_state", None)
        if finalize is not None:
            finalize()
    return [variable for variable, _ in plan]


def _layer_plan(layer: Any, name: str, group: Any, stored: list[str], reader: Reader) -> Any:
    return _plan(_weights(layer), f"layer {layer.name!r} (named {name!r} in the file)", group, stored, reader)


def _plan(variables: list[Any], what: str, group: Any, stored: list[str], reader: Reader) -> list[Any]:
    if len(variables) != len(stored):
        raise ValueError(
            f"Weight count mismatch for {what}: {len(variables)} variables expected, {len(stored)} in {reader.what}."
        )
    plan = []
    for variable, path in zip(variables, stored, strict=True):
        dataset = group
        for part in filter(None, path.split("/")):
            dataset = reader.child(dataset, part) if dataset is not None else None
        if dataset is None or not hasattr(dataset, "dtype"):
            raise DamagedFile(f"{reader.what}: the array {group.name}/{path} is missing")
        if dataset.dtype.kind not in "biuf":
            raise DamagedFile(f"{reader.what}: {group.name}/{path} holds {dataset.dtype}, expected numbers")
        plan.append((variable, reader.array(dataset, tuple(variable.shape))))
    return plan


def _compile(model: Any, training: Any, what: str, custom_objects: Any, safe_mode: bool) -> None:
    if not isinstance(training, dict):
        raise DamagedFile(f"{what}: the attribute 'training_config' is damaged: {training!r}")
    config = {key: value for key, value in training.items() if key != "optimizer_config"}
    config["optimizer"] = training.get("optimizer_config")
    homes = {"optimizer": "optimizers", "loss": "losses", "metrics": "metrics", "weighted_metrics": "metrics"}
    try:
        config.update({key: _modern_parts(config[key], f"keras.{homes[key]}") for key in homes.keys() & config.keys()})
        with registry.deserializing(safe_mode, custom_objects):
            model.compile_from_config(config)
    except Exception as error:  # the model itself is whole, so this may only warn, whatever is wrong
        warnings.warn(f"{what}: how the model was compiled could not be restored: {error}", stacklevel=5)


def _read_optimizer(model: Any, reader: Reader) -> None:
    optimizer = getattr(model, "optimizer", None)
    group = reader.child(reader.file, "optimizer_weights")
    if optimizer is None or group is None:
        return
    optimizer.build(model.trainable_variables)
    variables = list(optimizer.variables)
    try:
        stored = names(group, "weight_names", reader.what)
        for variable, array in _plan(variables, "the optimizer", group, stored, reader):
            variable.assign(array)
    except DamagedFile:
        raise
    except ValueError as error:
        warnings.warn(f"The optimizer starts with a fresh state: {error}", stacklevel=5)


# --- configurations of Keras 2 in the words of Keras 3 -----------------------------------------------------------


def _modern(config: Any, what: str) -> Any:
    try:
        return modern(config)
    except RecursionError as error:
        raise DamagedFile(f"{what}: the configuration is nested too deeply") from error


def _modern_parts(value: Any, home: str) -> Any:
    """Names and configurations of objects from the module `home`, in lists and dicts by output."""
    if isinstance(value, list):
        return [_modern_parts(part, home) for part in value]
    if isinstance(value, dict) and not isinstance(value.get("class_name"), str):
        return {key: _modern_parts(part, home) for key, part in value.items()}
    return modern(value, home)


def modern(config: Any, home: str = "keras.layers") -> Any:
    """A configuration without modules (Keras 2, or Keras 3 in `.h5`) with the modules of public classes filled in."""
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        return config
    out = dict(config)
    name = "Functional" if out["class_name"] == "Model" else out["class_name"]
    out["class_name"] = name
    out.setdefault("registered_name", None)
    if ">" in name:  # a class of the user's, by the name that it was registered under
        out.update(registered_name=name, class_name=name.rpartition(">")[2], module=None)
    if "module" not in out:
        out["module"] = "keras.src.models.functional" if name == "Functional" else "keras" if name in _MODELS else home
    inner = out.get("config")
    if isinstance(inner, list):  # the first versions of Sequential
        inner = {"layers": inner}
    if isinstance(inner, dict):
        inner = dict(inner)
        if isinstance(inner.get("layers"), list):
            inner["layers"] = [modern(layer) for layer in inner["layers"]]
        for key in ("layer", "forward_layer", "backward_layer", "cell"):
            if isinstance(inner.get(key), dict):
                inner[key] = modern(inner[key])
        if name == "InputLayer" and "batch_input_shape" in inner:
            inner["batch_shape"] = inner.pop("batch_input_shape")
        out["config"] = inner
    return out


# --- writing ---------------------------------------------------------------------------------------------------


def write_model(model: Any, file: BinaryIO, include_optimizer: bool) -> None:
    """Writes `model` into an open file in the older format."""
    warnings.warn(
        "You are saving your model as an HDF5 file. This file format is considered legacy. We recommend using instead "
        "the native Keras format, e.g. `model.save('my_model.keras')`.",
        stacklevel=4,
    )
    config = registry.serialize_whole(model)
    if config["class_name"] not in _MODELS and config["registered_name"] is None:
        raise ValueError("save_model: only Sequential and functional models can be saved as `.h5`; use `.keras`")
    with filling(Window(file, 0)) as out:
        out.attrs["backend"] = "jax"  # readers look for a name that they know
        out.attrs["keras_version"] = KERAS_VERSION
        out.attrs["model_config"] = json.dumps(_old(config))
        _write_layers(model, out.create_group("model_weights"))
        training = config.get("compile_config")
        optimizer = getattr(model, "optimizer", None)
        if training and include_optimizer:
            old = {key: value for key, value in training.items() if key != "optimizer"}
            if training.get("optimizer"):
                old["optimizer_config"] = {key: training["optimizer"][key] for key in ("class_name", "config")}
            out.attrs["training_config"] = json.dumps(old)
            if optimizer is not None and getattr(optimizer, "built", False):
                _write_arrays(out.create_group("optimizer_weights"), list(optimizer.variables), optimizer.name)


def _old(config: dict[str, Any]) -> dict[str, Any]:
    """Layers by class name alone, as the older format has them; operations, which it never had, with their module."""
    inner = dict(config["config"])
    if isinstance(inner.get("layers"), list):
        inner["layers"] = [_old(layer) for layer in inner["layers"]]
    kept: dict[str, Any] = {k: config[k] for k in ("name", "inbound_nodes", "shared_object_id") if k in config}
    if ".ops" in (config.get("module") or ""):
        kept["module"] = config["module"]
    registered = config.get("registered_name") or ""
    name = {public: own for own, public in PUBLIC_AS.items()}.get(config["class_name"], config["class_name"])
    return {"class_name": registered if ">" in registered else name, "config": inner, **kept}


def _write_layers(model: Any, group: Any) -> None:
    group.attrs["backend"] = "jax"
    group.attrs["keras_version"] = KERAS_VERSION
    layers = _layers(model)
    _write_names(group, "layer_names", [layer.name for layer in layers])
    for layer in layers:
        _write_arrays(group.create_group(layer.name), _weights(layer))
    own = [*getattr(model, "_trainable_variables", ()), *getattr(model, "_non_trainable_variables", ())]
    _write_arrays(group.create_group("top_level_model_weights"), own)


def _write_arrays(group: Any, variables: list[Any], prefix: str | None = None) -> None:
    paths = [f"{prefix}/{v.name}" if prefix else v.path for v in variables]
    if len(set(paths)) != len(paths):
        paths = [f"{path}_{i}" for i, path in enumerate(paths)]
    _write_names(group, "weight_names", paths)
    for path, variable in zip(paths, variables, strict=True):
        group.create_dataset(path, data=np.asarray(variable))


def _write_names(group: Any, name: str, values: list[str]) -> None:
    """A list of names as an attribute; several attributes when it is too long for one."""
    for value in values:
        if "." in value.split("/"):  # which HDF5 reads as the group itself
            raise ValueError(f"save_model: {value!r} has a part '.', which no name in a `.h5` file has; use `.keras`")
    encoded = [value.encode() for value in values]
    if not encoded:
        group.attrs[name] = np.array([], dtype="S1")
        return
    width = max(len(e) for e in encoded)
    per_part = max(_ATTRIBUTE_LIMIT // width, 1)
    if len(encoded) <= per_part:
        group.attrs[name] = np.array(encoded)
        return
    for i, start in enumerate(range(0, len(encoded), per_part)):
        group.attrs[f"{name}{i}"] = np.array(encoded[start : start + per_part])
