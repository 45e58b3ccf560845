"""Process groups: who takes part, and the state of this process (torch.distributed)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from rushlight.distributed.mesh import Mesh
from rushlight.distributed.store import FileStore, PrefixStore, Store, TCPStore, seconds

NOT_READY = "Default process group has not been initialized, please make sure to call init_process_group."
default_pg_timeout = timedelta(minutes=30)
BACKENDS = ("gloo", "mpi", "nccl", "ucc", "xccl", "fake")


class ProcessGroup:
    """Some of the ranks, in order. Collectives on a group are numbered, so that their messages cannot be confused."""

    def __init__(self, mesh: Mesh, ranks: list[int], name: str, backend: str, timeout: float):
        self.mesh, self.ranks, self.group_name, self.backend, self.timeout = mesh, ranks, name, backend, timeout
        self.count = 0

    def rank(self) -> int:
        """This process's number within the group, -1 outside."""
        return self.ranks.index(self.mesh.rank) if self.mesh.rank in self.ranks else -1

    def size(self) -> int:
        """How many processes the group has."""
        return len(self.ranks)

    def name(self) -> str:
        """The backend's name."""
        return self.backend

    def tag(self) -> str:
        """The tag of the next collective."""
        self.count += 1
        return f"{self.group_name}:{self.count}"

    def send(self, to: int, tag: str, header: Any, payload: Any = b"") -> None:
        """A message to a member, by its number within the group."""
        self.mesh.send(self.ranks[to], tag, header, payload)

    def receive(self, source: int, tag: str) -> tuple[Any, bytearray]:
        """A member's message."""
        _, header, payload = self.mesh.receive(self.ranks[source], tag, self.timeout)
        return header, payload

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.group_name!r} of ranks {self.ranks}>"


class _Missing:
    """Stands for the group in processes that are no members of it."""

    def __repr__(self) -> str:
        return "<NON_GROUP_MEMBER>"


class _WorldMeta(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The default group, None before it is made."""
        return state.world


class group(metaclass=_WorldMeta):
    """``group.WORLD``: the default group."""


class GroupMember(metaclass=_WorldMeta):
    """``GroupMember.WORLD`` and the mark for groups that a process is no member of."""

    NON_GROUP_MEMBER = _Missing()


class _State:
    """What this process has: its mesh, the default group, how many groups were made."""

    def __init__(self) -> None:
        self.mesh: Mesh | None = None
        self.world: ProcessGroup | None = None
        self.store: Store | None = None
        self.groups = 0


state = _State()


def is_available() -> bool:
    """True: collectives over TCP need nothing else."""
    return True


def is_initialized() -> bool:
    """Whether init_process_group was called."""
    return state.world is not None


def is_gloo_available() -> bool:
    """True: rushlight's own collectives over TCP answer to that name."""
    return True


def is_nccl_available() -> bool:
    """False: there are no GPUs."""
    return False


is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def _variable(name: str) -> str:
    if name not in os.environ:
        raise ValueError("Error initializing torch.distributed using env:// rendezvous: "
                         f"environment variable {name} expected, but not set")
    return os.environ[name]


def _rendezvous(init_method: str, rank: int, world_size: int, timeout: float) -> tuple[Store, int, int]:
    """The store, rank and size that an address names: env://, tcp://host:port, file:///path."""
    url = urlparse(init_method)
    query = {k: v[0] for k, v in parse_qs(url.query).items()}
    rank = int(query.get("rank", rank))
    world_size = int(query.get("world_size", world_size))
    if url.scheme == "env":
        rank = int(_variable("RANK")) if rank < 0 else rank
        world_size = int(_variable("WORLD_SIZE")) if world_size < 0 else world_size
        return TCPStore(_variable("MASTER_ADDR"), int(_variable("MASTER_PORT")), world_size, rank == 0,
                        timeout), rank, world_size
    if rank < 0 or world_size < 0:
        raise ValueError(f"Error initializing torch.distributed using {url.scheme}:// rendezvous: "
                         f"{'rank' if rank < 0 else 'world size'} parameter missing")
    if url.scheme == "tcp":
        if not url.port:
            raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
        return TCPStore(url.hostname or "", url.port, world_size, rank == 0, timeout), rank, world_size
    if url.scheme == "file":
        if not url.path:
            raise ValueError("Error initializing torch.distributed using file:// rendezvous: path missing")
        return FileStore(url.path, world_size), rank, world_size
    raise RuntimeError(f"No rendezvous handler for {url.scheme}://")


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None,
                       world_size: int = -1, rank: int = -1, store: Store | None = None, group_name: str = "",
                       pg_options: Any = None, device_id: Any = None) -> None:
    """Join the other processes: afterwards collectives work. Every process must call it.

    ``init_method`` says how they find each other: "env://" (the default; MASTER_ADDR, MASTER_PORT,
    RANK and WORLD_SIZE), "tcp://host:port" or "file:///path" with rank and world_size, or a ``store``.
    backend "gloo" (or None) is rushlight's collectives over TCP;
    RuntimeError for "nccl" and "mpi", ValueError for the second call and for unknown names.
    """
    if state.world is not None:
        raise ValueError("trying to initialize the default process group twice!")
    name = (backend or "gloo").lower()
    names = [part.rpartition(":")[2] for part in name.split(",")]
    if any(n not in BACKENDS for n in names):
        raise ValueError(f"Invalid backend: '{backend}'")
    if "gloo" not in names:
        raise RuntimeError(f"Distributed package doesn't have {names[0].upper()} built in: "
                           "there are no devices for it here. Use backend='gloo'.")
    if device_id is not None and str(device_id).split(":")[0] != "cpu":
        raise ValueError(f"init_process_group device_id parameter must be a device that is here, got {device_id}")
    limit = seconds(default_pg_timeout if timeout is None else timeout)
    if store is None:
        store, rank, world_size = _rendezvous(init_method or "env://", rank, world_size, limit)
    elif init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    elif rank < 0 or world_size <= 0:
        raise AssertionError("rank and world_size must be given with a store")
    if not 0 <= rank < world_size:
        raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {world_size - 1}]")
    state.store, state.groups = store, 0
    state.mesh = Mesh(rank, world_size, PrefixStore("default" if not group_name else group_name, store), limit)
    state.world = ProcessGroup(state.mesh, list(range(world_size)), "0", names[0], limit)
    from rushlight.distributed.collectives import barrier
    barrier()


def destroy_process_group(group: Any = None) -> None:
    """Leave: the default group and all others, or one group."""
    if state.world is None:
        raise AssertionError("Invalid process group specified")
    if group is not None and group is not state.world:
        return
    from rushlight.distributed.collectives import barrier
    try:
        barrier()  # nobody closes while another one still reads
    except RuntimeError:
        pass  # somebody has ended before
    assert state.mesh is not None
    state.mesh.close()
    store = state.store
    state.mesh = state.world = state.store = None
    if isinstance(store, TCPStore) and store._server is None:
        store.close()


def member(chosen: Any = None) -> ProcessGroup:
    """A group that this process belongs to; the default one for None."""
    if state.world is None:
        raise ValueError(NOT_READY)
    if chosen is None:
        return state.world
    if isinstance(chosen, _Missing):
        raise ValueError("Invalid process group: this process is no member of it")
    return chosen  # type: ignore[no-any-return]


def get_rank(group: Any = None) -> int:
    """This process's number in the group, -1 outside of it; ValueError before init_process_group."""
    return -1 if isinstance(group, _Missing) else member(group).rank()


def get_world_size(group: Any = None) -> int:
    """How many processes the group has, -1 outside of it; ValueError before init_process_group."""
    return -1 if isinstance(group, _Missing) else member(group).size()


def get_backend(group: Any = None) -> str:
    """The backend's name."""
    return member(group).backend


def get_process_group_ranks(group: Any) -> list[int]:
    """The global ranks of a group's members, for None of the default group's."""
    return list(member(group).ranks)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The global rank of a member; ValueError where there is none."""
    if not 0 <= group_rank < group.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return group.ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number within the group of a global rank; ValueError where it is no member."""
    if global_rank not in group.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return group.ranks.index(global_rank)


def new_group(ranks: Any = None, timeout: timedelta | None = None, backend: str | None = None, pg_options: Any = None,
              use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
              sort_ranks: bool = True) -> Any:
    """A group of some ranks. All processes must call it, in the same order; those outside get
    ``GroupMember.NON_GROUP_MEMBER``. Members count by ascending rank, or with ``sort_ranks=False`` in the order given.
    """
    world = member()
    chosen = list(world.ranks) if ranks is None else sorted(ranks) if sort_ranks else list(ranks)
    if len(chosen) != len(set(chosen)) or any(not 0 <= r < world.size() for r in chosen):
        raise ValueError(f"The ranks {chosen} are not distinct ranks below the world size {world.size()}")
    state.groups += 1
    name = group_desc or str(state.groups)
    if world.mesh.rank not in chosen:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(world.mesh, chosen, f"{state.groups}/{name}", backend or world.backend,
                        world.timeout if timeout is None else seconds(timeout))
