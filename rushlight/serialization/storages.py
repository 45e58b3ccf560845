"""Answers the persistent ids of a pickle with storages, whose sizes are checked before anything is allocated."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.serialization.errors import Fault
from rushlight.serialization.location import Relocate
from rushlight.serialization.records import LITTLE, StorageRecord, StorageSlice, whole
from rushlight.serialization.settings import unmarked_order
from rushlight.serialization.world import decoded
from rushlight.serialization.zip_reader import Archive

STORAGE_COST = 500  # bytes of Python objects for one storage


def storage_fields(identity: tuple[Any, ...], count: int) -> tuple[DType, Any, str, int]:
    """dtype, key, location and number of elements of a persistent id."""
    if len(identity) != count:
        raise Fault(f"the id of a storage has {len(identity)} fields, not {count}")
    dtype = getattr(identity[1], "dtype", None)
    key, location = decoded(identity[2]), decoded(identity[3])
    if not isinstance(dtype, DType) or not isinstance(location, str) or len(location) > 64:
        raise Fault("the id of a storage must name a storage type and a location")
    if type(key) is int:
        key = str(whole(key, "the key of a storage"))
    if type(key) is not str or len(key) > 128:
        raise Fault("the key of a storage must be a short string")
    return dtype, key, location, whole(identity[4], "the size of a storage")


class Storages:
    """The storages of one file by key: a storage that several tensors view is read once."""

    def __init__(self, relocate: Relocate, spend: Callable[[int], None]):
        self.by_key: dict[str, StorageRecord] = {}
        self.relocate = relocate
        self.spend = spend
        self.waiting: list[Callable[[], None]] | None = None  # what is to be done when all memory is there; None if it is read at once

    def when_filled(self, then: Callable[[], None]) -> None:
        """Do something that reads the memory of storages."""
        if self.waiting is None:
            then()
        else:
            self.waiting.append(then)

    def get(self, dtype: DType, key: str, location: str, numel: int) -> StorageRecord:
        known = self.by_key.get(key)
        if known is None:
            known = StorageRecord(key, dtype, numel, None, location)
            self.spend(STORAGE_COST + known.nbytes)
            self.read(known)
            self.by_key[key] = known = self.relocate(known)
        elif (known.dtype, known.numel) != (dtype, numel):
            raise Fault(f"storage '{key}' is {known.numel} elements of {known.dtype} in one place and {numel} "
                        f"of {dtype} in another")
        return known

    def read(self, storage: StorageRecord) -> None:
        raise NotImplementedError


class ZipStorages(Storages):
    """Storages of a zip archive, read as the pickle names them.

    Damage is collected, not raised: only when the pickle is done is it known what the tensors are called.
    """

    def __init__(self, archive: Archive, relocate: Relocate, spend: Callable[[int], None], map_file: bool):
        super().__init__(relocate, spend)
        self.archive = archive
        self.bad: list[StorageRecord] = []
        order = archive.read("byteorder", 16) if archive.has("byteorder") else unmarked_order()
        if order not in (b"little", b"big"):
            raise Fault(f"Unknown endianness type: {order.decode('ascii', 'replace')}")
        self.swap = (order == b"little") is not LITTLE
        self.map = self._map() if map_file else None

    def __call__(self, identity: tuple[Any, ...]) -> StorageRecord:
        return self.get(*storage_fields(identity, 5))

    def read(self, storage: StorageRecord) -> None:
        name = f"data/{storage.key}"
        entry = self.archive.find(name)
        if entry.size != storage.nbytes:
            raise Fault(f"record {name} has {entry.size} bytes, but its storage of {storage.numel} elements of "
                        f"{storage.dtype} takes {storage.nbytes}")
        if self.map is not None:
            start = self.archive.data_offset(entry)
            data = np.frombuffer(self.map, np.uint8, entry.size, start)
            if start % storage.dtype.itemsize == 0 and not self.swap:
                storage.array = data.view(storage.dtype.numpy)
                return
        storage.array = np.empty(storage.numel, storage.dtype.numpy)
        if not self.archive.read_into(name, storage.array):
            self.bad.append(storage)
        if self.swap:
            storage.array.byteswap(inplace=True)

    def _map(self) -> mmap.mmap:
        path = self.archive.source.path
        assert path is not None
        with open(path, "rb") as f:
            # Private: in-place operations on the tensors change memory, never the file.
            return mmap.mmap(f.fileno(), os.fstat(f.fileno()).st_size, access=mmap.ACCESS_COPY)


class LegacyStorages(Storages):
    """Storages of the format before 1.6, whose data follow the pickle: allocated first, filled after it."""

    def __init__(self, room: int, relocate: Relocate, spend: Callable[[int], None]):
        super().__init__(relocate, spend)
        self.room = room  # bytes that the file still has; no file can announce more
        self.waiting = []

    def __call__(self, identity: tuple[Any, ...]) -> Any:
        if decoded(identity[0]) == "module":
            return identity[1]
        fields = storage_fields(identity[:5], 5)
        root = self.get(*fields)
        view = identity[5] if len(identity) == 6 else None
        if view is None:
            return root
        if type(view) is not tuple or len(view) != 3:
            raise Fault("the view of a storage must be (key, offset, size)")
        start, numel = whole(view[1], "the offset of a storage"), whole(view[2], "the size of a storage")
        if start + numel > root.numel:
            raise Fault(f"a view of {numel} elements at {start} is outside storage '{root.key}' of {root.numel}")
        return StorageSlice(root, start, numel)

    def read(self, storage: StorageRecord) -> None:
        self.room -= storage.nbytes + 8
        if self.room < 0:
            raise Fault(f"storage '{storage.key}' of {storage.nbytes} bytes is larger than what is left of the file")
        storage.array = np.empty(storage.numel, storage.dtype.numpy)
