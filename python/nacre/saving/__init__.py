"""Saving and loading models, weights and configurations. A file is only data: nothing in it is executed."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        "KerasFileEditor": ".file_editor",
        **dict.fromkeys(("load_model", "load_weights", "model_to_json", "save_model", "save_weights"), ".api"),
        **dict.fromkeys(
            (
                "CustomObjectScope",
                "custom_object_scope",
                "deserialize_keras_object",
                "get_custom_objects",
                "get_registered_name",
                "get_registered_object",
                "register_keras_serializable",
                "serialize_keras_object",
            ),
            "nacre.core.registry",
        ),
    },
)
