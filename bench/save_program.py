"""Saves the training step or the inference of a network of workloads.py as a program for `build/bin/nacre_bench_model`.

python bench/save_program.py mlp-32 mlp-32.nacre
build/bin/nacre_bench_model mlp-32.nacre --threads 2 --profile
"""

from __future__ import annotations

import argparse
from pathlib import Path

from builders import build_keras
from workloads import INFERENCE, TRAINING

import nacre


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted({**TRAINING, **INFERENCE}))
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    trains = args.network in TRAINING
    net = (TRAINING if trains else INFERENCE)[args.network]
    xs, y = net.data(net.batch)
    x = xs if len(xs) > 1 else xs[0]
    model = build_keras(net, nacre, compiled=trains)
    if trains:
        model.train_on_batch(x, y)
        program = model.make_train_function().saved((x, y))
    else:
        model.predict_on_batch(x)
        program = model.make_predict_function().saved((x,))
    args.file.write_bytes(program)


if __name__ == "__main__":
    main()
