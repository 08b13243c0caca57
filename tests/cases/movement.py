"""Functions that move elements: sizes of 0 and 1, every axis, negative axes."""

import numpy as np

import reference as ref
from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

for shape, new in [((6,), (2, 3)), ((2, 3), (-1,)), ((0, 4), (0, 2, 2)), ((1,), ()), ((4, 5), (2, -1, 5))]:
    case(ops.reshape, x(*shape), new, reference=np.reshape)
case(ops.ravel, x(2, 3, 4), reference=np.ravel)
for shape, axes in [
    ((3, 4), None),
    ((2, 3, 4), (2, 0, 1)),
    ((2, 3, 4, 5), (0, 2, 1, 3)),
    ((0, 3), None),
    ((33, 65), (1, 0)),
]:
    case(ops.transpose, x(*shape), axes=axes, reference=np.transpose)
case(ops.transpose, ints(3, 4, dtype="int64"), reference=np.transpose)
case(ops.transpose, bools(3, 4), reference=np.transpose)
case(ops.moveaxis, x(2, 3, 4), 0, -1, reference=np.moveaxis)
case(ops.moveaxis, x(2, 3, 4), (0, 1), (1, 2), reference=np.moveaxis)
case(ops.swapaxes, x(2, 3, 4), 0, -1, reference=np.swapaxes)
case(ops.expand_dims, x(3, 4), 1, reference=np.expand_dims)
case(ops.expand_dims, x(3, 4), (0, -1), reference=np.expand_dims)
case(ops.squeeze, x(1, 3, 1), reference=np.squeeze)
case(ops.squeeze, x(1, 3, 1), axis=-1, reference=np.squeeze)
for shape, new in [((3,), (2, 3)), ((3, 1), (3, 5)), ((), (4,)), ((1, 0), (5, 0))]:
    case(ops.broadcast_to, x(*shape), new, reference=np.broadcast_to)

for axis in (0, 1, -1):
    case(ops.concatenate, [x(2, 3), x(2, 3)], axis=axis, reference=np.concatenate)
    case(ops.stack, [x(2, 3), x(2, 3), x(2, 3)], axis=axis, reference=np.stack)
    case(ops.split, x(4, 6), 2, axis=axis, reference=np.split)
    case(ops.unstack, x(3, 2), axis=axis, reference=lambda v, axis: [np.take(v, i, axis) for i in range(v.shape[axis])])
case(ops.concatenate, [x(2, 1), x(2, 0), x(2, 5)], axis=1, reference=np.concatenate)
case(ops.concatenate, [x(1, 2) for _ in range(20)], axis=0, reference=np.concatenate)
case(ops.concatenate, [x(3), ints(2)], axis=0, reference=np.concatenate)
case(ops.split, x(7, 2), [1, 3], axis=0, reference=np.split)
case(ops.split, x(20, 2), 20, axis=0, reference=np.split)
case(ops.append, x(2, 3), x(4), reference=np.append)
case(ops.append, x(2, 3), x(1, 3), axis=0, reference=np.append)
for name in ("hstack", "vstack", "dstack"):
    case(getattr(ops, name), [x(3), x(3)], reference=getattr(np, name), name=name)
    case(getattr(ops, name), [x(2, 3), x(2, 3)], reference=getattr(np, name), name=name)
case(ops.array_split, x(7, 2), 3, reference=np.array_split)
case(ops.hsplit, x(2, 4), 2, reference=np.hsplit)
case(ops.vsplit, x(4, 2), 2, reference=np.vsplit)
case(ops.dsplit, x(1, 2, 4), 2, reference=np.dsplit)

for widths in (1, (1, 2), ((0, 1), (2, 0))):
    case(ops.pad, x(3, 4), widths, reference=np.pad)
case(
    ops.pad,
    x(3, 4),
    1,
    constant_values=2.5,
    reference=lambda v, w, constant_values: np.pad(v, w, constant_values=constant_values),
)
case(ops.pad, x(0, 2), 1, reference=np.pad)
case(ops.pad, ints(3), 2, reference=np.pad)
for mode in ("reflect", "symmetric", "edge", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median"):
    case(ops.pad, x(4, 5), ((1, 2), (0, 3)), mode=mode, reference=np.pad)
    case(ops.pad, ints(3, 4), ((3, 0), (2, 1)), mode=mode, reference=np.pad)
case(ops.pad, x(4, 5), ((1, 2), (0, 3)), mode="empty", reference=lambda v, w, mode: np.pad(v, w))

for axis in (None, 0, -1, (0, 1)):
    case(ops.flip, x(3, 4), axis=axis, reference=np.flip)
case(ops.flip, x(0, 4), reference=np.flip)
case(ops.fliplr, x(3, 4), reference=np.fliplr)
case(ops.flipud, x(3, 4), reference=np.flipud)
for turns in range(5):
    case(ops.rot90, x(3, 4), k=turns, reference=np.rot90)
for repeats in (2, (2, 3), (2, 1, 2)):
    case(ops.tile, x(3, 2), repeats, reference=np.tile)
case(ops.tile, x(3), 0, reference=np.tile)
case(ops.repeat, x(3, 2), 3, reference=np.repeat)
case(ops.repeat, x(3, 2), 3, axis=1, reference=np.repeat)
case(ops.repeat, x(3, 2), (1, 0, 2), axis=0, reference=np.repeat)
case(ops.repeat, x(70), (3,) * 70, reference=np.repeat)
for shift, axis in [(2, None), (-1, 0), (3, 1), ((1, 2), (0, 1))]:
    case(ops.roll, x(3, 5), shift, axis=axis, reference=np.roll)
case(ops.meshgrid, x(3), x(2), reference=np.meshgrid)
case(ops.meshgrid, x(3), x(2), x(4), indexing="ij", reference=np.meshgrid)

for k in (0, 1, -2):
    case(ops.diag, x(4), k=k, reference=np.diag)
    case(ops.diag, x(4, 5), k=k, reference=np.diag)
    case(ops.diagflat, x(2, 2), k=k, reference=np.diagflat)
    case(ops.diagonal, x(3, 5, 4), offset=k, reference=np.diagonal)
    case(ops.diagonal, x(3, 5, 4), offset=k, axis1=2, axis2=1, reference=np.diagonal)
    case(ops.trace, x(3, 5), offset=k, reference=np.trace, roundings=4)
    case(ops.tril, x(2, 4, 5), k=k, reference=np.tril)
    case(ops.triu, x(2, 4, 5), k=k, reference=np.triu)
case(ops.vander, x(3), reference=np.vander)
case(ops.vander, x(3), N=5, increasing=True, reference=np.vander)
case(ops.diff, x(3, 5), reference=np.diff)
case(ops.diff, x(5, 3), n=2, axis=0, reference=np.diff)
case(ops.select, [bools(4), bools(4)], [x(4), x(4)], reference=np.select)

for start, part in [((0, 1), (2, 2)), ((1, 0), (2, -1)), ((0, 0), (0, 2))]:
    case(ops.slice, x(3, 4), start, part, reference=ref.slice_part)
case(ops.slice_update, x(3, 4), (1, 2), x(2, 2), reference=ref.slice_update)
case(ops.slice_update, x(3, 4), (0, 0), x(0, 2), reference=ref.slice_update)

KEYS = {
    "int": 1, "negative": -1, "slice": np.s_[1:], "step": np.s_[::2], "back": np.s_[::-1], "back_step": np.s_[3:0:-2],
    "none": np.s_[None, :, None], "ellipsis": np.s_[..., 1], "mixed": np.s_[1:, ::-2, 2], "empty": np.s_[2:1],
"all": (), }  # fmt: skip
for key in KEYS.values():
    case(ops.get_item, x(4, 5, 3), key, reference=lambda v, key: v[key], name="get_item")
ARRAYS = {
    "array": np.array([0, 2, -1]), "list": [1, 1, 0], "matrix": np.array([[0, 1], [2, 3]]),
    "second": np.s_[:, np.array([0, -2])], "pair": (np.array([0, 1]), np.array([1, 2])),
    "apart": np.s_[np.array([0, 1]), :, np.array([1, 2])], "with_int": np.s_[1, np.array([0, 1])],
    "after_slice": np.s_[1:3, np.array([[0], [1]]), np.array([0, 2])], "int_apart": np.s_[0, :, np.array([1, 2])],
}  # fmt: skip
for key in ARRAYS.values():
    case(ops.get_item, x(4, 5, 3), key, reference=lambda v, key: v[key], name="get_item")
