"""Callbacks (pytorch_lightning.callbacks)."""

from __future__ import annotations

from rushlight.lightning.callbacks.batch_size_finder import BatchSizeFinder
from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.callbacks.checkpoint import Checkpoint
from rushlight.lightning.callbacks.early_stopping import EarlyStopping
from rushlight.lightning.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
from rushlight.lightning.callbacks.gradient_accumulation_scheduler import GradientAccumulationScheduler
from rushlight.lightning.callbacks.lambda_function import LambdaCallback
from rushlight.lightning.callbacks.lr_finder import LearningRateFinder
from rushlight.lightning.callbacks.lr_monitor import LearningRateMonitor
from rushlight.lightning.callbacks.model_checkpoint import ModelCheckpoint
from rushlight.lightning.callbacks.model_summary import ModelSummary
from rushlight.lightning.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
from rushlight.lightning.callbacks.prediction_writer import BasePredictionWriter
from rushlight.lightning.callbacks.progress import ProgressBar, RichProgressBar, TQDMProgressBar
from rushlight.lightning.callbacks.rich_model_summary import RichModelSummary
from rushlight.lightning.callbacks.stochastic_weight_avg import StochasticWeightAveraging
from rushlight.lightning.callbacks.timer import Timer

__all__ = ["BackboneFinetuning", "BaseFinetuning", "BasePredictionWriter", "BatchSizeFinder", "Callback", "Checkpoint",
           "EarlyStopping", "GradientAccumulationScheduler", "LambdaCallback", "LearningRateFinder",
           "LearningRateMonitor", "ModelCheckpoint", "ModelSummary", "OnExceptionCheckpoint", "ProgressBar",
           "RichModelSummary", "RichProgressBar", "StochasticWeightAveraging", "TQDMProgressBar", "Timer"]
