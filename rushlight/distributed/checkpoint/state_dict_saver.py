"""torch.distributed.checkpoint.state_dict_saver."""

from __future__ import annotations

from rushlight.distributed.checkpoint.storage import save, save_state_dict

__all__ = ["save", "save_state_dict"]
