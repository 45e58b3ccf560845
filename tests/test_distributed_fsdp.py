"""FullyShardedDataParallel and fully_shard over several processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dist_fsdp_functions as processes
import dist_fsdp_states
import pytest

import rushlight.multiprocessing as mp


def together(function: Any, size: int, tmp_path: Path) -> None:
    mp.spawn(function, args=(size, str(tmp_path / "store")), nprocs=size)


@pytest.mark.parametrize("size", [2, 4])
def test_wrapped(size: int, tmp_path: Path) -> None:
    together(processes.wrapped, size, tmp_path)


@pytest.mark.parametrize("size", [2, 4])
def test_in_place(size: int, tmp_path: Path) -> None:
    together(processes.in_place, size, tmp_path)


@pytest.mark.parametrize(
    "function",
    [
        processes.accumulation_and_checkpointing,
        processes.freed,
        dist_fsdp_states.saving,
        processes.wrapping,
        dist_fsdp_states.checkpoints,
    ],
    ids=lambda f: f.__name__,
)
def test_two_processes(function: Any, tmp_path: Path) -> None:
    together(function, 2, tmp_path)


def test_with_tensor_parallel(tmp_path: Path) -> None:
    together(processes.with_tensor_parallel, 4, tmp_path)


def test_a_rank_that_dies(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="Connection closed by peer"):
        together(processes.a_rank_dies, 2, tmp_path)
