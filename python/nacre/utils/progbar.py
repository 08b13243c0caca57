"""The progress bar of `fit`, letter for letter as Keras prints it on a terminal; one plain line when nobody watches."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from nacre.core.interactive import is_interactive_logging_enabled

_BOLD, _GREEN, _WHITE, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def watched() -> bool:
    """Whether what is printed can be overwritten: stdout is a terminal or a notebook."""
    isatty = getattr(sys.stdout, "isatty", None)
    return bool(isatty is not None and isatty()) or "ipykernel" in sys.modules


def print_message(text: str, end: str = "\n") -> None:
    """Prints `text`, or hands it to the logger `nacre` when interactive logging is off."""
    if is_interactive_logging_enabled():
        encoding = getattr(sys.stdout, "encoding", None)
        if encoding and not text.isascii():  # the bar's own characters are no reason to stop training
            text = text.encode(encoding, "ignore").decode(encoding)
        print(text, end=end, flush=True)  # nothing where there is no stdout
    else:
        logging.getLogger("nacre").info("%s", text.strip())


class Progbar:
    """A progress bar with running means of the given values.

    Args:
        target: total number of steps; None when it is not known.
        width: how many characters the bar has.
        verbose: 0 silent, 1 a bar, 2 one line at the end.
        interval: least number of seconds between two redraws.
        stateful_metrics: names whose values are shown as they come; all others are averaged over steps.
        stateless_metrics: names whose values are averaged over steps; all others are shown as they come. Give one
            of the two at most.
        unit_name: what a step is called ("step").
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Only one of `stateful_metrics` and `stateless_metrics` can be given")
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._live = watched()
        self._seen = 0
        self._sums: dict[str, list[Any]] = {}  # name -> [sum, weight]; in the order of first appearance
        self._start = time.time()
        self._last_draw = -math.inf
        self._first_step_end: float | None = None
        self._drawn = 0  # visible characters of the line on the screen

    def update(
        self, current: int, values: Sequence[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Shows step `current`; `values` are (name, value) pairs. `finalize` ends the line (default: at the target)."""
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._take(current, values or (), finalize)
        now = time.time()
        if current == 1:
            self._first_step_end = now
        if self.verbose == 1 and (self._live or finalize):
            if finalize or now - self._last_draw >= self.interval:
                self._draw(current, now, finalize)
                self._last_draw = now
        elif self.verbose == 2 and finalize and self.target:
            count = f"{current:{self._digits()}d}/{self.target}"
            elapsed = f"{now - self._start:.0f}s"
            print_message(f"{count} - {elapsed} -{self._per_unit(current, now)}{self._values()}")

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """Moves on by `n` steps."""
        self.update(self._seen + n, values)

    def _take(self, current: int, values: Sequence[tuple[str, Any]], finalize: bool) -> None:
        for name, value in values:
            if finalize or not self._averaged(name):
                # The last values of an epoch are means already.
                self._sums[name] = [value, 1]
            else:
                weight = max(current - self._seen, 1)
                entry = self._sums.setdefault(name, [0, 0])
                entry[0] += value * weight
                entry[1] += weight
        self._seen = current

    def _averaged(self, name: str) -> bool:
        if self.stateless_metrics is not None:
            return name in self.stateless_metrics
        return name not in self.stateful_metrics

    def _digits(self) -> int:
        return len(str(self.target)) if self.target else 1

    def _draw(self, current: int, now: float, finalize: bool) -> None:
        count, bar = self._count_and_bar(current)
        took = self._seconds_per_unit(current, now)
        if self.target is None or finalize:
            clock = f"{now - self._start:.0f}s"
        else:
            clock = _duration(took * (self.target - current))
        # Each part with and without its escape codes: the second gives the visible width.
        tail = f"{self._per_unit(current, now)}{self._values()}"
        plain = f"{count}{bar} {clock}{tail}"
        if not self._live:
            print_message(plain)
            return
        head = f"{_BOLD}{count}{_RESET}" if self.target is not None else count
        line = f"{head}{self._colored(bar, current)} {_BOLD}{clock}{_RESET}{tail}"
        padding = " " * max(self._drawn - len(plain), 0)
        if self._interactive():
            print_message("\b" * self._drawn + "\r" + line + padding, end="\n" if finalize else "")
        else:
            print_message(line)
        self._drawn = len(plain)

    def _interactive(self) -> bool:
        return is_interactive_logging_enabled()

    def _count_and_bar(self, current: int) -> tuple[str, str]:
        if self.target is None:
            return f"{current:7d}/Unknown", ""
        full = self._full(current)
        return f"{current:{self._digits()}d}/{self.target}", " " + "━" * full + "━" * max(self.width - full, 0)

    def _full(self, current: int) -> int:
        return int(self.width * current / self.target) if self.target else self.width

    def _colored(self, bar: str, current: int) -> str:
        if self.target is None:
            return ""
        full = self._full(current)
        done = f"{_GREEN}{'━' * full}{_RESET}" if full else ""
        return f" {done}{_WHITE}{'━' * max(self.width - full, 0)}{_RESET}"

    def _seconds_per_unit(self, current: int, now: float) -> float:
        if not current:
            return 0.0
        # The first step is not typical (it compiles): leave it out as soon as there is another.
        if self._first_step_end is not None and current > 1:
            return (now - self._first_step_end) / (current - 1)
        return (now - self._start) / current

    def _per_unit(self, current: int, now: float) -> str:
        took = self._seconds_per_unit(current, now)
        if took >= 1 or took == 0:
            return f" {took:.0f}s/{self.unit_name}"
        if took >= 1e-3:
            return f" {took * 1e3:.0f}ms/{self.unit_name}"
        return f" {took * 1e6:.0f}us/{self.unit_name}"

    def _values(self) -> str:
        parts = []
        for name, (total, weight) in self._sums.items():
            try:
                mean = float(total) / max(1, weight)
            except (TypeError, ValueError):
                parts.append(f" - {name}: {total}")
                continue
            parts.append(f" - {name}: {mean:.4f}" if not abs(mean) <= 1e-3 else f" - {name}: {mean:.4e}")
        return "".join(parts)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if seconds > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    if seconds > 60:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole}s"
