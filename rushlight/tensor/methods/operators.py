"""Operators and methods under names of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.tensor import functions, method_forms, quantized_methods, sparse_methods
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import composites, pointwise, subscripts
from rushlight.tensor.functions.common import rewrite
from rushlight.tensor.methods.gradients import _is_view
from rushlight.tensor.methods.new import new_tensor_
from rushlight.tensor.methods.reading import __repr__
from rushlight.tensor.stft import istft, stft


def __hash__(self: Tensor) -> int:
    return id(self)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """self where condition is true, else other."""
    return pointwise.where(condition, self, other)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return composites.polygamma(n, self)


def _operator(name: str, swap: bool = False, in_place_: bool = False) -> Any:
    f = getattr(functions, name)
    if in_place_:
        def method(self: Tensor, other: Any) -> Any:
            if not _fits(other):
                return NotImplemented
            return rewrite(self, f, (other,))
    elif swap:
        def method(self: Tensor, other: Any) -> Any:
            if not _fits(other):
                return NotImplemented
            return f(other, self)
    else:
        def method(self: Tensor, other: Any) -> Any:
            if not isinstance(other, Tensor) and not _fits(other):
                return NotImplemented
            return f(self, other)
    return method


def _fits(other: Any) -> bool:
    if isinstance(other, (Tensor, int, float, complex, np.generic, np.ndarray)) or type(other).__name__ == "Symbol":
        return True
    return hasattr(other, "__float__") and not isinstance(other, str)


def _divided_by(self: Tensor, other: Any) -> Any:
    """other / self for a number: PyTorch multiplies the reciprocal, which its gradient keeps, not self."""
    return pointwise.mul(pointwise.reciprocal(self), other) if _fits(other) else NotImplemented


def _compare(name: str) -> Any:
    f = getattr(functions, name)

    def method(self: Tensor, other: Any) -> Any:
        if not _fits(other):
            return NotImplemented
        return f(self, other)
    return method


_NAMES = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
          "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
          "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}
OPERATORS: dict[str, Any] = {
    **{f"__{k}__": _operator(v) for k, v in _NAMES.items()},
    **{f"__r{k}__": _operator(v, swap=True) for k, v in _NAMES.items()},
    **{f"__i{k}__": _operator(v, in_place_=True) for k, v in _NAMES.items() if k not in ("matmul",)},
    **{f"__{k}__": _compare(k) for k in ("eq", "ne", "lt", "le", "gt", "ge")},
    "__neg__": pointwise.neg, "__pos__": pointwise.positive, "__abs__": pointwise.abs,
    "__invert__": pointwise.bitwise_not,
    "__getitem__": subscripts.getitem, "__div__": _operator("div"), "__rdiv__": _divided_by,
    "__rtruediv__": _divided_by,
    "where": where_method, "polygamma": polygamma_method, "new_tensor": new_tensor_, "stft": stft, "istft": istft,
    **method_forms.FORMS, **sparse_methods.METHODS, **quantized_methods.METHODS,
    "__hash__": __hash__, "__repr__": __repr__, "__str__": __repr__, "abs_": pointwise.abs_,
    "absolute_": pointwise.abs_,
    "_is_view": _is_view,
}
