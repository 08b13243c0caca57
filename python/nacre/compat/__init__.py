"""Other libraries' names for nacre: `import keras`, and the part of TensorFlow around it that tutorials use."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, {"install_as_keras": ".install", "run_script": ".run"})
