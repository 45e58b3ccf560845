"""DistributedOptimizer: an optimizer in each process that owns some of the parameters."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any


class _Local:
    """The optimizer of one owner."""

    lock = threading.Lock()  # one step at a time in a process

    def __init__(self, kind: Any, params: list[Any], *args: Any, **kwargs: Any):
        self.params = [p.local_value() for p in params]
        self.optimizer = kind(self.params, *args, **kwargs)

    def step(self, context_id: int) -> None:
        from rushlight.distributed import autograd

        grads = {id(p): g for p, g in autograd.get_gradients(context_id).items()}
        with _Local.lock:
            for p in self.params:
                p.grad = grads.get(id(p))
            self.optimizer.step()
            for p in self.params:
                p.grad = None


def _make(kind: Any, params: list[Any], args: Any, kwargs: Any) -> Any:
    return _Local(kind, params, *args, **kwargs)


def _step(local: Any, context_id: int) -> None:
    local.local_value().step(context_id)


class DistributedOptimizer:
    """``optimizer_class`` for parameters that RRefs refer to: each owner has an optimizer for its own,
    and takes a step on the gradients that `distributed.autograd.backward` left in a context."""

    def __init__(self, optimizer_class: Any, params_rref: list[Any], *args: Any, **kwargs: Any):
        from rushlight.distributed import rpc

        by_owner: dict[Any, list[Any]] = defaultdict(list)
        for r in params_rref:
            by_owner[r.owner()].append(r)
        self.remote_optimizers = [
            rpc.remote(owner, _make, (optimizer_class, params, args, kwargs)) for owner, params in by_owner.items()
        ]
        for o in self.remote_optimizers:  # an optimizer that cannot be made is an error now
            rpc.rpc_sync(o.owner(), _exists, (o,))

    def step(self, context_id: int) -> None:
        """One step everywhere."""
        from rushlight.distributed import rpc

        for f in [rpc.rpc_async(o.owner(), _step, (o, context_id)) for o in self.remote_optimizers]:
            f.wait()


def _exists(r: Any) -> bool:
    return r.local_value() is not None
