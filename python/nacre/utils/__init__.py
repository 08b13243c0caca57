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
        "Progbar": ".progbar",
        "PyDataset": ".py_dataset",
        "Sequence": ".py_dataset:PyDataset",
        "array_to_img": ".images",
        "get_file": ".files",
        "img_to_array": ".images",
        "load_img": ".images",
        "normalize": ".numerical",
        "pack_x_y_sample_weight": ".data",
        "pad_sequences": ".numerical",
        "save_img": ".images",
        "split_dataset": ".data",
        "to_categorical": ".numerical",
        "unpack_x_y_sample_weight": ".data",
        **dict.fromkeys(_REGISTRY, "nacre.core.registry"),
    },
)
