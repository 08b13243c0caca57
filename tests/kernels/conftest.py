import os

import numpy as np
import pytest

import foreign

if os.environ.get("NACRE_KERNEL_SERVER"):
    foreign.install(os.environ["NACRE_KERNEL_SERVER"])


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)
