"""What is wrong with arguments and labels, said before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.errors import described
from nacre.losses.loss import LossFunctionWrapper
from nacre.losses.probabilistic import SparseCategoricalCrossentropy, sparse_categorical_crossentropy
from nacre.training.compile_loss import CompileLoss, item_at


def check_count(name: str, value: Any, least: int, none: bool = True) -> int | None:
    """`value` as an int. Raises TypeError for what is no int, ValueError below `least`."""
    if type(value) is int and value >= least:
        return value
    if value is None and none:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "shape", None):
        got = f"{described(value)}. Are data given in its place?" if hasattr(value, "shape") else repr(value)
        raise TypeError(f"{name}: expected an int >= {least}{' or None' if none else ''}, got {got}")
    if value.__index__() < least:
        raise ValueError(f"{name}: expected an int >= {least}{' or None' if none else ''}, got {value!r}")
    return int(value.__index__())


def check_verbose(verbose: Any) -> int:
    """A whole number: 0 silent, 1 a bar, 2 a line, above only the numbers of epochs. Raises ValueError for what is
    neither that nor "auto"; None is silent, too."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if verbose is None:
        return 0
    if isinstance(verbose, (bool, int, np.integer, np.bool_)) and verbose >= 0:
        return int(verbose)
    raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")


def check_fit_arguments(
    batch_size: Any, epochs: Any, initial_epoch: Any, steps_per_epoch: Any, validation_steps: Any,
    validation_batch_size: Any, validation_freq: Any,
) -> None:  # fmt: skip
    """Raises TypeError or ValueError, naming the argument, for numbers that make no sense."""
    check_count("batch_size", batch_size, 1)
    if type(epochs) is not int or epochs >= 0:  # a negative number trains nothing, as 0 does
        check_count("epochs", epochs, 0, none=False)
    check_count("initial_epoch", initial_epoch, 0, none=False)
    check_count("steps_per_epoch", steps_per_epoch, 1)
    check_count("validation_steps", validation_steps, 1)
    check_count("validation_batch_size", validation_batch_size, 1)
    if not isinstance(validation_freq, (list, tuple, set)):
        check_count("validation_freq", validation_freq, 1, none=False)


def check_labels(compile_loss: CompileLoss | None, y: Any, y_pred: Any) -> None:
    """Raises ValueError when class numbers in `y` do not fit the outputs, of which only shapes are needed."""
    if compile_loss is None or not compile_loss.built or y is None or y_pred is None:
        return
    truths: Any = None
    for output in compile_loss.outputs:
        options = _sparse_options(output.loss)
        if options is None:
            continue
        if truths is None:
            truths = compile_loss.matched(y, y_pred)
        labels, prediction = item_at(truths, output.path), item_at(y_pred, output.path)
        if not isinstance(labels, np.ndarray) or not labels.size or tree.is_nested(prediction):
            continue
        classes = prediction.shape[options.get("axis", -1)]
        if classes is not None:
            _check_range(labels, classes, options.get("ignore_class"), output.name if output.path else None)


def _sparse_options(loss: Any) -> dict[str, Any] | None:
    sparse = isinstance(loss, SparseCategoricalCrossentropy) or (
        isinstance(loss, LossFunctionWrapper) and loss.fn is sparse_categorical_crossentropy
    )
    return loss._fn_kwargs if sparse else None


def _check_range(labels: np.ndarray[Any, Any], classes: int, ignored: int | None, name: str | None) -> None:
    if labels.dtype.kind not in "biuf" or (labels.min() >= 0 and labels.max() < classes):
        return
    wrong = ~((labels >= 0) & (labels < classes))
    if ignored is not None:
        wrong &= labels != ignored
    if wrong.any():
        at = np.argwhere(wrong)[0]
        where = f" of output '{name}'" if name else ""
        raise ValueError(
            f"y{where}: expected class numbers in [0, {classes}) for sparse_categorical_crossentropy and an output of "
            f"{classes} classes, got {labels[tuple(at)].item()} at index {tuple(int(i) for i in at)}"
        )
