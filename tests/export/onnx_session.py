"""ONNX Runtime as the judge of exported models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from nacre.core import tree
from nacre.onnx.exporting import proto_of

EPS = float(np.finfo(np.float32).eps)

onnxruntime.set_default_logger_severity(4)  # its errors are exceptions


def run(model: Any, inputs: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """The outputs of a model (a path, or what onnx made) on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, (str, Path)) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    known = [i.name for i in session.get_inputs()]
    return session.run(None, {name: x for name, x in inputs.items() if name in known})


def exported(fn: Any, arguments: list[tuple[Any, str]]) -> Any:
    """The checked ONNX model of `fn` of arguments x0, x1, ... of these shapes and dtypes."""
    proto = proto_of(fn, arguments, [f"x{i}" for i in range(len(arguments))], "case", 18)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def assert_equal(got: Any, want: Any, roundings: float = 1.0) -> None:
    """Shapes, dtypes and numbers, within 256 roundings of the largest number around, times `roundings`: ONNX Runtime's
    functions and the order of its sums are its own."""
    flat = [np.asarray(y) for y in tree.flatten(want)]
    assert len(got) == len(flat)
    for g, w in zip(got, flat):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        finite = np.abs(w[np.isfinite(w)], dtype=np.float64) if w.dtype.kind == "f" else np.zeros(0)
        size = finite.max(initial=0.0)
        np.testing.assert_allclose(g, w, rtol=256 * EPS * roundings, atol=256 * EPS * roundings * size)
