"""Memory descriptors: the shape, element type and layout of a buffer as oneDNN sees it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rushlight.exec.cpu.onednn import names
from rushlight.exec.cpu.onednn.library import OneDNNError, Unsupported, library
from rushlight.ir.dtype import DType

Dims = ctypes.c_int64 * names.MAX_NDIMS


def dims(sizes: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """Sizes as oneDNN's array of dimensions."""
    if len(sizes) > names.MAX_NDIMS:
        raise Unsupported(f"{len(sizes)} dimensions, at most {names.MAX_NDIMS}", "dnnl_memory_desc_create")
    return Dims(*sizes)


def strides_of(shape: Sequence[int], order: Sequence[int] | None = None) -> tuple[int, ...]:
    """Strides in elements of a dense array whose dimensions lie in memory in that order (outermost first).

    >>> strides_of((2, 3, 4, 5)), strides_of((2, 3, 4, 5), (0, 2, 3, 1))
    ((60, 20, 5, 1), (60, 1, 15, 3))
    """
    strides = [1] * len(shape)
    step = 1
    for d in reversed(range(len(shape)) if order is None else order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


class Desc:
    """A memory descriptor: ``shape``, ``dtype``, ``size`` in bytes, ``plain`` strides; equal when the layouts are.

    ``Desc.of(shape, dtype, strides)`` describes an array, ``Desc.any(shape, dtype)`` leaves the layout to the primitive.
    ``source`` says how another process can have it: what it was made from here, or a primitive's recipe and the name of the slot.
    """

    def __init__(self, handle: int, source: tuple[Any, ...] | None = None):
        """Takes a handle over: destroyed with this object."""
        self.handle = handle
        self.source = source
        self.destroy = library().dll.dnnl_memory_desc_destroy  # at hand when the interpreter ends
        self.shape: tuple[int, ...] = self._list("dims", self._int("ndims"))
        self.dtype: DType = names.OF_DTYPE[self._int("dtype")]

    @classmethod
    def of(cls, shape: Sequence[int], dtype: DType, strides: Sequence[int] | None = None) -> Desc:
        """The layout of an array with strides in elements (dense, row by row, by default); Unsupported where oneDNN has no such layout."""
        shape = tuple(shape) or (1,)
        strides = strides_of(shape) if strides is None else tuple(strides) or (1,)
        number = _number(dtype)
        try:
            return cls(library().make("memory_desc_create_with_strides", len(shape), dims(shape), number, dims(strides)),
                       (shape, dtype.name, strides))
        except OneDNNError as error:
            raise Unsupported(f"{error.status} (shape {shape}, strides {strides})", error.call) from None

    @classmethod
    def any(cls, shape: Sequence[int], dtype: DType) -> Desc:
        """A descriptor whose layout the primitive chooses."""
        shape = tuple(shape)
        return cls(library().make("memory_desc_create_with_tag", len(shape), dims(shape), _number(dtype), names.FORMAT_TAG_ANY),
                   (shape, dtype.name, None))

    @classmethod
    def copy(cls, handle: int) -> Desc:
        """An own copy of a descriptor that belongs to a primitive."""
        return cls(library().make("memory_desc_clone", handle))

    def reshape(self, shape: Sequence[int]) -> Desc:
        """The same memory under another shape; OneDNNError where the layout does not allow it."""
        return Desc(library().make("memory_desc_reshape", self.handle, len(shape), dims(shape)))

    def __del__(self) -> None:
        if handle := getattr(self, "handle", 0):
            self.destroy(handle)

    def _int(self, what: str) -> int:
        result = ctypes.c_int()
        library().call("memory_desc_query", self.handle, names.QUERY[what], ctypes.byref(result))
        return result.value

    def _list(self, what: str, count: int) -> tuple[int, ...]:
        result = ctypes.c_void_p()
        library().call("memory_desc_query", self.handle, names.QUERY[what], ctypes.byref(result))
        return tuple((ctypes.c_int64 * count).from_address(result.value)) if count and result.value else ()

    @cached_property
    def size(self) -> int:
        """Bytes of memory, padding of blocks included."""
        return int(library().dll.dnnl_memory_desc_get_size(self.handle))

    @cached_property
    def blocks(self) -> tuple[tuple[int, int], ...] | None:
        """(dimension, size) of each inner block, outermost first; None when the layout is opaque or not yet chosen."""
        if self._int("format_kind") != names.FORMAT_BLOCKED:
            return None
        count = self._int("inner_nblks")
        return tuple(zip(self._list("inner_idxs", count), self._list("inner_blks", count)))

    @cached_property
    def strides(self) -> tuple[int, ...] | None:
        """Strides in elements between (blocks of) each dimension; None when the layout is opaque or not yet chosen."""
        return None if self.blocks is None else self._list("strides", len(self.shape))

    @property
    def plain(self) -> tuple[int, ...] | None:
        """Strides in elements when the layout is that of an ordinary array, else None."""
        if self.blocks != () or self._list("padded_dims", len(self.shape)) != self.shape:
            return None
        return self.strides

    @property
    def layout(self) -> str:
        """The layout in oneDNN's letters: dimensions from outermost, capital where blocked: ``aBcd16b``."""
        if self.blocks is None:
            return "any" if self._int("format_kind") == 1 else "opaque"
        blocked = {d for d, _ in self.blocks}
        strides = self.strides or ()
        order = sorted(range(len(self.shape)), key=lambda d: (-strides[d], d))
        outer = "".join(chr(ord("A" if d in blocked else "a") + d) for d in order)
        return outer + "".join(f"{size}{chr(ord('a') + d)}" for d, size in self.blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Desc) and bool(library().dll.dnnl_memory_desc_equal(self.handle, other.handle))

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name))

    def __repr__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}] {self.layout}"


def _number(dtype: DType) -> int:
    if dtype not in names.DTYPES:
        raise Unsupported(f"no {dtype} in oneDNN", "dnnl_memory_desc_create")
    return names.DTYPES[dtype]
