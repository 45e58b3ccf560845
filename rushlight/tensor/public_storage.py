"""What `tensor.untyped_storage()` and `tensor.storage()` give."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import flat_memory
from rushlight.tensor.storage import Storage


class UntypedStorage:
    """The memory of a tensor as bytes."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def nbytes(self) -> int:
        """The size in bytes."""
        return int(self._storage.size * self._storage.dtype.itemsize)

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the first byte."""
        self._storage.share()
        self._storage.forever = True
        return int(self._storage.home.ctypes.data)  # type: ignore[union-attr]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._storage is self._storage

    def __hash__(self) -> int:
        return id(self._storage)


class TypedStorage(UntypedStorage):
    """The memory of a tensor as elements."""

    def __init__(self, storage: Storage, dtype: Any):
        super().__init__(storage)
        self.dtype = dtype

    def size(self) -> int:
        """The number of elements."""
        return int(self._storage.size)

    __len__ = size

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(self._storage)

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return list(flat_memory(self._storage).tolist())

    def __getitem__(self, i: int) -> Any:
        return flat_memory(self._storage)[i].item()

    def __iter__(self) -> Any:
        return iter(self.tolist())
