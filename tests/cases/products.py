"""Products of matrices: sizes around the tiles, transposes, batches, and what reshapes into them."""

import numpy as np

from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

SIZES = [(1, 1, 1), (5, 7, 3), (16, 16, 16), (17, 33, 15), (0, 3, 2), (3, 0, 2), (3, 2, 0), (70, 65, 130)]
for m, k, n in SIZES:
    case(ops.matmul, x(m, k), x(k, n), reference=np.matmul, roundings=max(k, 1))
case(ops.matmul, x(3000, 3), x(3, 5), reference=np.matmul, roundings=64)
case(ops.matmul, x(2, 5000), x(5000, 3), reference=np.matmul, roundings=64)
for a, b in [((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
             ((3, 4), (2, 4, 5)),
             ((2, 1, 3, 4), (5, 4, 2)), ((0, 3, 4), (0, 4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]:  # fmt: skip
    case(ops.matmul, x(*a), x(*b), reference=np.matmul, roundings=8)
case(ops.matmul, ints(3, 4), ints(4, 2), reference=np.matmul)
case(ops.matmul, bools(3, 4), bools(4, 2), reference=np.matmul)

for a, b in [((4,), (4,)), ((3, 4), (4, 2)), ((2, 3, 4), (5, 4, 2)), ((), (3,)), ((3, 4), (4,))]:
    case(ops.dot, x(*a), x(*b), reference=np.dot, roundings=8)
for a, b, axes in [
    ((3, 4), (4, 2), 1),
    ((2, 3, 4), (3, 4, 5), 2),
    ((2, 3), (4, 5), 0),
    ((2, 3, 4), (4, 2), ([2, 0], [0, 1])),
]:
    case(ops.tensordot, x(*a), x(*b), axes=axes, reference=np.tensordot, roundings=16)
case(ops.inner, x(2, 4), x(3, 4), reference=np.inner, roundings=8)
case(ops.inner, x(4), x(4), reference=np.inner, roundings=8)
case(ops.outer, x(3), x(2, 2), reference=np.outer)
case(ops.vdot, x(2, 3), x(3, 2), reference=np.vdot, roundings=8)
case(ops.kron, x(2, 3), x(3, 2), reference=np.kron)
case(ops.cross, x(4, 3), x(4, 3), reference=np.cross, roundings=4)
case(ops.cross, x(3, 4), x(3, 4), axis=0, reference=np.cross, roundings=4)

EINSUMS = {
    "ij,jk->ik": [(3, 4), (4, 5)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)], "ij->ji": [(3, 4)], "ij->": [(3, 4)],
    "ii->i": [(4, 4)], "ii": [(4, 4)], "i,i->": [(5,), (5,)], "i,j->ij": [(3,), (4,)],
    "bthd,bshd->bhts": [(2, 3, 2, 4), (2, 5, 2, 4)],
    "...ij,...jk->...ik": [(2, 3, 4), (2, 4, 5)], "ij,jk,kl->il": [(2, 3), (3, 4), (4, 2)], "bij->bj": [(2, 3, 4)],
    "ab,b": [(3, 4), (4,)], "...a,ab->...b": [(2, 3, 4), (4, 5)], "ij,ij->ij": [(3, 4), (3, 4)],
"ij,kl->ijkl": [(2, 3), (2, 2)], }  # fmt: skip
for subscripts, shapes in EINSUMS.items():
    case(ops.einsum, subscripts, *[x(*s) for s in shapes], reference=np.einsum, roundings=16)
case(ops.inner, bools(3, 4), bools(2, 4), reference=np.inner)
case(ops.dot, bools(3, 4), bools(4, 2), reference=np.dot)
