"""Meshes and DTensors over several processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dist_tensor_functions as processes
import pytest

import rushlight.multiprocessing as mp


def together(function: Any, size: int, tmp_path: Path) -> None:
    mp.spawn(function, args=(size, str(tmp_path / "store")), nprocs=size)


def test_meshes(tmp_path: Path) -> None:
    together(processes.meshes, 4, tmp_path)


def test_placements_and_moves(tmp_path: Path) -> None:
    together(processes.placements_and_moves, 2, tmp_path)


def test_two_dimensions(tmp_path: Path) -> None:
    together(processes.two_dimensions, 4, tmp_path)


@pytest.mark.parametrize("size", [2, 4])
def test_operations(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")  # many small programs that run once: nothing to compile
    together(processes.operations, size, tmp_path)


def test_modules_and_optimizers(tmp_path: Path) -> None:
    together(processes.modules_and_optimizers, 2, tmp_path)


def test_a_rank_that_dies(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="Connection closed by peer"):
        together(processes.a_rank_dies, 3, tmp_path)


@pytest.mark.parametrize("size", [2, 4])
def test_tensor_parallel(size: int, tmp_path: Path) -> None:
    together(processes.tensor_parallel, size, tmp_path)
