"""Runs the tests that are written in C++, from the newest build in build/."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_is_tested_in_cpp():
    caches = [ROOT / "build" / "CMakeCache.txt", *ROOT.glob("build/*/CMakeCache.txt")]
    caches = sorted((c for c in caches if c.exists()), key=lambda c: c.stat().st_mtime)
    if not shutil.which("cmake") or not caches:
        pytest.skip("needs cmake and a build in build/: python3 dev.py build")
    build = caches[-1].parent
    made = subprocess.run(
        ["cmake", "--build", build, "--target", "nacre_tests"], capture_output=True, text=True, timeout=900
    )
    assert made.returncode == 0, made.stdout + made.stderr
    done = subprocess.run([ROOT / "build" / "bin" / "nacre_tests"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
