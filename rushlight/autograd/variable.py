"""Variable: the old name of Tensor."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor


class _Meta(type(Tensor)):  # type: ignore[misc]
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_Meta):
    """Variable(tensor) is the tensor itself."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        out = data if not requires_grad else data.detach().requires_grad_()
        return out
