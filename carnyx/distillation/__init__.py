"""`keras.distillation`: a small model learns from a large one."""

from carnyx.distillation.distiller import Distiller as Distiller
from carnyx.distillation.losses import DistillationLoss as DistillationLoss
from carnyx.distillation.losses import FeatureDistillation as FeatureDistillation
from carnyx.distillation.losses import LogitsDistillation as LogitsDistillation

__all__ = ["DistillationLoss", "Distiller", "FeatureDistillation", "LogitsDistillation"]
