"""What is not one file: a model as a folder, which has the members of a `.keras` file side by side, and weights in
several files (`max_shard_size`) with an index, `NAME.weights.json`, that says which arrays are in which.

All files of a save take the places of older ones when every one is complete on the disk, the one that names the others
last. A process that is killed just then leaves some of each save: an index says by checksums which files are its own.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nacre.saving import archive, h5
from nacre.saving.archive import ASSETS, CONFIG, METADATA, WEIGHTS
from nacre.saving.h5 import DamagedFile, Reader, ReadStore
from nacre.utils.atomic import replacing_together

# --- folders ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def creating(path: str, config: Any, assets: dict[str, bytes]) -> Iterator[Any]:
    """Writes a model into the folder `path`; inside the block the open HDF5 file is there to be filled."""
    folder = Path(path)
    texts = {
        CONFIG: json.dumps(config).encode(),
        METADATA: archive.metadata(datetime.datetime.now()).encode(),
        **{f"{ASSETS}/{name}": data for name, data in assets.items()},
    }
    targets = {folder.joinpath(*PurePosixPath(name).parts): data for name, data in texts.items()}
    with _folders({folder, *(target.parent for target in targets)}), replacing_together() as opening:
        for target, data in targets.items():
            opening(target).write(data)
        with archive.filling(archive.Window(opening(folder / WEIGHTS), 0)) as weights:
            yield weights


@contextlib.contextmanager
def _folders(wanted: set[Path]) -> Iterator[None]:
    """Makes the folders; those that were not there before go again when the block does not come to its end."""
    made: list[Path] = []
    try:
        for folder in sorted(wanted.union(*(each.parents for each in wanted))):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                made.append(folder)
        yield
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


class Folder:
    """A folder with the members of a `.keras` file."""

    def __init__(self, path: str) -> None:
        self.what = path
        self._path = Path(path)

    def config(self) -> Any:
        """The contents of `config.json`."""
        return archive.parsed(self._read(CONFIG), f"{self.what}/{CONFIG}")

    def _read(self, name: str) -> bytes:
        with self._open(name) as file:
            data = file.read(archive.JSON_LIMIT + 1)
        if len(data) > archive.JSON_LIMIT:
            raise DamagedFile(f"{self.what}/{name} has more than {archive.JSON_LIMIT} bytes")
        return data

    def _open(self, name: str) -> io.FileIO:
        path = self._path / name
        if not path.is_file():
            raise DamagedFile(f"{self.what} is no complete folder of a model: {name!r} is missing")
        return open(path, "rb", buffering=0)

    def room(self) -> int:
        """More bytes than the variables of the model can have."""
        with self._open(WEIGHTS) as file:
            return h5.room(os.fstat(file.fileno()).st_size)

    @contextlib.contextmanager
    def weights(self, new: bool = False) -> Iterator[Reader]:
        """The open HDF5 file."""
        with self._open(WEIGHTS) as file, h5.reading(file, f"{self.what}/{WEIGHTS}") as reader:
            yield reader

    @contextlib.contextmanager
    def assets(self, prefix: str) -> Iterator[str]:
        """The folder with the assets below `prefix`."""
        yield str(self._path.joinpath(ASSETS, *PurePosixPath(prefix).parts))


# --- shards ----------------------------------------------------------------------------------------------------


class _Group:
    """Stands for a group of an HDF5 file that will be written."""

    def __init__(self) -> None:
        self.attrs: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}

    def create_dataset(self, key: str, data: np.ndarray[Any, Any]) -> None:
        self.arrays[key] = data

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def keys(self) -> Any:
        return self.arrays.keys()


class Shards:
    """Takes what `write_state` writes, and cuts it into files of at most `most` bytes of numbers each."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._groups: dict[str, _Group] = {}

    def require_group(self, path: str) -> _Group:
        return self._groups.setdefault(path, _Group())

    def _cut(self) -> list[list[tuple[str, str]]]:
        """For each file the (group, key) of its arrays."""
        files: list[list[tuple[str, str]]] = [[]]
        size = 0
        for path, group in self._groups.items():
            for key, array in group.arrays.items():
                if array.nbytes > self._most:
                    raise ValueError(
                        f"save_weights: the array {path}/{key} has {array.nbytes} bytes, which exceeds the maximum "
                        f"shard size of {self._most:.0f} bytes; a larger `max_shard_size` (in GB) has room for it"
                    )
                if files[-1] and size + array.nbytes > self._most:
                    files.append([])
                    size = 0
                files[-1].append((path, key))
                size += array.nbytes
        return files

    def write(self, index: str) -> None:
        """Writes the files beside `index`, and that."""
        target = Path(index)
        base = target.name.removesuffix(".json").removesuffix(".weights")
        where: dict[str, list[str]] = {}
        sums: dict[str, int] = {}
        with replacing_together() as opening:
            last = opening(target)
            for i, arrays in enumerate(self._cut()):
                name = f"{base}_{i:05}.weights.h5"
                file = opening(target.with_name(name))
                window = archive.Window(file, 0)
                with archive.filling(window) as weights:
                    for path, key in arrays:
                        group = weights.require_group(path)
                        group.attrs.update(self._groups[path].attrs)
                        group.create_dataset(key, data=self._groups[path][key])
                        names = where.setdefault(f"/{path}", [])
                        if name not in names:
                            names.append(name)
                file.flush()
                sums[name] = window.checksum()
            total = sum(array.nbytes for group in self._groups.values() for array in group.arrays.values())
            found = {path: names if len(names) > 1 else names[0] for path, names in where.items()}
            metadata = {"total_size": total, "crc32": sums}
            last.write(json.dumps({"metadata": metadata, "weight_map": found}, indent=4).encode())


def index_path(path: str) -> str:
    """The name of the index, of which a `.weights.h5` in its place is told."""
    if path.endswith(".weights.json"):
        return path
    if not path.endswith(".weights.h5"):
        raise ValueError(
            f"The filename must end in `.weights.json` when `max_shard_size` is specified. Received: filepath={path}"
        )
    index = f"{path.removesuffix('.h5')}.json"
    warnings.warn(f"weights in several files have an index in JSON: {path} is written as {index}", stacklevel=4)
    return index


class JoinedStore(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of one object that may stand in several files."""

    def __init__(self, parts: list[ReadStore]) -> None:
        self._parts = parts

    def begin(self, taken: set[int]) -> None:
        """See `ReadStore.begin`."""
        for part in self._parts:
            part.begin(taken)

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        for part in self._parts:
            if key in part:
                return part[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __contains__(self, key: object) -> bool:
        return any(key in part for part in self._parts)


class Index:
    """The files that an index names, open: a `Reader` for all of them."""

    def __init__(self, what: str, where: Mapping[str, list[str]], readers: Mapping[str, Reader]) -> None:
        self.what = what
        self._where = where
        self._readers = readers

    def store(self, path: str, known: Mapping[str, Any]) -> JoinedStore:
        """The arrays of the object whose groups are at `path`, for the variables `known`."""
        names = self._where.get(f"/{path.strip('/')}", ())
        return JoinedStore([self._readers[name].store(path, known) for name in names])


@contextlib.contextmanager
def reading(path: str) -> Iterator[Index]:
    """The weights to which the index at `path` leads. Raises DamagedFile where it, or a file that it names, is none."""
    with open(path, "rb") as file:
        data = file.read(archive.JSON_LIMIT)
    found = archive.parsed(data, path)
    weight_map = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weight_map, dict):
        raise DamagedFile(f"{path} is damaged or no index of weights: it has no `weight_map`")
    metadata = found.get("metadata")
    sums = metadata.get("crc32") if isinstance(metadata, dict) else None  # that of Keras has none
    where = {name: files if isinstance(files, list) else [files] for name, files in weight_map.items()}
    with contextlib.ExitStack() as stack:
        readers: dict[str, Reader] = {}
        for name in (name for names in where.values() for name in names):
            if not isinstance(name, str) or not name or name != os.path.basename(name):
                raise DamagedFile(f"{path}: {name!r} is no name of a file beside it")
            if name in readers:
                continue
            part = Path(path).with_name(name)
            if not os.path.isfile(part):  # nor is one whose name is too long
                raise DamagedFile(f"{path}: the file {name[:300]!r}, which it names, is missing")
            source = stack.enter_context(open(part, "rb", buffering=0))
            window = archive.Window(source, 0, os.fstat(source.fileno()).st_size)
            if isinstance(sums, dict) and sums.get(name) != window.checksum():
                raise DamagedFile(f"{path}: {name!r} is damaged or of another save: its checksum is wrong")
            readers[name] = stack.enter_context(h5.reading(source, str(part)))
        yield Index(path, where, readers)
