"""Which box of a tensor each rank holds."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.placement import Placement, Shard, cut_order


def chunk(n: int, parts: int, i: int) -> tuple[int, int]:
    """Where the i-th of so many pieces of a dimension of size n begins and ends, as torch.chunk cuts it.

    >>> [chunk(5, 4, i) for i in range(4)]
    [(0, 2), (2, 4), (4, 5), (5, 5)]
    """
    size = -(-n // parts)
    return min(i * size, n), min((i + 1) * size, n)


def box(
    shape: tuple[int, ...], sizes: tuple[int, ...], place: tuple[int, ...], placements: tuple[Placement, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape, offset) of the piece at a place of a mesh of these sizes. A dimension cut twice is cut first by the
    mesh's first dimension."""
    shape_, offset = list(shape), [0] * len(shape)
    for k in cut_order(placements):
        p = placements[k]
        if isinstance(p, Shard):
            low, high = chunk(shape_[p.dim], sizes[k], place[k])
            offset[p.dim] += low
            shape_[p.dim] = high - low
    return tuple(shape_), tuple(offset)


def local_box(
    shape: tuple[int, ...], mesh: Any, placements: tuple[Placement, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape, offset) of this process's piece; an empty one outside the mesh."""
    place = mesh.get_coordinate()
    if place is None:
        return (0,) * len(shape), (0,) * len(shape)
    return box(shape, mesh.shape, place, placements)


def whole_shape(local: tuple[int, ...], mesh: Any, placements: tuple[Placement, ...]) -> tuple[int, ...]:
    """The shape of a tensor cut into equal pieces."""
    shape = list(local)
    for size, p in zip(mesh.shape, placements):
        if isinstance(p, Shard):
            shape[p.dim] *= size
    return tuple(shape)
