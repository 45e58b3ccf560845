"""Numbers that PyTorch's tracer does not know yet: programs ask whether a size is one; sizes are plain numbers here."""

from __future__ import annotations

from typing import Any


class _Symbolic:
    """Never made: TypeError."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{cls.__name__} stands for a number that is unknown while a program "
                        "is traced; sizes are plain numbers here")


class SymInt(_Symbolic):
    """An integer that is not known yet; nothing is one."""


class SymFloat(_Symbolic):
    """A float that is not known yet; nothing is one."""


class SymBool(_Symbolic):
    """A truth value that is not known yet; nothing is one."""
