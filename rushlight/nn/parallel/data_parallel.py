"""DataParallel: one process, one module, the batch spread over devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Calls ``module``; on one device, as PyTorch does too, that is all. The state_dict has the prefix ``module.``.

    Raises NotImplementedError for several devices: the compiler spreads work over them without this wrapper.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        if device_ids is not None and len(device_ids) > 1:
            raise NotImplementedError(f"DataParallel over several devices {device_ids} is not implemented")
        self.module = module
        self.device_ids = list(device_ids or [])
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module, inputs: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0,
    module_kwargs: Any = None,
) -> Any:
    """The module on parts of the inputs, one for each GPU: RuntimeError, since there is none here. Call the module."""
    raise RuntimeError("device type could not be determined: there is no GPU here to spread work over; call the module")
