"""Models as estimators of scikit-learn."""

import numpy as np
import pytest

import nacre as keras
from nacre.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

pytest.importorskip("sklearn", reason="the wrappers are for scikit-learn: pip install scikit-learn")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")


def make(X, y, width=4, loss="mse"):
    softmax = loss == "categorical_crossentropy"
    outputs = keras.layers.Dense(y.shape[1], "softmax" if softmax else None)
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(width, "tanh"), outputs])
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


def test_a_classifier_takes_and_gives_labels_of_any_kind():
    y = np.where(X[:, 0] > 0, "yes", "no")
    estimator = SKLearnClassifier(
        make, model_kwargs={"loss": "categorical_crossentropy"}, fit_kwargs={"epochs": 40, "verbose": 0}
    )
    assert estimator.fit(X, y) is estimator and list(estimator.classes_) == ["no", "yes"]
    assert set(estimator.predict(X)) == {"no", "yes"} and estimator.score(X, y) > 0.8
    np.testing.assert_allclose(estimator.predict_proba(X).sum(1), 1, rtol=1e-5)
    assert list(estimator.classes_[estimator.decision_function(X).argmax(1)]) == list(estimator.predict(X))
    with pytest.raises(ValueError, match="only one class"):
        estimator.fit(X, np.zeros(60, int))
    with pytest.raises(ValueError, match="binary and multiclass"):
        estimator.fit(X, X)


def test_a_regressor_keeps_the_rank_of_its_targets_and_is_cloned_with_its_settings():
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    estimator = SKLearnRegressor(make, model_kwargs={"width": 2}, fit_kwargs={"epochs": 2, "verbose": 0})
    assert estimator.fit(X, X[:, 0]).predict(X).shape == (60,)
    assert estimator.fit(X, X[:, :2]).predict(X).shape == (60, 2) and len(estimator.history_.history["loss"]) == 2
    assert clone(estimator).fit(X, X[:, 0]).model_.layers[0].units == 2
    assert cross_val_score(estimator, X, X[:, 0], cv=2).shape == (2,)
    with pytest.raises(ValueError, match="3 features"):
        estimator.predict(X[:, :2])


def test_a_model_is_copied_unless_the_start_is_warm():
    model = make(X, X[:, :1])
    before = model.get_weights()
    cold = SKLearnTransformer(model, fit_kwargs={"verbose": 0}).fit(X, X[:, 0])
    assert cold.model_ is not model and cold.transform(X).shape == (60,)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    warm = SKLearnTransformer(model, warm_start=True, fit_kwargs={"verbose": 0}).fit(X, X[:, 0])
    assert warm.model_ is model and (model.get_weights()[0] != before[0]).any()
    with pytest.raises(RuntimeError, match="compile"):
        SKLearnRegressor(keras.Sequential([keras.layers.Dense(1)])).fit(X, X[:, 0])


def test_each_fit_of_a_model_starts_from_weights_of_its_own():
    model = make(X, X[:, :1])
    model.fit(X, X[:, 0], epochs=60, verbose=0)
    cold = SKLearnRegressor(model, fit_kwargs={"verbose": 0}).fit(X, X[:, 0])
    assert cold.history_.history["loss"][0] > 10 * model.evaluate(X, X[:, 0], verbose=0)


def test_targets_are_checked_as_scikit_learn_checks_them():
    from sklearn.exceptions import DataConversionWarning

    estimator = SKLearnRegressor(make, fit_kwargs={"verbose": 0})
    with pytest.warns(DataConversionWarning):
        assert estimator.fit(X, X[:, :1]).predict(X).shape == (60,)
    with pytest.raises(ValueError, match="Unknown label type"):
        estimator.fit(X, np.array([{"a": 1}] * 60, object))


def test_names_of_columns_are_kept_and_compared():
    pandas = pytest.importorskip("pandas", reason="columns have names in data frames: pip install pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    estimator = SKLearnRegressor(make, fit_kwargs={"verbose": 0}).fit(table, X[:, 0])
    assert list(estimator.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(table.rename(columns={"a": "d"}))
