"""How one dimension of a mesh holds a tensor: in pieces, whole on each rank, or as terms of a sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Placement:
    """What a dimension of the mesh does with a tensor. `Shard`, `Replicate` and `Partial` are the kinds."""

    __slots__ = ()

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is a Shard (of this dimension)."""
        return False

    def is_replicate(self) -> bool:
        """Whether it is Replicate."""
        return False

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether it is Partial (with this operation)."""
        return False

    def __ne__(self, other: object) -> bool:
        return not self == other


class Shard(Placement):
    """The ranks hold consecutive pieces along ``dim``, as ``torch.chunk`` cuts them:
    the last ones may be smaller or empty.

    >>> Shard(0), Shard(1).is_shard(0)
    (Shard(dim=0), False)
    """

    __slots__ = ("dim",)

    def __init__(self, dim: int):
        self.dim = dim

    def is_shard(self, dim: int | None = None) -> bool:
        return dim is None or dim == self.dim

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shard) and type(other) is type(self) and other.dim == self.dim

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.dim))

    def __repr__(self) -> str:
        return f"Shard(dim={self.dim})"

    def __str__(self) -> str:
        return f"S({self.dim})"


class StridedShard(Shard):
    """A Shard whose cut comes after those of the mesh's later dimensions: how data parallelism cuts what tensor
    parallelism has cut before."""

    __slots__ = ("split_factor",)

    def __init__(self, dim: int, *, split_factor: int):
        super().__init__(dim)
        self.split_factor = split_factor

    def __repr__(self) -> str:
        return f"_StridedShard(dim={self.dim}, sf={self.split_factor})"

    def __str__(self) -> str:
        return f"_S({self.dim}, {self.split_factor})"


_StridedShard = StridedShard


def cut_order(placements: tuple[Placement, ...]) -> list[int]:
    """The dimensions of the mesh in the order in which they cut."""
    return sorted(range(len(placements)), key=lambda d: isinstance(placements[d], StridedShard))


class Replicate(Placement):
    """Every rank holds the whole."""

    __slots__ = ()

    def is_replicate(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replicate)

    def __hash__(self) -> int:
        return hash("Replicate")

    def __repr__(self) -> str:
        return "Replicate()"

    def __str__(self) -> str:
        return "R"


class Partial(Placement):
    """Every rank holds a term of the whole shape: the value is their combination by ``reduce_op`` ("sum", "avg",
    "max", "min", "product")."""

    __slots__ = ("reduce_op",)

    def __init__(self, reduce_op: str = "sum"):
        self.reduce_op = reduce_op

    def is_partial(self, reduce_op: str | None = None) -> bool:
        return reduce_op is None or reduce_op == self.reduce_op

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partial) and other.reduce_op == self.reduce_op

    def __hash__(self) -> int:
        return hash(("Partial", self.reduce_op))

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"


_Partial = Partial


def normal(placements: Any, mesh: Any, ndim: int, default: Placement | None = None) -> tuple[Placement, ...]:
    """Placements as a tuple, one per dimension of the mesh, with dimensions counted from 0.

    ValueError for another number of them, TypeError for other values,
    IndexError for a dimension that the tensor does not have.
    """
    if placements is None:
        return (default or Replicate(),) * int(mesh.ndim)
    found: Sequence[Placement] = (placements,) if isinstance(placements, Placement) else tuple(placements)
    if len(found) != mesh.ndim:
        raise ValueError(
            f"`placements` must have the same length as `device_mesh.ndim`! Found placements length: {len(found)}, "
            f"and device_mesh.ndim: {mesh.ndim}."
        )
    out: list[Placement] = []
    for p in found:
        if not isinstance(p, Placement):
            raise TypeError(f"placements must be Shard, Replicate or Partial, got {type(p).__name__}")
        if isinstance(p, Shard):
            if not -ndim <= p.dim < ndim:
                raise IndexError(
                    f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {p.dim}): "
                    f"{p!r} for a tensor of {ndim} dimensions"
                )
            p = Shard(p.dim % ndim) if p.dim < 0 and type(p) is Shard else p
        out.append(p)
    return tuple(out)
