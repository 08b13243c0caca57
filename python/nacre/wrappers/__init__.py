"""Models as estimators of scikit-learn."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__, dict.fromkeys(("SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"), ".estimators")
)
