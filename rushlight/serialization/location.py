"""map_location: where storages of a file go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.serialization.errors import Direct, UserError
from rushlight.serialization.records import StorageRecord

Relocate = Callable[[StorageRecord], StorageRecord]

ABSENT = (
    "Attempting to deserialize object on a {upper} device but torch.{kind}.is_available() is False. "
    "If you are running on a CPU-only machine, "
    "please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
)


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage at a location: the CPU is the one place where rushlight keeps loaded storages.

    RuntimeError for a device of another machine, with PyTorch's text.
    """
    kind = str(location).partition(":")[0]
    if kind == "cpu":
        return storage
    if kind in ("cuda", "mps", "xpu", "hpu", "npu", "mtia", "xla"):
        raise RuntimeError(ABSENT.format(kind=kind, upper=kind.upper()))
    if kind == "meta":
        raise NotImplementedError("torch.load(map_location='meta'): rushlight has no tensors without memory")
    raise RuntimeError("don't know how to restore data location of torch.storage.UntypedStorage "
                       f"(tagged with {location})")


def location_tag(storage: Any) -> str:
    """The tag that files carry for where a storage was."""
    return getattr(storage, "location", "cpu")


def relocate_by(map_location: Any) -> Relocate:
    """The function of a storage that `torch.load`'s argument describes."""
    if callable(map_location):
        return lambda storage: _called(map_location, storage)
    if isinstance(map_location, bytes):
        map_location = map_location.decode("ascii")
    if map_location is not None and not isinstance(map_location, dict):
        target = str(map_location)
        return lambda storage: _moved(storage, target)
    names = {str(k): str(v) for k, v in (map_location or {}).items()}
    return lambda storage: _moved(storage, names.get(storage.location, storage.location), storage.location)


def _moved(storage: StorageRecord, location: str, said_by_file: str | None = None) -> StorageRecord:
    try:
        restored: StorageRecord = default_restore_location(storage, location)
    except RuntimeError as e:
        if location == said_by_file:
            raise Direct(str(e)) from None
        raise UserError(e) from None
    return restored


def _called(function: Callable[[Any, str], Any], storage: StorageRecord) -> StorageRecord:
    try:
        result = function(storage, storage.location)
    except Exception as e:
        raise UserError(e) from e
    if result is None:
        return _moved(storage, storage.location, storage.location)
    if not isinstance(result, StorageRecord):
        raise UserError(TypeError(f"map_location must return the storage or None, got {type(result).__name__}"))
    return result
