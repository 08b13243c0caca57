"""keras.optimizers.legacy: where Keras 2 kept its older optimizers; here these are the present ones."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(
    __name__, dict.fromkeys(("Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop", "SGD"), "nacre.optimizers")
)
