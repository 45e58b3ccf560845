"""Dimensions with names: Dim, lists of them, and `dims()`,
which names them after the variables that they are assigned to."""

from __future__ import annotations

import dis
import itertools
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from rushlight.functorch.dim.tensors import Named
from rushlight.tensor.core import Tensor


class DimensionMismatchError(Exception):
    """Dimensions do not go together."""


class DimensionBindError(Exception):
    """A dimension has another size already, or none yet."""


class Dim(Named):
    """A dimension as an object. Its size is bound at its first use;
    as an operand it is the tensor 0, 1, …, size - 1 along itself.

    >>> i = Dim("i", 3)
    >>> (i * 2).order(i)
    tensor([0, 2, 4])
    """

    def __init__(self, name: str, s: int = -1) -> None:
        self._name = name
        self._size = s
        self._range: Tensor | None = None

    @property
    def size(self) -> int:
        """How many elements it has. ValueError before it is bound;
        DimensionBindError when it is set to another size."""
        if self._size == -1:
            raise ValueError(f"dimension {self._name} is unbound")
        return self._size

    @size.setter
    def size(self, n: int) -> None:
        if self._size not in (-1, n):
            raise DimensionBindError(f"Dim '{self}' previously bound to a dimension of size "
                                     f"{self._size} cannot bind to a dimension of size {n}")
        self._size = n

    @property
    def is_bound(self) -> bool:
        """Whether it has a size."""
        return self._size != -1

    @property
    def dims(self) -> tuple[Dim, ...]:
        """Itself."""
        return (self,)

    @property
    def ndim(self) -> int:
        """1, as the tensor that it stands for has."""
        return 1

    @property
    def data(self) -> Tensor:
        """Its positions."""
        if self._range is None:
            from rushlight.tensor.sequences import arange
            self._range = arange(self.size)
        return self._range

    def __repr__(self) -> str:
        return self._name

    __format__ = object.__format__


class DimList:
    """Several dimensions, whose number may be bound later: in a subscript it stands for all that is left."""

    def __init__(self, len_or_dims: int | Sequence[Any] | None = None, name: str | None = None) -> None:
        self._name = name
        self._dims: list[Dim] = []
        self._bound = False
        if isinstance(len_or_dims, int):
            self.bind_len(len_or_dims)
        elif len_or_dims is not None:
            self._dims = [self._made(i, n) if isinstance(n, int) else n if isinstance(n, Dim) else Dim(n)
                          for i, n in enumerate(len_or_dims)]
            self._bound = True

    def _made(self, i: int, size: int = -1) -> Dim:
        return Dim(f"{self._name or 'dim'}{i}", size)

    def bind_len(self, size: int) -> None:
        """Make it `size` dimensions. DimensionBindError where it has another number already."""
        if self._bound and len(self._dims) != size:
            raise DimensionBindError(f"Dimlist has size {len(self._dims)} but it is being bound to size {size}")
        if not self._bound:
            self._bound, self._dims = True, [self._made(i) for i in range(size)]

    def bind(self, sizes: Sequence[int]) -> None:
        """Make it dimensions of these sizes."""
        if not hasattr(sizes, "__len__") or not hasattr(sizes, "__getitem__"):
            raise ValueError("expected a sequence")
        self.bind_len(len(sizes))
        for d, n in zip(self._dims, sizes):
            d.size = int(n)

    def size(self) -> int:
        """How many dimensions it has. DimensionBindError before that is known."""
        return len(self._known())

    def _known(self) -> list[Dim]:
        if not self._bound:
            raise DimensionBindError("DimList not bound")
        return self._dims

    @property
    def is_bound(self) -> bool:
        """Whether the number of dimensions is known."""
        return self._bound

    def __len__(self) -> int:
        return self.size()

    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            return tuple(self._known()[key])
        if not isinstance(key, int):
            raise ValueError("expected an int or a slice")
        if not 0 <= key < self.size():
            raise IndexError("index out of bounds")
        return self._dims[key]

    def __repr__(self) -> str:
        if self._bound:
            return f"({', '.join(map(repr, self._dims))})"
        return f"*{self._name}" if self._name is not None else "<unbound_dimlist>"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        return Named.__torch_function__(func, types, args, kwargs)


def dims(n: int | None = None, sizes: Sequence[int | None] | None = None) -> Any:
    """New dimensions, as many as variables stand on the left, with their names (or `n`: then d0, d1, … where the names
    do not fit).

    ``sizes`` binds them at once. SyntaxError where nothing says how many; ValueError where sizes are not as many.

    >>> i, j = dims()
    >>> i, j
    (i, j)
    """
    names, count = _wanted(sys._getframe(1), n, "dims", sizes)
    made = [Dim(name or f"d{k}", -1 if sizes is None or sizes[k] is None else sizes[k])
            for k, name in zip(range(count), names)]
    return made[0] if count == 1 else tuple(made)


def dimlists(n: int | None = None, sizes: Sequence[Any] | None = None) -> Any:
    """New lists of dimensions, named like `dims`. ``sizes``: of each list the
    number of dimensions, their sizes, or None."""
    names, count = _wanted(sys._getframe(1), n, "dimlists", sizes)
    made = [DimList(None if sizes is None else sizes[k], name or f"d{k}") for k, name in zip(range(count), names)]
    return made[0] if count == 1 else tuple(made)


def _wanted(frame: FrameType, n: int | None, function: str, sizes: Sequence[Any] | None) -> tuple[Any, int]:
    """Names (None where there is none) and number of what is to be made."""
    names = _targets(frame)
    if n is None and not names:
        raise SyntaxError(f"{function}() must be assigned to a sequence of variable names or have argument n specified")
    count = len(names) if n is None else n
    if sizes is not None and len(sizes) != count:
        raise ValueError(f"expected {count} sizes but found {len(sizes)}")
    return itertools.chain(names if len(names) == count else [], itertools.repeat(None)), count


def _targets(frame: FrameType) -> list[str | None]:
    """The variables to which the call that a frame is at is assigned; None for a target that is no variable."""
    code = [i for i in dis.get_instructions(frame.f_code) if i.opname not in ("CACHE", "EXTENDED_ARG", "PRECALL")]
    at = next((k for k, i in enumerate(code) if i.offset > frame.f_lasti), len(code))
    # f_lasti is before its CALL
    at += at < len(code) and code[at].opname.startswith("CALL") and frame.f_lasti < code[at].offset <= frame.f_lasti + 4
    if at < len(code) and code[at].opname == "UNPACK_SEQUENCE":
        count, at = int(code[at].arg or 0), at + 1
    elif at < len(code) and code[at].opname.startswith("STORE_"):
        count = 1
    else:
        return []
    names: list[str | None] = []
    for i in code[at:]:
        if len(names) >= count or not i.opname.startswith("STORE_") or i.opname in ("STORE_ATTR", "STORE_SUBSCR"):
            break
        names += i.argval if isinstance(i.argval, tuple) else [i.argval]
    return [*names[:count], *[None] * (count - len(names))]
