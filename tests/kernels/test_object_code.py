"""Reads the machine code of the register tiles: in an inner loop all sums are in registers, whatever the clock says.

On one CPU spilled sums hide behind the multiply-adds, on the next they cost half the speed.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nacre import _core

ROOT = Path(__file__).resolve().parents[2]
FORMS = "tile|dots|folded|row_by_row|winograd|winograd_sums"
TILE = re.compile(rf"nacre::(\w+)::({FORMS})::(?:run|add)<(\d+), (\w+)(, true|, false|, \d+l)?>")
MULTIPLY = re.compile(r"^(vfmadd\w+ps|mulps)$")
VECTOR = re.compile(r"%[xyz]mm\d+")
JUMPS = re.compile(r"^j(?!mp\b)\w+$|^jmp$")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def extension():
    """The newest extension with symbols: the one in use, or what the installation left in build/ unstripped."""
    built = sorted(ROOT.glob("build/**/_core*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in (_core.__file__, *built):
        if TILE.search(output_of("nm", "-C", path)):
            return path
    return None


@pytest.fixture(scope="module")
def functions():
    """{(isa, form, rows, columns or a word): [(address, mnemonic, operands)]} of every register tile of this build."""
    if not shutil.which("objdump") or not shutil.which("nm"):
        pytest.skip("reading object code needs objdump and nm: install binutils")
    binary = extension()
    if binary is None:
        pytest.skip("no build of nacre here carries symbols: build it with `python3 dev.py build`")
    places = {}
    for line in output_of("nm", "-SC", binary).splitlines():
        found = TILE.search(line)
        if found:
            address, size = (int(x, 16) for x in line.split()[:2])
            isa, form, rows, columns, asks = found.groups()
            form += " that ask" if asks == ", true" else ""
            columns = int(columns) if columns.isdigit() else columns
            places[isa, form, int(rows), columns] = (address, address + size)
    if "neon" in _core.isas():
        pytest.skip("the patterns here are those of x86-64")
    code = {}
    for isa in {key[0] for key in places}:
        start = min(a for key, (a, _) in places.items() if key[0] == isa)
        stop = max(b for key, (_, b) in places.items() if key[0] == isa)
        text = output_of(
            "objdump", "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={stop}", binary
        )
        instructions = []
        for line in text.splitlines():
            parts = line.strip().split("\t")
            if len(parts) >= 2 and parts[0].endswith(":") and parts[1]:
                words = parts[1].split(None, 1)
                instructions.append((int(parts[0][:-1], 16), words[0], words[1] if len(words) > 1 else ""))
        for key, (a, b) in places.items():
            if key[0] == isa:
                code[key] = [i for i in instructions if a <= i[0] < b]
    return code


def inner_loops(function):
    """Bodies of loops without a loop inside that hold multiply-adds of vectors."""
    at = {address: n for n, (address, _, _) in enumerate(function)}
    loops = []
    for n, (address, name, operands) in enumerate(function):
        if JUMPS.match(name) and operands:
            target = operands.split()[0]
            if re.fullmatch(r"[0-9a-f]+", target) and int(target, 16) <= address and int(target, 16) in at:
                loops.append((at[int(target, 16)], n))
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]
    bodies = [function[a : b + 1] for a, b in inner]
    return [body for body in bodies if any(MULTIPLY.match(name) for _, name, _ in body)]


def on_the_stack(function, body):
    framed = any(name == "mov" and operands == "%rsp,%rbp" for _, name, operands in function)
    stack = re.compile(r"\(%rsp|\(%rbp" if framed else r"\(%rsp")
    return [f"{name} {operands}" for _, name, operands in body if stack.search(operands) and VECTOR.search(operands)]


def test_every_tile_has_an_inner_loop_with_all_its_products(functions):
    for (isa, form, rows, columns), function in functions.items():
        products = [sum(bool(MULTIPLY.match(name)) for _, name, _ in body) for body in inner_loops(function)]
        wanted = rows if form == "folded" else rows * columns
        assert products and max(products) >= wanted, (isa, form, rows, columns, products)


def test_no_sum_is_on_the_stack_in_an_inner_loop(functions):
    spilled = {
        key: stores
        for key, function in functions.items()
        for body in inner_loops(function)
        if (stores := on_the_stack(function, body))
    }
    assert not spilled


def test_the_main_tiles_of_this_machine_are_among_those_that_were_read(functions):
    main = {"avx512": (6, 4), "avx2": (6, 2), "baseline": (4, 2)}
    for isa in _core.isas():
        assert {(isa, form, *main[isa]) for form in ("tile", "winograd", "winograd_sums")} <= functions.keys()
