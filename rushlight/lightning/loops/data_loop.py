"""What the loops over given data share."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.loops.fetch import Fetcher


class DataLoop:
    """Loaders, the workers that fetch from them, and a count of batches."""

    batch_progress: Any

    def __init__(self, trainer: Any, inference_mode: bool):
        self.trainer, self.inference_mode = trainer, inference_mode
        self.loader: Any = None
        self.limits: list[Any] = []
        self.fetcher: Fetcher | None = None

    @property
    def num_dataloaders(self) -> int:
        """How many loaders there are."""
        return len(self.loader.flattened) if self.loader is not None else 0

    def teardown(self) -> None:
        """Let the workers go."""
        if self.fetcher is not None:
            self.fetcher.close()
        self.fetcher, self.loader = None, None

    def state_dict(self, prefix: str = "") -> dict[str, Any]:
        """The counters, as Lightning names them."""
        return {f"{prefix}state_dict": {}, f"{prefix}batch_progress": self.batch_progress.state_dict()}
