"""Reading and writing at positions: negative ones, repeated ones, none at all."""

import numpy as np

import reference as ref
from casebook import Casebook, ints, x
from nacre import ops

case = Casebook()

for axis in (None, 0, 1, -1):
    case(ops.take, x(4, 5, 3), ints(6, low=-3, high=3), axis=axis, reference=np.take)
    case(ops.take, x(4, 5, 3), ints(2, 3, low=-3, high=3, dtype="int64"), axis=axis, reference=np.take)
case(ops.take, x(100, 17), ints(33, low=0, high=100), axis=0, reference=np.take)
case(ops.take, x(4, 3), ints(0), axis=0, reference=np.take)
case(ops.take, x(4, 3), 1, axis=0, reference=np.take)
case(ops.take, ints(4, 3), ints(6, low=-3, high=3), axis=1, reference=np.take)
for axis in (0, 1, -1):
    case(ops.take_along_axis, x(3, 4), ints(3, 4, low=-3, high=3), axis=axis, reference=np.take_along_axis)
case(ops.take_along_axis, x(3, 4), ints(3, 2, low=0, high=4), axis=1, reference=np.take_along_axis)
case(ops.take_along_axis, x(6), ints(4, low=0, high=6), axis=None, reference=np.take_along_axis)

case(ops.scatter, ints(5, 1, low=0, high=4), x(5), (4,), reference=ref.scatter, roundings=2)
case(ops.scatter, ints(5, 1, low=0, high=4), x(5, 3), (4, 3), reference=ref.scatter, roundings=2)
case(ops.scatter, ints(5, 2, low=0, high=3), x(5), (3, 4), reference=ref.scatter, roundings=2)
case(ops.scatter, ints(0, 1), x(0, 2), (3, 2), reference=ref.scatter)
case(ops.scatter_update, x(4, 3), ints(1, 1, low=0, high=4), x(1, 3), reference=ref.scatter_update)
case(ops.scatter_update, x(4, 3), ints(1, 2, low=-3, high=3), x(1), reference=ref.scatter_update)
for reduction in ("add", "max", "min", "mul"):
    case(
        ops.scatter_update,
        x(4, 3),
        ints(3, 1, low=0, high=4),
        x(3, 3),
        reduction=reduction,
        reference=ref.scatter_update,
        roundings=2,
    )

SEGMENTS = {"sum": (np.add, 0), "max": (np.maximum, -np.inf), "min": (np.minimum, np.inf), "prod": (np.multiply, 1)}
for name, (op, start) in SEGMENTS.items():
    function = getattr(ops, f"segment_{name}")
    for shape in ((9,), (9, 2)):
        case(
            function,
            x(*shape),
            ints(9, low=0, high=4),
            5,
            reference=lambda d, i, n, op=op, start=start: ref.segment(d, i, n, op, start),
            name=f"segment_{name}",
            roundings=4,
            smooth=name in ("sum", "prod"),  # an empty segment has an infinite maximum
        )
        case(
            function,
            x(5, *shape[1:]),
            np.array([0, 2, 1, 0, 7], np.int32),
            3,
            reference=lambda d, i, n, op=op, start=start: ref.segment(d, i, n, op, start),
            name=f"segment_{name}",
        )
case(ops.in_top_k, ints(6, low=0, high=5), x(6, 5), 2, smooth=False,
     reference=lambda t, p, k: np.sum(p > np.take_along_axis(p, t[:, None], 1), 1) < k)  # fmt: skip
