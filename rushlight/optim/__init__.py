"""Optimizers (torch.optim)."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from rushlight.optim.adaptive import ASGD, Adadelta, Adagrad, RMSprop, Rprop
from rushlight.optim.lbfgs import LBFGS
from rushlight.optim.matrix import Adafactor, Muon
from rushlight.optim.optimizer import Optimizer
from rushlight.optim.sgd import SGD

__all__ = ["ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Muon", "NAdam",
           "Optimizer", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam", "lr_scheduler", "swa_utils"]


def __getattr__(name: str) -> Any:
    if name in ("lr_scheduler", "swa_utils", "adamw"):
        return importlib.import_module(f"rushlight.optim.{name}")
    if name == "SparseAdam":
        return importlib.import_module("rushlight.optim.sparse_adam").SparseAdam
    raise AttributeError(f"module 'rushlight.optim' has no attribute {name!r}; "
                         f"rushlight does not provide torch.optim.{name}")
