"""`tf.strings`, as far as programs prepare text with it: string arrays in, string arrays out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.tensor import Tensor
from nacre.utils.dataset import Text
from nacre.utils.ragged import Ragged as Ragged


def _texts(value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value, object)
    return np.vectorize(lambda s: s.decode() if isinstance(s, bytes) else str(s), [object])(array)  # type: ignore[no-any-return]


def ragged(pylist: Any, dtype: Any = None, **kwargs: Any) -> Ragged:
    """Rows of different lengths: of tokens, as layers take that look them up, or of numbers."""
    rows = [list(row) for row in pylist]
    values = np.array([value for row in rows for value in row])
    if values.dtype.kind in "SUO":
        values = values.astype(object)
    else:
        small = np.all(values == values.astype("int32")) if values.dtype.kind == "i" else False
        kind = np.dtype(
            dtype or {"f": "float32", "i": "int32" if small else "int64"}.get(values.dtype.kind, values.dtype)
        )
        values = _whole(values, kind) if {values.dtype.kind, kind.kind} <= {*"iu"} else values.astype(kind)
    return Ragged.from_row_lengths(values, [len(row) for row in rows])


def _each(function: Callable[[str], Any], value: Any) -> Text:
    out = np.empty(np.shape(value), object)
    out[...] = np.vectorize(function, [object])(_texts(value)) if out.size else out
    return out.view(Text)


def lower(input: Any, encoding: str = "", name: str | None = None) -> Text:
    """Small letters: of ASCII, or with `encoding="utf-8"` of all alphabets."""
    return _each(str.lower if encoding else lambda s: s.encode().lower().decode(), input)


def upper(input: Any, encoding: str = "", name: str | None = None) -> Text:
    """Capital letters: of ASCII, or with `encoding="utf-8"` of all alphabets."""
    return _each(str.upper if encoding else lambda s: s.encode().upper().decode(), input)


def strip(input: Any, name: str | None = None) -> Text:
    """Without blanks at both ends."""
    return _each(str.strip, input)


def regex_replace(input: Any, pattern: str, rewrite: str, replace_global: bool = True, name: str | None = None) -> Text:
    """What matches `pattern` becomes `rewrite`: every match, or the first."""
    found, count = re.compile(str(pattern)), 0 if replace_global else 1
    return _each(lambda s: found.sub(rewrite, s, count=count), input)


def regex_full_match(input: Any, pattern: str, name: str | None = None) -> Tensor:
    """Whether each whole string matches."""
    found = re.compile(str(pattern))
    return Tensor(np.array(_each(lambda s: found.fullmatch(s) is not None, input), bool))


def length(input: Any, unit: str = "BYTE", name: str | None = None) -> Tensor:
    """The number of bytes, or characters with `unit="UTF8_CHAR"`."""
    count = len if unit == "UTF8_CHAR" else lambda s: len(s.encode())
    return Tensor(np.array(_each(count, input), np.int32))


def substr(input: Any, pos: int, len: int, unit: str = "BYTE", name: str | None = None) -> Text:
    """`len` characters from `pos` on."""
    return _each(lambda s: s[pos : pos + len], input)


def join(inputs: Any, separator: str = "", name: str | None = None) -> Text:
    """Strings put together place by place."""
    parts = np.broadcast_arrays(*(_texts(i) for i in inputs))
    return (
        np.vectorize(lambda *s: separator.join(s), [object])(*parts)[()].view(Text)
        if parts[0].ndim
        else np.asarray(separator.join(str(p[()]) for p in parts), object).view(Text)
    )


def split(input: Any, sep: str | None = None, maxsplit: int = -1, name: str | None = None) -> Any:
    """The parts of one string between `sep` (blanks of ASCII for None), or a list of such arrays."""

    def parts(text: str) -> Text:
        found = text.encode().split(sep.encode() if sep else None, maxsplit)
        return np.array([part.decode() for part in found], object).view(Text)

    texts = _texts(input)
    return parts(str(texts[()])) if not texts.ndim else Ragged(parts(t) for t in texts.ravel())


def unicode_split(input: Any, input_encoding: str = "UTF-8", **kwargs: Any) -> Any:
    """The characters of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    rows = [np.array(list(text), object).view(Text) for text in texts.ravel()]
    return Ragged(rows) if texts.ndim else rows[0]


def unicode_decode(input: Any, input_encoding: str = "UTF-8", **kwargs: Any) -> Any:
    """The numbers of the characters of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    rows = [Tensor(np.array([*map(ord, text)], np.int32)) for text in texts.ravel()]
    return Ragged(rows) if texts.ndim else rows[0]


def unicode_encode(input: Any, output_encoding: str = "UTF-8", **kwargs: Any) -> Text:
    """The string of the characters with these numbers, or one for each row."""
    rows = input if isinstance(input, Ragged) else np.asarray(input)
    one = not isinstance(rows, Ragged) and rows.ndim == 1
    found = "".join(map(chr, rows)) if one else ["".join(map(chr, np.asarray(row))) for row in rows]
    return np.array(found, object).view(Text)


def bytes_split(input: Any, name: str | None = None) -> Any:
    """The bytes of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    rows = [np.array([bytes([b]) for b in text.encode()], object).view(Text) for text in texts.ravel()]
    return Ragged(rows) if texts.ndim else rows[0]


def ngrams(data: Any, ngram_width: Any, separator: str = " ", **kwargs: Any) -> Any:
    """So many (or, of a list, each number of) strings that follow each other along the last axis, put together."""
    if isinstance(data, Ragged):
        return Ragged(ngrams(row, ngram_width, separator) for row in data)
    texts, widths = _texts(data), ngram_width if isinstance(ngram_width, (list, tuple)) else [ngram_width]

    def of_row(row: Any) -> Any:
        joined = [separator.join(row[i : i + n]) for n in widths for i in range(len(row) - n + 1)]
        return np.array(joined, object)

    return np.apply_along_axis(of_row, -1, texts).view(Text)


def format(template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3, name: str | None = None) -> Text:
    """`template` with the values in the place of each `{}`."""
    for value in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        template = template.replace(placeholder, str(np.asarray(value)), 1)
    return np.asarray(template, object).view(Text)


def _as_text(bytes_or_text: Any, encoding: str = "utf-8") -> str:
    return bytes_or_text if isinstance(bytes_or_text, str) else bytes(bytes_or_text).decode(encoding)


# `tf.compat`: text that may be bytes.
CONVERSIONS: dict[str, Callable[..., Any]] = {
    "as_text": _as_text,
    "as_str": _as_text,
    "as_str_any": lambda value, encoding="utf-8": _as_text(value) if isinstance(value, bytes) else str(value),
    "as_bytes": lambda text, encoding="utf-8": text.encode(encoding) if isinstance(text, str) else bytes(text),
}


def reduce_join(inputs: Any, axis: int | None = None, separator: str = "", **kwargs: Any) -> Text:
    """Strings put together along `axis` (all for None)."""
    if isinstance(inputs, Ragged) and axis is not None:
        return np.array([separator.join(_texts(row)) for row in inputs], object).view(Text)
    texts = _texts(inputs)
    if axis is None:
        return np.asarray(separator.join(texts.ravel()), object).view(Text)
    return np.apply_along_axis(lambda row: np.array(separator.join(row), object), axis, texts).view(Text)


def to_number(input: Any, out_type: Any = "float32", name: str | None = None) -> Any:
    """The numbers that the strings spell. Raises ValueError for what is none, or none that `out_type` holds."""
    if isinstance(input, Ragged):
        return Ragged(to_number(row, out_type) for row in input)
    dtype = np.dtype(out_type)
    numbers = _each(int if dtype.kind in "iu" else float, input)  # all digits of an int64
    return Tensor(_whole(numbers, dtype) if dtype.kind in "iu" else np.array(numbers, dtype))


def _whole(numbers: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Whole numbers as that dtype. Raises ValueError where it does not hold one."""
    info = np.iinfo(dtype)
    if numbers.size and not info.min <= min(numbers.flat) <= max(numbers.flat) <= info.max:
        raise ValueError(f"{info.dtype} does not hold the numbers from {min(numbers.flat)} to {max(numbers.flat)}")
    return np.array(numbers, dtype)


def as_string(input: Any, **kwargs: Any) -> Text:
    """The numbers as strings."""
    array = np.asarray(input)
    out = np.empty(array.shape, object)
    out[...] = np.vectorize(str, [object])(array) if array.size else out
    return out.view(Text)
