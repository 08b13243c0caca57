"""Runs a script that was written for Keras, and says in one line what is missing when something is."""

from __future__ import annotations

import re
import runpy
import sys
import traceback
from pathlib import Path

from nacre.compat.install import install_as_keras

_MISSING = re.compile(
    r"module '(?P<module>nacre[\w.]*)' has no attribute '(?P<name>\w+)'"
    r"|cannot import name '(?P<name2>\w+)' from '(?P<module2>[\w.]+)'"
    r"|No module named '(?P<module3>(?:keras|tensorflow|jax|nacre)[\w.]*)'"
)


def missing(error: BaseException, script: str) -> str | None:
    """`script.py, line 3: nacre has no keras.layers.Foo` when that is what `error` is about, else None."""
    found = _MISSING.search(str(error)) if isinstance(error, (AttributeError, ImportError)) else None
    if found is None:
        return None
    module = found["module"] or found["module2"] or found["module3"]
    if module.split(".")[0] not in ("nacre", "keras", "tensorflow", "jax"):
        return None
    name = found["name"] or found["name2"]
    what = module.removeprefix("nacre.compat.").replace("nacre", "keras", 1)
    what = f"{what}.{name}" if name else what
    return f"{script}, line {_line(error, script)}: nacre has no {what}"


def _line(error: BaseException, script: str) -> int | str:
    """The last line of the script that the error came through."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == script]
    return lines[-1] if lines and lines[-1] is not None else "?"


def run_script(script: str, arguments: list[str]) -> int:
    """Runs `script` as a program, with nacre in place of Keras, TensorFlow and JAX; returns its exit status."""
    if not Path(script).is_file():
        print(f"nacre run: there is no file {script}", file=sys.stderr)
        return 2
    install_as_keras(tensorflow=True, jax=True)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except (AttributeError, ImportError) as error:
        text = missing(error, script)
        if text is None:
            raise
        print(text, file=sys.stderr)
        return 1
    return 0
