"""Where the time of a step goes, instruction by instruction, beside what the machine could do."""

from __future__ import annotations

from typing import Any

from nacre import _core


class Profile:
    """The instructions of a step in the order in which they run; printed as a table.

    Attributes:
        rows: dicts with `op`, `kernel`, `ns` (the least time), `flops`, `bytes`, and `percent` of the limit that binds:
            multiply-adds from registers, or copying that many bytes, each measured now with as many threads.
        gflops: the first of these limits, in 1e9 operations per second.
        threads: how many threads there were.
        memory: bytes of values between the instructions, which share their places: the most that lives at one time.
    """

    def __init__(self, rows: list[dict[str, Any]], memory: int) -> None:
        limits = _core.Limits()
        self.gflops: float = limits.gflops
        self.threads: int = _core.get_threads()
        self.memory = memory
        self.rows = [
            {**r, "percent": 100 * max(r["flops"] / self.gflops, r["bytes"] / limits.gbps(r["bytes"])) / r["ns"]}
            for r in rows
        ]

    def __repr__(self) -> str:
        total = sum(r["ns"] for r in self.rows)
        lines = [
            f"{total / 1e3:.1f} us in {len(self.rows)} instructions with {self.threads} thread(s); limit "
            f"{self.gflops:.0f} GFLOP/s; {self.memory / 1e6:.2f} MB between them",
            f"{'us':>10} {'share':>6} {'GFLOP/s':>8} {'GB/s':>7} {'limit':>6}  instruction",
        ]
        for r in self.rows:
            ns = r["ns"]
            lines.append(
                f"{ns / 1e3:10.2f} {ns / total:6.1%} {r['flops'] / ns:8.1f} {r['bytes'] / ns:7.1f} "
                f"{r['percent']:5.0f}%  {r['op']} ({r['kernel']})"
            )
        return "\n".join(lines)


__all__ = ["Profile"]
