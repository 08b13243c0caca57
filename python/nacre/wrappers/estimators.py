"""Models as estimators of scikit-learn, for its pipelines, searches and cross-validation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.models import Model, clone_model

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
    from sklearn.utils.multiclass import type_of_target
    from sklearn.utils.validation import check_is_fitted, column_or_1d
except ImportError as _error:
    raise ImportError("keras.wrappers: these classes need scikit-learn: pip install scikit-learn") from _error
try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6 it was a method
    validate_data = BaseEstimator._validate_data


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """Fits a copy of `model`, which becomes `model_`.

    Args:
        model: a compiled Model, or a function that returns one: called with `X` and `y` and with `model_kwargs`.
        warm_start: whether a second `fit` goes on with the weights of the first; then a Model is not copied.
        model_kwargs: further arguments of the function.
        fit_kwargs: arguments of every `Model.fit`; those given to `fit` here come first.

    Attributes: `model_`, `history_` (what `Model.fit` returned).
    """

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags

    def __sklearn_clone__(self) -> Any:
        model = _copy(self.model) if isinstance(self.model, Model) else self.model
        kwargs = copy.deepcopy((self.model_kwargs, self.fit_kwargs))
        return type(self)(model, self.warm_start, *kwargs)

    def _new_model(self, X: Any, y: Any) -> Model:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            model = self.model if self.warm_start else clone_model(self.model)
        else:
            model = self.model(X=X, y=y, **(self.model_kwargs or {}))
        if not isinstance(model, Model):
            raise TypeError(f"`model` must be a Model or a function that returns one, got {type(model).__name__}")
        if not model.compiled or not model.loss or not model.optimizer:
            raise RuntimeError(
                "Given model needs to be compiled, and have a loss and an optimizer: call model.compile(...) first"
            )
        return model

    def _encode(self, y: Any) -> Any:
        raise NotImplementedError

    def _decode(self, y: Any) -> Any:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Trains on `X` (N, ...) and `y`; further arguments are those of `Model.fit`. The estimator itself."""
        X, y = validate_data(self, X, y, allow_nd=True, multi_output=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if type_of_target(y) == "unknown":
            raise ValueError(f"Unknown label type for y: expected numbers or labels, got {y!r:.200}")
        y = self._encode(y)
        self.model_ = self._new_model(X, y)
        self.history_ = self.model_.fit(X, y, **{**(self.fit_kwargs or {}), **kwargs})
        return self

    def _outputs(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False, allow_nd=True)
        return self.model_.predict(X, verbose=0)

    def predict(self, X: Any) -> Any:
        """The predictions for `X`, in the form that `y` had."""
        return self._decode(self._outputs(X))


def _copy(model: Model) -> Model:
    copied = clone_model(model)
    copied.set_weights(model.get_weights())
    if model.compiled:
        config = model.get_compile_config()
        if config is not None:
            copied.compile_from_config(config)
    return copied


class SKLearnClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A model as a classifier: `y` holds class labels of any kind, and the model is trained on one-hot vectors.

    The arguments and attributes are those of the other estimators, and `classes_`: the labels in their order.
    """

    def _encode(self, y: Any) -> Any:
        kind = type_of_target(y)
        if kind not in ("binary", "multiclass"):
            raise ValueError("Only binary and multiclass target types are supported. Target type: " + kind)
        self.classes_, index = np.unique(np.ravel(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Classifier can't train when only one class is present. Number of classes found: {len(self.classes_)}"
            )
        return np.eye(len(self.classes_))[index]

    def _decode(self, y: Any) -> Any:
        return self.classes_[np.argmax(y, axis=-1)]

    def predict_proba(self, X: Any) -> Any:
        """The outputs of the model: with a softmax at its end, the probability of each class (N, classes)."""
        return self._outputs(X)

    def decision_function(self, X: Any) -> Any:
        """The outputs of the model (N, classes), which need not be probabilities: `predict` takes the largest."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class _OnNumbers(_Estimator):
    def _encode(self, y: Any) -> Any:
        self._flat = np.ndim(y) == 1
        return np.reshape(y, (-1, 1)) if self._flat else y

    def _decode(self, y: Any) -> Any:
        return np.reshape(y, (-1,)) if self._flat and np.size(y) == len(y) else y


class SKLearnRegressor(RegressorMixin, _OnNumbers):  # type: ignore[misc]
    """A model as a regressor: `y` (N,) or (N, outputs). The arguments and attributes are those of the others."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # of a model that is trained for one epoch
        return tags


class SKLearnTransformer(TransformerMixin, _OnNumbers):  # type: ignore[misc]
    """A model as a transformer: `transform` gives what the model predicts. The arguments are those of the others."""

    def transform(self, X: Any) -> Any:
        """The outputs of the model for `X`."""
        return self.predict(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
