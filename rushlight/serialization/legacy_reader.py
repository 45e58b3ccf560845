"""The format before PyTorch 1.6: five pickles one after another, then the memory of the storages."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.serialization.errors import Direct, Fault
from rushlight.serialization.records import LITTLE, StorageRecord
from rushlight.serialization.source import Source
from rushlight.serialization.storages import LegacyStorages
from rushlight.serialization.world import decoded

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
COUNT = struct.Struct("<q")


def check_legacy(source: Source, plain: Callable[[str], Any]) -> None:
    """Read the three pickles in front; `plain` reads a pickle without objects and gives it a name for errors."""
    if is_old_tar(source):
        raise Direct("the file is a tar archive, the format of PyTorch 0.1; load it with PyTorch "
                     "(weights_only=False) and save it again")
    source.seek(0)
    if plain("magic number") != MAGIC:
        raise Direct("Invalid magic number; corrupt file? It is neither a zip archive nor a pickle of torch.save")
    version = plain("protocol version")
    if version != PROTOCOL:
        raise Direct(f"Invalid protocol version: {version!r:.40}")
    plain("system information")


def is_old_tar(source: Source) -> bool:
    return source.size >= 512 and source.read_at(257, 5) == b"ustar"


def fill_storages(source: Source, storages: LegacyStorages, keys: Any) -> None:
    """Read the data that follow the list of keys, in its order."""
    if type(keys) is not list:
        raise Fault(f"the list of storage keys is a {type(keys).__name__}")
    waiting = dict(storages.by_key)
    for key in keys:
        storage = waiting.pop(str(decoded(key)) if type(key) in (str, bytes, int) else "", None)
        if storage is None:
            raise Fault("the list of storage keys does not match the storages that the pickle names")
        fill(source, storage)
    if waiting:
        raise Fault(f"storage '{next(iter(waiting))}' has no data in the file")


def fill(source: Source, storage: StorageRecord) -> None:
    """One storage: its number of elements, then its memory in little-endian order."""
    assert storage.array is not None
    at = source.tell()
    (count,) = COUNT.unpack(source.read_at(at, COUNT.size))
    if count != storage.numel:
        raise Fault(f"storage '{storage.key}' has {count} elements in the file, but {storage.numel} by its pickle")
    if at + COUNT.size + storage.nbytes > source.size:
        raise Fault(f"the file ends inside storage '{storage.key}'")
    source.fill(storage.array.view(np.uint8).data)
    if not LITTLE:
        storage.array.byteswap(inplace=True)
