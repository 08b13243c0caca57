"""The floors of the house: who may import whom, what an import costs, and what must not be in the package."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import nacre

PACKAGE = Path(nacre.__file__).parent

# From the bottom to the top. A module imports from floors below its own.
FLOORS = (
    {"_lazy", "_core"},
    {"core"},
    {"ops", "dtype_policies"},
    {"passes", "random"},
    {"runtime"},
    {"activations", "initializers", "regularizers", "constraints", "quantizers", "utils"},
    {"losses", "optimizers", "datasets"},
    {"metrics"},
    {"saving"},
    {"layers"},
    {"callbacks"},
    {"training", "onnx"},
    {"models"},
    {"applications", "preprocessing", "legacy", "wrappers"},
    # Names of Keras' top level, handed on.
    {"backend", "config", "distillation", "distribution", "mixed_precision", "tree", "visualization"},
    {"compat", "__init__"},
    {"__main__"},
)
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text(encoding="utf-8"))


def imports(relative, tree):
    """(top-level name in nacre, line) of every import of nacre, also inside functions."""
    parents = ["nacre", *relative.parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "nacre" and len(parts) > 1:
                yield parts[1], node.lineno


def floor_of(relative):
    return relative.parts[0].removesuffix(".py")


def test_every_package_has_its_floor():
    found = {floor_of(relative) for relative, _ in modules()}
    assert found <= set(FLOOR), f"say in FLOORS where these belong: {sorted(found - set(FLOOR))}"


def test_imports_go_downwards_only():
    wrong = []
    for relative, tree in modules():
        mine = floor_of(relative)
        for other, line in imports(relative, tree):
            if other in FLOOR and other != mine and FLOOR[other] >= FLOOR[mine]:
                wrong.append(f"{relative}:{line}: {mine} must not import {other}")
    assert not wrong, "\n".join(wrong)


FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "imp"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "compile"}


def test_nothing_that_runs_code_from_data_is_used():
    wrong = []
    for relative, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                wrong += [f"{relative}:{node.lineno}: {n}" for n in names if n.split(".")[0] in FORBIDDEN_MODULES]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                wrong.append(f"{relative}:{node.lineno}: {node.func.id}()")
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                wrong.append(f"{relative}:{node.value.lineno}: allow_pickle")
    assert not wrong, "\n".join(wrong)


def public_modules():
    yield "nacre"
    for info in pkgutil.iter_modules([str(PACKAGE)]):
        if info.name.startswith("_") or info.name in ("core", "compat"):
            continue
        module = importlib.import_module(f"nacre.{info.name}")
        if hasattr(module, "__all__"):
            yield module.__name__


@pytest.mark.parametrize("name", list(public_modules()))
def test_every_public_name_is_there(name):
    module = importlib.import_module(name)
    missing = [n for n in module.__all__ if not hasattr(module, n)]
    assert not missing, f"{name} promises {missing}"


def run_python(code, *options):
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_import_costs_less_than_15_ms_beside_numpy():
    def cost():
        _, err = run_python("import numpy\nimport nacre", "-X", "importtime")
        lines = [
            line.split("|") for line in err.splitlines() if line.startswith("import time:") and "cumulative" not in line
        ]
        at = {name.strip(): int(cumulative) for _, cumulative, name in lines}
        return at["nacre"] / 1000

    assert min(cost() for _ in range(5)) <= 15


def test_import_brings_nothing_but_numpy_and_the_standard_library():
    out, _ = run_python("import sys, nacre; print(*{n.split('.')[0] for n in sys.modules})")
    known = sys.stdlib_module_names | {"nacre", "numpy", "__mp_main__"}
    # What the installation itself puts into every process does not count.
    bare, _ = run_python("import sys; print(*{n.split('.')[0] for n in sys.modules})")
    assert not set(out.split()) - known - set(bare.split())


def test_no_generated_file_is_committed():
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: run this from a clone")
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    suffixes = (".so", ".o", ".a", ".pyc", ".whl", ".egg-info", ".ninja", ".keras", ".h5", ".npz")
    folders = ("build/", "dist/", "demo-output/", ".venv/")
    wrong = [f for f in listed if f.endswith(suffixes) or f.startswith(folders) or "__pycache__" in f.split(os.sep)]
    assert not wrong, wrong
