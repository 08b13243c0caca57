"""Older names for reading pictures, texts and sequences."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "image": None,
        "sequence": None,
        "text": None,
        "image_dataset_from_directory": "nacre.utils.directories",
        "text_dataset_from_directory": "nacre.utils.directories",
        "timeseries_dataset_from_array": "nacre.utils.timeseries",
    },
)
