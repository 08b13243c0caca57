"""Models as ONNX files: a model's call, traced into a graph of ops, with an ONNX operator or a few for each of them."""

from nacre._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, {"export_onnx": ".exporting"})
