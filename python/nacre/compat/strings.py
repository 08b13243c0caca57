"""`tf.strings`, as far as programs prepare text with it: string arrays in, string arrays out."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.errors import tell
from nacre.core.tensor import Tensor
from nacre.utils.dataset import Text
from nacre.utils.ragged import Ragged as Ragged

# Bytes that are no UTF-8 go through strings as they are.
_BYTES = "surrogateescape"


def _texts(value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value, object)
    return np.vectorize(lambda s: s.decode(errors=_BYTES) if isinstance(s, bytes) else str(s), [object])(array)  # type: ignore[no-any-return]


def _encoded(text: str) -> bytes:
    return text.encode(errors=_BYTES)


def _as_found(value: Any) -> Any:
    """A string that is none, but bytes, as bytes."""
    if isinstance(value, str) and not value.isascii() and any("\udc80" <= c <= "\udcff" for c in value):
        return _encoded(value)
    return value


def ragged(pylist: Any, dtype: Any = None, **kwargs: Any) -> Ragged:
    """Rows of different lengths: of tokens, as layers take that look them up, or of numbers."""
    if not all(isinstance(row, (list, tuple, np.ndarray)) and all(np.ndim(v) == 0 for v in row) for row in pylist):
        raise ValueError(f"ragged.constant: expected rows of numbers or strings, got {pylist!r:.200}")
    rows = [list(row) for row in pylist]
    values = np.array([value for row in rows for value in row])
    if values.dtype.kind in "SUO":
        values = values.astype(object)
    else:
        small = np.all(values == values.astype("int32")) if values.dtype.kind == "i" else False
        kind = np.dtype(
            dtype or {"f": "float32", "i": "int32" if small else "int64"}.get(values.dtype.kind, values.dtype)
        )
        if values.dtype.kind == "f" and kind.kind in "iu" and len(values):
            raise ValueError(f"ragged.constant: expected whole numbers for {kind}, got {pylist!r:.200}")
        values = _whole(values, kind) if {values.dtype.kind, kind.kind} <= {*"iu"} else values.astype(kind)
    return Ragged.from_row_lengths(values, [len(row) for row in rows])


def _each(function: Callable[[str], Any], value: Any) -> Text:
    texts = _texts(value)
    out = np.empty(texts.shape, object)
    out[...] = np.vectorize(lambda s: _as_found(function(s)), [object])(texts) if out.size else out
    return out.view(Text)


def lower(input: Any, encoding: str = "", name: str | None = None) -> Text:
    """Small letters: of ASCII, or with `encoding="utf-8"` of all alphabets."""
    return _each(str.lower if encoding else lambda s: _encoded(s).lower().decode(errors=_BYTES), input)


def upper(input: Any, encoding: str = "", name: str | None = None) -> Text:
    """Capital letters: of ASCII, or with `encoding="utf-8"` of all alphabets."""
    return _each(str.upper if encoding else lambda s: _encoded(s).upper().decode(errors=_BYTES), input)


def strip(input: Any, name: str | None = None) -> Text:
    """Without blanks, those of ASCII, at both ends."""
    return _each(lambda s: s.strip(string.whitespace), input)


_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t-\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_PART = re.compile(r"\\.|\[\^?\]?|\[:\^?\w*:\]|.", re.DOTALL)


def _expression(what: str, pattern: Any) -> re.Pattern[str]:
    """A pattern as TensorFlow reads it: `\\d` and the like are of ASCII, `$` is the end, `[[:alpha:]]` are letters."""
    text, found, inside, at = str(_texts(pattern)[()]), "", False, 0
    lines = re.search(r"\(\?[a-z]*m", text) is not None
    while at < len(text):
        part = re.match(r"\[:\^?\w*:\]", text[at:]) if inside else None
        part = part or _PART.match(text, at)
        assert part is not None  # it takes any character
        of = part[0]
        at += len(of)
        if inside and of.startswith("[:"):
            if of[2:-2] not in _CLASSES:
                raise ValueError(f"{what}: {text!r} has the unknown class {of}")
            of = _CLASSES[of[2:-2]]
        elif inside:
            at, of = (at - len(of) + 1, "[") if of[0] == "[" else (at, of)
            inside, of = of != "]", r"\[" if of == "[" else of
        elif of[0] == "[":
            inside = True
        elif (of == "$" and not lines) or of == r"\z":
            of = r"\Z"
        found += of
    try:
        return re.compile(found, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{what}: {text!r} is no pattern: {error}") from None


def regex_replace(input: Any, pattern: str, rewrite: str, replace_global: bool = True, name: str | None = None) -> Text:
    """What matches `pattern` becomes `rewrite`: every match, or the first."""
    found = _expression("regex_replace", pattern)
    parts = re.findall(r"\\.?|[^\\]+", str(_texts(rewrite)[()]), re.DOTALL)
    if any(p[0] == "\\" and p[1:] != "\\" and not ("0" <= p[1:] <= str(min(found.groups, 9))) for p in parts):
        raise ValueError(
            f"regex_replace: a rewrite names groups as \\0 to \\{found.groups}, and a \\ is two, got {rewrite!r}"
        )

    def replaced(text: str) -> str:
        out, last = "", -1
        end = 0
        for match in found.finditer(text):
            if match.start() == match.end() == last:  # nothing is not found again where something ended
                continue
            out += text[end : match.start()]
            out += "".join(p if p[0] != "\\" else "\\" if p[1] == "\\" else match[int(p[1])] or "" for p in parts)
            end = last = match.end()
            if not replace_global:
                break
        return out + text[end:]

    return _each(replaced, input)


def regex_full_match(input: Any, pattern: str, name: str | None = None) -> Tensor:
    """Whether each whole string matches."""
    found = _expression("regex_full_match", pattern)
    return Tensor(np.array(_each(lambda s: found.fullmatch(s) is not None, input), bool))


def length(input: Any, unit: str = "BYTE", name: str | None = None) -> Tensor:
    """The number of bytes, or characters with `unit="UTF8_CHAR"`."""
    count = len if unit == "UTF8_CHAR" else lambda s: len(_encoded(s))
    return Tensor(np.array(_each(count, input), np.int32))


def substr(input: Any, pos: Any, len: Any, unit: str = "BYTE", name: str | None = None) -> Text:
    """`len` bytes (or characters, by `unit="UTF8_CHAR"`) from `pos` on, which counts from the end when it is negative;
    a negative `len` takes all that is left. Raises ValueError for a `pos` beyond the string."""

    def part(text: str, at: Any, count: Any) -> Any:
        whole: Any = text if unit == "UTF8_CHAR" else _encoded(text)
        size = whole.__len__()
        if not -size <= at <= size:
            raise ValueError(f"substr: pos {at} is out of range for a string of {size}: {text!r:.100}")
        rest = whole[at % size if at < 0 else at :]
        found = rest[:count] if count >= 0 else rest
        return found if unit == "UTF8_CHAR" else found.decode(errors=_BYTES)

    places = np.broadcast_arrays(_texts(input), np.asarray(pos), np.asarray(len))
    out = np.empty(places[0].shape, object)
    if out.size:
        out[...] = np.vectorize(lambda *of: _as_found(part(*of)), [object])(*places)
    return out.view(Text)


def join(inputs: Any, separator: str = "", name: str | None = None) -> Text:
    """Strings put together place by place."""
    if not len(inputs):
        return np.asarray("", object).view(Text)
    parts = np.broadcast_arrays(*(_texts(i) for i in inputs))
    return (
        np.vectorize(lambda *s: separator.join(s), [object])(*parts)[()].view(Text)
        if parts[0].ndim
        else np.asarray(separator.join(str(p[()]) for p in parts), object).view(Text)
    )


def split(input: Any, sep: str | None = None, maxsplit: int = -1, name: str | None = None) -> Any:
    """The parts of one string between `sep` (blanks of ASCII for None), or a list of such arrays."""

    def parts(text: str) -> Text:
        found = _encoded(text).split(_encoded(str(_texts(sep)[()])) if sep else None, maxsplit)
        return np.array([_as_found(part.decode(errors=_BYTES)) for part in found], object).view(Text)

    texts = _texts(input)
    if texts.ndim > 1:
        raise ValueError(f"strings.split: expected one string or a vector of them, got shape {texts.shape}")
    return parts(str(texts[()])) if not texts.ndim else Ragged(parts(t) for t in texts.ravel())


def unicode_split(input: Any, input_encoding: str = "UTF-8", **kwargs: Any) -> Any:
    """The characters of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    rows = [np.array(list(text), object).view(Text) for text in texts.ravel()]
    return Ragged(rows) if texts.ndim else rows[0]


def unicode_decode(input: Any, input_encoding: str = "UTF-8", **kwargs: Any) -> Any:
    """The numbers of the characters of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    read = [_encoded(text).decode(errors="replace") for text in texts.ravel()]
    rows = [Tensor(np.array([*map(ord, text)], np.int32)) for text in read]
    return Ragged(rows) if texts.ndim else rows[0]


def unicode_encode(input: Any, output_encoding: str = "UTF-8", **kwargs: Any) -> Text:
    """The string of the characters with these numbers, or one for each row."""
    rows = input if isinstance(input, Ragged) else np.asarray(input)

    def joined(numbers: Any) -> str:
        return "".join(chr(n) if 0 <= n < 0xD800 or 0xDFFF < n < 0x110000 else "\ufffd" for n in map(int, numbers))

    one = not isinstance(rows, Ragged) and rows.ndim == 1 and rows.dtype != object
    found = joined(rows) if one else [joined(np.asarray(row)) for row in rows]
    return np.array(found, object).view(Text)


def bytes_split(input: Any, name: str | None = None) -> Any:
    """The bytes of one string; of several, as rows of their own lengths."""
    texts = _texts(input)
    rows = [np.array([bytes([b]) for b in _encoded(text)], object).view(Text) for text in texts.ravel()]
    return Ragged(rows) if texts.ndim else rows[0]


def ngrams(data: Any, ngram_width: Any, separator: str = " ", **kwargs: Any) -> Any:
    """So many (or, of a list, each number of) strings that follow each other along the last axis, put together."""
    if isinstance(data, Ragged):
        return Ragged(ngrams(row, ngram_width, separator) for row in data)
    texts, widths = _texts(data), ngram_width if isinstance(ngram_width, (list, tuple)) else [ngram_width]
    if not all(n > 0 for n in widths):
        raise ValueError(f"ngrams: expected an ngram_width of at least 1, got {ngram_width}")

    def of_row(row: Any) -> Any:
        joined = [separator.join(row[i : i + n]) for n in widths for i in range(len(row) - n + 1)]
        return np.array(joined, object)

    return np.apply_along_axis(of_row, -1, texts).view(Text)


def format(template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3, name: str | None = None) -> Text:
    """`template` with the values in the place of each `{}`."""
    values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    if template.count(placeholder) != len(values):
        raise ValueError(f"format: expected as many values as {placeholder!r} in {template!r}, got {len(values)}")
    for value in values:
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


def reduce_join(
    inputs: Any, axis: Any = None, separator: str = "", keepdims: Any = False, name: str | None = None
) -> Text:
    """Strings put together along `axis` (all for None; several one after another)."""
    if isinstance(inputs, Ragged) and axis is not None:
        return np.array([separator.join(_texts(row)) for row in inputs], object).view(Text)
    texts = _texts(inputs)
    every = range(texts.ndim - 1, -1, -1) if axis is None else [int(a) for a in np.ravel(axis)]
    if not all(-texts.ndim <= a < texts.ndim for a in every):
        raise ValueError(f"reduce_join: axis {axis} is out of bounds for strings of shape {texts.shape}")
    for a in every:
        rows = np.moveaxis(texts, a, -1)
        joined = np.empty(rows.shape[:-1], object)
        for place in np.ndindex(joined.shape):
            joined[place] = separator.join(rows[place])
        texts = np.expand_dims(joined, a if a >= 0 else a + texts.ndim)
    return (texts if keepdims else np.squeeze(texts, tuple(every))).view(Text)


def to_number(input: Any, out_type: Any = "float32", name: str | None = None) -> Any:
    """The numbers that the strings spell. Raises ValueError for what is none, or none that `out_type` holds."""
    if isinstance(input, Ragged):
        return Ragged(to_number(row, out_type) for row in input)
    dtype = np.dtype(out_type)

    def number(text: str) -> Any:
        if "_" in text or not text.isascii():  # which Python takes
            raise ValueError(f"to_number: {text!r} is no number")
        return int(text) if dtype.kind in "iu" else float(text)

    numbers = _each(number, input)  # all digits of an int64
    return Tensor(_whole(numbers, dtype) if dtype.kind in "iu" else np.array(numbers, dtype))


def _whole(numbers: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Whole numbers as that dtype. Raises ValueError where it does not hold one."""
    info = np.iinfo(dtype)
    if numbers.size and not info.min <= min(numbers.flat) <= max(numbers.flat) <= info.max:
        raise ValueError(f"{info.dtype} does not hold the numbers from {min(numbers.flat)} to {max(numbers.flat)}")
    return np.array(numbers, dtype)


def as_string(
    input: Any, precision: int = -1, scientific: bool = False, shortest: bool = False, width: int = -1, fill: str = "",
    name: str | None = None,
) -> Text:  # fmt: skip
    """The numbers as strings, those of floats with six digits behind the point, or as many as `precision` says."""
    array = np.asarray(input)
    if (scientific and shortest) or fill not in ("", " ", "+", "-", "0", "#"):
        raise ValueError(f"as_string: expected one of scientific and shortest, and no fill {fill!r}")
    kind = {"b": "s", "f": "e" if scientific else "g" if shortest else "f"}.get(array.dtype.kind, "d")
    if array.dtype.kind not in "biuf":
        return _each(str, input)
    places = f".{precision}" if precision > -1 and kind in "efg" else ""
    form = f"%{fill}{width if width > -1 else ''}{places}{kind}"
    out = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        value = array[place].item()
        out[place] = form % (str(value).lower() if kind == "s" else value)
    return out.view(Text)


tell(globals())
