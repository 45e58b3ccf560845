"""torch.distributed.checkpoint.state_dict_loader."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.checkpoint.storage import load, load_state_dict


def _load_state_dict(
    state_dict: dict[str, Any],
    storage_reader: Any,
    process_group: Any = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: Any = None,
) -> None:
    """`load` with a reader."""
    load(state_dict, storage_reader=storage_reader, process_group=process_group, no_dist=no_dist, planner=planner)


__all__ = ["_load_state_dict", "load", "load_state_dict"]
