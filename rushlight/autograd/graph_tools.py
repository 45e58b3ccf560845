"""What programs do with the backward graph: hooks on saved tensors, on several gradients, and places in the graph.

These are the public names of torch.autograd.graph beside the nodes themselves (`rushlight.autograd.graph`).
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rushlight.autograd import engine, graph


class GradientEdge(NamedTuple):
    """A place in the backward graph: the node, and which of its outputs. It stands for a tensor in `autograd.grad`."""

    node: graph.GradFn
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """Where the gradient of a tensor goes. The edge may replace the tensor in ``autograd.grad`` and ``backward``.

    RuntimeError where the tensor does not require gradients.

    >>> import rushlight as rl
    >>> get_gradient_edge(rl.ones(2, requires_grad=True).exp()).node.name()
    'ExpBackward0'
    """
    from rushlight.tensor.core import gradient_edge
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    if tensor._base is not None:
        tensor.grad_fn  # brings the history of a view up to date
    return GradientEdge(*gradient_edge(tensor))


class saved_tensors_hooks:
    """In the block, ``pack_hook(tensor)`` is called for each tensor saved for backward,
    ``unpack_hook(packed)`` when it is needed.

    unpack_hook must return a tensor of the same values. Blocks nest: the innermost pair is used.

    >>> import rushlight as rl
    >>> x = rl.tensor(3., requires_grad=True)
    >>> with saved_tensors_hooks(lambda t: t.item(), lambda packed: rl.tensor(packed)):
    ...     y = x * x
    >>> rl.autograd.grad(y, x)
    (tensor(6.),)
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if graph.hooks_disabled and graph.hooks_disabled[-1] is not None:
            raise RuntimeError(graph.hooks_disabled[-1])
        graph.saved_hooks.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *_: Any) -> None:
        graph.saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """In the block, tensors saved for backward are kept as copies in host memory,
    and go back to their device when needed.

    ``pin_memory`` asks for page-locked memory, which matters only where there is an accelerator.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        self.pin_memory, self.device_type = pin_memory, device_type

        def pack(tensor: Any) -> tuple[Any, Any]:
            return tensor.device, tensor.detach().cpu().clone()

        def unpack(packed: tuple[Any, Any]) -> Any:
            device, tensor = packed
            return tensor.to(device)
        super().__init__(pack, unpack)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """In the block, entering `saved_tensors_hooks` raises RuntimeError(error_message)."""
    graph.hooks_disabled.append(error_message)
    try:
        yield
    finally:
        graph.hooks_disabled.pop()


class _Kept:
    """What `allow_mutation_on_saved_tensors` gives: ``clear()`` forgets the copies."""

    def __init__(self) -> None:
        self.copies: dict[int, Any] = {}

    def clear(self) -> None:
        """Forget the copies; going backward through them is then an error."""
        self.copies.clear()


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Kept]:
    """In the block, tensors saved for backward may be written in place afterwards:
    backward sees the values as they were saved.

    >>> import rushlight as rl
    >>> with allow_mutation_on_saved_tensors():
    ...     x = rl.ones(2, requires_grad=True)
    ...     y = x.exp()
    ...     z = (y * y).sum()
    ...     _ = y.zero_()
    >>> rl.autograd.grad(z, x)
    (tensor([14.7781, 14.7781]),)
    """
    kept = _Kept()

    def pack(tensor: Any) -> int:
        number = len(kept.copies)
        while number in kept.copies:
            number += 1
        kept.copies[number] = tensor.detach().clone()
        return number

    def unpack(number: int) -> Any:
        if number not in kept.copies:
            raise AssertionError("Trying to backward outside of the 'allow_mutation_on_saved_tensors' "
                                 "context in which the graph was originally recorded.")
        return kept.copies[number]
    with saved_tensors_hooks(pack, unpack):
        yield kept


class _ManyHandles(graph.RemovableHandle):
    """Takes several hooks out at once."""

    def __init__(self, handles: Sequence[Any]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable[[Any], None], *,
                             mode: str = "all") -> graph.RemovableHandle:
    """Call fn once per backward pass for several tensors: with ``mode="all"`` fn(list of gradients, None where there is
    none) when all gradients that this pass computes are there, with "any" fn(gradient) for the first.

    >>> import rushlight as rl
    >>> x, y = rl.ones(1, requires_grad=True), rl.ones(1, requires_grad=True)
    >>> handle = register_multi_grad_hook([x, y], lambda grads: print([g.item() for g in grads]))
    >>> (2 * x + 3 * y).sum().backward()
    [2.0, 3.0]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    seen: dict[int, list[Any]] = {}  # the running pass -> how many gradients came, and they
    nodes = [get_gradient_edge(t).node for t in tensors]

    def arrived(i: int, grad: Any) -> None:
        task = engine.current()
        with lock:
            record = seen.setdefault(task.number, [0, [None] * len(tensors)])
            record[0] += 1
            record[1][i] = grad
            count = record[0]
            for old in [k for k in seen if k != task.number and not engine.runs(k)]:
                del seen[old]
            ready = count == 1 if mode == "any" else count == sum(task.reaches(n) for n in nodes)
            if mode == "all" and ready:
                del seen[task.number]
        if ready:
            fn(grad if mode == "any" else record[1])
    return _ManyHandles([t.register_hook(functools.partial(arrived, i)) for i, t in enumerate(tensors)])


def increment_version(tensor: Any) -> None:
    """Tell autograd that a tensor's memory was written behind its back. AssertionError for an inference tensor."""
    for t in [tensor] if not isinstance(tensor, (list, tuple)) else tensor:
        t._vc.version += 1


__all__ = ["GradientEdge", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge",
           "increment_version",
           "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"]
