"""Automatic mixed precision: which public functions compute in a smaller float
type while autocast is on, and which in float32.

`rushlight.amp.autocast` sets ``state.autocast`` to the smaller type. The lists are those of PyTorch's CPU autocast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from rushlight.ir import dtype as dtypes
from rushlight.tensor.state import state

F = TypeVar("F", bound=Callable[..., Any])
SMALL = (dtypes.bfloat16, dtypes.float16)
CAST = (dtypes.float32, *SMALL)  # float64 stays as it is
WIDEST = object()


def cast_nest(x: Any, want: Any, which: tuple[Any, ...]) -> Any:
    """Tensors of these dtypes as another, in lists and tuples too."""
    spec = getattr(x, "_spec", None)
    if spec is not None:
        return x.to(want) if spec.dtype in which and spec.dtype is not want else x
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)(cast_nest(v, want, which) for v in x)
    return x


def _dtypes(x: Any) -> set[Any]:
    """The types of the tensors in a nest."""
    spec = getattr(x, "_spec", None)
    if spec is not None:
        return {spec.dtype}
    return set().union(*map(_dtypes, x)) if isinstance(x, (list, tuple)) else set()


def _casting(function: F, target: Callable[[Any], Any], which: tuple[Any, ...]) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        small = state.autocast
        if small is None:
            return function(*args, **kwargs)
        want = target(small)
        if want is WIDEST:
            want = dtypes.float32 if dtypes.float32 in _dtypes((args, tuple(kwargs.values()))) else small
        state.autocast = None  # what the function itself calls takes its operands as they are
        try:
            if want is None:
                return function(*args, **kwargs)
            return function(*[cast_nest(a, want, which) for a in args],
                            **{k: cast_nest(a, want, which) for k, a in kwargs.items()})
        finally:
            state.autocast = small
    wrapper.casts = True  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def reduced(function: F) -> F:
    """The function computes in the smaller type under autocast: products and convolutions."""
    return _casting(function, lambda small: small, CAST)


def as_given(function: F) -> F:
    """The function takes its operands as they are under autocast: a product is how it computes, not what the user asked for."""
    return _casting(function, lambda small: None, ())


def widest(function: F) -> F:
    """The function computes in the widest type of its operands under autocast."""
    return _casting(function, lambda small: WIDEST, CAST)


def full(function: F) -> F:
    """The function computes in float32 under autocast: losses and what loses too much precision."""
    return _casting(function, lambda small: dtypes.float32, SMALL)
