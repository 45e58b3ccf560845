"""save and load: every rank its own file, and one list of who wrote what."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

from rushlight.distributed.checkpoint import pieces
from rushlight.distributed.checkpoint import planner as planners

LIST = "ranks.json"


class CheckpointException(RuntimeError):
    """A checkpoint is missing, incomplete or of another form."""


class FileSystemWriter:
    """Writes to a folder. ``sync_files`` is always done; ``single_file_per_rank``, ``thread_count`` … are as PyTorch's
    defaults say: one file per rank."""

    def __init__(self, path: Any, single_file_per_rank: bool = True, sync_files: bool = True, thread_count: int = 1,
                 per_thread_copy_ahead: int = 10_000_000, overwrite: bool = True, **unknown: Any):
        if unknown:
            raise TypeError(f"FileSystemWriter: unknown arguments {sorted(unknown)}")
        self.path, self.overwrite = os.fspath(path), overwrite


class FileSystemReader:
    """Reads from a folder."""

    def __init__(self, path: Any):
        self.path = os.fspath(path)


def _rank() -> tuple[int, int]:
    from rushlight import distributed
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def _barrier() -> None:
    from rushlight import distributed
    if distributed.is_initialized():
        distributed.barrier()


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Objects with a state_dict of their own are saved by it, DTensors by this rank's pieces."""
    return {k: pieces.packed(v.state_dict() if hasattr(v, "state_dict") and callable(v.state_dict) else v)
            for k, v in state.items()}


def save(state_dict: dict[str, Any], *, checkpoint_id: Any = None, storage_writer: Any = None, planner: Any = None,
         process_group: Any = None, no_dist: bool = False, use_collectives: bool = True) -> None:
    """Write each rank's state_dict into a folder (``checkpoint_id`` or the writer's). All ranks must call it.

    ValueError without a folder; CheckpointException where it holds a checkpoint and the writer may not overwrite it.
    """
    from rushlight.serialization.saving import save as write
    planners.check(planner, "save", "rushlight writes what each rank holds; leave the planner out")
    folder = checkpoint_id if checkpoint_id is not None else getattr(storage_writer, "path", None)
    if folder is None:
        raise ValueError("torch.distributed.checkpoint.save needs a checkpoint_id or a storage_writer")
    folder = os.fspath(folder)
    rank, size = (0, 1) if no_dist else _rank()
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(os.path.join(folder, LIST)):
        if storage_writer is not None and not storage_writer.overwrite:
            raise CheckpointException(f"{folder} holds a checkpoint already, and the writer may not overwrite it")
        if storage_writer is None or storage_writer.overwrite:
            warnings.warn(f"Detected an existing checkpoint in {folder}, "
                          "overwriting since self.overwrite=True.", stacklevel=2)
    if not no_dist:
        _barrier()
    write(_plain(state_dict), os.path.join(folder, f"rank{rank}.pt"))
    if not no_dist:
        _barrier()
    if rank == 0:
        temporary = os.path.join(folder, LIST + ".tmp")
        with open(temporary, "w", encoding="utf8") as f:
            json.dump({"ranks": size}, f)
        os.replace(temporary, os.path.join(folder, LIST))  # the checkpoint counts from now on
    if not no_dist:
        _barrier()


def load(state_dict: dict[str, Any], *, checkpoint_id: Any = None, storage_reader: Any = None, planner: Any = None,
         process_group: Any = None, no_dist: bool = False) -> None:
    """Read a checkpoint into state_dict, in place: tensors are written into,
    objects get load_state_dict, the rest is replaced.

    A rank beyond those that wrote reads rank 0's file. CheckpointException where the folder, a key or a shape is
    missing or other.
    """
    from rushlight.serialization import load as read
    planners.check(planner, "load", "rushlight reads what each rank wrote; leave the planner out")
    folder = checkpoint_id if checkpoint_id is not None else getattr(storage_reader, "path", None)
    if folder is None:
        raise ValueError("torch.distributed.checkpoint.load needs a checkpoint_id or a storage_reader")
    folder = os.fspath(folder)
    place = os.path.join(folder, LIST)
    if not os.path.exists(place):
        raise CheckpointException(f"there is no whole checkpoint in {folder} (no {LIST}; "
                                  "folders written by PyTorch are not read)")
    with open(place, encoding="utf8") as f:
        ranks = json.load(f)["ranks"]
    rank = 0 if no_dist else _rank()[0]
    mine = rank if rank < ranks else 0
    files = pieces.Files([os.path.join(folder, f"rank{r}.pt") for r in range(ranks)], read)
    found = files[mine]
    if isinstance(planner, planners._EmptyStateDictLoadPlanner):
        for key in [k for k in found if planner.wants(k)]:
            state_dict[key] = pieces.unpacked(found[key], None, files, (key,))
        return
    _fill(state_dict, found, "", files, (), getattr(planner, "allow_partial_load", False))


def _fill(target: dict[str, Any], found: dict[str, Any], path: str, files: pieces.Files, keys: tuple[Any, ...],
          partial: bool) -> None:
    from rushlight.autograd.grad_mode import no_grad
    from rushlight.tensor.core import Tensor
    for key, value in target.items():
        name = f"{path}{key}"
        if key not in found:
            if partial:
                continue
            raise CheckpointException(f"Missing key in checkpoint state_dict: {name}.")
        new, here = found[key], (*keys, key)
        if isinstance(value, Tensor):
            new = pieces.unpacked(new, value, files, here)
            if not isinstance(new, Tensor) or new.shape != value.shape:
                raise CheckpointException(f"Size mismatch between saved {getattr(new, 'shape', type(new).__name__)} "
                                          f"and current: {value.shape} for {name}")
            with no_grad():
                value.copy_(new)
        elif hasattr(value, "load_state_dict"):
            value.load_state_dict(pieces.unpacked(new, value.state_dict(), files, here))
        elif isinstance(value, dict) and isinstance(new, dict) and value:
            _fill(value, new, name + ".", files, here, partial)
        else:
            target[key] = pieces.unpacked(new, value, files, here)


def save_state_dict(state_dict: dict[str, Any], storage_writer: Any, process_group: Any = None,
                    coordinator_rank: int = 0, no_dist: bool = False, planner: Any = None) -> None:
    """The old name of `save`."""
    warnings.warn("'save_state_dict' is deprecated and will be removed in future versions. Please use 'save' instead.",
                  FutureWarning, stacklevel=2)
    save(state_dict, storage_writer=storage_writer, process_group=process_group, no_dist=no_dist, planner=planner)


def load_state_dict(state_dict: dict[str, Any], storage_reader: Any, process_group: Any = None,
                    coordinator_rank: int = 0, no_dist: bool = False, planner: Any = None) -> None:
    """The old name of `load`."""
    warnings.warn("'load_state_dict' is deprecated and will be removed in future versions. Please use 'load' instead.",
                  FutureWarning, stacklevel=2)
    load(state_dict, storage_reader=storage_reader, process_group=process_group, no_dist=no_dist, planner=planner)
