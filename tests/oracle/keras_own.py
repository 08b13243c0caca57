"""Keras' own unit tests, run against nacre: `python3 dev.py oracle [PATH_OR_PACKAGE ...]`.

The installed keras package brings its tests along (`keras/src/**/*_test.py`). They are run where they lie, with every
import of `keras` answered by nacre: test files and `keras.src.testing` are Keras' own, every other `keras.src.a.b` is
a stand-in whose names are looked up in nacre (`StandIn`). What only Keras' internals have is in `keras_glue.py`; what
cannot apply is in `keras_own_excluded.txt`, each line with its reason. Each file runs in a process of its own.

    python3 dev.py oracle layers/core layers/pooling/max_pooling_test.py
    python3 dev.py oracle layers -k masking          only tests whose name holds "masking"

The table goes to the terminal, failing tests with the last line of their error to build/keras-own/failures.txt, full
tracebacks to build/keras-own/<file>.log. The status is 1 when a test failed.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import keras_glue

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "keras-own"
COUNTS = ("passed", "failed", "errors", "skipped", "excluded")
TEST_SECONDS = 60  # per test; a file gets FILE_SECONDS
FILE_SECONDS = 900
# Libraries that single tests use: where one is not installed, those tests are skipped, and not the file.
_OTHERS = ("grain", "pandas", "torch", "tree", "polars")


def source() -> Path:
    """The folder keras/src of the installed package, found without importing it."""
    spec = importlib.util.find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("real Keras is not installed: pip install nacre[oracle]")
    return Path(next(iter(spec.submodule_search_locations))) / "src"


# --- imports of keras answered by nacre ---------------------------------------------------------------------------


class StandIn(types.ModuleType):
    """`keras.src.a.b`: a name is a module of Keras, else what the glue has, else found in nacre.

    In nacre the public namespace that fits the path is asked first (`layers.core.dense` -> `nacre.layers`), then the
    others.
    """

    def __init__(self, name: str, finder: Finder) -> None:
        super().__init__(name, f"{name}, answered by nacre")
        self.__dict__.update(__path__=[], _finder=finder)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        finder = self.__dict__["_finder"]
        full = f"{self.__name__}.{name}"
        if finder.is_module(full):
            return importlib.import_module(full)
        value = self.__dict__[name] = finder.find(self.__name__.split(".")[1:], name)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `keras...`: Keras' own tests and their tools as they are, a StandIn for all else."""

    def __init__(self, src: Path) -> None:
        import nacre
        import nacre.compat.install

        self.root = src.parent
        self.tensorflow = nacre.compat.install.Finder()  # the names around Keras, tf.data above all
        self.tensorflow.tensorflow = True
        self.public: dict[str, Any] = dict(_public_modules("", nacre))
        self.missing = {name for name in _OTHERS if importlib.util.find_spec(name) is None}

    def path(self, name: str) -> Path | None:
        """The file or folder of Keras that is called `name`."""
        base = self.root.joinpath(*name.split(".")[1:])
        return next((p for p in (base, base.with_suffix(".py")) if p.exists()), None)

    def is_module(self, name: str) -> bool:
        return self.path(name) is not None and name.split(".")[1] in ("src", "api")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "conftest" or name.split(".")[0] in self.missing:  # Keras' conftest.py is not in the package
            return ModuleSpec(name, self, is_package=True)
        if name.split(".")[0] == "tensorflow":
            return self.tensorflow.find_spec(name)
        parts = name.split(".")
        if parts[0] != "keras":
            return None
        if name.endswith("_test") or parts[1:3] == ["src", "testing"]:
            file = self.path(name)
            if file is None:
                return None
            folder = file.is_dir()
            source = str(file / "__init__.py" if folder else file)
            inside = [str(file)] if folder else None
            return importlib.util.spec_from_file_location(
                name, source, loader=OfKeras(name, source), submodule_search_locations=inside
            )
        if len(parts) == 1 or self.is_module(name) or ".".join(parts[1:]) in self.public:
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        if spec.name == "conftest":
            return keras_glue.conftest()
        if not spec.name.startswith("keras"):
            return keras_glue.AbsentModule(spec.name)
        return StandIn(spec.name, self)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""

    def find(self, parts: list[str], name: str) -> Any:
        """`name` as the module `keras.<parts>` would have it. Raises AttributeError when nacre has no such name."""
        inner = [p for p in parts if p not in ("src", "api")]
        path = ".".join(inner)
        found = keras_glue.find(path, name)
        if found is not None:
            return found
        fitting = [".".join(inner[:n]) for n in range(len(inner), -1, -1)]
        fitting = [p for p in fitting if p in self.public]
        anywhere = () if name in ("get", "serialize", "deserialize") else self.public  # many modules have one
        for home in dict.fromkeys((*fitting, *anywhere)):
            module = self.public[home]
            if name in getattr(module, "__all__", ()):
                return getattr(module, name)
        raise AttributeError(f"nacre has nothing in the place of keras.{'.'.join((*parts, name))}")


class OfKeras(importlib.machinery.SourceFileLoader):
    """A file of Keras; where it knows its own engines only, ours is put beside them (`keras_glue.ENGINES`)."""

    def path_stats(self, path: str) -> Any:
        raise OSError("no compiled file: the source is read each time")

    def get_data(self, path: str) -> bytes:
        data = super().get_data(path)
        for there, ours in keras_glue.ENGINES:
            data = data.replace(there.encode(), ours.encode())
        return data


def _public_modules(path: str, module: Any) -> Iterator[tuple[str, Any]]:
    yield path, module
    namespaces = getattr(module, "_NAMESPACES", ())  # nacre.ops.image and the like
    for name in (*getattr(module, "__all__", ()), *namespaces):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType) and value.__name__.startswith("nacre."):
            yield from _public_modules(f"{path}.{name}".lstrip("."), value)


# --- one file, in a process of its own ----------------------------------------------------------------------------


class Excluded:
    """The lines `pattern  # reason`; a pattern is a file, or `file::test`, each with * and ?."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.tests: list[tuple[str, str]] = []
        for line in (HERE / "keras_own_excluded.txt").read_text().splitlines():
            pattern, _, reason = (part.strip() for part in line.partition("#"))
            if pattern and not reason:
                raise SystemExit(f"keras_own_excluded.txt: {pattern!r} has no reason")
            if "::" in pattern:
                self.tests.append((pattern.split("::")[0], pattern.split("::")[1]))
            elif pattern:
                self.files[pattern] = reason

    def file(self, path: str) -> str | None:
        return next((reason for p, reason in self.files.items() if fnmatch.fnmatch(path, p)), None)

    def test(self, path: str, name: str) -> bool:
        return any(fnmatch.fnmatch(path, p) and fnmatch.fnmatch(name, t) for p, t in self.tests)


class Plugin:
    """Writes one line of JSON per event, so that what is known outlives a crash or a time-out."""

    def __init__(self, file: str, events: Path) -> None:
        self.file = file
        self.excluded = Excluded()
        self.out = events.open("w")

    def write(self, **event: Any) -> None:
        print(json.dumps(event), file=self.out, flush=True)

    def pytest_configure(self, config: Any) -> None:
        for marker in ("requires_trainable_backend", "multi_device"):
            config.addinivalue_line("markers", f"{marker}: of Keras' own configuration")

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        left = [i for i in items if self.excluded.test(self.file, f"{i.parent.name}.{i.name}")]
        items[:] = [i for i in items if i not in left]
        self.write(excluded=len(left))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.write(test="(import)", outcome="errors", error=_last_line(str(report.longrepr)))

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.write(start=nodeid.split("::", 1)[1])
        keras_glue.running = True
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(TEST_SECONDS)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        signal.alarm(0)
        keras_glue.running = False

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        if call.excinfo is not None:
            item._keras_own_error = call.excinfo.exconly()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:
            outcome = report.outcome if report.when == "call" or report.skipped else "errors"
            error = _last_line(report.longreprtext) if report.failed else None
            self.write(test=report.nodeid.split("::", 1)[1], outcome=outcome, error=error)


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"the test ran longer than {TEST_SECONDS} s")


def _last_line(text: str) -> str:
    """What was raised and where: pytest's `E` lines joined, and the last place."""
    lines = text.splitlines()
    raised = [line[1:].strip() for line in lines if line.startswith("E ")]
    place = next((line for line in reversed(lines) if ".py:" in line), "")
    words = " ".join(w for w in raised if w) or (lines[-1] if lines else "")
    return f"{words[:400]}  [{place.strip()[-90:]}]"


def run_one(src: Path, file: str, events: Path, keyword: str | None) -> int:
    """Runs the tests of one file in this process."""
    import pytest

    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Finder(src))
    options = ["-c", os.devnull, "--rootdir", str(src), "--import-mode=prepend", "--assert=plain", "-q", "--tb=short"]
    options += ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "ignore"]
    options += ["-k", keyword] if keyword else []
    return int(pytest.main([*options, str(src / file)], plugins=[Plugin(file, events)]))


# --- all files -----------------------------------------------------------------------------------------------------


def chosen(src: Path, wanted: list[str]) -> list[str]:
    files = sorted(str(p.relative_to(src)) for p in src.rglob("*_test.py"))
    if not wanted:
        return files
    picked = []
    for name in wanted:
        name = name.removeprefix("keras/src/").removeprefix("keras.src.")
        path = name if name.endswith(".py") else name.replace(".", "/").rstrip("/")
        here = [f for f in files if f in (path, f"{path}.py") or f.startswith(f"{path}/")]
        if not here:
            raise SystemExit(f"no test file or package of Keras is called {name!r}; for example: layers/core")
        picked += here
    return sorted(set(picked))


def run_file(file: str, keyword: str | None) -> dict[str, Any]:
    nacre = importlib.util.find_spec("nacre")
    if nacre is None or nacre.origin is None:
        raise SystemExit("nacre is not installed")
    home = {"PYTHONPATH": str(Path(nacre.origin).parents[1])}
    log = OUT / f"{file.removesuffix('.py').replace('/', '.')}.log"
    events = log.with_suffix(".events")
    command = [sys.executable, str(Path(__file__).resolve()), "--one", file, "--events", str(events)]
    command += ["-k", keyword] if keyword else []
    start = time.monotonic()
    late = False
    with log.open("w") as out:
        try:
            status = subprocess.run(
                command, cwd=OUT, env={**os.environ, **home}, stdout=out, stderr=out, timeout=FILE_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            late, status = True, -1
    counts: dict[str, Any] = dict.fromkeys(COUNTS, 0)
    failing: dict[str, str] = {}
    last, finished = "(import)", set()
    for line in events.read_text().splitlines() if events.exists() else ():
        event = json.loads(line)
        if "start" in event:
            last = event["start"]
        elif "excluded" in event:
            counts["excluded"] += event["excluded"]
        else:
            counts[event["outcome"]] += 1
            finished.add(event["test"])
            if event["error"]:
                failing[event["test"]] = event["error"]
    if (late or status not in (0, 1, 2, 5)) and last not in finished:
        counts["errors"] += 1
        failing[last] = f"no answer within {FILE_SECONDS} s" if late else f"the process ended with status {status}"
    events.unlink(missing_ok=True)
    return {**counts, "seconds": round(time.monotonic() - start, 1), "failing": failing}


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """A line per file, then a line per package."""
    lines = [f"{'':<66}" + "".join(f"{c:>9}" for c in COUNTS)]
    packages: dict[str, collections.Counter[str]] = {}
    for file, r in results.items():
        lines.append(f"{file:<66}" + "".join(f"{r[c]:>9}" for c in COUNTS))
        package = "/".join(file.split("/")[:-1][:2])
        for key in (package, "total"):
            packages.setdefault(key, collections.Counter()).update({c: r[c] for c in COUNTS})
    packages["total"] = packages.pop("total", collections.Counter())
    lines.append("")
    lines += [f"{name:<66}" + "".join(f"{n[c]:>9}" for c in COUNTS) for name, n in packages.items()]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="files or packages below keras/src; all when none is given")
    parser.add_argument("-k", dest="keyword", help="only tests whose name holds this (as pytest's -k)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    src = source()
    if options.one:
        return run_one(src, options.one, options.events, options.keyword)
    OUT.mkdir(parents=True, exist_ok=True)
    excluded = Excluded()
    results: dict[str, dict[str, Any]] = {}
    for file in chosen(src, options.names):
        reason = excluded.file(file)
        if reason is not None:
            print(f"{file}: excluded: {reason}", flush=True)
            continue
        r = results[file] = run_file(file, options.keyword)
        said = ", ".join(f"{r[c]} {c}" for c in COUNTS if r[c])
        print(f"{file}: {said or 'no tests'} ({r['seconds']} s)", flush=True)
    lines = table(results)
    print("\n".join([lines[0], *lines[lines.index("") + 1 :]]))
    (OUT / "table.txt").write_text("\n".join(lines) + "\n")
    (OUT / "failures.txt").write_text(
        "".join(f"{file}::{test}: {error}\n" for file, r in results.items() for test, error in r["failing"].items())
    )
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    print(f"failing tests: {OUT / 'failures.txt'}")
    return int(any(r["failed"] or r["errors"] for r in results.values()))


if __name__ == "__main__":
    sys.exit(main())
