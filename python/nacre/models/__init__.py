"""Models: graphs of layers, chains of layers, and classes of your own."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__,
    {
        # From the module that knows both, so that Model(inputs, outputs) always finds Functional.
        "Model": ".functional",
        "Function": ".function",
        "Sequential": ".sequential",
        "clone_model": ".cloning",
        "load_model": "nacre.saving",
        "model_from_json": "nacre.saving.api",
        "save_model": "nacre.saving",
    },
)
