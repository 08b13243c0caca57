"""Saving and loading beside NumPy, in turns: the same bytes, to the same disk, synced in the same way.

Each call is timed in a process of its own, because one that has just freed 100 MB loads into warm memory.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nacre as keras

LAYERS, WIDTH = 6, 2048  # 25.2 million parameters
TASKS = {"save, synced": ("save numpy", "save model", "save weights"),
         "load, from the page cache": ("load numpy", "load model", "load weights")}  # fmt: skip


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 9
    size = 4 * LAYERS * WIDTH * (WIDTH + 1)
    with tempfile.TemporaryDirectory(dir=arguments[1] if len(arguments) > 1 else None) as folder:
        for title, tasks in TASKS.items():
            times: dict[str, list[float]] = {task: [] for task in tasks}
            for _ in range(rounds):
                for task in tasks:
                    command = [sys.executable, __file__, *task.split(), folder]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    times[task].append(float(done.stdout))
            print(f"{title}: {size / 1e6:.0f} MB, {rounds} rounds")
            for task, found in times.items():
                low, middle, high = np.percentile(found, (10, 50, 90))
                # The ratio within a round: both saw the same disk.
                ratio = statistics.median(t / b for t, b in zip(found, times[tasks[0]]))
                print(
                    f"  {task:13} {middle * 1e3:8.1f} ms ({low * 1e3:.1f} .. {high * 1e3:.1f})   {ratio:5.2f} x NumPy"
                    f"   {size / middle / 1e9:.2f} GB/s"
                )
    return 0


def task(verb: str, what: str, folder: Path) -> Callable[[], Any]:
    model = keras.Sequential([keras.Input((WIDTH,)), *(keras.layers.Dense(WIDTH) for _ in range(LAYERS))])
    model.compile("sgd", "mse")
    arrays = model.get_weights()
    return {
        "save numpy": lambda: _save(arrays, folder),
        "save model": lambda: model.save(folder / "m.keras"),
        "save weights": lambda: model.save_weights(folder / "m.weights.h5"),
        "load numpy": lambda: [np.load(folder / f"{i}.npy") for i in range(len(arrays))],
        "load model": lambda: keras.models.load_model(folder / "m.keras"),
        "load weights": lambda: model.load_weights(folder / "m.weights.h5"),
    }[f"{verb} {what}"]


def _save(arrays: list[np.ndarray[Any, Any]], folder: Path) -> None:
    for i, array in enumerate(arrays):
        with open(folder / f"{i}.npy", "wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    run = task(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    with tempfile.TemporaryDirectory() as name:  # imports that come with the first call are not what is timed
        small = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        small.save(f"{name}/x.keras")
        keras.models.load_model(f"{name}/x.keras")
        _save([np.zeros(1)], Path(name))
        np.load(f"{name}/0.npy")
    start = time.perf_counter()
    kept = run()
    print(time.perf_counter() - start)
