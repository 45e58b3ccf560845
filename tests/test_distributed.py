"""torch.distributed with three processes on this machine, and what one process alone can check."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import dist_functions
import pytest

import rushlight as rl
import rushlight.distributed as dist
import rushlight.multiprocessing as mp


def together(function: Any, tmp_path: Path) -> None:
    mp.spawn(function, args=(str(tmp_path / "store"),), nprocs=dist_functions.SIZE)


def test_collectives(tmp_path: Path) -> None:
    together(dist_functions.collectives, tmp_path)


def test_data_parallel_is_training_on_the_whole_batch(tmp_path: Path) -> None:
    together(dist_functions.data_parallel, tmp_path)


def test_batches_are_normalized_together(tmp_path: Path) -> None:
    together(dist_functions.synchronized_statistics, tmp_path)


def test_hooks_and_uneven_inputs(tmp_path: Path) -> None:
    together(dist_functions.hooks_and_uneven_inputs, tmp_path)


def test_parameters_that_are_not_used(tmp_path: Path) -> None:
    together(dist_functions.unused, tmp_path)


def test_other_shapes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException,
                       match="same collective with the same shapes|Connection closed by peer"):
        together(dist_functions.mismatch, tmp_path)


def test_a_rank_that_ends_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="Connection closed by peer"):
        together(dist_functions.early_end, tmp_path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", str(free_port())),
                        ("RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    dist.init_process_group()
    with pytest.raises(ValueError, match="initialize the default process group twice"):
        dist.init_process_group()
    t = rl.ones(2)
    dist.all_reduce(t)
    assert t.tolist() == [1.0, 1.0] and dist.group.WORLD is dist.GroupMember.WORLD and dist.group.WORLD.size() == 1
    sampler = rl.utils.data.distributed.DistributedSampler(list(range(4)), shuffle=False)
    assert list(sampler) == [0, 1, 2, 3]
    dist.destroy_process_group()
    assert dist.group.WORLD is None


def test_before_and_wrong() -> None:
    assert dist.is_available() and not dist.is_initialized() and dist.is_gloo_available()
    assert not dist.is_nccl_available() and not dist.is_mpi_available()
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.get_rank()
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.all_reduce(rl.ones(1))
    with pytest.raises(RuntimeError, match="Distributed package doesn't have NCCL built in"):
        dist.init_process_group("nccl")
    with pytest.raises(ValueError, match="Invalid backend"):
        dist.init_process_group("pigeon")
    with pytest.raises(ValueError, match="rank parameter missing"):
        dist.init_process_group("gloo", init_method="tcp://127.0.0.1:1", world_size=1)
    with pytest.raises(TypeError, match="of type torch.Tensor"):
        dist.all_reduce(3)
    with pytest.raises(RuntimeError, match="client socket has timed out"):
        dist.TCPStore("127.0.0.1", free_port(), 1, False, timeout=timedelta(seconds=0.2))


@pytest.mark.parametrize("kind", ["hash", "tcp", "file"])
def test_stores(kind: str, tmp_path: Path) -> None:
    made = {"hash": dist.HashStore, "tcp": lambda: dist.TCPStore("127.0.0.1", 0, 1, True),
            "file": lambda: dist.FileStore(str(tmp_path / "f"), 1)}[kind]()
    store = dist.PrefixStore("p", made)
    store.set("a", "one")
    assert store.get("a") == b"one" and made.get("p/a") == b"one"
    assert store.add("n", 2) == 2 and store.add("n", 3) == 5
    assert store.check(["a", "n"]) and not store.check(["a", "z"])
    assert store.compare_set("a", "two", "three") == b"one" and store.compare_set("a", "one", "three") == b"three"
    assert store.delete_key("n") and not store.delete_key("n")
    threading.Timer(0.1, lambda: store.set("late", "!")).start()
    assert store.get("late") == b"!"
    with pytest.raises(RuntimeError, match="wait timeout after 50ms, keys: never"):
        store.wait(["never"], timedelta(milliseconds=50))


def test_futures() -> None:
    from rushlight.futures import Future, collect_all, wait_all
    a, b = Future(), Future()
    both = collect_all([a, b])
    c = a.then(lambda f: 1 / f.wait())
    a.set_result(0)
    assert not both.done()
    b.set_result(2)
    assert both.done() and wait_all([a, b]) == [0, 2]
    with pytest.raises(ZeroDivisionError):
        c.wait()
    with pytest.raises(RuntimeError, match="only be set once"):
        a.set_result(1)
