"""What `python3 dev.py bench` runs.

    dev.py bench kernels [--isa avx2] [--threads 2] ...   nacre_bench over every file in bench/shapes
    dev.py bench table [--before NACRE_BENCH] ...         the same in percent of the limit, by family: table.py
    dev.py bench models [NETWORK ...]                     a training step, or a batch in inference, and where time goes
    dev.py bench compare --peers-python PYTHON ...        nacre beside installed peers: compare.py
    dev.py bench files [ROUNDS [FOLDER]]                  saving and loading 25 million parameters: files.py
    dev.py bench start                                    a fresh process to its first training step; one-row predict

Further arguments of `kernels`, `table` and `compare` are their own.

Without a word: models.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def kernels(arguments: list[str]) -> int:
    binary = HERE.parent / "build" / "bin" / "nacre_bench"
    status = 0
    for shapes in sorted((HERE / "shapes").glob("*.txt")):
        print(f"# {shapes.name}", flush=True)
        status |= subprocess.run([binary, "--shapes", shapes, *arguments], check=False).returncode
    return status


def milliseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def models(names: list[str]) -> int:
    from builders import build_keras
    from workloads import INFERENCE, TRAINING

    import nacre as keras

    networks = {**TRAINING, **INFERENCE}
    unknown = [n for n in names if n not in networks]
    if unknown:
        print(f"no network is called {unknown[0]}; there are {', '.join(networks)}", file=sys.stderr)
        return 2
    for name in names or networks:
        net = networks[name]
        xs, y = net.data(net.batch)
        x = xs if len(xs) > 1 else xs[0]
        model = build_keras(net, keras, compiled=name in TRAINING)
        data = (x, y) if name in TRAINING else x

        call = partial(model.train_on_batch, x, y) if name in TRAINING else partial(model.predict_on_batch, x)
        first = milliseconds(call)
        times = [milliseconds(call) for _ in range(max(5, int(1000.0 / milliseconds(call))))]
        low, middle, high = np.percentile(times, (10, 50, 90))
        print(f"{name:18} first {first:7.1f} ms   then {middle:9.3f} ms ({low:.3f} .. {high:.3f})")
        if names:
            profile(model.train_function if name in TRAINING else model.predict_function, data)
    return 0


def profile(function: Any, data: Any) -> None:
    """Where a step goes: the instructions that take more than a hundredth of it."""
    rows = function.profile(data).rows
    total = sum(row["ns"] for row in rows)
    for row in rows:
        if row["ns"] > total / 100:
            print(
                f"    {row['op']:20} {row['kernel']:24} {row['ns'] / 1e3:10.1f} us {100 * row['ns'] / total:5.1f} %"
                f" {row['flops'] / row['ns']:8.1f} GFLOP/s {row['bytes'] / row['ns']:7.1f} GB/s"
            )
    print(f"    {len(rows)} instructions, {total / 1e6:.3f} ms when each runs by itself")


FIRST_STEP = """
import nacre as keras, numpy as np
x, y = np.random.rand(32, 784).astype("float32"), np.random.randint(0, 10, 32)
layers = keras.layers
model = keras.Sequential([keras.Input((784,)), layers.Dense(512, "relu"), layers.Dense(256, "relu"), layers.Dense(10)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.train_on_batch(x, y)
"""
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
ONE_ROW = """
import time
times = []
for _ in range(300):
    start = time.perf_counter(); model.predict_on_batch(x[:1]); times.append(time.perf_counter() - start)
print(sorted(times)[150] * 1e6)
"""


def start(_: list[str]) -> int:
    def run(*code: str) -> tuple[float, str]:
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True)
        return time.perf_counter() - begin, done.stdout

    seconds = sorted(run(FIRST_STEP)[0] for _ in range(9))
    print(f"process start to first MLP step done: {seconds[4]:.3f} s ({seconds[1]:.3f} .. {seconds[7]:.3f})")
    ours, numpys = float(run(FIRST_STEP, MEMORY)[1]), float(run("import numpy", MEMORY)[1])
    print(f"peak memory: {ours:.1f} MB, {ours - numpys:.1f} MB more than importing NumPy")
    print(f"predict_on_batch of one row: {float(run(FIRST_STEP, ONE_ROW)[1]):.1f} us (median of 300)")
    return 0


def files(arguments: list[str]) -> int:
    import files

    return files.main(arguments)


def table(arguments: list[str]) -> int:
    import table

    return table.main(arguments)


def compare(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, HERE / "compare.py", *arguments], check=False).returncode


def main() -> int:
    words = sys.argv[1:]
    sys.path.insert(0, str(HERE))
    commands = {command.__name__: command for command in (kernels, table, models, compare, files, start)}
    if words and words[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    return commands[words[0] if words else "models"](words[1:])


if __name__ == "__main__":
    sys.exit(main())
