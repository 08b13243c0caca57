"""keras.saving.KerasFileEditor: the weights in a file, seen, changed, and saved again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from nacre.saving import archive, h5, state
from nacre.saving.archive import Archive
from nacre.utils.atomic import replacing
from nacre.utils.progbar import print_message

_VARIABLES = "vars"  # the group of an object that holds its own arrays


class KerasFileEditor:
    """The weights in a `.weights.h5` or `.keras` file: dicts of objects by name, down to dicts of arrays, in
    `weights_dict`.

    An object is named by its path, `"layers/dense_2"`, or by its last part where that is the only one of its name.

    Raises:
        ValueError: for another ending, and for a damaged file.
    """

    def __init__(self, filepath: Any) -> None:
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith((".keras", ".weights.h5")):
            raise ValueError(
                f"Invalid filename: expected a `.keras` or `.weights.h5` extension. Received: filepath={self.filepath}"
            )
        with open(self.filepath, "rb") as file:
            if self.filepath.endswith(".keras"):
                with Archive(file, self.filepath).weights() as reader:
                    self.weights_dict = _read(reader)
            else:
                with h5.reading(file, self.filepath) as reader:
                    self.weights_dict = _read(reader)

    def summary(self) -> None:
        """Prints the objects, and shapes and dtypes of their weights."""
        print_message(f"Keras model file '{self.filepath}'")
        print_message("Weights structure")
        for name, value in self.weights_dict.items():
            for line in _drawn(name, value, "  > ", "      "):
                print_message(line)

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Prints how the file differs from what `reference_model` would be saved as.

        Returns:
            `"status"` (`"success"` or `"error"`), `"error_count"`, and `"match_count"`: how many weights fit.
        """
        wanted = io.BytesIO()
        with h5.h5py().File(wanted, "w") as file:
            state.write_state(reference_model, file)
        with h5.reading(wanted, "the reference model") as reader:
            errors, matches = _differences(self.weights_dict, _read(reader), "")
        for error in errors:
            print_message(f"ERROR: {error}")
        print_message(
            f"Comparison failed: {len(errors)} error(s) found."
            if errors
            else "Comparison successful: all weights match."
        )
        return {"status": "error" if errors else "success", "error_count": len(errors), "match_count": matches}

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Gives an object another last name."""
        if "/" in new_name:
            raise ValueError(f"rename_object: expected a name without '/', got {new_name!r}")
        parent, name = self._find(object_name)
        if new_name in parent:
            raise ValueError(
                f"rename_object: {self.filepath} has an object named {new_name!r} in the same place already"
            )
        for key in list(parent):  # the order stays
            value = parent.pop(key)
            parent[new_name if key == name else key] = value

    def delete_object(self, object_name: str) -> None:
        """Takes an object out, with all that is below it."""
        parent, name = self._find(object_name)
        del parent[name]

    def add_object(self, object_path: str, weights: dict[str, Any]) -> None:
        """Puts an object of these weights, name -> array, at a path, whose groups are made where they are missing."""
        *above, name = object_path.strip("/").split("/")
        group = self.weights_dict
        for part in above:
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise ValueError(f"add_object: {part!r} in {object_path!r} is a weight, not an object")
        if name in group:
            raise ValueError(f"add_object: {self.filepath} has an object at {object_path!r} already; see add_weights()")
        group[name] = _arrays(weights)

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Takes a weight out of an object."""
        found = self._object(object_name)
        if isinstance(found.get(weight_name), dict) or weight_name not in found:
            raise ValueError(
                f"delete_weight: {object_name!r} has no weight {weight_name!r}, it has {_weights_of(found)}"
            )
        del found[weight_name]

    def add_weights(self, object_name: str, weights: dict[str, Any]) -> None:
        """Puts weights, name -> array, into an object; equal names are replaced."""
        self._object(object_name).update(_arrays(weights))

    def save(self, filepath: Any) -> None:
        """Writes the weights into a `.weights.h5` file, which replaces an old one when it is complete."""
        path = os.fspath(filepath)
        if not path.endswith(".weights.h5"):
            raise ValueError(f"Invalid `filepath` argument: expected a `.weights.h5` extension. Received: {path}")
        with replacing(path) as file, archive.filling(archive.Window(file, 0)) as weights:
            _write(weights, self.weights_dict)

    resave_weights = save

    def _object(self, name: str) -> dict[str, Any]:
        parent, last = self._find(name)
        return parent[last]  # type: ignore[no-any-return]

    def _find(self, name: str) -> tuple[dict[str, Any], str]:
        """The dict that holds an object, and its name there."""
        name = name.strip("/")
        found = [(d, path) for d, path in _objects(self.weights_dict, "") if name in (path, path.rpartition("/")[2])]
        exact = [place for place in found if place[1] == name]
        if len(exact or found) != 1:
            known = [path for _, path in _objects(self.weights_dict, "")]
            problem = f"several objects are called {name!r}" if found else f"there is no object {name!r}"
            raise ValueError(f"{self.filepath}: {problem}; give one of these paths: {known}")
        parent, path = (exact or found)[0]
        return parent, path.rpartition("/")[2]


def _objects(group: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """(the dict that it is in, its path) of every object."""
    for name, value in group.items():
        if isinstance(value, dict):
            yield group, path + name
            yield from _objects(value, f"{path}{name}/")


def _weights_of(found: dict[str, Any]) -> list[str]:
    return [name for name, value in found.items() if not isinstance(value, dict)]


def _arrays(weights: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(weights, dict):
        raise ValueError(f"expected weights to be a dict of arrays by name, got {type(weights).__name__}")
    return {str(name): np.asarray(value) for name, value in weights.items()}


def _read(reader: h5.Reader) -> dict[str, Any]:
    met: set[int] = set()

    def group(place: Any) -> dict[str, Any]:
        address = h5.h5py().h5o.get_info(place.id).addr
        if address in met:
            raise h5.DamagedFile(f"{reader.what}: the group {place.name} stands in several places")
        met.add(address)
        found: dict[str, Any] = {}
        for name in place:
            item = reader.child(place, name)
            if item is None:
                raise h5.DamagedFile(f"{reader.what}: {name!r} in {place.name} leads nowhere")
            if not isinstance(item, h5.h5py().Group):
                found[name] = reader.array(item)
            elif name == _VARIABLES:
                found.update(group(item))
            else:
                inner = group(item)
                if inner:
                    found[name] = inner
        return found

    with reader.errors("/"):
        return group(reader.file)


def _write(group: Any, found: dict[str, Any]) -> None:
    own = {name: value for name, value in found.items() if not isinstance(value, dict)}
    if own:
        variables = group.require_group(_VARIABLES)
        for name, value in own.items():
            variables.create_dataset(name, data=value)
    for name, value in found.items():
        if isinstance(value, dict):
            _write(group.require_group(name), value)


def _differences(found: dict[str, Any], wanted: dict[str, Any], path: str) -> tuple[list[str], int]:
    """What the file lacks, has too much or in another shape, and how many weights fit."""
    errors: list[str] = []
    matches = 0
    for name in [*wanted, *(n for n in found if n not in wanted)]:
        where = f"{path}{name}"
        mine, theirs = found.get(name), wanted.get(name)
        if mine is None or theirs is None:
            errors.append(f"{where} is in the {'model' if mine is None else 'file'} only")
        elif isinstance(mine, dict) != isinstance(theirs, dict):
            errors.append(f"{where} is a weight on one side, an object on the other")
        elif isinstance(mine, dict):
            inner, fitting = _differences(mine, theirs, f"{where}/")
            errors += inner
            matches += fitting
        elif mine.shape != theirs.shape:
            errors.append(f"{where} has shape {mine.shape} in the file, {theirs.shape} in the model")
        else:
            matches += 1
    return errors, matches


def _drawn(name: str, value: Any, head: str, below: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{head}{name}: shape={value.shape}, dtype={value.dtype}"
        return
    yield f"{head}{name}"
    for i, (inner, item) in enumerate(value.items()):
        last = i == len(value) - 1
        yield from _drawn(inner, item, below + ("└─ " if last else "├─ "), below + ("    " if last else "│   "))
