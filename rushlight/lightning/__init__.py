"""The Lightning-style Trainer (pytorch_lightning, lightning): training loops,
callbacks, loggers and checkpoints around a module.

>>> from rushlight.lightning import LightningModule, Trainer
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "2.5.5"  # of the interface that this follows; checkpoints carry it

_HOMES = {"Trainer": "trainer.trainer", "LightningModule": "core.module", "LightningDataModule": "core.datamodule",
          "Callback": "callbacks.callback", "seed_everything": "utilities.seed", "Fabric": "fabric.fabric",
          "rank_zero_only": "utilities.rank_zero"}
_SUBMODULES = ("accelerators", "callbacks", "core", "fabric", "loggers", "loops", "plugins", "profilers", "strategies",
               "trainer", "tuner", "utilities")
__all__ = ["Callback", "Fabric", "LightningDataModule", "LightningModule", "Trainer", "__version__", "seed_everything"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    if name == "pytorch":  # lightning.pytorch is the same package
        return importlib.import_module(__name__)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; rushlight does not provide"
                         f" pytorch_lightning.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_SUBMODULES})
