"""Functions, references and gradients in other processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dist_rpc_functions as processes
import pytest

import rushlight.multiprocessing as mp
from rushlight.distributed import rpc


def together(function: Any, size: int, tmp_path: Path) -> None:
    mp.spawn(function, args=(size, str(tmp_path / "store")), nprocs=size)


@pytest.mark.parametrize("function", [processes.calls, processes.gradients], ids=lambda f: f.__name__)
def test_three_processes(function: Any, tmp_path: Path) -> None:
    together(function, 3, tmp_path)


def test_with_a_process_group(tmp_path: Path) -> None:
    together(processes.with_a_process_group, 2, tmp_path)


def test_a_worker_that_dies(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="ended without shutdown"):
        together(processes.a_worker_dies, 3, tmp_path)


def test_before_and_wrong() -> None:
    assert rpc.is_available() and rpc.BackendType.TENSORPIPE.name == "TENSORPIPE"
    with pytest.raises(RuntimeError, match="RPC has not been initialized"):
        rpc.rpc_sync("w1", len, ("",))
    with pytest.raises(TypeError, match="must be a member of BackendType"):
        rpc.init_rpc("w0", backend="tensorpipe")
    with pytest.raises(ValueError, match="that are here"):
        rpc.TensorPipeRpcBackendOptions(device_maps={"w1": {0: 1}})
    assert rpc.TensorPipeRpcBackendOptions(device_maps={"w1": {"cpu": "cpu"}}, rpc_timeout=5).rpc_timeout == 5.0
