"""The progress bar under the name that asks for colours; on a terminal all bars have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rushlight.lightning.callbacks.progress.tqdm_progress import TQDMProgressBar


@dataclass
class RichProgressBarTheme:
    """Colours of the parts of a bar."""

    description: str = ""
    progress_bar: str = "#6206E0"
    progress_bar_finished: str = "#6206E0"
    progress_bar_pulse: str = "#6206E0"
    batch_progress: str = ""
    time: str = "dim"
    processing_speed: str = "dim underline"
    metrics: str = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


class RichProgressBar(TQDMProgressBar):
    """`TQDMProgressBar` with the theme's delimiter and format of values."""

    def __init__(self, refresh_rate: int = 1, leave: bool = False, theme: RichProgressBarTheme | None = None,
                 console_kwargs: Any = None):
        super().__init__(refresh_rate, leave=leave)
        self.theme = theme or RichProgressBarTheme()
        self.console_kwargs = console_kwargs or {}

    def _note(self) -> str:
        items = self.get_metrics(self.trainer, self.trainer.lightning_module)
        shown = (f"{name}: {value:{self.theme.metrics_format}}" if isinstance(value, float) else
                 f"{name}: {value}" for name, value in items.items())
        return self.theme.metrics_text_delimiter.join(shown)
