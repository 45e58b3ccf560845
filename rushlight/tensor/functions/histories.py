"""What is wrong with the history of an operand is said before what is wrong with a call.

A view that was made without recording, or is one of several, has no history that can be named once its base was written
in place. PyTorch brings the histories of its operands up to date before a differentiated function looks at its other
arguments; functions that it composes of others look at theirs first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from rushlight.tensor.core import Tensor, sync_view
from rushlight.tensor.state import state

COMPOSED = frozenset(("all", "any", "argmax", "argmin", "chunk", "concat", "concatenate", "count_nonzero",
                      "cumulative_trapezoid", "diff", "gradient", "matmul", "nanmean", "nanquantile",
                      "narrow", "quantile", "tensor_split", "trapezoid", "trapz", "unsafe_chunk"))


def say_first(args: Any) -> None:
    """RuntimeError where the history of one of these, or of a tensor in a list of them, is ambiguous."""
    for a in args if state.grad else ():
        if isinstance(a, Tensor):
            if a._base is not None:
                sync_view(a)
        elif isinstance(a, (list, tuple)):
            say_first(a)


def history_first(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, whose errors stand behind those of its operands' histories."""
    @wraps(f)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (IndexError, RuntimeError):
            say_first(args)
            raise
    return checked
