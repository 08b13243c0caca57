"""Metrics: numbers that are gathered over batches and reported, but not trained on."""

from nacre._lazy import attach as _attach
from nacre.losses import SHORT as _SHORT

_LOSS_FUNCTIONS = {
    ".regression": """huber log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
    mean_squared_logarithmic_error""",
    ".probabilistic": """binary_crossentropy binary_focal_crossentropy categorical_crossentropy
    categorical_focal_crossentropy kl_divergence poisson sparse_categorical_crossentropy""",
    ".margins": "categorical_hinge hinge squared_hinge",
}
_HOMES = {
    ".metric": "Mean MeanMetricWrapper Metric Sum",
    ".accuracy": """Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy SparseTopKCategoricalAccuracy
    TopKCategoricalAccuracy binary_accuracy categorical_accuracy sparse_categorical_accuracy
    sparse_top_k_categorical_accuracy top_k_categorical_accuracy""",
    ".of_losses": """BinaryCrossentropy CategoricalCrossentropy CategoricalHinge Hinge KLDivergence LogCoshError
    MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
    SparseCategoricalCrossentropy SquaredHinge""",
    ".regression": """ConcordanceCorrelation CosineSimilarity PearsonCorrelation R2Score RootMeanSquaredError
    concordance_correlation pearson_correlation""",
    ".confusion": "FalseNegatives FalsePositives Precision Recall TrueNegatives TruePositives",
    ".curves": "AUC PrecisionAtRecall RecallAtPrecision SensitivityAtSpecificity SpecificityAtSensitivity",
    ".scores": "F1Score FBetaScore",
    ".overlap": "BinaryIoU IoU MeanIoU OneHotIoU OneHotMeanIoU",
    ".identifiers": "deserialize get serialize",
}

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        **{name: f"nacre.losses{home}" for home, names in _LOSS_FUNCTIONS.items() for name in names.split()},
        **{name: f"nacre.losses{home}" for name, home in _SHORT.items()},
        **{name: home for home, names in _HOMES.items() for name in names.split()},
    },
)
