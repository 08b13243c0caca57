"""Arrays in HDF5 files. What is read is only data of this very file: no links, no external or virtual storage, no
plug-in filters, no types but numbers, and no array that is larger than what the file can hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nacre.core.variable import Variable

# Filters that are part of HDF5 and h5py (gzip, shuffle, fletcher32, szip, nbit, scale-offset, lzf). For any other, the
# HDF5 library would search plug-in folders for a shared object to load.
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
_DEFLATE_LIMIT = 1100  # gzip cannot shrink by more than 1032
_SLACK = 1 << 16


def room(size: int) -> int:
    """More bytes than the variables of an honest model have whose weights take `size` bytes in a file."""
    return 64 * size + (1 << 28)


class DamagedFile(ValueError):
    """A file that cannot be what it says it is."""


def h5py() -> Any:
    """The module h5py, imported on first use."""
    try:
        import h5py
    except ImportError:
        raise ImportError("saving and loading weights needs h5py: pip install h5py") from None
    return h5py


@contextlib.contextmanager
def reading(source: Any, what: str) -> Iterator[Any]:
    """The open HDF5 file `source` (a path or a binary file). Errors of the HDF5 library become `DamagedFile`."""
    try:
        file = h5py().File(source, "r")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DamagedFile(f"{what} is damaged or no HDF5 file: {error}") from error
    with file:
        yield file


class Reader:
    """Safe look-ups in an open HDF5 file; `what` names it in errors."""

    def __init__(self, file: Any, what: str) -> None:
        self.file = file
        self.what = what

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

    def child(self, group: Any, name: str) -> Any:
        """The group or dataset `name` in `group`; None when there is none. Raises DamagedFile for any kind of link."""
        if not isinstance(group, h5py().Group):
            raise DamagedFile(f"{self.what}: expected a group at {group.name!r}, got an array")
        with self.errors(f"{group.name}/{name}"):
            encoded = name.encode()
            if not group.id.links.exists(encoded):
                return None
            if group.id.links.get_info(encoded).type != h5py().h5l.TYPE_HARD:
                raise DamagedFile(f"{self.what}: {group.name}/{name} is a link to elsewhere; links are refused")
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
            if dataset.is_virtual:
                raise DamagedFile(f"{where} is a virtual data set, made of other files; these are refused")
            if dataset.external:
                raise DamagedFile(f"{where} is stored in another file; that is refused")
            if dataset.dtype.hasobject or dataset.dtype.kind not in "biufSV" or dataset.dtype.fields is not None:
                raise DamagedFile(f"{where} holds {dataset.dtype}, expected numbers")
            properties = dataset.id.get_create_plist()
            filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
            if filters - _FILTERS:
                raise DamagedFile(f"{where} uses the filters {sorted(filters - _FILTERS)}, which are refused")
            if dataset.shape is None:
                raise DamagedFile(f"{where} is empty")
            stored = dataset.id.get_storage_size()
            size = dataset.dtype.itemsize
            for extent in dataset.shape:  # Python ints: no overflow
                size *= int(extent)
            if size > (stored * _DEFLATE_LIMIT if filters else stored) + _SLACK:
                raise DamagedFile(
                    f"{where} claims {size} bytes for shape {dataset.shape}, but the file holds {stored} bytes of it"
                )

    def array(
        self, dataset: Any, shape: tuple[int, ...] | None = None, into: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        """The numbers of a checked dataset, read into `into` where that is given.

        Raises ValueError before reading when `shape` is not the stored one.
        """
        if shape is not None and tuple(dataset.shape) != tuple(shape):
            raise ValueError(
                f"{self.what}: {dataset.name} has shape {tuple(dataset.shape)}, expected shape {tuple(shape)}"
            )
        with self.errors(dataset.name):
            out = np.empty(dataset.shape, dataset.dtype) if into is None else into
            if out.size:
                dataset.read_direct(out)
        if text_attribute(dataset, "dtype") == "bfloat16":
            # bfloat16 is the upper half of a float32.
            return (out.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return out

    @contextlib.contextmanager
    def errors(self, where: str) -> Iterator[None]:
        """Errors of the HDF5 library inside this block say that the file is damaged at `where`."""
        try:
            yield
        except DamagedFile:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError, UnicodeDecodeError) as error:
            raise DamagedFile(f"{self.what} is damaged at {where}: {error}") from error


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

    `known` are the variables that some of them are for: another shape is then refused before anything is read. With
    `fill`, the numbers are read straight into the variable, whose own array is handed back.
    """

    def __init__(self, reader: Reader, group: Any, known: Mapping[str, Any] | None = None, fill: bool = False) -> None:
        self._reader = reader
        self._group = group
        self._known = known or {}
        self._fill = fill

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        dataset = self._reader.child(self._group, str(key)) if self._group is not None else None
        if dataset is None:
            raise KeyError(key)
        if not isinstance(dataset, h5py().Dataset):
            raise DamagedFile(f"{self._reader.what}: expected an array at {dataset.name}, got a group")
        variable = self._known.get(str(key))
        if variable is None:
            return self._reader.array(dataset)
        into = None
        if self._fill and hasattr(variable, "own") and dataset.dtype == np.dtype(variable.dtype):
            into = variable.own()
        return self._reader.array(dataset, tuple(variable.shape), into)

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
