"""The vocabulary of a layer in the folder of its model: one token a line, and as JSON where lines cannot hold it."""

from __future__ import annotations

import json
from pathlib import Path

from nacre.utils.atomic import replacing
from nacre.utils.files import reading

_LINES, _JSON = "vocabulary.txt", "vocabulary.json"


def write(folder: Path, tokens: list[str]) -> None:
    """Makes these the tokens of the folder."""
    path = folder / _LINES
    _replace(path, "\n".join(tokens))
    if _lines(path) != tokens:  # breaks within tokens, or half a pair of surrogates
        _replace(folder / _JSON, json.dumps(tokens))


def read(folder: Path, who: str) -> list[str]:
    """The tokens that `write` left in the folder. Raises ValueError, in the name of `who`, when there are none."""
    path, exact = folder / _LINES, folder / _JSON
    if not path.exists():
        raise ValueError(f"{who}: the file holds no vocabulary of this layer")
    with reading(path, "a vocabulary"):
        lines = _lines(path)
        if exact.exists():
            found = json.loads(exact.read_text("utf-8"))
            if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
                raise ValueError(f"{who}: {_JSON} is no list of strings")
            if _breaks("\n".join(found).encode("utf-8", "replace").decode()) == path.read_text("utf-8"):
                lines = found  # and not what an earlier save has left in the folder
    return lines


def _replace(path: Path, text: str) -> None:
    """Makes `text` what the file holds; where that fails, the file is as it was."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _breaks(text: str) -> str:
    """The text as it is when it comes back from a file: any line break is one character."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(path: Path) -> list[str]:
    """The tokens in a file of one a line, of which the last may end in a line break."""
    text = path.read_text("utf-8")
    return text.removesuffix("\n").split("\n") if text else []
