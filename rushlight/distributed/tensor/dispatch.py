"""What happens when a function of torch is called with DTensors: a rule of the tables,
or the function itself on whole tensors."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.distributed.tensor.dtensor import DTensor, gradient_placements, make, without_grad
from rushlight.distributed.tensor.labels import common_mesh
from rushlight.distributed.tensor.move import redistribute
from rushlight.distributed.tensor.placement import Replicate
from rushlight.tensor.core import Tensor

MIXED = (
    "aten.{} got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor before calling "
    "distributed operators!"
)
RULES: dict[str, Callable[..., Any]] = {}  # name of a function -> rule(name, func, args, kwargs)
ONLY_LOCAL = {
    "numpy": "its values are spread over several processes",
    "data_ptr": "it has no memory of its own",
    "storage": "it has no storage of its own",
    "untyped_storage": "it has no storage of its own",
    "share_memory_": "it is shared by processes already",
    "set_": "it has no storage of its own",
    "resize_": "its shape is that of all pieces together",
    "as_strided": "it has no memory of its own",
    "pin_memory": "there are no devices to copy to",
}
TAKES_PLAIN = (
    "copy_",
    "backward",
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
)  # whole values to cut, weights of a gradient, states that modules make


class _Local(threading.local):
    replicate = False


_local = _Local()


@contextmanager
def implicit_replication() -> Iterator[None]:
    """In the block, plain tensors that meet DTensors count as replicated."""
    before, _local.replicate = _local.replicate, True
    try:
        yield
    finally:
        _local.replicate = before


def rule(*names: str) -> Callable[[Any], Any]:
    """Register a rule for functions and methods of these names."""

    def register(f: Any) -> Any:
        RULES.update(dict.fromkeys(names, f))
        return f

    return register


@functools.cache
def _method_names() -> dict[int, str]:
    """Methods whose functions have other names."""
    return {
        id(v): n
        for n, v in vars(Tensor).items()
        if callable(v) and getattr(v, "__name__", n) in ("method", "where_method")
    }


def name_of(func: Callable[..., Any]) -> str:
    """The public name of a function."""
    return _method_names().get(id(func)) or func.__name__


@functools.cache
def _signature(func: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(getattr(func, "__wrapped__", func))


def bound(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, defaults included."""
    found = _signature(func).bind(*args, **kwargs)
    found.apply_defaults()
    return dict(found.arguments)


def dispatch(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Called by the __torch_function__ protocol."""
    from rushlight.distributed.tensor import rules

    name = name_of(func)
    if kwargs.get("out") is not None:
        raise NotImplementedError(f"{name}(out=…) is not there for DTensors; use the result")
    if name in ONLY_LOCAL:
        raise RuntimeError(
            f".{name}() is not supported for tensor subclasses: this is a DTensor, {ONLY_LOCAL[name]}; use "
            "x.full_tensor() or x.to_local()"
        )
    if name == "__get__":
        raise RuntimeError(
            "this attribute of a DTensor has no meaning for the whole; ask x.to_local() or x.full_tensor() for it"
        )
    found = rules.RULES.get(name)
    if found is not None:
        args, kwargs = plain_to_distributed(name, args, kwargs)
        out = found(name, func, args, kwargs)
        if out is not NotImplemented:
            return out
    return on_whole(name, func, args, kwargs)


def distributed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[DTensor]:
    """All DTensors among arguments, also those in lists."""
    found: list[DTensor] = []

    def look(v: Any) -> None:
        if isinstance(v, DTensor):
            found.append(v)
        elif isinstance(v, (list, tuple)):
            for x in v:
                look(x)
        elif isinstance(v, dict):
            for x in v.values():
                look(x)

    look(args)
    look(kwargs)
    return found


def plain_to_distributed(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Plain tensors count as replicated where they are single numbers
    (or `implicit_replication` is on); RuntimeError for others."""
    known = distributed(args, kwargs)

    def change(v: Any, where: str) -> Any:
        if isinstance(v, Tensor) and not isinstance(v, DTensor):
            if v.ndim and not _local.replicate and name not in TAKES_PLAIN:
                raise RuntimeError(MIXED.format(name))
            mesh = common_mesh(known)
            return make(v, mesh, (Replicate(),) * mesh.ndim, tuple(v.shape))
        if type(v) in (list, tuple) and any(isinstance(x, Tensor) for x in v):
            return type(v)(change(x, where) for x in v)
        return v

    if (
        args
        and isinstance(args[0], Tensor)
        and not isinstance(args[0], DTensor)
        and name.endswith("_")
        and not name.endswith("__")
    ):
        return args, kwargs  # a plain tensor is written to: see on_whole
    return tuple(change(a, name) for a in args), {k: change(v, name) for k, v in kwargs.items()}


def on_whole(name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function on whole tensors, the same on every rank: its results are replicated.
    What it writes to in place is cut again."""
    known = distributed(args, kwargs)
    mesh = common_mesh(known)
    whole = (Replicate(),) * mesh.ndim
    writes = (name.endswith("_") and not name.endswith("__")) or name in (
        "__setitem__",
        "__iadd__",
        "__isub__",
        "__imul__",
        "__itruediv__",
        "__ipow__",
    )
    target = args[0] if writes and args and isinstance(args[0], Tensor) else None
    if target is not None and not isinstance(target, DTensor):  # a plain tensor takes the whole values
        return func(target, *_strip(args[1:], whole), **_strip(kwargs, whole))
    args, kwargs = plain_to_distributed(name, args, kwargs)
    if target is not None:
        return _written(func, target, args, kwargs, whole)
    found = func(*_strip(args, whole), **_strip(kwargs, whole))
    return _wrap(found, mesh, whole)


def _strip(v: Any, whole: tuple[Any, ...]) -> Any:
    """Arguments with whole local tensors."""
    if isinstance(v, DTensor):
        return v.placed(whole)
    if isinstance(v, tuple) and hasattr(v, "_fields"):
        return type(v)(*(_strip(x, whole) for x in v))
    if isinstance(v, (list, tuple)) and not type(v).__module__.startswith("rushlight"):
        return type(v)(_strip(x, whole) for x in v)
    if isinstance(v, dict):
        return {k: _strip(x, whole) for k, x in v.items()}
    return v


def _wrap(v: Any, mesh: Any, placements: tuple[Any, ...]) -> Any:
    """Results with DTensors in the place of local tensors."""
    if isinstance(v, Tensor):
        return v if isinstance(v, DTensor) else make(v, mesh, placements, tuple(v.shape))
    if isinstance(v, tuple) and hasattr(v, "_fields"):
        return type(v)(*(_wrap(x, mesh, placements) for x in v))
    if type(v) in (list, tuple) or isinstance(v, tuple) and any(isinstance(x, Tensor) for x in v):
        return type(v)([_wrap(x, mesh, placements) for x in v])
    return v


def _written(
    func: Callable[..., Any], target: DTensor, args: tuple[Any, ...], kwargs: dict[str, Any], whole: tuple[Any, ...]
) -> DTensor:
    """An operation in place, done on a whole copy whose piece is then written back. RuntimeError where autograd would
    have to follow."""
    from rushlight.tensor.state import state

    mesh = target.device_mesh
    if any(p.is_partial() for p in target.placements):
        raise RuntimeError(
            f"{name_of(func)} cannot write to a DTensor placed as {target.placements}: redistribute it first"
        )
    if state.grad and (target.requires_grad or any(a.requires_grad for a in distributed(args[1:], kwargs))):
        if target.is_leaf and target.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        if any(not p.is_replicate() for p in target.placements):
            raise RuntimeError(
                f"{name_of(func)} in place on a sharded DTensor cannot be recorded for autograd; use the operation "
                "that returns a new tensor"
            )
        func(*_strip(args, whole), **_strip(kwargs, whole))
        return target
    with without_grad():
        copy = target.placed(whole).clone()
        func(copy, *_strip(args[1:], whole), **_strip(kwargs, whole))
        target._local_tensor.copy_(redistribute(copy, mesh, whole, target.placements))
    return target


def backward(
    tensor: DTensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Gradients of the leaves. Every rank must call it."""
    if inputs is not None:
        inputs = [
            i._local_tensor if isinstance(i, DTensor) else i
            for i in (inputs if isinstance(inputs, (list, tuple)) else [inputs])
        ]
    if isinstance(gradient, DTensor):
        gradient = gradient.placed(gradient_placements(tensor.placements))
    elif gradient is None and tensor.numel() != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    tensor._local_tensor.backward(gradient, retain_graph, create_graph, inputs)
