"""Losses: how far predictions are from the truth."""

from nacre._lazy import attach as _attach

_REGRESSION = """CosineSimilarity Huber LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
MeanSquaredLogarithmicError cosine_similarity huber log_cosh mean_absolute_error mean_absolute_percentage_error
mean_squared_error mean_squared_logarithmic_error"""
_PROBABILISTIC = """BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalGeneralizedCrossEntropy KLDivergence Poisson SparseCategoricalCrossentropy binary_crossentropy
binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy
kl_divergence poisson sparse_categorical_crossentropy"""
_MARGINS = "CategoricalHinge Hinge SquaredHinge categorical_hinge hinge squared_hinge"
_OVERLAP = "Circle Dice Tversky circle dice tversky"

# Short names of functions, as tf.keras has them.
_REGRESSION_SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "logcosh": "log_cosh",
}
SHORT = {short: f".regression:{name}" for short, name in _REGRESSION_SHORT.items()}
SHORT.update({short.upper(): where for short, where in SHORT.items() if short != "logcosh"})
SHORT.update(dict.fromkeys(("kld", "KLD", "kullback_leibler_divergence"), ".probabilistic:kl_divergence"))

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **dict.fromkeys(("Loss", "Reduction"), ".loss"),
        **SHORT,
        **dict.fromkeys(_REGRESSION.split(), ".regression"),
        **dict.fromkeys(_PROBABILISTIC.split(), ".probabilistic"),
        **dict.fromkeys(_MARGINS.split(), ".margins"),
        **dict.fromkeys(_OVERLAP.split(), ".overlap"),
        **dict.fromkeys(("CTC", "ctc"), ".alignment"),
        **dict.fromkeys(("deserialize", "get", "serialize"), ".identifiers"),
    },
)
