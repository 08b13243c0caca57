import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nacre as keras

CALLS = Path(__file__).with_name("calls.py")
BATTERIES = ("ops", "layers", "losses", "metrics", "optimizers", "small", "fit")


def battery(name, count, first, timeout):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, str(CALLS), name, str(count), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment)
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("name", BATTERIES)
def test_bad_calls_give_a_result_or_an_error_that_tells_something(name):
    battery(name, 150, 0, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("name", BATTERIES)
def test_many_bad_calls_give_a_result_or_an_error_that_tells_something(name):
    battery(name, 500, 150, timeout=600)


def test_arrays_at_odd_addresses_are_as_good_as_others():
    good = np.arange(60, dtype="float32").reshape(5, 12)
    odd = np.frombuffer(b"\1" + good.tobytes(), "float32", offset=1).reshape(5, 12)
    assert not odd.flags.aligned
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(odd, odd[:, :2], epochs=1, verbose=0)
    for use in (lambda x: model.predict(x, verbose=0), model, keras.ops.sum, lambda x: keras.Variable(x).numpy()):
        np.testing.assert_array_equal(use(odd), use(good))
