"""Between folders of `distributed.checkpoint` and single files of `torch.save`
(torch.distributed.checkpoint.format_utils)."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.checkpoint.planner import _EmptyStateDictLoadPlanner
from rushlight.distributed.checkpoint.storage import FileSystemReader, load, save


def dcp_to_torch_save(dcp_checkpoint_dir: Any, torch_save_path: Any) -> None:
    """A folder as one file, DTensors whole. In one process."""
    from rushlight.serialization.saving import save as write

    state: dict[str, Any] = {}
    load(state, storage_reader=FileSystemReader(dcp_checkpoint_dir), planner=_EmptyStateDictLoadPlanner(), no_dist=True)
    write(state, torch_save_path)


def torch_save_to_dcp(torch_save_path: Any, dcp_checkpoint_dir: Any) -> None:
    """A file as a folder, which any number of ranks can load. In one process."""
    from rushlight.serialization import load as read

    save(read(torch_save_path, weights_only=True), checkpoint_id=dcp_checkpoint_dir, no_dist=True)


__all__ = ["_EmptyStateDictLoadPlanner", "dcp_to_torch_save", "torch_save_to_dcp"]
