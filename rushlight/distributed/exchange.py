"""Parts of tensors between the members of a group: like collectives, but parts may have different sizes, and nothing
is written in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.distributed.collectives import ReduceOp, _array, _bytes, _reduced
from rushlight.distributed.groups import ProcessGroup

OPS = {"sum": ReduceOp.SUM, "avg": ReduceOp.AVG, "max": ReduceOp.MAX, "min": ReduceOp.MIN, "product": ReduceOp.PRODUCT}


def _wrapped(array: Any) -> Any:
    from rushlight.tensor.core import wrap

    return wrap(np.array(array))


def _send(g: ProcessGroup, to: int, tag: str, array: Any) -> None:
    g.send(to, tag, [array.dtype.name, list(array.shape)], _bytes(np.ascontiguousarray(array)))


def _receive(g: ProcessGroup, source: int, tag: str, dtype: Any) -> Any:
    header, payload = g.receive(source, tag)
    if header[0] != dtype.name:
        raise RuntimeError(
            f"rank {g.ranks[source]} sent {header[0]} where {dtype.name} was expected: all ranks must do the same "
            "operations on sharded tensors"
        )
    return np.frombuffer(payload, dtype).reshape(header[1])


def exchange_arrays(parts: list[Any], g: ProcessGroup) -> list[Any]:
    """parts[i] goes to member i; what all members sent to this one, in their order."""
    tag, me = g.tag(), g.rank()
    for step in range(1, g.size()):  # not all to member 0 first
        to = (me + step) % g.size()
        _send(g, to, tag, parts[to])
    return [parts[me] if i == me else _receive(g, i, tag, parts[me].dtype) for i in range(g.size())]


def gather_arrays(mine: Any, g: ProcessGroup) -> list[Any]:
    """The arrays of all members on each member."""
    return exchange_arrays([mine] * g.size(), g)


def exchange(parts: list[Any], g: ProcessGroup) -> list[Any]:
    """`exchange_arrays` of tensors."""
    me = g.rank()
    found = exchange_arrays([_array(p) for p in parts], g)
    return [parts[i] if i == me else _wrapped(a) for i, a in enumerate(found)]


def gather(t: Any, g: ProcessGroup) -> list[Any]:
    """The tensors of all members on each member."""
    return (
        [t if i == g.rank() else _wrapped(a) for i, a in enumerate(gather_arrays(_array(t), g))]
        if g.size() > 1 else [t]
    )


def reduced(t: Any, g: ProcessGroup, op: str = "sum") -> Any:
    """The tensors of all members combined, the same bits on each:
    pieces are combined by one member each, in the order of members."""
    n = g.size()
    if n == 1:
        return t
    mine = _array(t)
    flat = mine.reshape(-1)
    if flat.size < 64 * n:
        return _wrapped(_reduced(gather_arrays(mine, g), OPS[op]))
    piece = _reduced(exchange_arrays(np.array_split(flat, n), g), OPS[op])
    return _wrapped(np.concatenate(gather_arrays(piece, g)).reshape(mine.shape))


def reduced_part(parts: list[Any], g: ProcessGroup, op: str = "sum") -> Any:
    """Member i gets the combination of all members' parts[i]."""
    if g.size() == 1:
        return parts[0]
    return _wrapped(_reduced(exchange_arrays([_array(p) for p in parts], g), OPS[op]))


def from_member(t: Any, g: ProcessGroup, root: int = 0) -> Any:
    """Member root's tensor on each member."""
    tag = g.tag()
    mine = _array(t)
    if g.rank() != root:
        return _wrapped(_receive(g, root, tag, mine.dtype))
    for i in range(g.size()):
        if i != root:
            _send(g, i, tag, mine)
    return t


def scattered(parts: list[Any] | None, dtype: Any, g: ProcessGroup, root: int = 0) -> Any:
    """Each member's part of member root's list."""
    tag = g.tag()
    if g.rank() != root:
        return _wrapped(_receive(g, root, tag, dtype.numpy))
    assert parts is not None
    for i, p in enumerate(parts):
        if i != root:
            _send(g, i, tag, _array(p))
    return parts[root]
