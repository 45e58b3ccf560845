"""Collectives that autograd goes through (torch.distributed.nn.functional):
the loss is the sum of all ranks' losses."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.function import Function
from rushlight.distributed import exchange
from rushlight.distributed.collectives import ReduceOp
from rushlight.distributed.groups import get_group_rank, member

NAMES = {ReduceOp.SUM: "sum", ReduceOp.AVG: "avg"}


def _op(op: Any) -> str:
    if op not in NAMES:
        raise NotImplementedError(
            f"the gradient of a reduction by {op} is not defined here: use ReduceOp.SUM or ReduceOp.AVG"
        )
    return NAMES[op]


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, g: Any, op: str, t: Any) -> Any:
        ctx.g, ctx.op = g, op
        return exchange.reduced(t, g, op)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return None, None, exchange.reduced(grad, ctx.g, ctx.op)


class _Exchange(Function):
    """parts[i] to member i; backward sends gradients back."""

    @staticmethod
    def forward(ctx: Any, g: Any, *parts: Any) -> Any:
        ctx.g = g
        return tuple(exchange.exchange(list(parts), g))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *exchange.exchange(list(grads), ctx.g))


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, g: Any, t: Any) -> Any:
        ctx.g = g
        return tuple(exchange.gather(t, g))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, exchange.reduced_part(list(grads), ctx.g)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, g: Any, op: str, *parts: Any) -> Any:
        ctx.g, ctx.share = g, 1 / g.size() if op == "avg" else 1
        return exchange.reduced_part(list(parts), g, op)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return (None, None, *[t * ctx.share for t in exchange.gather(grad, ctx.g)])


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, g: Any, root: int, t: Any) -> Any:
        ctx.g, ctx.root = g, root
        return exchange.from_member(t, g, root)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        total = exchange.reduced(grad, ctx.g)
        return None, None, total if ctx.g.rank() == ctx.root else total * 0


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, g: Any, root: int, op: str, t: Any) -> Any:
        ctx.g, ctx.root, ctx.share = g, root, 1 / g.size() if op == "avg" else 1
        total = exchange.reduced(t, g, op)
        return total if g.rank() == root else t.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return None, None, None, exchange.from_member(grad, ctx.g, ctx.root) * ctx.share


def all_reduce(tensor: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The combination of all ranks' tensors."""
    return _AllReduce.apply(member(group), _op(op), tensor)


def all_gather(tensor: Any, group: Any = None) -> tuple[Any, ...]:
    """All ranks' tensors."""
    return _AllGather.apply(member(group), tensor)  # type: ignore[no-any-return]


def reduce_scatter(output: Any, input_list: list[Any], op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The combination of all ranks' i-th tensors on rank i; ``output`` gives the shape only, use the result."""
    return _ReduceScatter.apply(member(group), _op(op), *input_list)


def broadcast(tensor: Any, src: int, group: Any = None) -> Any:
    """Rank src's tensor."""
    g = member(group)
    return _Broadcast.apply(g, get_group_rank(g, src), tensor)


def reduce(tensor: Any, dst: int, op: ReduceOp = ReduceOp.SUM, group: Any = None) -> Any:
    """The combination on rank dst, the tensor itself on others."""
    g = member(group)
    return _Reduce.apply(g, get_group_rank(g, dst), _op(op), tensor)


def gather(tensor: Any, dst: int = 0, group: Any = None) -> Any:
    """All ranks' tensors on rank dst, zeros on the others."""
    import rushlight as rl

    g = member(group)
    root = get_group_rank(g, dst)
    empty = rl.zeros_like(tensor)
    got = _Exchange.apply(g, *[tensor if i == root else empty for i in range(g.size())])
    return tuple(got) if g.rank() == root else tuple(rl.zeros_like(t) for t in got)


def scatter(tensors: list[Any], src: int = 0, group: Any = None) -> Any:
    """Each rank's tensor of rank src's list (the lists of others give shapes only)."""
    g = member(group)
    return _Exchange.apply(g, *tensors)[get_group_rank(g, src)]


def all_to_all(output_tensor_list: list[Any], input_tensor_list: list[Any], group: Any = None) -> tuple[Any, ...]:
    """Rank i's j-th tensor on rank j at place i; use the result."""
    return tuple(_Exchange.apply(member(group), *input_tensor_list))


def all_to_all_single(
    output: Any,
    input: Any,
    output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None,
    group: Any = None,
) -> Any:
    """`all_to_all` of the parts of one tensor along its first dimension; use the result."""
    import rushlight as rl

    g = member(group)
    return rl.cat(list(_Exchange.apply(g, *input.split(input_split_sizes or input.shape[0] // g.size()))))
