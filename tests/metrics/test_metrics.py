"""Metrics: values in NumPy, state over batches, compiled updates, masks, names and configurations."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from metrics import metric_cases
from nacre import metrics, ops
from nacre.metrics.curves import AUC
from nacre.runtime.compiled import CompiledFunction

C = metric_cases


def make(case: Any, **options: Any) -> Any:
    return getattr(metrics, case.cls)(**case.arguments, **options)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_reset_forgets_and_compiled_updates_equal_eager_ones(case: Any) -> None:
    eager = make(case)
    first, _, again = C.results(eager, case, False)
    np.testing.assert_array_equal(first, again)
    compiled = make(case)
    (args, _), _ = C.batches(case, False)
    compiled.update_state(*args)  # makes the state of metrics that wait for shapes
    compiled.reset_state()

    def step(*values: Any) -> Any:
        compiled.update_state(*values)
        return compiled.result()

    np.testing.assert_allclose(CompiledFunction(step)(*args).numpy(), first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_configuration_makes_an_equal_metric(case: Any) -> None:
    metric = make(case, name="mine")
    config = json.loads(json.dumps(metrics.serialize(metric)))
    again = metrics.deserialize(config)
    assert type(again) is type(metric)
    assert again.name == "mine"
    assert again.get_config() == metric.get_config()


def test_accuracies_are_shares_of_right_answers() -> None:
    best = C.PROBABILITIES.argmax(-1)
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(C.CLASSES, C.PROBABILITIES)
    assert float(metric.result()) == pytest.approx((best == C.CLASSES).mean())
    metric.update_state(best, C.PROBABILITIES)
    assert float(metric.result()) == pytest.approx(((best == C.CLASSES).sum() + 6) / 12)
    weighted = metrics.SparseCategoricalAccuracy()
    weighted.update_state(C.CLASSES, C.PROBABILITIES, sample_weight=C.WEIGHTS)
    expected = ((best == C.CLASSES) * C.WEIGHTS).sum() / C.WEIGHTS.sum()
    assert float(weighted.result()) == pytest.approx(expected)
    binary = metrics.BinaryAccuracy()
    binary.update_state(C.BINARY, C.SHARES)
    assert float(binary.result()) == pytest.approx(((C.SHARES > 0.5) == C.BINARY).mean())


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
def test_labels_of_any_dtype_count(dtype: str) -> None:
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(C.PROBABILITIES.argmax(-1).astype(dtype), C.PROBABILITIES)
    assert float(metric.result()) == 1.0


def test_confusion_counts_are_those_of_numpy() -> None:
    predicted, true = C.SHARES > 0.5, C.BINARY > 0
    for name, expected in (
        ("TruePositives", predicted & true),
        ("FalsePositives", predicted & ~true),
        ("TrueNegatives", ~predicted & ~true),
        ("FalseNegatives", ~predicted & true),
    ):
        metric = getattr(metrics, name)()
        metric.update_state(C.BINARY, C.SHARES)
        assert float(metric.result()) == expected.sum()
    precision = metrics.Precision()
    precision.update_state(C.BINARY, C.SHARES)
    assert float(precision.result()) == pytest.approx((predicted & true).sum() / predicted.sum())


def test_area_under_the_roc_curve_nears_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    p = np.clip(y * 0.3 + rng.random(500) * 0.7, 0, 1)
    positive, negative = p[y == 1], p[y == 0]
    ordered = (positive[:, None] > negative[None]).mean()
    metric = AUC(num_thresholds=1000)
    metric.update_state(y, p)
    # Sums over 1000 thresholds miss at most the curve's change between two of them.
    assert float(metric.result()) == pytest.approx(ordered, abs=2e-3)


def test_masked_entries_do_not_count() -> None:
    p = ops.convert_to_tensor(np.array([[[0.9, 0.1], [0.2, 0.8]]], "float32"))
    p._keras_mask = ops.convert_to_tensor([[True, False]])
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state([[0, 0]], p)
    assert float(metric.result()) == 1.0


def test_mean_before_any_batch_is_zero() -> None:
    assert float(metrics.Mean().result()) == 0.0
    assert float(metrics.Precision().result()) == 0.0


def test_own_metric_resets_its_variables_and_those_of_inner_metrics() -> None:
    class Mine(metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="mine")
            self.n = self.add_weight(name="n")
            self.inner = metrics.Mean()

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.n.assign_add(1.0)
            self.inner.update_state(y_pred)

        def result(self) -> Any:
            return self.n + self.inner.result()

    metric = Mine()
    assert float(metric([0.0], [4.0])) == 5.0
    assert len(metric.variables) == 3
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_metric_that_forgets_super_init_is_told() -> None:
    class Wrong(metrics.Metric):
        def __init__(self) -> None:
            self.inner = metrics.Mean()

    with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
        Wrong()


def test_names_in_any_spelling() -> None:
    assert isinstance(metrics.get("mse"), metrics.MeanSquaredError)
    assert isinstance(metrics.get("binary_accuracy"), metrics.BinaryAccuracy)
    assert isinstance(metrics.get("AUC"), metrics.AUC)
    assert metrics.get(None) is None
    with pytest.raises(ValueError, match="Did you mean"):
        metrics.get("binary_acuracy")


@pytest.mark.parametrize(
    ("make_it", "text"),
    [
        (lambda: metrics.Precision(thresholds=[2.0]), r"\[2.0\]"),
        (lambda: metrics.AUC(curve="X"), "curve"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds"),
        (lambda: metrics.PrecisionAtRecall(1.5), "recall=1.5"),
        (lambda: metrics.F1Score(average="x"), "average"),
        (lambda: metrics.IoU(2, [5]), "out of range"),
        (lambda: metrics.BinaryAccuracy(threshold=7), "threshold=7"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors"),
        (lambda: metrics.Recall(class_id=9).update_state(C.BINARY, C.SHARES), "class_id=9"),
    ],
)
def test_wrong_arguments_are_named(make_it: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make_it()


def test_result_is_a_snapshot_that_later_batches_do_not_change() -> None:
    for metric in (metrics.TrueNegatives(), metrics.TrueNegatives(thresholds=[0.2, 0.5]), metrics.Sum()):
        args = (C.BINARY, C.SHARES) if not isinstance(metric, metrics.Sum) else (C.SHARES,)
        metric.update_state(*args)
        held = metric.result()
        view, before = np.asarray(held), held.numpy()
        metric.update_state(*args)
        metric.reset_state()
        np.testing.assert_array_equal(view, before)
