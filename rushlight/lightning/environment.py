"""Which of how many processes this is, as launchers say it in environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rushlight.lightning.utilities.exceptions import MisconfigurationException


@dataclass(frozen=True)
class Environment:
    """The place of a process among all, and whether all of them run already."""

    world_size: int = 1
    global_rank: int = 0
    local_rank: int = 0
    node_rank: int = 0
    local_world_size: int = 1
    started: bool = True


ALONE = Environment()


def _number(*names: str) -> int | None:
    return next((int(os.environ[n]) for n in names if os.environ.get(n, "").lstrip("-").isdigit()), None)


def _of_launcher(size: int, rank: int, devices: int | None, num_nodes: int) -> Environment:
    """One of the processes of torchrun, or of any launcher with its variables."""
    here = _number("LOCAL_WORLD_SIZE") or max(1, size // num_nodes)
    if (devices or here) * num_nodes != size and not (devices is None and num_nodes == 1):
        raise MisconfigurationException(
            f"The launcher has started {size} processes (WORLD_SIZE), but devices={devices or 'auto'} and num_nodes={num_nodes} ask for"
            f" {(devices or here) * num_nodes}: leave `devices` out, or pass what the launcher was told (--nproc_per_node, --nnodes)")
    local, node = _number("LOCAL_RANK"), _number("GROUP_RANK", "NODE_RANK")
    return Environment(size, rank, rank % here if local is None else local, rank // here if node is None else node, here)


def environment_of(devices: int | None, num_nodes: int) -> Environment:
    """The place of this process, with so many processes on each of so many machines (None: one, or as many as a launcher has started).

    RANK and WORLD_SIZE are a launcher's (torchrun). Otherwise the first process of each machine, which has no LOCAL_RANK yet, is to start
    the others; NODE_RANK tells which machine it is. MisconfigurationException where the variables do not fit.

    >>> environment_of(1, 1).world_size
    1
    """
    size, rank = _number("WORLD_SIZE"), _number("RANK")
    if size is not None and rank is not None and size > 1:
        return _of_launcher(size, rank, devices, num_nodes)
    here = devices or 1
    local, node = _number("LOCAL_RANK"), _number("NODE_RANK", "GROUP_RANK")
    if here * num_nodes == 1:
        if size is not None and size > 1 and local is None:
            raise MisconfigurationException(f"This is one of {size} processes (WORLD_SIZE), but RANK does not say which; start the program with"
                                            " torchrun, or without these variables")
        return ALONE
    if num_nodes > 1 and node is None:
        raise MisconfigurationException(f"num_nodes={num_nodes}, but NODE_RANK does not say which machine this is; MASTER_ADDR and MASTER_PORT"
                                        " have to name the first one")
    at, node = local or 0, node or 0
    return Environment(here * num_nodes, node * here + at, at, node, here, started=local is not None)
