"""Shows a table of the module when fitting begins."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.model_summary import ModelSummary as Summary
from rushlight.lightning.utilities.model_summary import summarize
from rushlight.lightning.utilities.rank_zero import rank_zero_info


class ModelSummary(Callback):
    """Tell the parts of the module down to `max_depth` levels, -1 for all, 0 for none."""

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any):
        self._max_depth, self._summarize_kwargs = max_depth, summarize_kwargs

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self._max_depth:
            self.show(summarize(pl_module, max_depth=self._max_depth))

    def show(self, summary: Summary) -> None:
        """How the table is told."""
        rank_zero_info("\n" + str(summary))
