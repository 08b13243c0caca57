"""Arrays in HDF5 files. What is read is only data of this very file: no links, no external or virtual storage, no
filters but gzip and shuffle, no types but numbers, and no array that is larger than what the file can hold."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from nacre.core.variable import Variable
from nacre.saving.heaps import Followed
from nacre.utils.atomic import uninterrupted
from nacre.utils.beside import Beside

# For filters that are not its own, the HDF5 library would search plug-in folders for a shared object to load.
_GZIP, _SHUFFLE = 1, 2
_DEFLATE_LIMIT = 1100  # gzip cannot shrink by more than 1032
_SLACK = 1 << 16
_CHUNK_LIMIT = 1 << 28  # bytes; HDF5 keeps chunks of up to 1 MiB in its cache
_LARGE = 1 << 16  # elements, which a thread of its own reads


def room(size: int) -> int:
    """More bytes than the variables of an honest model have whose weights take `size` bytes in a file."""
    return 64 * size + (1 << 28)


class DamagedFile(ValueError):
    """A file that cannot be what it says it is."""


def h5py() -> Any:
    """The module h5py, imported on first use."""
    first = "h5py" not in sys.modules
    try:
        import h5py
    except ImportError:
        raise ImportError("saving and loading weights needs h5py: pip install h5py") from None
    if first:
        with contextlib.suppress(ImportError):
            from h5py._conv import unregister_converters

            _kept.append(_LetGo(unregister_converters))
    return h5py


class _LetGo:
    """Takes back what h5py gave to the HDF5 library to call, when the modules end. h5py has `atexit` do so, too late
    if it is only imported when Python is ending, for a model that is saved then: the library, which ends after Python,
    would call into it."""

    def __init__(self, how: Callable[[], Any]) -> None:
        self._how = how

    def __del__(self) -> None:
        self._how()


_kept: list[_LetGo] = []


def descriptor(source: Any) -> int | None:
    """The descriptor of a file of the system's, whose bytes are those that `source` reads; None for any other, such as
    one that unpacks what it reads."""
    raw = getattr(source, "raw", source)
    return raw.fileno() if isinstance(raw, io.FileIO) else None


@contextlib.contextmanager
def reading(source: Any, what: str) -> Iterator[Reader]:
    """Look-ups in the HDF5 file that is in the open binary file `source`. Errors of the HDF5 library become
    `DamagedFile`."""
    followed = Followed(source)
    with uninterrupted(followed.stop):
        try:
            file = h5py().File(followed, "r")
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise DamagedFile(f"{what} is damaged or no HDF5 file: {error}") from error
        with _closed(file, what), Beside(2) as pool:  # has no threads before there is work
            yield Reader(file, followed, what, pool)


@contextlib.contextmanager
def _closed(file: Any, what: str) -> Iterator[None]:
    """Closes an HDF5 file, which may find only then that it is damaged; what was found before counts more."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, RuntimeError):
            file.close()
        raise
    try:
        file.close()
    except (OSError, RuntimeError) as error:
        raise DamagedFile(f"{what} is damaged: {error}") from error


class Reader:
    """Safe look-ups in `file`, an open HDF5 file, the bytes of which are `source`; `what` names it in errors."""

    def __init__(self, file: Any, source: Followed, what: str, pool: Beside) -> None:
        self.file = file
        self.what = what
        self._source = source
        self._pool = pool

    def group(self, path: str) -> Any:
        """The group at `path`, or None when there is none."""
        found = self.file
        for name in filter(None, path.split("/")):
            found = self.child(found, name)
            if found is None:
                return None
            if not isinstance(found, h5py().Group):
                raise DamagedFile(f"{self.what}: expected a group at {path!r}, got an array")
        return found

    def store(self, path: str, known: Mapping[str, Any]) -> ReadStore:
        """The arrays of the object whose group is at `path`, for the variables `known`."""
        return ReadStore(self, self.group(path), known)

    def child(self, group: Any, name: str) -> Any:
        """The group or dataset `name` in `group`; None when there is none. Raises DamagedFile for any kind of link."""
        if not isinstance(group, h5py().Group):
            raise DamagedFile(f"{self.what}: expected a group at {group.name!r}, got an array")
        with self.errors(f"{group.name}/{name}"):
            encoded = name.encode()
            if not group.id.links.exists(encoded):
                return None
            kind = group.id.links.get_info(encoded).type
            if kind != h5py().h5l.TYPE_HARD:
                word = "ExternalLink" if kind == h5py().h5l.TYPE_EXTERNAL else "SoftLink"
                where = f"{group.name}/{name}".replace("//", "/")
                raise DamagedFile(f"{self.what}: {where} is a link to elsewhere ({word}); links are refused")
            found = group[name]
        if isinstance(found, h5py().Dataset):
            self.check(found)
        elif not isinstance(found, h5py().Group):
            raise DamagedFile(f"{self.what}: {group.name}/{name} is neither a group nor an array")
        return found

    def check(self, dataset: Any) -> None:
        """Raises DamagedFile unless `dataset` holds plain numbers or text in this file, of a possible size."""
        where = f"{self.what}: {dataset.name}"
        with self.errors(dataset.name):
            properties = dataset.id.get_create_plist()
            if properties.get_layout() == h5py().h5d.VIRTUAL:
                raise DamagedFile(f"{where} is a virtual data set, made of other files; these are refused")
            if properties.get_external_count():
                raise DamagedFile(f"{where} is stored in another file; that is refused")
            dtype, shape = dataset.dtype, dataset.shape
            if dtype.hasobject or dtype.kind not in "biufSV" or dtype.fields is not None:
                raise DamagedFile(f"{where} holds {dtype}, expected numbers")
            filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())} - {_GZIP, _SHUFFLE}
            if filters:
                raise DamagedFile(f"{where} uses the filters {sorted(filters)}, which are refused")
            if shape is None:
                raise DamagedFile(f"{where} is empty")
            stored = dataset.id.get_storage_size()
            size = dtype.itemsize * math.prod(int(extent) for extent in shape)  # Python ints: no overflow
            chunked = dataset.chunks is not None
            if size > (stored * _DEFLATE_LIMIT + _SLACK if chunked else stored or _SLACK):
                raise DamagedFile(
                    f"{where} claims {size} bytes for shape {shape}, but the file holds {stored} bytes of it"
                )

    def array(
        self, dataset: Any, shape: tuple[int, ...] | None = None, into: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        """The numbers of a checked dataset, read into `into` where that is given.

        Raises ValueError before reading when `shape` is not the stored one.
        """
        if shape is not None and tuple(dataset.shape) != tuple(shape):
            raise ValueError(
                f"{self.what}: {dataset.name} has shape {tuple(dataset.shape)}, expected shape {tuple(shape)}: "
                "the shapes must match"
            )
        with self.errors(dataset.name):
            out = np.empty(dataset.shape, dataset.dtype) if into is None else into
            if out.size and dataset.chunks is not None:
                self._unpack(dataset, out)
            elif out.size:
                dataset.read_direct(out)
        if text_attribute(dataset, "dtype") == "bfloat16":
            # bfloat16 is the upper half of a float32.
            return (out.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return out

    def _unpack(self, dataset: Any, out: np.ndarray[Any, Any]) -> None:
        """Reads a chunked dataset. The HDF5 library takes for granted that what it unpacks fills a chunk: where it does
        not, it copies what stands behind it in memory, or crashes."""
        properties, kind = dataset.id.get_create_plist(), out.dtype
        filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
        size = math.prod(dataset.chunks) * kind.itemsize
        if kind.kind not in "biuf" or (kind.kind != "b" and not _same_type(dataset, kind)) or size > _CHUNK_LIMIT:
            raise ValueError(f"chunks of {size} bytes of {kind} are refused")
        there = dataset.id.get_num_chunks()
        if not there:  # nothing was ever written
            out[...] = dataset.fillvalue
            return
        steps = [range(0, n, step) for n, step in zip(dataset.shape, dataset.chunks)]
        if there != math.prod(map(len, steps)):
            raise ValueError(f"{there} of {math.prod(map(len, steps))} chunks are there")
        for at in itertools.product(*steps):
            # Without filters h5py makes room for a chunk, and the library reads as many bytes as the file says.
            stored = dataset.id.get_chunk_info_by_coord(at).size
            if stored > size + size // 8 + 1024 if filters else stored != size:
                raise ValueError(f"the chunk at {at} has {stored} bytes, expected {size}")
            skipped, data = dataset.id.read_direct_chunk(at)
            for i, (code, _, values, _) in reversed([*enumerate(filters)]):
                if skipped >> i & 1:
                    continue
                if code == _GZIP:
                    data = zlib.decompressobj().decompress(data, size + 1)
                elif values[:1] == (kind.itemsize,) and len(data) == size:
                    data = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1).T.tobytes()
            if len(data) != size:
                raise ValueError(f"the chunk at {at} has {len(data)} bytes, expected {size}")
            chunk = np.frombuffer(data, np.uint8 if kind.kind == "b" else kind).reshape(dataset.chunks)
            target = out[tuple(slice(start, start + step) for start, step in zip(at, dataset.chunks))]
            target[...] = chunk[tuple(slice(n) for n in target.shape)]

    def begin(self, dataset: Any, out: np.ndarray[Any, Any]) -> Future[None] | None:
        """Begins to fill `out` from where the elements of a checked dataset stand in the file, beside everything else.

        None where that cannot be: they must stand one after the other and just as they are in memory, in a file of the
        system's. Raises DamagedFile, and leaves `out` alone, when the file ends before they do.
        """
        with self.errors(dataset.name):
            start = dataset.id.get_offset()
            plain = out.dtype.kind in "iuf" and _same_type(dataset, out.dtype)
            if not plain or start is None or dataset.id.get_storage_size() != out.nbytes or self.file.userblock_size:
                return None
        file, first = descriptor(self._source), getattr(self._source, "start", 0)
        if file is None:
            return None
        if start + out.nbytes > self._source.seek(0, os.SEEK_END):
            raise DamagedFile(f"{self.what} is damaged: it ends inside of {dataset.name}")
        return self._pool.submit(self._fill, file, first + start, memoryview(out).cast("B"), dataset.name)  # type: ignore[arg-type]

    def _fill(self, file: int, at: int, rest: memoryview, where: str) -> None:
        while rest and not self._source.stopped:
            n = os.preadv(file, [rest], at)
            if not n:
                raise DamagedFile(f"{self.what} is damaged: it ends inside of {where}")
            rest, at = rest[n:], at + n

    @contextlib.contextmanager
    def errors(self, where: str) -> Iterator[None]:
        """Errors of the HDF5 library inside this block say that the file is damaged at `where`."""
        try:
            yield
        except DamagedFile:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
            raise DamagedFile(f"{self.what} is damaged at {where}: {error}") from error


def _same_type(dataset: Any, dtype: np.dtype[Any]) -> bool:
    """Whether the elements of `dataset` stand in the file as NumPy has them in memory."""
    return bool(dataset.id.get_type().equal(h5py().h5t.py_create(dtype)))


def text_attribute(item: Any, name: str) -> str | None:
    """The attribute `name` of a group or dataset if it is a short text, else None."""
    try:
        if name not in item.attrs:
            return None
        value = item.attrs[name]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


class ReadStore(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of one object, by name ("0", "1", ...): what `load_own_variables` gets.

    `known` are the variables that they are for: another shape is then refused before anything is read, and where there
    is just one for each, the numbers are read straight into the variables, whose own arrays are handed back.
    """

    def __init__(self, reader: Reader, group: Any, known: Mapping[str, Any] | None = None) -> None:
        self._reader = reader
        self._group = group
        self._known = known or {}
        self._found: dict[str, Any] = {}
        self._begun: dict[str, tuple[np.ndarray[Any, Any], Future[None]]] = {}

    def _dataset(self, key: str) -> Any:
        """The array `key` in the file, None if there is none."""
        if key not in self._found:
            self._found[key] = None if self._group is None else self._reader.child(self._group, key)
        found = self._found[key]
        if found is not None and not isinstance(found, h5py().Dataset):
            raise DamagedFile(f"{self._reader.what}: expected an array at {found.name}, got a group")
        return found

    @functools.cached_property
    def _fits(self) -> bool:
        if len(self) != len(self._known):
            return False
        found = [self._dataset(key) for key in self._known]
        return all(
            d is not None and d.shape == tuple(v.shape) for d, v in zip(found, self._known.values(), strict=True)
        )

    def _own(self, key: str) -> np.ndarray[Any, Any] | None:
        """The array of the variable that the elements of `key` can be read into as they are."""
        variable = self._known.get(key)
        if variable is None or not hasattr(variable, "own") or not self._fits:
            return None
        return variable.own() if self._dataset(key).dtype == np.dtype(variable.dtype) else None

    def begin(self, taken: set[int]) -> None:
        """Begins to read large arrays into their variables, which are then `taken`: the second reader of one waits."""
        for key, variable in self._known.items():
            if math.prod(variable.shape) < _LARGE or id(variable) in taken:
                continue
            taken.add(id(variable))
            own = self._own(key)
            begun = None if own is None else self._reader.begin(self._dataset(key), own)
            if own is not None and begun is not None:
                self._begun[key] = own, begun

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        key = str(key)
        dataset = self._dataset(key)
        if dataset is None:
            raise KeyError(key)
        if key in self._begun:
            array, begun = self._begun[key]
            begun.result()
            return array
        variable = self._known.get(key)
        shape = None if variable is None else tuple(variable.shape)
        return self._reader.array(dataset, shape, self._own(key))

    def __iter__(self) -> Iterator[str]:
        if self._group is None:
            return iter(())
        with self._reader.errors(self._group.name):
            return iter(list(self._group.keys()))

    def __len__(self) -> int:
        if self._group is None:
            return 0
        with self._reader.errors(self._group.name):
            return len(self._group)

    def __contains__(self, key: object) -> bool:
        if self._group is None:
            return False
        with self._reader.errors(self._group.name):
            return bool(self._group.id.links.exists(str(key).encode()))


class WriteStore:
    """Where `save_own_variables` puts arrays; the HDF5 group is made when the first comes, or at once with a name."""

    def __init__(self, file: Any, path: str, name: str | None) -> None:
        self._file = file
        self._path = f"{path}/vars" if path else "vars"
        self._group: Any = None
        if name is not None:
            self._make().attrs["name"] = name

    def _make(self) -> Any:
        if self._group is None:
            self._group = self._file.require_group(self._path)
        return self._group

    def __setitem__(self, key: str, value: Any) -> None:
        array = value._eager_array() if isinstance(value, Variable) else np.asarray(value)  # no copy for the former
        if array.dtype.kind not in "biuf":
            raise TypeError(f"cannot save {self._path}/{key}: expected numbers, got dtype {array.dtype}")
        self._make().create_dataset(str(key), data=array)

    def __getitem__(self, key: str) -> Any:
        return np.asarray(self._make()[str(key)])

    def __len__(self) -> int:
        return 0 if self._group is None else len(self._group)

    def keys(self) -> Any:
        return () if self._group is None else self._group.keys()

    def __contains__(self, key: object) -> bool:
        return self._group is not None and str(key) in self._group
