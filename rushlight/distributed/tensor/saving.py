"""DTensors in files of torch.save: the piece of the rank that saves, with its mesh and placements as plain values.

Every rank saves its own piece, and loads it again. The mesh becomes the one of the same ranks and names that the
program has made already; without one only this rank's piece can be used, since groups are made by all ranks together.
"""

from __future__ import annotations

from typing import Any

from rushlight.distributed.device_mesh import DeviceMesh, known_mesh
from rushlight.distributed.tensor.dtensor import DTensor, make
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard, StridedShard, normal
from rushlight.tensor.core import Tensor

OPERATIONS = ("sum", "avg", "max", "min", "product")


def described(p: Placement) -> tuple[Any, ...]:
    """A placement as a tuple of its kind and numbers."""
    if isinstance(p, StridedShard):
        return "strided_shard", p.dim, p.split_factor
    if isinstance(p, Shard):
        return "shard", p.dim
    return ("partial", p.reduce_op) if isinstance(p, Partial) else ("replicate",)


def placement(row: Any) -> Placement:
    """What `described` wrote; ValueError for anything else."""
    match row:
        case ("strided_shard", int(dim), int(factor)) if factor > 0:
            return StridedShard(dim, split_factor=factor)
        case ("shard", int(dim)):
            return Shard(dim)
        case ("partial", str(op)) if op in OPERATIONS:
            return Partial(op)
        case ("replicate",):
            return Replicate()
    raise ValueError(f"{row!r:.60} is no placement")


def reduced(t: DTensor) -> tuple[Any, ...]:
    """The call that makes a DTensor again."""
    mesh = t._mesh
    where = (mesh.device_type, mesh.shape, tuple(mesh._ranks.reshape(-1).tolist()), mesh.mesh_dim_names)
    own = {k: v for k, v in vars(t).items() if not k.startswith("_") and not hasattr(DTensor, k)}
    local = t._local_tensor
    args = (local.detach(), where, tuple(map(described, t._placements)), tuple(t._shape), bool(t.requires_grad))
    return rebuild, (*args, bool(vars(t).get("_is_param")), own)


def rebuild(
    local: Any, where: Any, placements: Any, shape: Any, requires_grad: bool, is_param: bool, own: dict[str, Any]
) -> DTensor:
    """The DTensor that `reduced` describes. ValueError, TypeError or IndexError for values that describe none."""
    kind, sizes, ranks, names = where
    if not isinstance(local, Tensor) or isinstance(local, DTensor):
        raise TypeError(f"a DTensor is made of a tensor, got {type(local).__name__}")
    if not all(type(n) is int and n >= 0 for n in (*sizes, *ranks, *shape)) or len(shape) != local.dim():
        raise ValueError("the mesh and the shape of a DTensor consist of integers")
    if names is not None and (len(names) != len(sizes) or not all(type(n) is str for n in names)):
        raise ValueError("the dimensions of a mesh have one name each")
    mesh: DeviceMesh = known_mesh(kind, tuple(sizes), tuple(ranks), None if names is None else tuple(names))
    placed = normal([placement(p) for p in placements], mesh, len(shape))
    out = make(local.requires_grad_() if requires_grad else local, mesh, placed, shape)
    if is_param:
        out.__dict__["_is_param"] = True
    for name, value in own.items():
        setattr(out, name, value)
    return out


__all__ = ["rebuild", "reduced"]
