"""What Fabric.setup returns."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rushlight.ir.dtype import float32
from rushlight.lightning.core.optimizer import LightningOptimizer
from rushlight.lightning.utilities.data import apply_to_collection
from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor


class FabricModule(Module):
    """A module whose calls run in a precision; its attributes and its state are the module's own."""

    def __init__(self, module: Module, precision: Any, parallel: Any = None) -> None:
        super().__init__()
        self._forward_module = module
        self.__dict__["_precision"], self.__dict__["_parallel"] = precision, parallel  # DistributedDataParallel, or None

    @property
    def module(self) -> Any:
        """The module inside."""
        return self._modules["_forward_module"]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's output; floating tensors of a mixed precision come back as float32."""
        precision = self._precision
        if self._parallel is not None:
            self._parallel.pre_forward()
        args, kwargs = precision.convert_input(args), precision.convert_input(kwargs)
        with precision.forward_context():
            out = self.module(*args, **kwargs)
        if not precision.precision.endswith("mixed"):
            return out
        return apply_to_collection(out, Tensor, lambda t: t.to(float32) if t.dtype.is_floating_point else t)

    def no_sync(self) -> AbstractContextManager[Any]:
        """A block whose gradients are not exchanged."""
        return nullcontext() if self._parallel is None else self._parallel.no_sync()

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        return self.module.load_state_dict(state_dict, strict=strict, assign=assign)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_forward_module"), name)


class FabricOptimizer(LightningOptimizer):
    """An optimizer that was set up."""


def unwrapped(obj: Any) -> Any:
    """The module or optimizer inside a wrapper, or the object."""
    if isinstance(obj, FabricModule):
        return obj.module
    return obj._optimizer if isinstance(obj, LightningOptimizer) else obj


def is_wrapped(obj: object) -> bool:
    """Whether Fabric has set the object up."""
    return isinstance(obj, (FabricModule, FabricOptimizer))
