"""The old constructors by type: torch.FloatTensor and its kin."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.graph import TYPE_NAMES
from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import legacy_tensor


class _Typed(type):
    """isinstance(x, FloatTensor) asks for the dtype."""

    dtype: Any

    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor) and other.dtype is cls.dtype

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return legacy_tensor(args, kwargs, cls.dtype)


for _dtype, _name in TYPE_NAMES.items():
    globals()[_name] = _Typed(_name, (),
                              {"dtype": dtypes.by_name(_dtype), "__module__": "torch",
                               "__doc__": f"A tensor of {_dtype}."})
