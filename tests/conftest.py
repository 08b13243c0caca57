"""Every test begins with random numbers of its own: what it draws depends on its name alone, not on what ran before it,
so a failure comes back."""

import os
import zlib

import hypothesis
import pytest

import nacre as keras

# Real Keras compiles functions that run once or twice, sooner so. JAX reads this when it is imported.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
SEED = os.environ.get("NACRE_TEST_SEED")  # another seed looks at other numbers (CONTRIBUTING.md)
hypothesis.settings.register_profile("same", derandomize=SEED is None)
hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True)
def same_random_numbers(request: pytest.FixtureRequest) -> None:
    keras.utils.set_random_seed(zlib.crc32(f"{request.node.nodeid}{SEED or ''}".encode()))
