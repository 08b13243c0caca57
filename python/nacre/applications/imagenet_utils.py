"""Images in, names of ImageNet's classes out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import floatx, standardize_data_format
from nacre.core.tensor import as_array
from nacre.utils.files import get_file

__all__ = ["decode_predictions", "preprocess_input"]

# For each mode: whether the channels are reversed, and (x / divisor - mean) / deviation by channel.
_MODES: dict[str, tuple[bool, float, Any, Any]] = {
    "caffe": (True, 1.0, (103.939, 116.779, 123.68), None),
    "tf": (False, 127.5, 1.0, None),
    "torch": (False, 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Pixels from 0 to 255 as a network wants them. An array of floats is written over, as in Keras: copy it first
    where that is not wanted. Other arrays give a new one, tensors a tensor.

    Args:
        x: one image or a batch, RGB.
        data_format: "channels_last" or "channels_first"; the configured one by default.
        mode: "caffe": BGR, each channel minus its mean over ImageNet; "tf": from -1 to 1; "torch": from 0 to 1, then
            each channel minus its mean and over its deviation.

    Raises ValueError for an unknown mode or format.

    >>> preprocess_input(np.full((1, 1, 1, 3), 255.0, "float32"), mode="tf").tolist()
    [[[[1.0, 1.0, 1.0]]]]
    """
    if mode not in _MODES:
        raise ValueError(f"Expected mode to be one of `caffe`, `tf` or `torch`. Received: mode={mode}")
    axis = -1 if standardize_data_format(data_format) == "channels_last" else -3
    reverse, divisor, mean, deviation = _MODES[mode]
    if isinstance(x, np.ndarray):
        x = x if x.dtype.kind == "f" and x.flags.writeable else x.astype(x.dtype if x.dtype.kind == "f" else floatx())
        y = np.flip(x, axis) if reverse else x
        y /= divisor
        y -= _along(mean, axis, x.dtype)
        if deviation is not None:
            y /= _along(deviation, axis, x.dtype)
        return y
    behind = (slice(None),) * (-axis - 1)
    y = ops.stack([x[(..., i, *behind)] for i in (2, 1, 0)], axis=axis) if reverse else x
    if divisor != 1.0:
        y = y / divisor
    y = y - _along(mean, axis, x.dtype)
    return y if deviation is None else y / _along(deviation, axis, x.dtype)


def _along(numbers: Any, axis: int, dtype: Any) -> Any:
    """A number as it is, three of them as an array along that axis of the channels."""
    if isinstance(numbers, float):
        return numbers
    return np.asarray(numbers, dtype).reshape((-1,) + (1,) * (-axis - 1))


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """For each row of (samples, 1000) scores the `top` highest as (WordNet id, name, score), the highest first.

    The names come from Keras' file `imagenet_class_index.json` in the cache folder `models`.
    Raises ValueError for another shape.
    """
    preds = as_array(preds)
    if preds.ndim != 2 or preds.shape[1] != 1000:
        raise ValueError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape (samples, 1000)). Received "
            f"array with shape: {preds.shape}"
        )
    path = get_file(
        "imagenet_class_index.json",
        "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
        cache_subdir="models",
        file_hash="c2c37ea517e94d9795004a39431a14cb",
    )
    with open(path, encoding="utf-8") as file:
        names = json.load(file)
    return [[(*names[str(i)], row[i]) for i in np.argsort(row)[::-1][:top]] for row in preds]
