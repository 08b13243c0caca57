"""Saves the training step of a network of workloads.py as a program, for `build/bin/nacre_bench_model`.

python bench/save_program.py mlp-32 mlp-32.nacre
build/bin/nacre_bench_model mlp-32.nacre --threads 2 --profile
"""

from __future__ import annotations

import argparse
from pathlib import Path

from builders import build_keras
from workloads import TRAINING

import nacre


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(TRAINING))
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    net = TRAINING[args.network]
    xs, y = net.data(net.batch)
    x = xs if len(xs) > 1 else xs[0]
    model = build_keras(net, nacre)
    model.train_on_batch(x, y)
    args.file.write_bytes(model.make_train_function().saved((x, y)))


if __name__ == "__main__":
    main()
