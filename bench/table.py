"""Every line of bench/shapes in percent of its limit, by file and by family, for each ISA and number of threads.

    dev.py bench table [--before NACRE_BENCH] [--isas avx512,avx2] [--threads 1,2] [--min-time 0.012] [--json OUT]

A cell is the geometric mean, and in brackets the least, of the lines and passes of at least 1 MFLOP (64 KB, where
nothing is multiplied). With `--before`, the path of an older nacre_bench, both run one after the other on each file,
and a cell holds the means before and now of what both know.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import geometric_mean
from typing import Any

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]


def measured(binary: Path, shapes: Path, isa: str, threads: str, seconds: str) -> dict[tuple[str, str], Row]:
    """What nacre_bench says, by line and pass."""
    with tempfile.NamedTemporaryFile("r") as out:
        command = [binary, "--shapes", shapes, "--isa", isa, "--threads", threads, "--min-time", seconds]
        done = subprocess.run([*command, "--json", out.name], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{binary} stopped in {shapes.name}: {done.stderr.strip()[-200:]}", file=sys.stderr)
        rows = [json.loads(line) for line in out]
    return {(row["line"], row["pass"]): row for row in rows}


def counts(row: Row) -> bool:
    nanoseconds = row["median_ms"] * 1e6
    return bool(row["gflops"] * nanoseconds >= 1e6 or (row["gflops"] == 0 and row["gbps"] * nanoseconds >= 65536))


def mean(rows: list[Row]) -> float:
    return geometric_mean(max(row["percent"], 0.1) for row in rows)


def cell(rows: list[Row]) -> str:
    if not rows:
        return "-"
    now = f"{mean(rows):.0f} ({min(row['percent'] for row in rows):.0f})"
    return f"{mean([row['before'] for row in rows]):.0f} -> {now}" if "before" in rows[0] else now


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("dev.py bench table")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--isas", default="avx512,avx2")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--min-time", default="0.012")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    columns = [(isa, threads) for isa in asked.isas.split(",") for threads in asked.threads.split(",")]
    files = [path for path in sorted((HERE / "shapes").glob("*.txt")) if path.stem != "dense_grid"]  # long by itself
    binary = HERE.parent / "build" / "bin" / "nacre_bench"

    rows: list[Row] = []
    for isa, threads in columns:
        for shapes in files:
            old = measured(asked.before, shapes, isa, threads, asked.min_time) if asked.before else None
            for key, row in measured(binary, shapes, isa, threads, asked.min_time).items():
                if counts(row) and (old is None or key in old):
                    row |= {"file": shapes.name, "column": (isa, threads)} | ({"before": old[key]} if old else {})
                    rows.append(row)
    if asked.json:
        asked.json.write_text("\n".join(map(json.dumps, rows)))

    groups: dict[str, list[Row]] = {}
    for row in rows:
        for name in (row["file"], f"`{row['line'].split()[0]}` {row['pass']}"):
            groups.setdefault(name, []).append(row)
    print("| | lines | " + " | ".join(f"{isa}, {threads} threads" for isa, threads in columns) + " |")
    print("|" + " --- |" * (len(columns) + 2))
    for name in sorted(groups, key=lambda name: (name.startswith("`"), name)):
        by_column = [[row for row in groups[name] if row["column"] == column] for column in columns]
        print(f"| {name} | {max(map(len, by_column))} | {' | '.join(map(cell, by_column))} |")
    return 0
