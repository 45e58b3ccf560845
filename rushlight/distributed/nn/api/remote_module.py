"""RemoteModule: a module that lives in another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rushlight.nn.modules.module import Module


def _made(module_cls: Any, args: Any, kwargs: Any) -> Any:
    return module_cls(*args, **kwargs)


def _forward(module: Any, args: Any, kwargs: Any) -> Any:
    return module.local_value()(*args, **kwargs)


def _parameters(module: Any, recurse: bool) -> list[Any]:
    from rushlight.distributed.rpc import RRef

    return [RRef(p) for p in module.local_value().parameters(recurse)]


class RemoteModule(Module):
    """``module_cls(*args, **kwargs)`` made in the process that ``remote_device`` names ("worker1" or "worker1/cpu");
    forward runs there.

    Within `distributed.autograd.context` gradients go there, too. ValueError for devices other than the CPU.
    """

    def __init__(
        self,
        remote_device: str,
        module_cls: Any,
        args: Any = None,
        kwargs: Any = None,
        _module_interface_cls: Any = None,
    ):
        super().__init__()
        from rushlight.distributed import rpc

        on, _, device = str(remote_device).partition("/")
        if device not in ("", "cpu"):
            raise ValueError(f"RemoteModule: {remote_device!r} names a device that is not there; use 'worker/cpu'")
        if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
            raise ValueError(f"Expect `module_cls` to be a class of nn.Module, got {module_cls!r}")
        self.on, self.device = on, device or "cpu"
        self.module_rref = rpc.remote(on, _made, (module_cls, tuple(args or ()), dict(kwargs or {})))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's forward, over there."""
        return self.forward_async(*args, **kwargs).wait()

    def forward_async(self, *args: Any, **kwargs: Any) -> Any:
        """A future of it."""
        from rushlight.distributed import rpc

        return rpc.rpc_async(self.on, _forward, (self.module_rref, args, kwargs))

    def remote_parameters(self, recurse: bool = True) -> list[Any]:
        """RRefs of the module's parameters, for `DistributedOptimizer`."""
        from rushlight.distributed import rpc

        return rpc.rpc_sync(self.on, _parameters, (self.module_rref, recurse))  # type: ignore[no-any-return]

    def get_module_rref(self) -> Any:
        """The RRef of the module."""
        return self.module_rref

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Not here: see remote_parameters."""
        raise ValueError(
            "Method ``parameters`` not supported for RemoteModule. Please use ``remote_parameters`` instead."
        )
