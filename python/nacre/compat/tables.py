"""`tf.data` of text files (tables of comma-separated values, and lines) and `tf.lookup`."""

from __future__ import annotations

import csv
import glob
import gzip
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nacre.compat.pictures import file_names
from nacre.core.tensor import Symbol, Tensor
from nacre.layers.hashes import buckets
from nacre.layers.tokens import only_shape
from nacre.utils.dataset import Dataset, Text, as_values
from nacre.utils.files import reading

# What a column without a default can be, the first that takes all of its values.
_KINDS = ("int32", "int64", "float32", "float64")


def _paths(pattern: Any) -> list[str]:
    patterns = [pattern] if isinstance(pattern, str) or hasattr(pattern, "__fspath__") else list(pattern)
    found = [path for p in patterns for path in sorted(glob.glob(str(p)))]
    if not found:
        raise FileNotFoundError(f"no files match {pattern}")
    return found


def _column(name: str, values: list[str], default: Any, na_value: str) -> np.ndarray[Any, Any]:
    """The values of one column: as `default` is, or as they look."""
    absent = [v in ("", na_value) for v in values]
    dtype = default if isinstance(default, (str, np.dtype, type)) else None  # a dtype: nothing may be absent
    if dtype is not None and any(absent):
        raise ValueError(f"column {name!r} must have a value in each row, row {absent.index(True)} has none")
    if default is not None and dtype is None:
        value = np.asarray(default).ravel()[0]
        narrow = {"f": "float32", "i": "int32"}
        dtype = default.dtype if hasattr(default, "dtype") else narrow.get(np.asarray(value).dtype.kind, "string")
    else:
        value = None
    for kind in (dtype,) if dtype is not None else (*_KINDS, "string"):
        filling = value if value is not None else "" if kind == "string" else 0
        filled = [filling if a else v for a, v in zip(absent, values)]
        if kind == "string":
            return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in filled], object).view(Text)
        try:
            return _numbers(filled, kind, guessed=dtype is None)
        except (ValueError, OverflowError):
            if dtype is not None:
                raise ValueError(f"column {name!r}: expected values of {dtype}, got {values[:3]}, ...") from None
    raise AssertionError("strings take everything")


def _numbers(values: list[Any], dtype: Any, guessed: bool) -> np.ndarray[Any, Any]:
    """The values as numbers of that dtype. Raises ValueError or OverflowError where it does not hold one; what is too
    large for floats that were asked for is infinite."""
    if any(isinstance(v, str) and ("_" in v or not v.isascii()) for v in values):
        raise ValueError("no number of ASCII's digits")
    wide = np.array(values, "float64" if "float" in str(dtype) else "int64")
    with np.errstate(over="ignore"):
        out = wide.astype(dtype, casting="unsafe")
    if (guessed and (np.isinf(out) != np.isinf(wide)).any()) if wide.dtype.kind == "f" else (out != wide).any():
        raise OverflowError(f"a value is beyond those of {dtype}")
    return out


def make_csv_dataset(
    file_pattern: Any,
    batch_size: int,
    column_names: Sequence[str] | None = None,
    column_defaults: Sequence[Any] | None = None,
    label_name: str | None = None,
    select_columns: Sequence[Any] | None = None,
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    header: bool = True,
    num_epochs: int | None = None,
    shuffle: bool = True,
    shuffle_buffer_size: int = 10000,
    shuffle_seed: int | None = None,
    **kwargs: Any,
) -> Dataset:
    """Batches of the rows of CSV files: dicts of columns, and with `label_name` pairs of these and that column.

    Args:
        file_pattern: paths, with * and ?, or a list of them. batch_size: rows of a batch.
        column_names: those of the first line by default. column_defaults: per (selected) column a list with the value
            for absent ones, whose type the column takes, or a dtype for a column that must be complete.
        select_columns: names or numbers of the columns to read. num_epochs: None to go on without end.
    """
    paths = _paths(file_pattern)

    def rows(path: str) -> Iterator[list[str]]:
        with open(path, newline="", encoding="utf-8") as file:
            read = csv.reader(
                file, delimiter=field_delim, quoting=csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE
            )
            yield from (row for row in read if row)

    with reading(paths[0], "a table"):
        names = list(column_names) if column_names is not None else next(rows(paths[0]), [])
    if not names or len({*names}) < len(names):
        raise ValueError(f"{paths[0]}: expected columns, each of another name, got {names}")
    wrong = [c for c in select_columns or () if c not in (range(len(names)) if isinstance(c, int) else names)]
    if wrong:
        raise ValueError(f"select_columns: expected names or numbers of the columns {names}, got {wrong}")
    places = [c if isinstance(c, int) else names.index(c) for c in select_columns or range(len(names))]
    if column_defaults is not None and len(column_defaults) != len(places):
        raise ValueError(f"expected a default for each of {len(places)} columns, got {len(column_defaults)}")
    if label_name is not None and label_name not in [names[p] for p in places]:
        raise ValueError(f"{paths[0]}: `label_name` provided must be one of the columns, got {label_name!r}")
    table: dict[str, np.ndarray[Any, Any]] = {}

    def read() -> int:
        """Fills the table once; the number of its rows."""
        if not table:
            held: list[list[str]] = []
            for path in paths:
                with reading(path, "a table"):
                    some = list(rows(path))[1 if header else 0 :]
                    short = next((n for n, row in enumerate(some) if len(row) != len(names)), None)
                    if short is not None:
                        raise ValueError(f"expected {len(names)} values in row {short}, got {len(some[short])}")
                    held += some
            for p, default in zip(places, column_defaults or [None] * len(places)):
                table[names[p]] = _column(names[p], [row[p] for row in held], default, na_value)
        return len(table[names[places[0]]])

    def batches() -> Iterator[Any]:
        count, random = read(), np.random.default_rng(shuffle_seed)
        epoch, waiting = 0, np.zeros(0, np.int64)
        while count and (num_epochs is None or epoch < num_epochs):
            epoch += 1
            waiting = np.concatenate([waiting, random.permutation(count) if shuffle else np.arange(count)])
            while len(waiting) >= batch_size or (epoch == num_epochs and len(waiting)):
                taken, waiting = waiting[:batch_size], waiting[batch_size:]
                features = {name: values[taken] for name, values in table.items()}
                yield features if label_name is None else (features, features.pop(label_name))

    return Dataset(batches, endless=num_epochs is None)


def _selected(what: str, columns: Sequence[int] | None, defaults: Sequence[Any]) -> list[int]:
    """The numbers of the columns to read."""
    places = list(range(len(defaults)) if columns is None else columns)
    if not places or len(places) != len(defaults) or min(places) < 0:
        raise ValueError(f"{what}: expected numbers of columns, one for each default, got {places}")
    return places


def decode_csv(
    records: Any,
    record_defaults: Sequence[Any],
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    select_cols: Sequence[int] | None = None,
    name: str | None = None,
) -> list[Any]:
    """The columns of lines of comma-separated values, each in the shape of `records`: see `CsvDataset`; an empty
    default says the dtype of a column that must be complete."""
    texts = np.asarray(records, object)
    quoting: Any = csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE
    with reading("decode_csv: the text", "a table"):
        lines = [line.decode() if isinstance(line, bytes) else str(line) for line in texts.ravel()]
        rows = list(csv.reader(lines, delimiter=field_delim, quoting=quoting))
    places = _selected("decode_csv", select_cols, record_defaults)
    wrong = next((r for r in rows if len(r) <= max(places) or (select_cols is None and len(r) != len(places))), None)
    if wrong is not None or len(rows) != len(lines) or len(places) != len(record_defaults):
        raise ValueError(
            f"decode_csv: expected {len(record_defaults)} values in each of {len(lines)} lines, got {wrong}"
        )
    words = [[d] if isinstance(d, (str, bytes)) and type(d) in (str, bytes) else d for d in record_defaults]
    defaults = [getattr(d, "dtype", "float32") if np.size(d) == 0 else d for d in words]
    columns = [_column(str(p), [r[p] for r in rows], d, na_value) for p, d in zip(places, defaults, strict=True)]
    return [as_values(column.reshape(texts.shape)) for column in columns]


class CsvDataset(Dataset):
    """The rows of CSV files, each a tuple of the columns' values.

    Args:
        filenames: paths. record_defaults: per (selected) column a dtype, or a list with the value for absent ones.
        header: whether the first line of each file is none of them. select_cols: the numbers of the columns to read.
        compression_type: None or "GZIP".
    """

    def __init__(
        self,
        filenames: Any,
        record_defaults: Sequence[Any],
        compression_type: str | None = None,
        buffer_size: int | None = None,
        header: bool = False,
        field_delim: str = ",",
        use_quote_delim: bool = True,
        na_value: str = "",
        select_cols: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if compression_type not in (None, "", "GZIP"):
            raise ValueError(f"compression_type: expected None or 'GZIP', got {compression_type!r}")
        opened: Any = gzip.open if compression_type else open
        paths = file_names(filenames)
        places = _selected("CsvDataset", select_cols, record_defaults)
        quoting: Any = csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE

        def rows() -> Iterator[Any]:
            for path in paths:
                with reading(path, "a table"), opened(path, "rt", newline="", encoding="utf-8") as file:
                    read = csv.reader(file, delimiter=field_delim, quoting=quoting)
                    held = itertools.islice((row for row in read if row), int(header), None)
                    while some := list(itertools.islice(held, 1024)):  # a column of many rows is read at once
                        short = next((row for row in some if len(row) <= max(places)), None)
                        if short is not None:
                            raise ValueError(f"expected at least {max(places) + 1} values in a row, got {short}")
                        yield from zip(*[
                            list(_column(str(p), [row[p] for row in some], default, na_value))
                            for p, default in zip(places, record_defaults, strict=True)
                        ])  # fmt: skip

        super().__init__(rows)


class TextLineDataset(Dataset):
    """The lines of text files, without their ends."""

    def __init__(self, filenames: Any, **kwargs: Any) -> None:
        paths = file_names(filenames)

        def lines() -> Iterator[Any]:
            for path in paths:
                with reading(path, "lines"), open(path, encoding="utf-8", newline="") as file:
                    yield from (np.array(line.rstrip("\r\n"), object) for line in file)

        super().__init__(lines)


class KeyValueTensorInitializer:
    """What a table holds: keys and their values, as many."""

    def __init__(self, keys: Any, values: Any, key_dtype: Any = None, value_dtype: Any = None, **kwargs: Any) -> None:
        self.keys, self.values = np.asarray(keys), np.asarray(values, value_dtype if value_dtype != "string" else None)
        if self.keys.shape != self.values.shape or self.keys.ndim != 1:
            raise ValueError(f"expected as many keys as values, got {self.keys.shape} and {self.values.shape}")


def _plain(key: Any) -> Any:
    return key.decode() if isinstance(key, bytes) else key


class StaticHashTable:
    """Values by keys, which are strings or integers; `default_value` for keys that are not there."""

    def __init__(self, initializer: Any, default_value: Any, name: str | None = None) -> None:
        pairs = list(zip(map(_plain, initializer.keys.tolist()), initializer.values.tolist()))
        self._held = dict(pairs)
        twice = next((k for k, v in pairs if self._held[k] != v), None)
        if twice is not None:
            raise ValueError(f"{type(self).__name__}: the key {twice!r} has different values")
        kind = initializer.values.dtype.kind
        fits = default_value is None or (
            isinstance(_plain(default_value), str)
            if kind in "SUO"
            else np.asarray(default_value).dtype.kind in ("iu" if kind in "iu" else "fiu")
        )
        if not fits:
            raise TypeError(f"{type(self).__name__}: {default_value!r} is no value as those of the keys")
        self._default, self._dtype = default_value, initializer.values.dtype

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of `keys`, in their shape."""
        if isinstance(keys, Symbol):
            return only_shape("StaticHashTable.lookup", keys.shape, str(self._dtype))
        asked = np.asarray(keys)
        found = [self._value(_plain(k)) for k in asked.ravel().tolist()]
        dtype = object if self._dtype.kind in "SUO" else "float32" if self._dtype.kind == "f" else self._dtype
        return as_values(np.array(found, dtype).reshape(asked.shape))

    __getitem__ = lookup

    def _value(self, key: Any) -> Any:
        return self._held.get(key, self._default)

    def size(self, name: str | None = None) -> Any:
        """How many keys there are."""
        return Tensor(np.array(len(self._held), np.int64))


class StaticVocabularyTable(StaticHashTable):
    """Numbers by keys; those that are not there share `num_oov_buckets` numbers behind them."""

    def __init__(self, initializer: Any, num_oov_buckets: int, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(initializer, None)
        if num_oov_buckets < 1:
            raise ValueError(f"StaticVocabularyTable: expected at least one bucket, got {num_oov_buckets}")
        self._buckets = num_oov_buckets

    def _value(self, key: Any) -> Any:
        found = self._held.get(key)
        if found is not None:
            return found
        return len(self._held) + int(buckets(np.array([str(key)], object), self._buckets)[0])
