"""torch._check and its relatives: conditions that programs state, and swap_tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EXPECTED = ("Expected cond to be True, but got False. "
            "(Could this error message be improved? If so, please report an enhancement request to PyTorch.)")


def _with(error: type[Exception]) -> Callable[..., None]:
    def check(cond: bool, message: Callable[[], str] | None = None) -> None:
        if not isinstance(cond, bool):
            raise TypeError(f"cond must be a bool, but got {type(cond)}")
        if cond:
            return
        if message is not None and not callable(message):
            raise TypeError("message must be a callable")
        raise error(EXPECTED if message is None else str(message()))
    check.__doc__ = f"{error.__name__} with the text of message() unless cond is true."
    return check


_check, _check_index, _check_value, _check_type, _check_not_implemented = map(
    _with, (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError))


def _check_is_size(i: Any, message: Callable[[], str] | None = None, *, max: Any = None) -> None:
    """RuntimeError unless 0 <= i (<= max)."""
    _check(bool(i >= 0) and (max is None or bool(i <= max)), message)


def _assert(condition: Any, message: str) -> None:
    """AssertionError(message) unless the condition holds; of a value that is
    being traced it becomes part of the graph."""
    from rushlight.tensor.core import Tensor
    override = None if isinstance(condition, (bool, Tensor)) else getattr(type(condition), "__torch_function__", None)
    if override is not None:
        override(_assert, (type(condition),), (condition, message), {})
    elif not condition:
        raise AssertionError(message)


def swap_tensors(t1: Any, t2: Any) -> None:
    """Exchange two tensors: whoever holds one sees the other from now on. RuntimeError where weak references or views
    would see it."""
    import weakref
    for t in (t1, t2):
        if weakref.getweakrefs(t):
            raise RuntimeError("Cannot swap t1 because it has weakref associated with it")
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for t in (t1, t2):  # accumulators know their leaf
        acc = t.__dict__.get("_acc")
        node = acc and acc()
        if node is not None:
            node.variable = t
