"""Loggers (pytorch_lightning.loggers)."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.loggers.csv_logs import CSVLogger
from rushlight.lightning.loggers.logger import DummyLogger, Logger
from rushlight.lightning.loggers.tensorboard import TensorBoardLogger

__all__ = ["CSVLogger", "DummyLogger", "Logger", "TensorBoardLogger"]

ELSEWHERE = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow", "CometLogger": "comet_ml", "NeptuneLogger": "neptune"}


def _absent(name: str, package: str) -> type:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ModuleNotFoundError(f"{name} is not provided; derive a Logger that calls {package}, or use CSVLogger"
                                  " or TensorBoardLogger", name=package)
    return type(name, (Logger,), {"__init__": __init__,
                                  "__doc__": f"Cannot be made: rushlight does not provide it ({package})."})


def __getattr__(name: str) -> Any:
    if name in ELSEWHERE:
        return _absent(name, ELSEWHERE[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
