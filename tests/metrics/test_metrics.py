"""Metrics: values in NumPy, state over batches, compiled updates, masks, names and configurations."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

import nacre as keras
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


def test_weights_of_labels_are_read_as_keras_writes_them() -> None:
    written = {"class_name": "__tensor__", "config": {"value": [0.25, 0.75], "dtype": "float32"}}
    assert AUC.from_config({"multi_label": True, "num_labels": 2, "label_weights": written}).label_weights[1] == 0.75


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
    metric.reset_states()
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


# --- state that is not the metric's own ---------------------------------------------------------------------------


def test_a_stateless_scope_keeps_what_is_assigned() -> None:
    v, w = keras.Variable([1.0, 2.0]), keras.Variable(0.0)
    with keras.StatelessScope([(v, [5.0, 6.0])]) as scope:
        w.assign(ops.sum(v))
        assert float(w) == 11.0 and v.numpy().tolist() == [5.0, 6.0]
        with keras.StatelessScope() as inner:
            w.assign(1.0)
        assert float(inner.get_current_value(w)) == 1.0 and float(w) == 11.0
    assert float(scope.get_current_value(w)) == 11.0
    assert float(w) == 0.0 and v.numpy().tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="must be Variable"):
        keras.StatelessScope([("v", 1.0)])
    with pytest.raises(ValueError, match="shape"):
        keras.StatelessScope([(v, [1.0])])


def test_stateless_calls_leave_a_metric_as_it_was() -> None:
    metric = metrics.MeanSquaredError()
    state = [v.value for v in metric.variables]
    for batch in ([1.0], [3.0]):
        state = metric.stateless_update_state(state, [0.0], batch)
    assert float(metric.stateless_result(state)) == 5.0
    assert [float(v) for v in metric.variables] == [0.0, 0.0]
    metric.update_state([0.0], [2.0])
    assert [float(v) for v in metric.stateless_reset_state()] == [0.0, 0.0] and float(metric.result()) == 4.0
    with pytest.raises(ValueError, match="1:1"):
        metric.stateless_update_state(state[:1], [0.0], [1.0])


def test_variables_and_metrics_in_containers_are_state() -> None:
    metric = metrics.Mean()
    metric.more = [keras.Variable(0.0)]
    metric.inner = {"a": [metrics.Sum()], "b": keras.Variable(1.0)}
    metric.more.append(keras.Variable(2.0))
    assert len(metric.variables) == 2 + 2 + 1 + 1


def test_accuracy_weighs_each_element() -> None:
    metric = metrics.Accuracy()
    metric.update_state([1, 2, 3, 4], [0, 2, 3, 4], sample_weight=[1, 1, 0, 0])
    assert float(metric.result()) == 0.5
    assert metrics.binary_accuracy([[1, 0]], [[0.9, 0.9]]).tolist() == [[1.0, 0.0]]


def test_confusion_counts_stay_exact_and_leave_strange_classes_out() -> None:
    metric = metrics.MeanIoU(2)
    metric.total_cm.assign([[2**24 + 1, 0], [0, 0]])
    metric.update_state([0, 0, 7, -1], [0, 0, 1, 1])
    assert metric.total_cm.numpy().tolist() == [[2**24 + 3, 0], [0, 0]]
    with pytest.warns(UserWarning, match=r"weight.*float.*int"):
        metric.update_state([1], [1], sample_weight=np.array([0.5]))


def test_area_under_the_gain_curve() -> None:
    area = metrics.AUC(num_thresholds=3, curve="PRGAIN")
    area.update_state([0, 0, 0, 1, 0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.3, 0.4, 0.4, 0.6, 0.6, 0.8, 0.9])
    # recall gains 1, 1/3, 0 and precision gains 0, 2/3, 1 at the three thresholds
    assert float(area.result()) == pytest.approx(2 / 3 * 1 / 3 + 1 / 3 * 5 / 6, rel=1e-5)


@pytest.mark.parametrize("values", [[1, 2, 4], [3e38, 3e38], [float("nan"), 1], [0.1] * 7, []])
def test_a_mean_is_what_the_division_of_the_kernels_gives(values: list[float]) -> None:
    mean = keras.metrics.Mean()
    if values:
        mean.update_state(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = mean.result()
    want = keras.ops.divide(mean.total, mean.count) if values else keras.ops.zeros(())
    assert (got.dtype, got.shape) == ("float32", ())
    assert got.numpy().tobytes() == want.numpy().tobytes()
