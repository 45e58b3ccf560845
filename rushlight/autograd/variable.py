"""Variable: the old name of Tensor."""

from __future__ import annotations

from typing import Any


class _Meta(type):
    def __instancecheck__(cls, other: Any) -> bool:
        from rushlight.tensor.core import Tensor
        return isinstance(other, Tensor)


class Variable(metaclass=_Meta):
    """Variable(tensor) is the tensor itself."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        return data if not requires_grad else data.detach().requires_grad_()
