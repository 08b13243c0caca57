"""Tools around models: labels and sequences, files and images, progress bars, plots, seeds."""

from nacre._lazy import attach as _attach

_REGISTRY = (
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "serialize_keras_object",
)

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "Config": ".named_values",
        "FeatureSpace": "nacre.layers.feature_space",
        "Progbar": ".progbar",
        "PyDataset": ".py_dataset",
        "Sequence": ".py_dataset:PyDataset",
        "array_to_img": ".images",
        "bounding_boxes": None,
        "clear_session": ".session",
        "disable_interactive_logging": "nacre.core.interactive",
        "enable_interactive_logging": "nacre.core.interactive",
        "get_file": ".files",
        "get_source_inputs": ".session",
        "audio_dataset_from_directory": ".directories",
        "image_dataset_from_directory": ".directories",
        "img_to_array": ".images",
        "text_dataset_from_directory": ".directories",
        "timeseries_dataset_from_array": ".timeseries",
        "is_interactive_logging_enabled": "nacre.core.interactive",
        "is_keras_tensor": ".session",
        "legacy": None,
        "load_img": ".images",
        "model_to_dot": ".plotting.api",
        "normalize": ".numerical",
        "pack_x_y_sample_weight": ".data",
        "pad_sequences": ".numerical",
        "plot_model": ".plotting.api",
        "save_img": ".images",
        "set_random_seed": ".session",
        "split_dataset": ".data",
        "standardize_dtype": "nacre.core.spec",
        "summary": None,
        "to_categorical": ".numerical",
        "unpack_x_y_sample_weight": ".data",
        **dict.fromkeys(_REGISTRY, "nacre.core.registry"),
    },
)
