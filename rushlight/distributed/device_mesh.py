"""DeviceMesh: the ranks laid out as a grid whose dimensions have names, with a process group along each of them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.distributed import groups
from rushlight.distributed.groups import ProcessGroup

__all__ = ["DeviceMesh", "init_device_mesh"]

NEEDS_DIM = "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1."
_entered = threading.local()
# by device type, shape, ranks, names
_made: weakref.WeakValueDictionary[Any, DeviceMesh] = weakref.WeakValueDictionary()


def _check_device(device_type: str) -> None:
    if not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. ",
            "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'.",
        )
    if device_type != "cpu":
        raise RuntimeError(
            f"a DeviceMesh of {device_type!r} devices cannot be made: "
            "the processes here have the device type 'cpu' only"
        )


class DeviceMesh:
    """The ranks ``mesh`` (nested lists or an integer tensor) as a grid; every process of the world must make it, in
    the same order.

    ``mesh["name"]`` is the part along that dimension that this process belongs to. RuntimeError
    for more ranks than the world has, for ranks that repeat and for device types other than "cpu".
    The default process group is initialised if it is not yet.
    """

    def __init__(
        self,
        device_type: str,
        mesh: Any,
        *,
        mesh_dim_names: Sequence[str] | None = None,
        backend_override: Any = None,
        _init_backend: bool = True,
    ):
        _check_device(device_type)
        if backend_override:
            raise NotImplementedError(
                "DeviceMesh(backend_override=…): there is one backend, collectives over TCP; leave the argument out"
            )
        if not groups.is_initialized():
            groups.init_process_group()
        ranks = np.asarray(mesh.tolist() if hasattr(mesh, "tolist") else mesh, np.int64)
        world = groups.get_world_size()
        if ranks.size > world:
            raise RuntimeError(
                f"Mesh should not be bigger than default world size {world}, but found {ranks.size} ranks!"
            )
        if len(set(ranks.reshape(-1).tolist())) != ranks.size:
            raise RuntimeError(f"Mesh ranks must be distinct, got {ranks.tolist()}")
        names = tuple(mesh_dim_names) if mesh_dim_names is not None else None
        if names is not None and len(names) != ranks.ndim:
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! "
                f"Found len(mesh_dim_names): {len(names)} and len(mesh_shape):{ranks.ndim}."
            )
        made = [_groups_along(ranks, d) for d in range(ranks.ndim)] if _init_backend else []
        self._set(device_type, ranks, names, made, None)

    def _set(
        self,
        device_type: str,
        ranks: np.ndarray,
        names: tuple[str, ...] | None,
        made: list[Any],
        root: DeviceMesh | None,
    ) -> None:
        self.device_type, self._ranks, self.mesh_dim_names, self._groups = device_type, ranks, names, made
        self._root, self._flat = root, {}  # type: ignore[var-annotated]
        place: Any = np.argwhere(ranks == groups.get_rank()) if groups.is_initialized() else ()
        self._coordinate = tuple(place[0].tolist()) if len(place) else None
        self._key = (device_type, ranks.shape, tuple(ranks.reshape(-1).tolist()), names)
        if made:
            _made[self._key] = self

    @property
    def mesh(self) -> Any:
        """The grid of ranks as an int tensor."""
        from rushlight.ir.dtype import int32
        from rushlight.tensor.creation import tensor

        return tensor(self._ranks.tolist(), dtype=int32)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many ranks lie along each dimension."""
        return tuple(self._ranks.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._ranks.ndim

    def size(self, mesh_dim: int | None = None) -> int:
        """The number of ranks, of the whole or along one dimension."""
        return int(self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim])

    def _dim(self, mesh_dim: int | str | None) -> int:
        if isinstance(mesh_dim, str):
            if self.mesh_dim_names is None or mesh_dim not in self.mesh_dim_names:
                raise KeyError(
                    f"Mesh dimension '{mesh_dim}' does not exist.",
                    f"Available mesh dimensions are: mesh_dim_names={self.mesh_dim_names}",
                )
            return self.mesh_dim_names.index(mesh_dim)
        if mesh_dim is None:
            if self.ndim > 1:
                raise RuntimeError(f"Found the DeviceMesh have {self.ndim} dimensions", NEEDS_DIM)
            return 0
        return mesh_dim

    def get_group(self, mesh_dim: int | str | None = None) -> ProcessGroup:
        """The process group of this process along a dimension (its number or name; None where there is only one)."""
        if not self._groups:
            raise RuntimeError(
                f"{self!r} comes from a file and has no process groups: "
                "make the mesh of these ranks and names on every rank (init_device_mesh) before loading"
            )
        found = self._groups[self._dim(mesh_dim)]
        if found is None:
            raise RuntimeError(f"rank {groups.get_rank()} is not part of {self!r}")
        return found  # type: ignore[no-any-return]

    def get_all_groups(self) -> list[ProcessGroup]:
        """The groups along all dimensions."""
        return [self.get_group(d) for d in range(self.ndim)]

    def get_rank(self) -> int:
        """This process's global rank."""
        return groups.get_rank()

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This process's number along a dimension."""
        return self.get_group(self._dim(mesh_dim)).rank()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """This process's place in the grid, None outside of it."""
        return self._coordinate

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        if self.mesh_dim_names is None:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        chosen = (names,) if isinstance(names, str) else tuple(names)
        root = self if self._root is None else self._root
        if len(chosen) == 1 and chosen[0] in root._flat and chosen[0] not in self.mesh_dim_names:
            return root._flat[chosen[0]]  # type: ignore[no-any-return]
        if any(n not in self.mesh_dim_names for n in chosen) or len(set(chosen)) != len(chosen):
            raise KeyError(
                f"Invalid mesh_dim_names {chosen} specified. Valid mesh_dim_names are "
                f"{[*self.mesh_dim_names, *root._flat]}."
            )
        if chosen == self.mesh_dim_names:
            return self
        dims = [self.mesh_dim_names.index(n) for n in chosen]
        here = self._coordinate or (0,) * self.ndim
        part = self._ranks[tuple(slice(None) if d in dims else here[d] for d in range(self.ndim))]
        kept = sorted(dims)
        out: DeviceMesh = object.__new__(DeviceMesh)
        out._set(
            self.device_type,
            part.transpose([kept.index(d) for d in dims]),
            chosen,
            [self._groups[d] for d in dims],
            root,
        )
        return out

    def _flatten(self, mesh_dim_name: str | None = None, backend_override: Any = None) -> DeviceMesh:
        """The grid as one dimension with a group of all its ranks; afterwards ``root[mesh_dim_name]`` finds it. All
        ranks of the world must call it."""
        root = self if self._root is None else self._root
        name = mesh_dim_name or "_".join(self.mesh_dim_names or ("all",))
        if name in root._flat:
            return root._flat[name]  # type: ignore[no-any-return]
        mine = None
        for ranks in _siblings(root, self):
            g = groups.new_group(ranks)
            if groups.get_rank() in ranks:
                mine = g
        out: DeviceMesh = object.__new__(DeviceMesh)
        out._set(self.device_type, self._ranks.reshape(-1), (name,), [mine], root)
        root._flat[name] = out
        return out

    @staticmethod
    def from_group(
        group: Any, device_type: str, mesh: Any = None, *, mesh_dim_names: Sequence[str] | None = None
    ) -> DeviceMesh:
        """The mesh of process groups that exist: one for one dimension,
        or a list of one per dimension together with ``mesh``."""
        _check_device(device_type)
        several = isinstance(group, (list, tuple))
        if several and mesh is None:
            raise ValueError("Must pass mesh if passing multiple ProcessGroups")
        made = list(group) if several else [group]
        ranks = np.asarray(
            mesh.tolist() if hasattr(mesh, "tolist") else made[0].ranks if mesh is None else mesh, np.int64
        )
        if ranks.ndim != len(made):
            raise ValueError(
                f"Expects mesh with ndim equal to number of ProcessGroups but got mesh {ranks.tolist()} and "
                f"{len(made)} ProcessGroups"
            )
        out: DeviceMesh = object.__new__(DeviceMesh)
        out._set(device_type, ranks, tuple(mesh_dim_names) if mesh_dim_names is not None else None, made, None)
        return out

    def __enter__(self) -> DeviceMesh:
        _stack().append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _stack().pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        shape = (
            ", ".join(f"{n}={s}" for n, s in zip(self.mesh_dim_names, self.shape))
            if self.mesh_dim_names
            else ", ".join(map(str, self.shape))
        )
        return f"DeviceMesh(({shape}{'' if self.mesh_dim_names or self.ndim > 1 else ','}), {self.device_type!r})"

    def __deepcopy__(self, memo: Any) -> DeviceMesh:
        return self  # groups are connections, which have no copies


def known_mesh(device_type: str, shape: tuple[int, ...], ranks: tuple[int, ...],
               names: tuple[str, ...] | None) -> DeviceMesh:
    """The mesh of these ranks that the program has made; else one without groups, unless the world is its group."""
    found = _made.get((device_type, shape, ranks, names))
    if found is not None and all(g is None or g.mesh is groups.state.mesh for g in found._groups):
        return found
    _check_device(device_type)
    grid = np.array(ranks, np.int64).reshape(shape)
    out: DeviceMesh = object.__new__(DeviceMesh)
    whole = groups.is_initialized() and len(shape) == 1 and list(ranks) == list(range(groups.get_world_size()))
    out._set(device_type, grid, names, [groups.member()] if whole else [], None)
    return out


def _stack() -> list[DeviceMesh]:
    if not hasattr(_entered, "meshes"):
        _entered.meshes = []
    return _entered.meshes  # type: ignore[no-any-return]


def current_mesh() -> DeviceMesh:
    """The mesh of the innermost ``with mesh:``; RuntimeError outside of one."""
    if not _stack():
        raise RuntimeError("No device mesh is currently active!")
    return _stack()[-1]


def _groups_along(ranks: np.ndarray, d: int) -> Any:
    """The group of this process along dimension d. All processes make all
    groups of the dimension, in the same order."""
    rows = np.moveaxis(ranks, d, -1).reshape(-1, ranks.shape[d]).tolist()
    if len(rows) == 1 and rows[0] == list(range(groups.get_world_size())):
        return groups.member()
    mine = None
    for row in rows:
        g = groups.new_group(row)
        if groups.get_rank() in row:
            mine = g
            mine.ranks = row  # in the order of the mesh
    return mine


def _siblings(root: DeviceMesh, part: DeviceMesh) -> list[list[int]]:
    """The ranks of all parts of the root like this one, for which each process must make the groups."""
    if part is root or part.mesh_dim_names is None or root.mesh_dim_names is None:
        return [part._ranks.reshape(-1).tolist()]
    dims = [root.mesh_dim_names.index(n) for n in part.mesh_dim_names]
    rest = [d for d in range(root.ndim) if d not in dims]
    return root._ranks.transpose(rest + dims).reshape(-1, part.size()).tolist()


def init_device_mesh(
    device_type: str,
    mesh_shape: Sequence[int],
    *,
    mesh_dim_names: Sequence[str] | None = None,
    backend_override: Any = None,
) -> DeviceMesh:
    """A mesh of this shape over the ranks 0, 1, 2, … in order.

    ``mesh_dim_names`` names its dimensions: afterwards ``mesh["tp"]`` is this process's part along one of them.
    Every process must call it. RuntimeError for names that repeat or do not fit the shape, for a shape larger than
    the world, for a device type other than "cpu".
    """
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError(
                "Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names "
                f"{tuple(mesh_dim_names)}"
            )
        if len(mesh_shape) != len(mesh_dim_names):
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! "
                f"Found len(mesh_dim_names): {len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}."
            )
    _check_device(device_type)
    return DeviceMesh(
        device_type,
        np.arange(int(np.prod(mesh_shape))).reshape(tuple(mesh_shape)),
        mesh_dim_names=mesh_dim_names,
        backend_override=backend_override,
    )
