"""`model(x)` without a tape as one program, where nobody could tell the difference from the layers one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nacre.core import trace, tree
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.tensor import Symbol, Tensor
from nacre.layers.calling import context
from nacre.layers.core_layers import ActivityRegularization, Lambda
from nacre.layers.layer import Layer
from nacre.runtime.compiled import PAYS, CompiledFunction
from nacre.runtime.taped_call import MOST_SHAPES, TapedCall, is_data


class CompiledCall:
    """The compiled call of one model. It lives until the layers of the model change."""

    def __init__(self, model: Any) -> None:
        self._function: CompiledFunction | None = None
        self._trained = 0  # calls with training=True, of which a model may see few
        self._masked: list[int] | None = None  # which outputs carry a mask, where a call was traced
        if leaves_nothing_behind(model):
            self._function = CompiledFunction(lambda x, training: self._with_masks(_called(model, x, training)))

    def __call__(self, x: Any, training: Any) -> Any:
        """The outputs for `x`; None where the call has to run layer by layer."""
        function = self._function
        if function is None:
            return None
        try:
            if training is None or type(training) is bool:
                y = function.again(x, training)
                if y is not None:
                    return Tensor(y) if type(y) is np.ndarray else self._masks_on(tree.map_structure(Tensor, y))
            if not is_data(x) or not (function.count < MOST_SHAPES or function.knows(x, training)):
                return None
            if training:
                self._trained += 1
                if self._trained < PAYS:
                    return None
            return self._masks_on(function(x, training))
        except (TracedBranch, NotCompilable):
            self._function = None
        except Exception:  # a bad argument: the layers say what is wrong with it
            pass
        return None

    def _with_masks(self, y: Any) -> Any:
        """The outputs and, where there are any, their masks."""
        masks = {i: t.__dict__.get("_keras_mask") for i, t in enumerate(tree.flatten(y)) if isinstance(t, Symbol)}
        masked = [i for i, mask in masks.items() if mask is not None]
        if self._masked not in (None, masked):
            raise NotCompilable("what carries a mask depends on the arguments")
        self._masked = masked
        return [y, [masks[i] for i in masked]] if masked else y

    def _masks_on(self, y: Any) -> Any:
        """The outputs, which carry the masks that came beside them."""
        if not self._masked:
            return y
        y, masks = y
        outputs = tree.flatten(y)
        for i, mask in zip(self._masked, masks):
            outputs[i]._keras_mask = mask
        return y


def taped_call(model: Any) -> TapedCall:
    """The calls of one model under a tape. They live until the layers of the model change."""
    return TapedCall((lambda x, training: _unmasked(model, x, training)) if leaves_nothing_behind(model) else None)


def outermost() -> bool:
    """Whether a call that is made now is no part of another one, of a trace or of a training step, and reads and
    writes the Variables themselves."""
    return context.entry is None and not context.training and trace.unwatched()


def _called(model: Any, x: Any, training: Any) -> Any:
    return Layer.__call__(model, x, training=training)


def _unmasked(model: Any, x: Any, training: Any) -> Any:
    y = _called(model, x, training)
    if any(isinstance(t, Symbol) and t.__dict__.get("_keras_mask") is not None for t in tree.flatten(y)):
        raise NotCompilable("the output carries a mask")
    return y


def _parts(model: Any) -> Iterator[Any]:
    """The model, the layers inside, and what else stands in graphs of layers."""
    for layer in model._flatten_layers():
        yield layer
        yield from getattr(layer, "_operations", ())


def leaves_nothing_behind(model: Any) -> bool:
    """Whether a model consists of this package's own layers, and of none that runs users' code or keeps a loss."""
    return not model.run_eagerly and all(
        type(part).__module__.startswith("nacre.")
        and not isinstance(part, (Lambda, ActivityRegularization))
        and "call" not in part.__dict__
        and getattr(part, "activity_regularizer", None) is None
        for part in _parts(model)
    )
