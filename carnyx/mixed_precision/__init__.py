"""`keras.mixed_precision`: dtype policies, and loss scaling for float16."""

from carnyx.dtype_policies import DTypePolicy as DTypePolicy
from carnyx.dtype_policies import dtype_policy as dtype_policy
from carnyx.dtype_policies import set_dtype_policy as set_dtype_policy
from carnyx.optimizers import LossScaleOptimizer as LossScaleOptimizer

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
