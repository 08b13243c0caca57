"""Saving and loading models and weights: `.keras`, `.weights.h5`, and the `.h5` files of older versions of Keras."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nacre.core import registry
from nacre.core.variable import Postponed
from nacre.saving import archive, h5, parts, state
from nacre.saving.archive import Archive
from nacre.saving.h5 import DamagedFile
from nacre.utils.atomic import replacing


def save_model(model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
    """Writes `model` (its configuration, its weights, the state of its optimizer) into one `.keras` file.

    Args:
        model: the model.
        filepath: where to; must end in `.keras`. An open binary file will do, too.
        overwrite: whether an existing file may be replaced without asking.
        zipped: False writes the parts of the file into the folder `filepath` instead.

    Raises:
        ValueError: for another ending. The old file is only replaced when the new one is complete on the disk.
    """
    include_optimizer = kwargs.pop("include_optimizer", True)  # of a `.h5` file; a `.keras` file has all, as Keras' has
    if kwargs.pop("save_format", None) is not None:
        deprecated = (
            "The `save_format` argument is deprecated in Keras 3: the extension of the path says what is written, "
            "`.keras` or `.h5`. Please remove this argument."
        )
        if not str(filepath).endswith((".keras", ".h5", ".hdf5")):
            raise ValueError(deprecated)
        warnings.warn(deprecated, stacklevel=2)
    if kwargs:
        raise ValueError(f"save_model: The following argument(s) are not supported: {sorted(kwargs)}")
    if isinstance(filepath, io.IOBase):
        _write_model(model, functools.partial(archive.creating, filepath))  # type: ignore[arg-type]
        return
    path = os.fsdecode(filepath)
    folder = zipped is not None and not zipped
    if folder and path.endswith(".keras"):
        raise ValueError(
            f"save_model: zipped=False writes a folder, whose name should not end in `.keras`; got filepath={path}"
        )
    if not folder and not path.endswith(".keras"):
        if path.endswith((".h5", ".hdf5")):
            from nacre.saving import legacy_h5

            _may_write(path, overwrite)
            with replacing(path) as file:
                legacy_h5.write_model(model, file, include_optimizer)
            return
        raise ValueError(
            "Invalid filepath extension for saving. Please add either a `.keras` extension for the native Keras format "
            f"(recommended) or a `.h5` extension. Received: filepath={path}."
        )
    if not getattr(model, "built", True):
        warnings.warn(
            "You are saving a model that has not yet been built. It might not contain any weights yet. Consider "
            "building the model first by calling it on some data.",
            stacklevel=2,
        )
    _may_write(path, overwrite)
    if folder:
        _write_model(model, functools.partial(parts.creating, path))
        return
    with replacing(path) as file:
        _write_model(model, functools.partial(archive.creating, file))


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True) -> Any:
    """The model in a `.keras` file, a folder that `zipped=False` wrote, or a `.h5` file of an older Keras, compiled as
    it was when it was saved.

    Args:
        filepath: a path or an open binary file.
        custom_objects: dict from name to class or function, for what is not registered.
        compile: whether to restore loss, metrics and optimizer with its state.
        safe_mode: accepted for compatibility; marshalled code is refused in either case.

    Raises:
        ValueError: for a missing file, one that is damaged (what is damaged is said) or of another kind.
        FileNotFoundError: for a missing `.h5` file.
        TypeError: for a class that is neither public nor registered nor in `custom_objects`.
    """
    if isinstance(filepath, io.IOBase):
        return _read_model(Archive(filepath, "the file"), custom_objects, compile, safe_mode)  # type: ignore[arg-type]
    path = os.fsdecode(filepath)
    if os.path.isfile(os.path.join(path, archive.CONFIG)):
        return _read_model(parts.Folder(path), custom_objects, compile, safe_mode)
    if not os.path.isfile(path):
        if path.endswith((".h5", ".hdf5")) and not os.path.lexists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if path.endswith((".keras", ".h5", ".hdf5")):
            raise ValueError(f"File not found: filepath={path}. Please ensure the file is an accessible one.")
        raise ValueError(_not_supported(path))
    with open(path, "rb") as file:
        start = file.read(8)
        file.seek(0)
        if start == b"\x89HDF\r\n\x1a\n":
            from nacre.saving import legacy_h5

            return legacy_h5.read_model(file, path, custom_objects, compile, safe_mode)
        if not path.endswith((".keras", ".h5", ".hdf5")) and start[:4] != b"PK\3\4":
            raise ValueError(_not_supported(path))
        return _read_model(Archive(file, path), custom_objects, compile, safe_mode)


def save_weights(model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None, **kwargs: Any) -> None:
    """Writes the weights of `model` and the state of its optimizer into a file that ends in `.weights.h5`.

    Args:
        model: a built model.
        filepath: the file.
        overwrite: whether an existing file may be replaced without asking.
        max_shard_size: GB of numbers (of 1024**3 bytes) that one file may hold. There are then several files beside
            `filepath`, which ends in `.weights.json` and says what is in which.

    Raises:
        ValueError: for another ending, a model without weights, or an array that is larger than `max_shard_size`.
    """
    skip = kwargs.pop("objects_to_skip", None) or ()
    if kwargs:
        raise ValueError(f"save_weights: not supported: {sorted(kwargs)}")
    path = os.fsdecode(filepath)
    if max_shard_size is not None:
        most = float(max_shard_size) * 1024**3
        if not most > 0:
            raise ValueError(f"save_weights: max_shard_size must be a positive number of GB, got {max_shard_size!r}")
        path = parts.index_path(path)
    elif not path.endswith(".weights.h5"):
        raise ValueError(f"The filename must end in `.weights.h5`. Received: filepath={path}")
    _check_built(model, "saving")
    _may_write(path, overwrite)
    if max_shard_size is not None:
        shards = parts.Shards(most)
        state.write_state(model, shards, skip)
        shards.write(path)
        return
    with replacing(path) as file, archive.filling(archive.Window(file, 0)) as weights:
        state.write_state(model, weights, skip)


def _check_built(model: Any, doing: str) -> None:
    if not getattr(model, "built", True) and not model.weights:  # a model with its own `train_step` may never be called
        raise ValueError(
            f"You are {doing} a model that has not yet been built. Try building the model first by calling it on some "
            "data or by using `build()`."
        )


def load_weights(
    model: Any, filepath: Any, skip_mismatch: bool = False, objects_to_skip: Any = None, **kwargs: Any
) -> None:
    """Fills `model` with the weights in a `.weights.h5`, `.weights.json`, `.keras` or `.h5` file.

    Args:
        model: a built model of the same architecture.
        filepath: the file.
        skip_mismatch: whether what does not fit is left alone, with a warning, instead of an error.
        objects_to_skip: layers and models that are left alone.

    Raises:
        ValueError: when the file is damaged or does not fit; it names the layers.
    """
    by_name = kwargs.pop("by_name", False)
    if kwargs:
        raise ValueError(f"load_weights: unknown arguments {sorted(kwargs)}")
    path = os.fsdecode(filepath)
    _check_built(model, "loading weights into")
    skip = list(objects_to_skip or ())
    if not path.endswith((".keras", ".h5", ".hdf5", ".weights.json")) and not os.path.isfile(path):
        raise ValueError(_not_supported(path))
    if path.endswith(".weights.json"):
        with parts.reading(path) as index:
            state.read_state(model, index, skip_mismatch, skip)
        return
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ValueError(f"load_weights: {path} is a device, a pipe or a socket, and no file")
    with open(path, "rb") as file:
        if file.read(4) == b"PK\3\4":
            with Archive(file, path).weights() as reader:
                state.read_state(model, reader, skip_mismatch, skip)
            return
        file.seek(0)
        with h5.reading(file, path) as reader:
            with reader.errors("/"):
                legacy = not path.endswith(".weights.h5") and {"layer_names", "model_weights"} & {
                    *reader.file.attrs,
                    *reader.file,
                }
            if not legacy:
                if by_name:
                    raise ValueError(f"load_weights: by_name=True is for `.h5` files of older versions, got {path}")
                state.read_state(model, reader, skip_mismatch, skip)
                return
            from nacre.saving import legacy_h5

            legacy_h5.read_weights(model, reader, skip_mismatch, by_name, skip)


def model_to_json(model: Any, **kwargs: Any) -> str:
    """The configuration of `model` (architecture, not weights) as a JSON string."""
    return json.dumps(registry.serialize_keras_object(model), **kwargs)


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """A new model, with fresh weights, from what `model.to_json()` gave.

    Raises:
        ValueError: for what is no JSON, or describes no model that can be made.
        TypeError: for a class that is neither public nor registered nor in `custom_objects`.
    """
    try:
        config = json.loads(json_string)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"model_from_json: this is no JSON: {error}") from error
    return build(config, "model_from_json", custom_objects, True, True)


# --- .keras ----------------------------------------------------------------------------------------------------


def _write_model(model: Any, creating: Callable[..., Any]) -> None:
    with creating(registry.serialize_whole(model), _assets(model)) as weights:
        state.write_state(model, weights)


def _read_model(source: Archive | parts.Folder, custom_objects: Any, compile: bool, safe_mode: bool) -> Any:
    what = source.what
    config = source.config()
    fresh = Postponed(source.room(), what)
    with source.weights(new=True) as weights, fresh.open():
        model = build(config, what, custom_objects, compile, safe_mode)
        state.read_state(model, weights, fresh=fresh)
    fresh.settle()
    for path, obj in state.walk(model):
        if hasattr(type(obj), "load_assets"):
            with source.assets(path) as folder:
                try:
                    obj.load_assets(folder)
                except (ValueError, OSError, RecursionError) as error:
                    raise DamagedFile(f"{what}: assets of {path}: {str(error) or type(error).__name__}") from error
    return model


def build(config: Any, what: str, custom_objects: Any, compile: bool, safe_mode: bool) -> Any:
    """The model that a configuration from the file `what` describes. Raises DamagedFile when it describes none."""
    if not isinstance(config, dict) or "class_name" not in config:
        raise DamagedFile(f"{what}: the configuration describes no model")
    if not compile:
        config = {key: value for key, value in config.items() if key != "compile_config"}
    try:
        with registry.Sharing().open():
            model = registry.deserialize_keras_object(config, custom_objects=custom_objects, safe_mode=safe_mode)
    except registry.UnknownObject:
        raise
    except Exception as error:
        raise DamagedFile(f"{what}: no model can be made from the configuration: {_first_cause(error)}") from error
    if not state.saveable(model):
        raise DamagedFile(f"{what}: the configuration describes no model, but {type(model).__name__}")
    return model


def _first_cause(error: BaseException) -> str:
    """What went wrong to begin with, and in which class, when that is known."""
    about = ""
    while error.__cause__ is not None:
        if str(error).startswith("Error when deserializing class"):
            about = str(error).partition(" using")[0].removeprefix("Error when deserializing ") + ": "
        error = error.__cause__
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{about}{kind}{error}"


def _assets(model: Any) -> dict[str, bytes]:
    """What layers keep in files of their own (vocabularies), by path."""
    found: dict[str, bytes] = {}
    for path, obj in state.walk(model):
        if not hasattr(type(obj), "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            obj.save_assets(folder)
            for item in sorted(Path(folder).rglob("*")):
                if item.is_file():
                    found[f"{path}/{item.relative_to(folder).as_posix()}"] = item.read_bytes()
    return found


def _not_supported(path: str) -> str:
    return (
        f"File format not supported: filepath={path}. nacre reads `.keras` files and the `.h5` files of older versions "
        "of Keras."
    )


def _may_write(path: str, overwrite: bool) -> None:
    """Raises FileExistsError when the file is there, must not be replaced, and the user does not say otherwise."""
    if overwrite or not os.path.exists(path):
        return
    if sys.stdin is not None and sys.stdin.isatty():
        with contextlib.suppress(EOFError):
            if input(f"[WARNING] {path} already exists - overwrite? [y/n] ").strip().lower() in ("y", "yes"):
                return
    raise FileExistsError(f"{path} already exists; pass overwrite=True to replace it")
