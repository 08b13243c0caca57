"""nacre beside installed peers: interleaved blocks of work in one run.

    python bench/compare.py --peers-python PATH_OF_A_PYTHON_WITH_THE_PEERS \\
        [--tasks train,infer] [--only mlp-32,resnet50-1] [--threads 2,1]

Each (peer, network) is a process of its own that is asked for blocks of work in turn, so that a machine whose speed
drifts drifts for all of them. Printed per row: median and spread (10th to 90th percentile of the blocks) of the time
of a step, call or epoch by peer, and the ratio of the best peer's median to nacre's; at the end the ratios once more,
and their geometric mean over training. Tasks: train, loop, infer, one-row, predict, epoch (see peers.py), and start:
seconds from the start of a process to the end of its first training step, and its peak memory. `--json FILE` keeps
everything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

from workloads import DIGITS, EPOCH, INFERENCE, ONE_ROW, TRAINING, Network


class Task(NamedTuple):
    networks: dict[str, Network]
    peers: tuple[str, ...]
    work: str  # key of peers.MAKERS


TASKS = {
    "train": Task(
        TRAINING,
        ("nacre", "nacre-fit", "torch", "torch-cl", "torch-compile", "jax", "keras-tf", "keras-jax", "keras-jax-fit"),
        "train",
    ),
    "loop": Task(TRAINING, ("nacre", "torch", "torch-cl", "keras-tf"), "loop"),
    "infer": Task(INFERENCE, ("nacre", "onnxruntime", "openvino", "torch", "torch-cl", "keras-tf"), "infer"),
    "one-row": Task(
        {ONE_ROW.name: ONE_ROW},
        ("nacre", "nacre-call", "onnxruntime", "openvino", "torch", "keras-tf", "keras-jax"),
        "infer",
    ),
    "predict": Task({ONE_ROW.name: ONE_ROW}, ("nacre", "keras-tf", "keras-jax"), "predict"),
    "epoch": Task({n.name: n for n in (EPOCH, DIGITS)}, ("nacre", "keras-tf", "keras-jax", "jax", "torch"), "epoch"),
    "start": Task(
        {n: TRAINING[n] for n in ("mlp-32", "cnn2-128")},
        ("nacre", "torch", "torch-compile", "jax", "keras-tf", "keras-jax"),
        "train",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS), help="of those above, separated by commas")
    parser.add_argument("--only", default="", help="networks, separated by commas; all by default")
    parser.add_argument("--peers", default="", help="peers, separated by commas; all by default")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--threads", default="2", help="numbers of threads, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block", type=float, default=0.3, help="seconds of work per block")
    parser.add_argument("--json", default="")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker.split(":"), int(args.threads))
        return
    rows = []
    for threads in (int(t) for t in args.threads.split(",")):
        for task in args.tasks.split(","):
            for name in TASKS[task].networks:
                if not args.only or name in args.only.split(","):
                    rows.append(measured(task, name, threads, args))
                    report(rows[-1])
    summary(rows)
    if args.json:
        about = {
            "machine": platform.processor() or platform.machine(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        }
        with open(args.json, "w") as file:
            json.dump({"about": about, "rows": rows}, file, indent=1)


SETTLED = 0.1  # seconds before a block: threads of the peer that has worked before may still spin


# --- rows -----------------------------------------------------------------------------------------------------------


def measured(task: str, name: str, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """A row: milliseconds (of `start`: seconds) by peer and block, megabytes by peer."""
    peers = [p for p in TASKS[task].peers if not args.peers or p in args.peers.split(",")]
    row: dict[str, Any] = {"task": task, "network": name, "threads": threads, "times": {}, "megabytes": {}}
    if task == "start":
        for _ in range(min(args.rounds, 5)):
            for peer in peers:
                begin = time.perf_counter()
                w = Worker(peer, task, name, threads, args)
                if w.ready() is not None:
                    row["times"].setdefault(peer, []).append(time.perf_counter() - begin)
                w.close(row)
        return row
    workers = [Worker(peer, task, name, threads, args) for peer in peers]
    alive = [w for w in workers if w.ready() is not None]  # one after the other: getting ready compiles
    for _ in range(args.rounds):
        for w in alive:
            ms = w.block(args.block)
            if ms is not None:
                row["times"].setdefault(w.peer, []).append(ms)
    for w in workers:
        w.close(row)
    return row


class Worker:
    """A process with one peer and one network."""

    def __init__(self, peer: str, task: str, name: str, threads: int, args: argparse.Namespace) -> None:
        python = sys.executable if peer.startswith("nacre") else args.peers_python
        backend = "jax" if "jax" in peer else "tensorflow"
        env = {
            **os.environ, "OMP_NUM_THREADS": str(threads), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3",
            "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu",
        }  # fmt: skip
        self.peer = peer
        command = [python, os.path.abspath(__file__), "--worker", f"{peer}:{task}:{name}", "--threads", str(threads)]
        if threads == 1:
            command = ["taskset", "-c", "0", *command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True
        )

    def ready(self) -> float | None:
        """Waits until the first piece of work is done; None when the peer cannot do it."""
        return self._answer("ready ")

    def block(self, seconds: float) -> float | None:
        """Milliseconds per piece of work over a block; None when the peer has died."""
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._answer("ms ")

    def _answer(self, word: str) -> float | None:
        for line in self.process.stdout:
            if line.startswith(word):
                return float(line[len(word) :])
        return None

    def close(self, row: dict[str, Any]) -> None:
        """Ends the process; its peak memory goes into the row, and what it died of is printed."""
        try:
            out, err = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
        peak = [float(line.split()[1]) for line in out.splitlines() if line.startswith("megabytes ")]
        if peak:
            row["megabytes"][self.peer] = peak[0]
        else:
            error = err.strip().splitlines()
            print(f"  {self.peer}: does not run here ({error[-1] if error else 'no message'})", flush=True)


def worker(peer: str, task: str, name: str, threads: int) -> None:
    """Does the work of a peer, in blocks as standard input asks for them."""
    from peers import make

    run = make(TASKS[task].work, peer, TASKS[task].networks[name], threads)
    run(1)
    print("ready 0", flush=True)
    for line in sys.stdin:
        seconds = float(line)
        time.sleep(SETTLED)
        count, took = 1, 0.0
        while took < seconds / 4:  # the first runs may be slow: one alone does not tell how many fill a block
            start = time.perf_counter()
            run(count)
            took = time.perf_counter() - start
            per_run = took / count
            count = max(1, min(4 * count, round(seconds / per_run)))
        count = max(1 if per_run > seconds else 3, round(seconds / per_run))
        start = time.perf_counter()
        run(count)
        print(f"ms {(time.perf_counter() - start) / count * 1e3}", flush=True)
    print(f"megabytes {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}", flush=True)


# --- report -----------------------------------------------------------------------------------------------------------


def spread(times: list[float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile."""
    ordered = sorted(times)
    return statistics.median(ordered), ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]


def ratio(row: dict[str, Any]) -> tuple[str, float] | None:
    """The best peer, and how many times as long it takes as nacre."""
    medians = {peer: statistics.median(times) for peer, times in row["times"].items()}
    ours = [m for peer, m in medians.items() if peer.startswith("nacre")]
    others = {peer: m for peer, m in medians.items() if not peer.startswith("nacre")}
    if not ours or not others:
        return None
    best = min(others, key=others.__getitem__)
    return best, others[best] / min(ours)


def report(row: dict[str, Any]) -> None:
    unit = "s" if row["task"] == "start" else "ms"
    print(f"{row['task']} {row['network']}, {row['threads']} threads")
    for peer, times in sorted(row["times"].items(), key=lambda item: spread(item[1])):
        middle, low, high = spread(times)
        memory = f"{row['megabytes'][peer]:7.0f} MB" if row["megabytes"].get(peer) else ""
        print(f"  {peer:14} {middle:10.3f} {unit}  ({low:.3f} .. {high:.3f}) {memory}", flush=True)


def summary(rows: list[dict[str, Any]]) -> None:
    print("\ntask, network, threads, best peer / nacre")
    training: dict[int, list[float]] = {}
    for row in rows:
        found = ratio(row)
        if found is None:
            continue
        print(f"{row['task']:8} {row['network']:16} {row['threads']}  {found[1]:7.2f}  ({found[0]})")
        if row["task"] == "train":
            training.setdefault(row["threads"], []).append(found[1])
    for threads, ratios in training.items():
        mean = statistics.geometric_mean(ratios)
        print(f"geometric mean over {len(ratios)} training networks, {threads} threads: {mean:.2f}")


if __name__ == "__main__":
    main()
