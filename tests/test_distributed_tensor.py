"""Meshes and DTensors over several processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dist_tensor_functions as processes
import dist_tensor_modules
import pytest

import rushlight as rl
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
    together(dist_tensor_modules.modules_and_optimizers, 2, tmp_path)


def test_a_rank_that_dies(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="Connection closed by peer"):
        together(processes.a_rank_dies, 3, tmp_path)


@pytest.mark.parametrize("size", [2, 4])
def test_tensor_parallel(size: int, tmp_path: Path) -> None:
    together(dist_tensor_modules.tensor_parallel, size, tmp_path)


def test_descriptions_in_files_are_checked() -> None:
    from rushlight.distributed.tensor.saving import rebuild

    local, where = rl.ones(2, 3), ("cpu", (2,), (0, 1), ("a",))
    good = (local, where, (("shard", 0),), (4, 3), False, False, {})
    assert rebuild(*good).shape == (4, 3) and rebuild(*good).device_mesh.mesh.tolist() == [0, 1]
    wrong: list[tuple[int, Any, type[Exception]]] = [
        (0, [1.0], TypeError),
        (1, ("cuda", (2,), (0, 1), None), RuntimeError),
        (1, ("cpu", (3,), (0, 1), None), ValueError),
        (1, ("cpu", (2,), (0, "1"), None), ValueError),
        (1, ("cpu", (2,), (0, 1), ("a", "b")), ValueError),
        (2, (("shard", 0), ("replicate",)), ValueError),
        (2, (("shard", 5),), IndexError),
        (2, (("partial", "median"),), ValueError),
        (2, (("eval", "1"),), ValueError),
        (3, (4,), ValueError),
        (3, (4, -3), ValueError),
    ]
    for i, value, kind in wrong:
        with pytest.raises(kind):
            rebuild(*good[:i], value, *good[i + 1 :])
    with pytest.raises(RuntimeError, match="has no process groups"):
        rebuild(*good).full_tensor()
