#!/usr/bin/env python3
"""Writes docs/keras-coverage.md: which of Keras' public names nacre has, with the same signature. Needs real Keras."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).resolve().parents[1]
NAMES = ROOT / "tests" / "oracle" / "keras_names.json"
TARGET = ROOT / "docs" / "keras-coverage.md"

# Parameters of Keras that ask for something that nacre has no notion of: devices, other backends, quantization.
NOT_MEANT = {"quantization_config", "lora_rank", "lora_alpha", "sharding", "layout", "preferred_backend"}


def find(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def signature(obj: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(obj.__init__ if isinstance(obj, type) else obj)
    except (TypeError, ValueError):
        return None


def default(value: Any) -> str:
    """How a default looks; functions and classes by their names."""
    if value is inspect.Parameter.empty:
        return "no default"
    return getattr(value, "__name__", None) or repr(value).replace(".0,", ",").replace(".0)", ")")


def same(a: Any, b: Any) -> bool:
    if a is inspect.Parameter.empty or b is inspect.Parameter.empty:
        return a is b
    try:
        if bool(a == b):
            return True
    except (TypeError, ValueError):
        pass
    return default(a) == default(b)


def differences(theirs: Any, ours: Any) -> list[str]:
    """What a caller by keyword or by position would notice."""
    if isinstance(theirs, type) != isinstance(ours, type):
        return [f"is a {'class' if isinstance(ours, type) else 'function'} here"]
    if not callable(theirs):
        return [] if type(theirs) is type(ours) else ["is something else here"]
    a, b = signature(theirs), signature(ours)
    if a is None or b is None:
        return []
    found = []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    want = [p for p in a.parameters.values() if p.kind not in kinds and p.name not in NOT_MEANT]
    have = {p.name: p for p in b.parameters.values() if p.kind not in kinds}
    for p in want:
        if p.name not in have:
            found.append(f"no `{p.name}`")
        elif not same(p.default, have[p.name].default):
            found.append(f"`{p.name}={default(have[p.name].default)}`, there `{default(p.default)}`")
    order = [p.name for p in want if p.kind is not inspect.Parameter.KEYWORD_ONLY and p.name in have]
    positions = [p.name for p in have.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY and p.name in order]
    if positions != order[: len(positions)]:
        found.append(f"order {', '.join(positions)}")
    return found


def compare(keras: Any, nacre: Any, names: list[str]) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """(names that agree, names that differ and how, names that are missing)."""
    agree, differ, missing = [], {}, []
    for name in names:
        try:
            ours = find(nacre, name)
        except (AttributeError, ImportError):
            missing.append(name)
            continue
        try:
            notes = differences(find(keras, name), ours)
        except AttributeError:  # real Keras has it no more
            notes = []
        if notes:
            differ[name] = notes
        else:
            agree.append(name)
    return agree, differ, missing


def report(tiers: dict[str, Any], versions: tuple[str, str]) -> str:
    lines = [
        "# Which names of Keras nacre has",
        "",
        f"Written by `python3 dev.py docs` from Keras {versions[0]} and nacre {versions[1]}. The tiers follow how "
        "often",
        "published programs use a name; signatures are compared by names, order and defaults of parameters.",
        "",
        "| tier | names | the same | with other parameters | missing |",
        "| --- | --- | --- | --- | --- |",
    ]
    for tier, (agree, differ, missing) in tiers.items():
        total = len(agree) + len(differ) + len(missing)
        share = f"{100 * (len(agree) + len(differ)) / total:.0f} %"
        lines.append(f"| {tier} | {total} ({share} there) | {len(agree)} | {len(differ)} | {len(missing)} |")
    for tier, (_, differ, missing) in tiers.items():
        if missing:
            lines += ["", f"## Tier {tier}: missing", "", ", ".join(f"`{n}`" for n in missing)]
        if differ:
            lines += ["", f"## Tier {tier}: other parameters", ""]
            lines += [f"* `{name}`: {'; '.join(notes)}" for name, notes in differ.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether every name of tier 1 is there")
    options = parser.parse_args()
    import keras

    import nacre

    names = json.loads(NAMES.read_text())["tiers"]
    tiers = {tier: compare(keras, nacre, listed) for tier, listed in names.items()}
    text = report(tiers, (keras.__version__, nacre.__version__))
    if not options.check:
        TARGET.write_text(text)
    print("\n".join(text.splitlines()[5:10]))
    return 1 if tiers["1"][2] else 0


if __name__ == "__main__":
    sys.exit(main())
