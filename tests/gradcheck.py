"""Gradients against finite differences of the float64 reference, along random directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from casebook import Arg, Case, leaves
from nacre.core.autodiff import GradientTape
from nacre.core.tensor import Tensor

_STEP = 1e-5  # of the central difference: its error is about 1e-10, far below a float32 rounding


def float_leaves(case: Case, args: list[Any]) -> list[np.ndarray[Any, Any]]:
    """The arrays among the arguments that the function has a gradient for."""
    found = []
    for spec, a in zip(case.args, args):
        for s, b in zip(spec, a) if isinstance(spec, list) else [(spec, a)]:
            if isinstance(s, Arg) and s.wrt:
                found.append(b)
    return found


def replaced(case: Case, args: list[Any], new: list[Any]) -> list[Any]:
    """The arguments with those arrays replaced, in order."""
    rest = iter(new)
    out = []
    for spec, a in zip(case.args, args):
        if isinstance(spec, list):
            out.append([next(rest) if isinstance(s, Arg) and s.wrt else b for s, b in zip(spec, a)])
        else:
            out.append(next(rest) if isinstance(spec, Arg) and spec.wrt else a)
    return out


def weighted(case: Case, values: list[Any]) -> list[np.ndarray[Any, Any]]:
    """A fixed random weight for every float output, which makes one number of them."""
    rng = np.random.default_rng(7)
    return [rng.uniform(0.5, 1.5, np.shape(v)) for v in values]


def gradients(case: Case, args: list[Any]) -> list[Any]:
    """What the tape gives for the weighted sum of the function's float outputs."""
    tensors = [Tensor.of(a) for a in float_leaves(case, args)]
    return tape_gradients(case, args, tensors)


def tape_gradients(case: Case, args: list[Any], tensors: list[Any]) -> list[Any]:
    from nacre import ops

    with GradientTape() as tape:
        tape.watch(tensors)
        outputs = [
            y for y in leaves(case.function(*replaced(case, args, tensors), **case.kwargs)) if y.dtype == "float32"
        ]
        weights = weighted(case, outputs)
        loss = sum(ops.sum(y * Tensor.of(w.astype(np.float32))) for y, w in zip(outputs, weights))
    return tape.gradient(loss, tensors, unconnected_gradients="zero")  # type: ignore[no-any-return]


def assert_directional_derivative(case: Case) -> None:
    """<gradient, direction> equals the change of the reference along it, within the roundings of a float32 sum."""
    args = case.draw()
    points = float_leaves(case, args)
    grads = [np.asarray(g, np.float64) for g in gradients(case, args)]
    rng = np.random.default_rng(11)
    for _ in range(3):
        directions = [rng.standard_normal(p.shape) for p in points]

        def moved(t: float, directions: list[Any] = directions) -> float:
            new = [p.astype(np.float64) + t * d for p, d in zip(points, directions)]
            outs = [np.asarray(v) for v in leaves(case.truth(replaced(case, args, new)))]
            outs = [v for v in outs if v.dtype.kind == "f"]
            return float(sum(np.sum(v * w) for v, w in zip(outs, weighted(case, outs))))

        slope = (moved(_STEP) - moved(-_STEP)) / (2 * _STEP)
        terms = [g * d for g, d in zip(grads, directions)]
        got = float(sum(t.sum() for t in terms))
        size = 1.0 + float(sum(np.abs(t).sum() for t in terms))
        allowed = case.roundings * 64 * np.finfo(np.float32).eps * size + 1e-6 * size
        assert np.isfinite(got), f"{case}: the gradient holds {got}"
        assert abs(got - slope) <= allowed, f"{case}: gradient {got}, finite difference {slope}, allowed {allowed}"
