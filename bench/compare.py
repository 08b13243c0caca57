"""nacre beside installed peers, training the networks of workloads.py: interleaved blocks of steps in one run.

    python bench/compare.py --peers-python PATH_OF_A_PYTHON_WITH_THE_PEERS [--only mlp-32,cnn2-32] [--threads 2]

Each (peer, network) is a process of its own that is asked for blocks of steps in turn, so that a machine whose speed drifts
drifts for all of them. Printed per network: median and spread (10th to 90th percentile of the blocks) of the time of a step, and
the ratio of the best peer's median to nacre's. `--json FILE` keeps everything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

PEERS = ("nacre-tob", "nacre-fit", "torch", "torch-cl", "jax", "keras-tf", "keras-jax-fit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="networks, separated by commas; all by default")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block", type=float, default=0.3, help="seconds of steps per block")
    parser.add_argument("--json", default="")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker.split(":"), args.threads)
        return
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from workloads import TRAINING

    names = [n for n in args.only.split(",") if n] or list(TRAINING)
    results: dict[str, Any] = {}
    ratios = []
    for name in names:
        blocks = measure(name, args.peers.split(","), args)
        results[name] = blocks
        ratio = report(name, blocks)
        if ratio:
            ratios.append(ratio)
    if ratios:
        print(
            f"geometric mean of best peer / nacre over {len(ratios)} networks: {statistics.geometric_mean(ratios):.2f}"
        )
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)


class Worker:
    def __init__(self, peer: str, name: str, args: argparse.Namespace) -> None:
        python = sys.executable if peer.startswith("nacre") else args.peers_python
        env = {
            **os.environ, "OMP_NUM_THREADS": str(args.threads), "KERAS_BACKEND": "jax" if "jax" in peer else "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self.peer = peer
        command = [python, os.path.abspath(__file__), "--worker", f"{peer}:{name}", "--threads", str(args.threads)]
        if args.threads == 1:
            command = ["taskset", "-c", "0", *command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True
        )

    def block(self, seconds: float) -> float | None:
        """Milliseconds per step over a block, None when the peer cannot run."""
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            while True:
                line = self.process.stdout.readline()
                if not line:
                    raise BrokenPipeError
                if line.startswith("ms "):
                    return float(line[3:])
        except BrokenPipeError:
            return None

    def close(self) -> str:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.stderr.read()


def measure(name: str, peers: list[str], args: argparse.Namespace) -> dict[str, list[float]]:
    workers = [Worker(peer, name, args) for peer in peers]
    blocks: dict[str, list[float]] = {}
    for w in workers:  # one after the other: the first block compiles
        if w.block(0.05) is None:
            error = w.close().strip().splitlines()
            print(f"  {w.peer}: does not run here ({error[-1] if error else 'no message'})", flush=True)
    alive = [w for w in workers if w.process.poll() is None]
    for _ in range(args.rounds):
        for w in alive:
            ms = w.block(args.block)
            if ms is not None:
                blocks.setdefault(w.peer, []).append(ms)
    for w in alive:
        w.close()
    return blocks


def report(name: str, blocks: dict[str, list[float]]) -> float | None:
    medians = {peer: statistics.median(b) for peer, b in blocks.items()}
    ours = [m for peer, m in medians.items() if peer.startswith("nacre")]
    others = {peer: m for peer, m in medians.items() if not peer.startswith("nacre")}
    for peer, b in sorted(blocks.items(), key=lambda item: medians[item[0]]):
        ordered = sorted(b)
        low, high = ordered[len(b) // 10], ordered[-1 - len(b) // 10]
        print(f"  {name:16} {peer:14} {medians[peer]:9.3f} ms  ({low:.3f} .. {high:.3f})")
    if not ours or not others:
        return None
    best = min(others, key=others.__getitem__)
    ratio = others[best] / min(ours)
    print(f"{name:18} best peer {best} / nacre = {ratio:.2f}", flush=True)
    return ratio


def worker(peer: str, name: str, threads: int) -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from workloads import TRAINING

    block = make_block(peer, TRAINING[name], threads)
    block(2)
    for line in sys.stdin:
        seconds = float(line)
        steps = 1
        block(1)
        start = time.perf_counter()
        block(steps)
        once = max(time.perf_counter() - start, 1e-6)
        steps = max(3, round(seconds / once))
        start = time.perf_counter()
        block(steps)
        print(f"ms {(time.perf_counter() - start) / steps * 1e3}", flush=True)


def make_block(peer: str, net: Any, threads: int) -> Any:
    """A function that runs n training steps and waits for the last one."""
    from workloads import build_jax, build_keras, build_torch

    xs, y = net.data(net.batch)
    if peer.startswith(("nacre", "keras")):
        if peer.startswith("nacre"):
            import nacre as keras
        else:
            if "tf" in peer:
                import tensorflow as tf

                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
            import keras
        model = build_keras(net, keras)
        x = xs if len(xs) > 1 else xs[0]
        if peer.endswith("-fit"):
            whole_xs, whole_y = net.data(net.batch * 64)
            whole = whole_xs if len(whole_xs) > 1 else whole_xs[0]

            def run(n: int) -> None:
                while n > 0:
                    steps = min(n, 64)
                    rows = steps * net.batch
                    part = [a[:rows] for a in whole_xs] if len(xs) > 1 else whole[:rows]
                    model.fit(part, whole_y[:rows], batch_size=net.batch, epochs=1, verbose=0)
                    n -= steps

            return run

        def run(n: int) -> None:
            for _ in range(n):
                model.train_on_batch(x, y)

        return run
    if peer.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
        last = peer.endswith("cl")
        module = build_torch(net, last)
        tensors = [torch.from_numpy(x) for x in xs]
        tensors = [t.permute(0, 3, 1, 2) if t.ndim == 4 else t for t in tensors]
        tensors = [
            t.contiguous(memory_format=torch.channels_last) if last and t.ndim == 4 else t.contiguous() for t in tensors
        ]
        target = torch.from_numpy(y).long() if net.loss != "mse" else torch.from_numpy(y)
        module(*tensors)  # makes the parameters
        optimizer = torch.optim.SGD(module.parameters(), net.learning_rate, net.momentum, fused=True)
        criterion = torch.nn.functional.mse_loss if net.loss == "mse" else torch.nn.functional.cross_entropy

        def run(n: int) -> None:
            for _ in range(n):
                optimizer.zero_grad()
                criterion(module(*tensors), target).backward()
                optimizer.step()

        return run
    import jax
    import jax.numpy as jnp

    params, apply = build_jax(net)
    params = jax.tree_util.tree_map(jnp.asarray, params)
    velocity = jax.tree_util.tree_map(jnp.zeros_like, params)

    def loss_of(params: Any, xs: Any, y: Any) -> Any:
        out = apply(params, xs)
        if net.loss == "mse":
            return jnp.mean((out - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1))

    @jax.jit
    def step(params: Any, velocity: Any, xs: Any, y: Any) -> Any:
        grads = jax.grad(loss_of)(params, xs, y)
        if net.momentum:
            velocity = jax.tree_util.tree_map(lambda v, g: net.momentum * v - net.learning_rate * g, velocity, grads)
            return jax.tree_util.tree_map(lambda p, v: p + v, params, velocity), velocity
        return jax.tree_util.tree_map(lambda p, g: p - net.learning_rate * g, params, grads), velocity

    state = [params, velocity]
    xs = [jnp.asarray(x) for x in xs]
    y = jnp.asarray(y)

    def run(n: int) -> None:
        for _ in range(n):
            state[0], state[1] = step(state[0], state[1], xs, y)
        jax.block_until_ready(state[0])

    return run


if __name__ == "__main__":
    main()
