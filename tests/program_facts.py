"""What can be asked of PyTorch's tensors while a program is built.

Kinds of dtypes, memory that shows twice, operands that clash: with these the statements keep to what PyTorch defines.
"""

from __future__ import annotations

from typing import Any


def overlaps_itself(t: Any) -> bool:
    """Whether two of its elements share memory."""
    reach = 0
    for stride, n in sorted((s, n) for s, n in zip(t.stride(), t.shape) if n > 1):
        if stride <= reach:
            return t.numel() > 0
        reach += stride * (n - 1)
    return False


def stride_zero(t: Any) -> bool:
    return any(s == 0 and n > 1 for s, n in zip(t.stride(), t.shape))


def dense(t: Any) -> bool:
    step = 1
    for stride, n in sorted((s, n) for s, n in zip(t.stride(), t.shape) if n > 1):
        if stride != step:
            return False
        step *= n
    return True


def span(t: Any) -> tuple[int, int]:
    size = t.element_size()
    return t.data_ptr(), t.data_ptr() + size * (1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride())))


def clash(t: Any, u: Any) -> str:
    """How an operand's memory lies to that of the tensor written: none, same, partial (PyTorch raises) or undefined."""
    if not t.numel() or not u.numel():
        return "none"
    (a, b), (c, d) = span(t), span(u)
    if b <= c or d <= a:
        return "none"
    if t.dtype == u.dtype and t.shape == u.shape and t.stride() == u.stride() and a == c:
        return "same"
    return "partial" if dense(t) and dense(u) else "undefined"


def is_float(t: Any) -> bool:
    return t.dtype.is_floating_point or t.dtype.is_complex


def real(t: Any) -> bool:
    return t.dtype.is_floating_point


def integer(t: Any) -> bool:
    return not is_float(t) and str(t.dtype) != "torch.bool"


def boolean(t: Any) -> bool:
    return str(t.dtype) == "torch.bool"


def aliases(t: Any, u: Any) -> bool:
    return t.untyped_storage()._cdata == u.untyped_storage()._cdata


def leaf(t: Any) -> bool:
    try:
        return bool(t.is_leaf)
    except RuntimeError:  # a view whose history became ambiguous
        return False


def safe_cast(u: Any, t: Any) -> bool:
    """Whether the values of u have a defined meaning in the dtype of t."""
    if is_float(t) or not is_float(u):
        return True
    if u.dtype.is_complex:
        return False
    name = str(t.dtype)
    return (name != "torch.uint8" or bool((u >= 0).all())) and (
        name not in ("torch.uint8", "torch.int8") or bool((u.abs() < 100).all())
    )
