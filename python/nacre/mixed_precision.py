"""The default dtype policy, under the names of Keras' mixed-precision module."""

from nacre.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from nacre.optimizers import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
