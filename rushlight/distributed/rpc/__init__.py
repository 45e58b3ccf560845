"""Functions that run in other processes (torch.distributed.rpc), over TCP.

Calls and results are pickles: only for processes that one user has started,
on machines that trust each other, as with PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.distributed.groups import _rendezvous, state
from rushlight.distributed.rpc import agent as agents
from rushlight.distributed.rpc import functions, pickles
from rushlight.distributed.rpc.options import BackendType, RpcBackendOptions, TensorPipeRpcBackendOptions, WorkerInfo
from rushlight.distributed.rpc.rref import HANDLERS, RRef, _new_key, forget
from rushlight.distributed.store import PrefixStore
from rushlight.futures import Future

UNSET_RPC_TIMEOUT = -1.0
_stores: list[Any] = []


def is_available() -> bool:
    """True: remote calls over TCP need nothing else."""
    return True


def init_rpc(
    name: str,
    backend: BackendType | None = None,
    rank: int = -1,
    world_size: int | None = None,
    rpc_backend_options: RpcBackendOptions | None = None,
) -> None:
    """Join the other processes under a name; returns when all ``world_size`` of them have.

    They find each other by the options' ``init_method`` ("env://" by default, or the default process group's store).
    RuntimeError for a name that repeats or a second call, ValueError without rank or world_size.
    """
    if agents._agent:
        raise RuntimeError("RPC is already initialized")
    if backend is not None and not isinstance(backend, BackendType):
        raise TypeError("Argument backend must be a member of BackendType")
    options = rpc_backend_options or TensorPipeRpcBackendOptions()
    if not isinstance(options, RpcBackendOptions):
        raise TypeError(
            f"Argument rpc_backend_options must be an instance of RpcBackendOptions, got {type(options).__name__}"
        )
    if not isinstance(options, TensorPipeRpcBackendOptions):
        options = TensorPipeRpcBackendOptions(rpc_timeout=options.rpc_timeout, init_method=options.init_method)
    if world_size is None and options.init_method != "env://":
        raise ValueError("init_rpc needs world_size: workers cannot join or leave later")
    store: Any = state.store
    if store is not None and options.init_method == "env://" and state.mesh is not None:
        rank, world_size = state.mesh.rank if rank < 0 else rank, world_size or state.mesh.size
    else:
        store, rank, world_size = _rendezvous(
            options.init_method, rank, -1 if world_size is None else world_size, 300.0
        )
        _stores.append(store)
    me = agents.Agent(name, rank, world_size, PrefixStore("rpc", store), options)
    me.handlers.update(HANDLERS)
    from rushlight.distributed.autograd import HANDLERS as GRADIENTS

    me.handlers.update(GRADIENTS)
    agents.start(me)


def shutdown(graceful: bool = True, timeout: float = 0) -> None:
    """Leave; gracefully: when all processes have called it and no call is under way.
    RuntimeError where one has ended without."""
    try:
        agents.current().shutdown(graceful, timeout)
    finally:
        agents.stop()
        forget()
        for s in _stores:
            if getattr(s, "_server", None) is None and hasattr(s, "close"):
                s.close()
        _stores.clear()


def get_worker_info(worker_name: str | None = None) -> WorkerInfo:
    """A worker by name; this one without a name."""
    return agents.current().info if worker_name is None else agents.current().worker(worker_name)


def _check(func: Any) -> None:
    if not callable(func):
        raise TypeError(f"function should be callable, got {type(func).__name__}")


def rpc_async(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> Future:
    """A future of func(*args, **kwargs) in another process (a name,
    number or WorkerInfo). ``timeout`` in seconds (0: none).

    What the function raises is raised by the future's wait(), with its traceback as text; RuntimeError after the
    timeout, or where the worker has ended. Within `distributed.autograd.context`, gradients go through the call.
    """
    _check(func)
    me = agents.current()
    from rushlight.distributed import autograd

    if autograd.recording():
        return autograd.call(me.worker(to), func, args, kwargs, timeout)
    return me.request(me.worker(to).id, "call", pickles.dump(pickles.Call(func, args, kwargs)), timeout)


def rpc_sync(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> Any:
    """The result of func(*args, **kwargs) in another process: `rpc_async`, and wait."""
    return rpc_async(to, func, args, kwargs, timeout).wait()


def remote(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> RRef:
    """A reference to the result of func(*args, **kwargs), which stays in the process that computes it."""
    _check(func)
    me = agents.current()
    owner = me.worker(to)
    from rushlight.distributed import autograd

    if autograd.recording() and any(t.requires_grad for t in autograd.tensors_in((args, kwargs))):
        raise NotImplementedError(
            "rpc.remote does not carry gradients of its arguments: within distributed.autograd.context use rpc_sync "
            "or rpc_async for them"
        )
    key, user = _new_key(), _new_key()
    from rushlight.distributed.rpc.rref import _use

    if owner.id == me.info.id:
        _use(key, user)
    else:
        me.ask(owner.id, "rref use", pickles.dump((key, user)))
    me.request(owner.id, "remote", pickles.dump((key, user, pickles.dump(pickles.Call(func, args, kwargs)))), timeout)
    return RRef._of(key, owner, user)


__all__ = [
    "BackendType",
    "RRef",
    "RpcBackendOptions",
    "TensorPipeRpcBackendOptions",
    "WorkerInfo",
    "functions",
    "get_worker_info",
    "init_rpc",
    "is_available",
    "remote",
    "rpc_async",
    "rpc_sync",
    "shutdown",
]
