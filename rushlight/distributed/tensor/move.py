"""Redistribution: from one placement to another along one dimension of the mesh, each with its gradient.

The gradient of a local tensor is placed as the tensor itself, but for a term of a
sum (Partial), whose gradient is the whole one.
"""

from __future__ import annotations

from typing import Any

from rushlight.autograd.function import Function
from rushlight.distributed import exchange
from rushlight.distributed.tensor.layout import chunk
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard, cut_order

LINEAR = ("sum", "avg")


def pieces(t: Any, n: int, dim: int) -> list[Any]:
    """The n pieces of a tensor along a dimension, some possibly empty."""
    bounds = [chunk(t.shape[dim], n, i) for i in range(n)]
    return [t.narrow(dim, low, high - low) for low, high in bounds]


def join(parts: list[Any], dim: int) -> Any:
    """Pieces as one tensor."""
    from rushlight.tensor.functions.joining import cat

    return parts[0] if len(parts) == 1 else cat(parts, dim)


def own(t: Any, g: Any, dim: int) -> Any:
    """This rank's piece, in memory of its own."""
    low, high = chunk(t.shape[dim], g.size(), g.rank())
    return t.narrow(dim, low, high - low).contiguous()


class Gather(Function):
    """Pieces to the whole; backward cuts."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, dim: int) -> Any:
        ctx.dim = dim
        parts = exchange.gather(t, g)
        ctx.low = sum(p.shape[dim] for p in parts[: g.rank()])
        ctx.length = t.shape[dim]
        return join(parts, dim)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad.narrow(ctx.dim, ctx.low, ctx.length).contiguous(), None, None


class Cut(Function):
    """The whole to pieces; backward gathers."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, dim: int) -> Any:
        ctx.g, ctx.dim = g, dim
        return own(t, g, dim)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return join(exchange.gather(grad, ctx.g), ctx.dim), None, None


class Sum(Function):
    """Terms to the whole (op: sum, avg, max, …); backward hands the gradient on."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, op: str) -> Any:
        ctx.share = 1 / g.size() if op == "avg" else 1
        return exchange.reduced(t, g, op)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad if ctx.share == 1 else grad * ctx.share, None, None


class SumPiece(Function):
    """Terms to pieces; backward gathers."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, op: str, dim: int) -> Any:
        ctx.g, ctx.dim, ctx.share = g, dim, 1 / g.size() if op == "avg" else 1
        return exchange.reduced_part(pieces(t, g.size(), dim), g, op)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        whole = join(exchange.gather(grad, ctx.g), ctx.dim)
        return whole if ctx.share == 1 else whole * ctx.share, None, None, None


class Swap(Function):
    """Pieces along one dimension to pieces along another; backward the other way."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, old: int, new: int) -> Any:
        ctx.g, ctx.old, ctx.new = g, old, new
        return join(exchange.exchange(pieces(t, g.size(), new), g), old)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Swap.apply(grad, ctx.g, ctx.new, ctx.old), None, None, None


class Share(Function):
    """The whole to terms of a sum: each rank an equal share. The gradient of the whole is that of the sum."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any, op: str) -> Any:
        return t / g.size() if op == "sum" else t

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None, None


class SumGradient(Function):
    """The whole as it is; its gradients, terms on each rank, are summed in backward."""

    @staticmethod
    def forward(ctx: Any, t: Any, g: Any) -> Any:
        ctx.g = g
        return t

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return exchange.reduced(grad, ctx.g), None


def _check_gradient(t: Any, op: str) -> None:
    from rushlight.tensor.state import state

    if op not in LINEAR and t.requires_grad and state.grad:
        raise NotImplementedError(
            f"the gradient of a Partial({op!r}) placement is not defined; "
            "redistribute before the reduction, or use no_grad"
        )


def step(t: Any, g: Any, old: Placement, new: Placement) -> Any:
    """A local tensor along one dimension of the mesh (its group g) from one placement to another."""
    if old == new:
        return t
    if isinstance(old, Shard):
        if isinstance(new, Shard):
            return Swap.apply(t, g, old.dim, new.dim)
        whole = Gather.apply(t, g, old.dim)
        return whole if isinstance(new, Replicate) else step(whole, g, Replicate(), new)
    if isinstance(old, Partial):
        _check_gradient(t, old.reduce_op)
        if isinstance(new, Shard):
            return SumPiece.apply(t, g, old.reduce_op, new.dim)
        whole = Sum.apply(t, g, old.reduce_op)
        return whole if isinstance(new, Replicate) else step(whole, g, Replicate(), new)
    if isinstance(new, Shard):
        return Cut.apply(t, g, new.dim)
    assert isinstance(new, Partial)
    if new.reduce_op == "product":
        raise RuntimeError(
            "Can not redistribute from R to P(product), redistributing to Partial is for internal use only!"
        )
    return Share.apply(t, g, new.reduce_op)


def redistribute(t: Any, mesh: Any, old: tuple[Placement, ...], new: tuple[Placement, ...]) -> Any:
    """A local tensor from placements to others, one dimension of the mesh after the other.

    Where a dimension of the tensor is cut several times, the inner cuts are undone first and made last.
    """
    if old == new:
        return t
    now, steady = list(old), _steady(old, new)
    for d in reversed(cut_order(old)):
        p = old[d]
        if isinstance(p, Shard) and not steady[d] and not _alone(old, new, d):
            t = step(t, mesh.get_group(d), p, Replicate())
            now[d] = Replicate()
    for d in cut_order(new):
        t = step(t, mesh.get_group(d), now[d], new[d])
    return t


def _steady(old: tuple[Placement, ...], new: tuple[Placement, ...]) -> list[bool]:
    """Which cuts stay: those that are the same, with the same cuts of the same dimension of the tensor before them."""
    steady = [a == b for a, b in zip(old, new)]
    for order in (cut_order(old), cut_order(new)):
        for placements in (old, new):
            broken = set()
            for d in order:
                p = placements[d]
                if isinstance(p, Shard):
                    if p.dim in broken:
                        steady[d] = False
                    if not steady[d]:
                        broken.add(p.dim)
    return steady


def _alone(old: tuple[Placement, ...], new: tuple[Placement, ...], d: int) -> bool:
    """Whether no other dimension of the mesh cuts what this one cuts, before or after: then one step does it."""
    mine = {p.dim for p in (old[d], new[d]) if isinstance(p, Shard)}
    return not any(isinstance(p, Shard) and p.dim in mine for k in range(len(old)) if k != d for p in (old[k], new[k]))
