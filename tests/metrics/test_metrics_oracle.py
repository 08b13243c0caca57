"""Every metric against real Keras: same values over batches, with and without weights, same configuration."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from metrics import metric_cases
from nacre import metrics

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", metric_cases.ALL, ids=str)
def test_values_agree(case: Any, weighted: bool) -> None:
    if weighted and "IoU" in case.cls:
        return  # Keras cuts these weights to whole numbers
    ours, theirs = (getattr(m, case.cls)(**case.arguments) for m in (metrics, keras.metrics))
    got, expected = (metric_cases.results(m, case, weighted) for m in (ours, theirs))
    for g, e in zip(got, expected, strict=True):
        assert g.shape == e.shape
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", metric_cases.ALL, ids=str)
def test_configuration_agrees(case: Any) -> None:
    ours, theirs = (getattr(m, case.cls)(**case.arguments, name="x") for m in (metrics, keras.metrics))
    assert metrics.serialize(ours) == keras.metrics.serialize(theirs)
