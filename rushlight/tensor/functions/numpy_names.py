"""NumPy's names of parameters: PyTorch's built-in functions take `axis` for `dim` and `keepdims` for `keepdim`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

from rushlight.tensor.functions.histories import COMPOSED, say_first

RENAMED = {"dim": "axis", "keepdim": "keepdims"}
CALLED = {numpy: name for name, numpy in RENAMED.items()}
# PyTorch writes these in Python, which takes no other names
PYTHON = frozenset(("norm", "split", "unflatten", "unique", "unique_consecutive"))


def also_numpy(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which takes NumPy's names of its parameters too (TypeError where both are given).

    >>> import rushlight as rl
    >>> rl.zeros(2, 3).argmax(axis=1, keepdims=True).shape
    torch.Size([2, 1])
    """
    late = f.__name__ in COMPOSED

    def named(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for name in CALLED.keys() & kwargs.keys():
                if CALLED[name] in kwargs:
                    raise TypeError(f"{f.__name__}() got an unexpected keyword argument '{name}': "
                                    f"it is another name of '{CALLED[name]}'")
                kwargs[CALLED[name]] = kwargs.pop(name)
        try:
            return f(*args, **kwargs)
        except (IndexError, RuntimeError):
            if not late:
                say_first(args)
            raise
    for kept in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(named, kept, getattr(f, kept))
    named.__wrapped__ = f  # type: ignore[attr-defined]
    own = signature(f)
    more = [Parameter(RENAMED[p], Parameter.KEYWORD_ONLY, default=None) for p in own.parameters if p in RENAMED]
    named.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return named


def take_numpy_names(space: dict[str, Any], names: Iterable[str]) -> None:
    """Let the functions of these names in a module take NumPy's names. The last lines of a module call it."""
    done: dict[Any, Any] = {}  # aliases stay one function
    for name in names:
        f = space[name]
        casts = getattr(f, "casts", False)  # under autocast: its parameters are those of the function within
        code = getattr(f.__wrapped__ if casts else f, "__code__", None)
        if name in PYTHON or code is None or hasattr(f, "__wrapped__") and not casts:
            continue
        if {"dim", "keepdim"} & {*code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]}:
            space[name] = done.get(f) or done.setdefault(f, also_numpy(f))
