"""Runs the tests that are written in C++, from the newest build in build/."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


SHAPES = """
dense M=9 K=20 N=33
dense M=2100 K=8 N=5
dense_update M=8 K=40 N=33
matmul B=3 M=4 K=5 N=6
conv2d N=2 H=7 W=7 C=3 O=5 KH=3 KW=3 padding=same
conv2d_pool N=2 H=8 W=8 C=4 O=16 KH=3 KW=3 padding=same pool=2
conv2d_winograd N=2 H=9 W=9 C=7 O=21 padding=same
depthwise_conv2d N=1 H=9 W=9 C=20 KH=3 KW=3 SH=2 SW=2 padding=same
max_pool2d N=2 H=9 W=9 C=17 KH=3 KW=3 SH=2 SW=2 padding=same
avg_pool2d N=2 H=9 W=9 C=17 KH=2 KW=2 SH=2 SW=2 padding=valid
concat M=50 widths=3,16,40
softmax M=30 N=37
batch_norm M=200 C=24
sgd n=1000
"""


def built(target: str) -> Path:
    """A program of the newest build."""
    caches = [ROOT / "build" / "CMakeCache.txt", *ROOT.glob("build/*/CMakeCache.txt")]
    caches = sorted((c for c in caches if c.exists()), key=lambda c: c.stat().st_mtime)
    if not shutil.which("cmake") or not caches:
        pytest.skip("needs cmake and a build in build/: python3 dev.py build")
    made = subprocess.run(
        ["cmake", "--build", caches[-1].parent, "--target", target], capture_output=True, text=True, timeout=900
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return ROOT / "build" / "bin" / target


@pytest.mark.slow
def test_what_is_tested_in_cpp():
    done = subprocess.run([built("nacre_tests")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_benchmark_checks_results_of_every_form(tmp_path):
    """Those that work in place, as steps of optimizers do, too."""
    shapes = tmp_path / "shapes.txt"
    shapes.write_text(SHAPES)
    command = [built("nacre_bench"), "--shapes", shapes, "--threads", "2", "--min-time", "0.001", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
