"""A module, a loader and a quiet Trainer for the tests of rushlight.lightning."""

from __future__ import annotations

from typing import Any

import rushlight as torch
import rushlight.lightning as pl
from rushlight import nn
from rushlight.utils.data import DataLoader, TensorDataset

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def loader(n: int = 8, batch: int = 4) -> Any:
    x = torch.arange(3.0 * n).reshape(n, 3) / n
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch)


class Line(pl.LightningModule):
    def __init__(self, width: int = 3, rate: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)


def trainer(**arguments: Any) -> pl.Trainer:
    return pl.Trainer(**{**QUIET, "max_epochs": 1, **arguments})
