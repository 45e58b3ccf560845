"""Progress bars (pytorch_lightning.callbacks.progress)."""

from __future__ import annotations

from rushlight.lightning.callbacks.progress.progress_bar import ProgressBar
from rushlight.lightning.callbacks.progress.rich_progress import RichProgressBar
from rushlight.lightning.callbacks.progress.tqdm_progress import TQDMProgressBar

__all__ = ["ProgressBar", "RichProgressBar", "TQDMProgressBar"]
