import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
KINDS = ("keras", "h5", "weights", "json", "tokenizer", "datasets", "backup")


def fuzz(kind, count, first, timeout):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(FUZZ), kind, str(count), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment)
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-4000:]}"


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_files_load_or_are_refused_by_name(kind):
    fuzz(kind, 60, 0, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_more_spoiled_files_load_or_are_refused_by_name(kind):
    fuzz(kind, 250, 60, timeout=600)
