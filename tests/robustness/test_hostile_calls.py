import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = Path(__file__).with_name("calls.py")
BATTERIES = ("ops", "layers", "losses", "metrics", "optimizers", "small", "fit")


def battery(name, count, first, timeout):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(CALLS), name, str(count), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment)
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("name", BATTERIES)
def test_bad_calls_give_a_result_or_an_error_that_tells_something(name):
    battery(name, 150, 0, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", BATTERIES)
def test_many_bad_calls_give_a_result_or_an_error_that_tells_something(name):
    battery(name, 500, 150, timeout=600)
