"""Collectives on tensors (torch.distributed): a root collects in the order of ranks and hands out, so every rank gets
the same bits."""

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np

from rushlight.distributed.groups import GroupMember, ProcessGroup, member
from rushlight.distributed.store import seconds
from rushlight.futures import Future


class ReduceOp(enum.Enum):
    """How values of several ranks become one."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


RULES: dict[ReduceOp, Callable[[Any, Any], Any]] = {
    ReduceOp.SUM: np.add, ReduceOp.AVG: np.add, ReduceOp.PRODUCT: np.multiply, ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.BAND: np.bitwise_and, ReduceOp.BOR: np.bitwise_or, ReduceOp.BXOR: np.bitwise_xor,
}


class Work:
    """What ``async_op=True`` returns: wait() finishes the operation."""

    def __init__(self, finish: Callable[[], Any] | None = None, source: int = -1):
        self._finish, self._source, self._future = finish, source, Future()
        if finish is None:
            self._future.set_result(None)

    def wait(self, timeout: Any = None) -> bool:
        """Finish the operation; True."""
        if self._finish is not None:
            finish, self._finish = self._finish, None
            self._future.set_result(finish())
        return True

    def is_completed(self) -> bool:
        """Whether it is finished."""
        return self._finish is None

    is_success = is_completed

    def get_future(self) -> Future:
        """A future of the result."""
        self.wait()
        return self._future

    def source_rank(self) -> int:
        """Where a received message came from."""
        return self._source


# --- tensors as bytes ---------------------------------------------------------------------------------------------
def _array(t: Any) -> Any:
    from rushlight.tensor.core import unwrap
    a = unwrap(t.detach())
    return np.ascontiguousarray(a).reshape(a.shape)  # NumPy makes a single number one-dimensional


def _bytes(a: Any) -> memoryview:
    return memoryview(a.reshape(-1).view(np.uint8))


def _header(t: Any) -> list[Any]:
    return [t.dtype.name, list(t.shape)]


def _from(payload: bytearray, like: Any) -> Any:
    return np.frombuffer(payload, like.dtype.numpy).reshape(tuple(like.shape))


def _store(t: Any, array: Any) -> None:
    """Write numbers into a tensor in place."""
    from rushlight.autograd.grad_mode import no_grad
    from rushlight.tensor.core import wrap
    with no_grad():
        t.copy_(wrap(np.array(array)).reshape(t.shape))


def _check(header: Any, t: Any, source: int) -> None:
    if header[0] != t.dtype.name or int(np.prod(header[1])) != t.numel():
        raise RuntimeError(f"rank {source} sent a tensor of dtype {header[0]} and shape {header[1]}, "
                           f"but here one of {t.dtype.name} {list(t.shape)} was expected: "
                           "all ranks must take part in the same collective with the same shapes")


def _tensor(t: Any, name: str) -> None:
    from rushlight.tensor.core import Tensor
    if not isinstance(t, Tensor):
        raise TypeError("Invalid function argument. "
                        f"Expected parameter `{name}` of type torch.Tensor, but got {type(t)} instead.")


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def _outside(group: Any) -> bool:
    return group is GroupMember.NON_GROUP_MEMBER


def _place(g: ProcessGroup, rank: int | None, group_rank: int | None, default: int | None = None) -> int:
    """A member's number from a global rank or its number in the group."""
    if group_rank is not None:
        return group_rank
    if rank is None:
        if default is None:
            raise ValueError("a rank must be given")
        return default
    if rank not in g.ranks:
        raise ValueError(f"Global rank {rank} is not part of group {g}")
    return g.ranks.index(rank)


# --- one root -----------------------------------------------------------------------------------------------------
def _gathered(g: ProcessGroup, t: Any, root: int) -> list[Any] | None:
    """At the root, the arrays of all members in order."""
    tag, mine = g.tag(), _array(t)
    if g.rank() != root:
        g.send(root, tag, _header(t), _bytes(mine))
        return None
    out: list[Any] = []
    for i in range(g.size()):
        if i == root:
            out.append(mine)
            continue
        header, payload = g.receive(i, tag)
        _check(header, t, i)
        out.append(_from(payload, t))
    return out


def _reduced(arrays: list[Any], op: Any) -> Any:
    if op not in RULES:
        raise ValueError(f"Unsupported reduce op {op}")
    total = arrays[0].copy()
    for a in arrays[1:]:
        total = RULES[op](total, a)
    return (total / len(arrays)).astype(arrays[0].dtype) if op is ReduceOp.AVG else total.astype(arrays[0].dtype)


def _spread(g: ProcessGroup, t: Any, root: int, array: Any) -> None:
    """Hand the root's array to all members' tensors."""
    tag = g.tag()
    if g.rank() == root:
        for i in range(g.size()):
            if i != root:
                g.send(i, tag, _header(t), _bytes(array))
        _store(t, array)
        return
    header, payload = g.receive(root, tag)
    _check(header, t, root)
    _store(t, _from(payload, t))


# --- the public functions -----------------------------------------------------------------------------------------
def all_reduce(tensor: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """The tensors of all ranks combined (SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR), in place on every rank."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    arrays = _gathered(g, tensor, 0)
    _spread(g, tensor, 0, _reduced(arrays, op) if arrays is not None else None)
    return _done(async_op)


def reduce(tensor: Any, dst: int | None = None, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False,
           group_dst: int | None = None) -> Work | None:
    """The tensors of all ranks combined, in place on rank dst only."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    arrays = _gathered(g, tensor, _place(g, dst, group_dst))
    if arrays is not None:
        _store(tensor, _reduced(arrays, op))
    return _done(async_op)


def broadcast(tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False,
              group_src: int | None = None) -> Work | None:
    """The tensor of rank src, in place on every rank."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    root = _place(g, src, group_src)
    _spread(g, tensor, root, _array(tensor) if g.rank() == root else None)
    return _done(async_op)


def gather(tensor: Any, gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None,
           async_op: bool = False, group_dst: int | None = None) -> Work | None:
    """The tensors of all ranks into the list of rank dst (0 by default); the others give no list."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    root = _place(g, dst, group_dst, 0)
    if g.rank() == root and not gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    if g.rank() != root and gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    arrays = _gathered(g, tensor, root)
    for t, a in zip(gather_list or (), arrays or ()):
        _store(t, a)
    return _done(async_op)


def all_gather(tensor_list: list[Any], tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """The tensors of all ranks into the list of every rank."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    if len(tensor_list) != g.size():
        raise ValueError(f"all_gather: the list has {len(tensor_list)} tensors for a group of {g.size()}")
    for i, t in enumerate(tensor_list):
        _spread(g, t, i, _array(tensor) if g.rank() == i else None)
    return _done(async_op)


def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None,
                           async_op: bool = False) -> Work | None:
    """The tensors of all ranks, one after the other or stacked, in one tensor of every rank."""
    _tensor(output_tensor, "output_tensor")
    if _outside(group):
        return None
    g = member(group)
    if output_tensor.numel() != g.size() * input_tensor.numel():
        raise RuntimeError("output tensor size must be equal to world_size times input tensor size: "
                           f"{output_tensor.numel()} != {g.size()} * {input_tensor.numel()}")
    arrays = _gathered(g, input_tensor, 0)
    _spread(g, output_tensor, 0, np.concatenate([a.reshape(-1) for a in arrays]) if arrays is not None else None)
    return _done(async_op)


def scatter(tensor: Any, scatter_list: list[Any] | None = None, src: int | None = None, group: Any = None,
            async_op: bool = False, group_src: int | None = None) -> Work | None:
    """Each rank gets its tensor of the list of rank src (0 by default)."""
    _tensor(tensor, "tensor")
    if _outside(group):
        return None
    g = member(group)
    root, tag = _place(g, src, group_src, 0), g.tag()
    if g.rank() != root:
        header, payload = g.receive(root, tag)
        _check(header, tensor, root)
        _store(tensor, _from(payload, tensor))
        return _done(async_op)
    if not scatter_list or len(scatter_list) != g.size():
        raise ValueError("Argument ``scatter_list`` must be specified on source rank, with a tensor per rank.")
    for i, t in enumerate(scatter_list):
        if i == root:
            _store(tensor, _array(t))
        else:
            g.send(i, tag, _header(t), _bytes(_array(t)))
    return _done(async_op)


def reduce_scatter(output: Any, input_list: list[Any], op: ReduceOp = ReduceOp.SUM, group: Any = None,
                   async_op: bool = False) -> Work | None:
    """Rank i gets the combination of all ranks' i-th tensors."""
    if _outside(group):
        return None
    g = member(group)
    for i, t in enumerate(input_list):
        arrays = _gathered(g, t, i)
        if arrays is not None:
            _store(output, _reduced(arrays, op))
    return _done(async_op)


def reduce_scatter_tensor(output: Any, input: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None,
                          async_op: bool = False) -> Work | None:
    """Rank i gets the combination of all ranks' i-th parts."""
    return None if _outside(group) else reduce_scatter(output, list(input.reshape(member(group).size(), -1).unbind()),
                                                       op, group, async_op)


def all_to_all(output_tensor_list: list[Any], input_tensor_list: list[Any], group: Any = None,
               async_op: bool = False) -> Work | None:
    """Rank i sends its j-th tensor to rank j, which puts it at place i."""
    if _outside(group):
        return None
    g = member(group)
    tag = g.tag()
    for i, t in enumerate(input_tensor_list):
        g.send(i, tag, _header(t), _bytes(_array(t)))
    for i, t in enumerate(output_tensor_list):
        header, payload = g.receive(i, tag)
        _check(header, t, i)
        _store(t, _from(payload, t))
    return _done(async_op)


def all_to_all_single(output: Any, input: Any, output_split_sizes: list[int] | None = None,
                      input_split_sizes: list[int] | None = None, group: Any = None,
                      async_op: bool = False) -> Work | None:
    """all_to_all of the parts of one tensor along its first dimension, equal ones or of the given sizes."""
    if _outside(group):
        return None
    n = member(group).size()
    parts = [list(t.split(sizes if sizes else t.shape[0] // n))
             for t, sizes in ((output, output_split_sizes), (input, input_split_sizes))]
    return all_to_all(parts[0], parts[1], group, async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None,
            timeout: timedelta | None = None) -> Work | None:
    """Returns when all ranks have called it; RuntimeError where that takes longer
    than ``timeout`` (the group's own for None)."""
    if _outside(group):
        return None
    g = member(group)
    tag = g.tag()
    if timeout is not None:
        g = ProcessGroup(g.mesh, g.ranks, g.group_name, g.backend, seconds(timeout))
    if g.rank() == 0:
        for i in range(1, g.size()):
            g.receive(i, tag)
        for i in range(1, g.size()):
            g.send(i, tag, None)
    else:
        g.send(0, tag, None)
        g.receive(0, tag)
    return _done(async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """A barrier whose error names the ranks that did not come within the timeout."""
    from rushlight.distributed.store import seconds
    g = member(group)
    tag = g.tag()
    if g.rank() != 0:
        g.send(0, tag, None)
        g.receive(0, tag)
        return
    limit, missing = g.timeout if timeout is None else seconds(timeout), []
    for i in range(1, g.size()):
        try:
            g.mesh.receive(g.ranks[i], tag, limit)
        except RuntimeError:
            missing.append(i)
            if not wait_all_ranks:
                break
    if missing:
        raise RuntimeError(f"Rank(s) {missing} failed to pass monitoredBarrier in {limit * 1000:.0f} ms")
    for i in range(1, g.size()):
        g.send(i, tag, None)


# --- two ranks ----------------------------------------------------------------------------------------------------
def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send a tensor to rank dst, which receives it with the same tag."""
    _tensor(tensor, "tensor")
    g = member(group)
    to = _place(g, dst, group_dst)
    if to == g.rank():
        raise ValueError("Invalid destination rank: "
                         "destination rank should not be the same as the rank of the current process.")
    g.send(to, f"{g.group_name}p{tag}", _header(tensor), _bytes(_array(tensor)))


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive a tensor in place, from rank src or (None) from any; the sender's rank."""
    _tensor(tensor, "tensor")
    g = member(group)
    source = None if src is None and group_src is None else g.ranks[_place(g, src, group_src)]
    found, header, payload = g.mesh.receive(source, f"{g.group_name}p{tag}", g.timeout)
    _check(header, tensor, found)
    _store(tensor, _from(payload, tensor))
    return found


def isend(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> Work:
    """Start sending; the message is on its way when this returns."""
    send(tensor, dst, group, tag, group_dst)
    return Work()


def irecv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> Work:
    """Start receiving; wait() puts the message into the tensor."""
    return Work(lambda: recv(tensor, src, group, tag, group_src), -1 if src is None else src)


# --- objects ------------------------------------------------------------------------------------------------------
def _exchange(g: ProcessGroup, root: int, obj: Any) -> list[Any] | None:
    """At the root, the pickled objects of all."""
    tag = g.tag()
    if g.rank() != root:
        g.send(root, tag, None, pickle.dumps(obj))
        return None
    return [obj if i == root else pickle.loads(g.receive(i, tag)[1]) for i in range(g.size())]


def _tell(g: ProcessGroup, root: int, obj: Any) -> Any:
    """The root's object on every rank."""
    tag = g.tag()
    if g.rank() != root:
        return pickle.loads(g.receive(root, tag)[1])
    text = pickle.dumps(obj)
    for i in range(g.size()):
        if i != root:
            g.send(i, tag, None, text)
    return obj


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """The objects of all ranks into the list of every rank. They are pickled:
    only among processes that trust each other."""
    if not _outside(group):
        g = member(group)
        object_list[:] = _tell(g, 0, _exchange(g, 0, obj))


def gather_object(obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None,
                  group_dst: int | None = None) -> None:
    """The objects of all ranks into the list of rank dst."""
    if not _outside(group):
        g = member(group)
        found = _exchange(g, _place(g, dst, group_dst, 0), obj)
        if found is not None:
            if object_gather_list is None:
                raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
            object_gather_list[:] = found


def broadcast_object_list(object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None,
                          group_src: int | None = None) -> None:
    """The list of rank src on every rank."""
    if not _outside(group):
        g = member(group)
        object_list[:] = _tell(g, _place(g, src, group_src, 0), object_list)


def scatter_object_list(scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None,
                        src: int | None = None, group: Any = None, group_src: int | None = None) -> None:
    """Each rank gets its object of the list of rank src."""
    if not _outside(group):
        g = member(group)
        scatter_object_output_list[0] = _tell(g, _place(g, src, group_src, 0), scatter_object_input_list)[g.rank()]
