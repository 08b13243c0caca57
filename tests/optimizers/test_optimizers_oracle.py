"""Every optimizer against real Keras: the same variables after each of eight steps, the same state, the same
configuration."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import nacre
from nacre.core import naming
from optimizers import optimizer_cases

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
C = optimizer_cases


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_trajectory_state_and_configuration_agree(case: Any) -> None:
    naming.reset_names()
    keras.utils.clear_session()
    ours, theirs = C.make(nacre.optimizers, case), C.make(keras.optimizers, case)
    got, expected = C.trajectory(nacre, ours), C.trajectory(keras, theirs)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-6)
    assert [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    if case.cls != "Nadam":  # Keras gives one of its variables no name
        assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert nacre.optimizers.serialize(ours) == keras.optimizers.serialize(theirs)


@pytest.mark.parametrize("name", C.SCHEDULES)
def test_schedules_agree(name: str) -> None:
    cls, arguments = C.SCHEDULES[name]
    ours, theirs = (getattr(m.optimizers.schedules, cls)(**arguments) for m in (nacre, keras))
    got, expected = [float(ours(i)) for i in range(30)], [float(theirs(i)) for i in range(30)]
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-7)
    assert nacre.optimizers.schedules.serialize(ours) == keras.optimizers.schedules.serialize(theirs)
