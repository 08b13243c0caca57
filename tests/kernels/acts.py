"""What kernels do to finished sums beyond relu6: by the steps of `elementwise`, to the bit, and in float64."""

import math

import numpy as np

from kernels.test_elementwise import fields, strides
from nacre import _core

_CONSTS = (3.0, 0.0, 6.0, 1.0 / 6.0, math.sqrt(0.5), 1.0, 0.5)
_THREE, _ZERO, _SIX, _SIXTH, _ROOT, _ONE, _HALF = range(8, 15)
_HARD = [("add", 24, 0, _THREE), ("clip", 25, 24, _ZERO, _SIX), ("mul", 26, 25, _SIXTH)]
_ERF = [("mul", 24, 0, _ROOT), ("erf", 25, 24), ("add", 26, 25, _ONE), ("mul", 27, 0, 26), ("mul", 28, 27, _HALF)]
_STEPS = {
    2: [("clip", 24, 0, _ZERO, _SIX)],
    3: _HARD,
    4: [*_HARD, ("mul", 27, 0, 26)],
    5: [("sigmoid", 24, 0)],
    6: [("sigmoid", 24, 0), ("mul", 25, 0, 24)],
    7: [("tanh", 24, 0)],
    8: _ERF,
}
ACTS = tuple(act for act in _STEPS if act > 2)


def acted(act, v, isa):
    """act(v), float32, by `elementwise`."""
    steps = _STEPS[act]
    y = np.empty_like(v)
    program = fields(v.shape, [("float32", strides(v.shape))], [("float32", steps[-1][1])], steps, _CONSTS)
    _core.run_kernel("elementwise", program, [v, *[None] * 7], [y, *[None] * 3], isa=isa)
    return y


def exactly(act, v):
    """act(v) in float64."""
    v = v.astype(np.float64)
    hard = np.clip(v + 3, 0, 6) / 6
    sigmoid = 1 / (1 + np.exp(-v))
    gelu = 0.5 * v * (1 + np.vectorize(math.erf, otypes=[np.float64])(v * math.sqrt(0.5)))
    return {2: np.clip(v, 0, 6), 3: hard, 4: v * hard, 5: sigmoid, 6: v * sigmoid, 7: np.tanh(v), 8: gelu}[act]
