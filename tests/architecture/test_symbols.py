"""Kernel objects hold only kernels: no code that another CPU could run into, no calls that kernels may not make.

NACRE_BUILD names the folder whose builds are read (default: build).
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The C library's copies and mathematics, and the compiler's own helpers.
MAY_CALL = re.compile(
    r"mem(cpy|move|set|cmp)|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__\w+[dst][if]\d?"
    r"|(a?(sin|cos|tan)h?|atan2|exp2?|expm1|log|log2|log1p|log10|pow|erfc?|[lt]gamma)f?"
    r"|(fmod|floor|ceil|round|nearbyint|rint|trunc|sqrt|fma|cbrt|hypot|ldexp)f?"
)

LENDERS = {"avx512": "avx2"}  # whose CPUs run the other's code, too: families that it lends are compiled once


def objects():
    """(instruction set, object file) of the newest build that has any."""
    builds = {}
    for path in (ROOT / os.environ.get("NACRE_BUILD", "build")).glob("**/nacre_kernels_*.dir/**/*.o"):
        folder = next(p for p in path.parents if p.name.startswith("nacre_kernels_"))
        isa = folder.name.removeprefix("nacre_kernels_").removesuffix(".dir")
        builds.setdefault(folder.parent, []).append((isa, path))
    newest = max(builds, key=lambda b: max(p.stat().st_mtime for _, p in builds[b]), default=None)
    return sorted(builds.get(newest, []))


def symbols(path):
    """(type, name) of each symbol."""
    listing = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        yield line[17:18], line[19:]


def lives_in(isa, name):
    """Whether a mangled name (of a function, or of something static inside one) stands in nacre::isa."""
    return re.match(rf"_Z(GV|T[VIS])?Z?NK?5nacre{len(isa)}{isa}\d", name) is not None


@pytest.fixture(scope="module")
def built():
    if not shutil.which("nm"):
        pytest.skip("needs nm (package binutils)")
    if not objects():
        pytest.skip("needs a build in build/: cmake -S . -B build && cmake --build build")
    return objects()


def test_every_symbol_stands_in_the_namespace_of_its_instruction_set(built):
    leaks = []
    for isa, path in built:
        for kind, name in symbols(path):
            # small letters are local to the file ('u', 'v' and 'w' are the exceptions: they are merged across files)
            shared = (kind.isupper() and kind != "U") or kind in "uvw"
            if shared and not lives_in(isa, name):
                leaks.append((path.name, isa, kind, name))
    assert leaks == []


def test_kernels_call_only_each_other_and_the_c_library_of_mathematics(built):
    calls = []
    for isa, path in built:
        for kind, name in symbols(path):
            known = lives_in(isa, name) or lives_in(LENDERS.get(isa, isa), name) or MAY_CALL.fullmatch(name)
            if kind == "U" and not known:
                calls.append((path.name, isa, name))
    assert calls == []


def test_what_is_lent_is_declared_where_the_lender_compiles_it():
    listed = re.search(r"set\(nacre_lent ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    declaring = {f"kernels/{p.name}" for p in ROOT.glob("src/kernels/*.h") if "namespace NACRE_LENT" in p.read_text()}
    lent = [
        path.stem
        for path in ROOT.glob("src/kernels/*.cpp")
        if declaring & set(re.findall(r'#include "(.+)"', path.read_text()))
    ]
    assert sorted(lent) == sorted(listed)
