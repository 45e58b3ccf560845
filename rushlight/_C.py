"""The names of torch._C that programs use for the __torch_function__ protocol."""

from __future__ import annotations

from rushlight.tensor.protocol import disabled as _disabled_torch_function_impl
from rushlight.tensor.protocol import without_any as DisableTorchFunction  # noqa: N812
from rushlight.tensor.protocol import without_subclasses as DisableTorchFunctionSubclass  # noqa: N812

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]
