"""Learning-rate schedulers (torch.optim.lr_scheduler)."""

from __future__ import annotations

from rushlight.optim.schedulers_base import EPOCH_DEPRECATION_WARNING, LRScheduler, _LRScheduler
from rushlight.optim.schedulers_combined import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from rushlight.optim.schedulers_cycle import CyclicLR, OneCycleLR
from rushlight.optim.schedulers_simple import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = ["EPOCH_DEPRECATION_WARNING", "ChainedScheduler", "ConstantLR", "CosineAnnealingLR",
           "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LRScheduler", "LambdaLR",
           "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
           "ReduceLROnPlateau", "SequentialLR", "StepLR", "_LRScheduler"]
