"""Batches and data loaders: sizes, moving to a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import WarningCache
from rushlight.tensor.core import Tensor

warnings_said = WarningCache()


def apply_to_collection(data: Any, dtype: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function's results in place of all objects of `dtype` within dicts, lists, tuples and dataclasses.

    >>> apply_to_collection({"a": [1, 2.5]}, int, lambda x: x + 1)
    {'a': [2, 2.5]}
    """
    if isinstance(data, dtype):
        return function(data, *args, **kwargs)

    def inner(x: Any) -> Any:
        return apply_to_collection(x, dtype, function, *args, **kwargs)
    kind: Any = type(data)
    if isinstance(data, Mapping):
        pairs = [(k, inner(v)) for k, v in data.items()]
        return kind(getattr(data, "default_factory"), pairs) if hasattr(data, "default_factory") else _made(data, pairs)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*(inner(v) for v in data))
    if isinstance(data, (list, tuple)):
        return kind(inner(v) for v in data)
    if is_dataclass(data) and not isinstance(data, type):
        return replace(data, **{f.name: inner(getattr(data, f.name)) for f in fields(data) if f.init})
    return data


def _made(data: Mapping[Any, Any], pairs: list[tuple[Any, Any]]) -> Any:
    try:
        return type(data)(pairs)  # type: ignore[call-arg]
    except TypeError:
        return dict(pairs)


def tensors_in(data: Any) -> Iterator[Any]:
    """The leaves of a batch: tensors and strings, None for anything without a size."""
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from tensors_in(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from tensors_in(value)
    elif is_dataclass(data) and not isinstance(data, type):
        for field in fields(data):
            yield from tensors_in(getattr(data, field.name))
    else:
        yield None


def extract_batch_size(batch: Any) -> int:
    """The first dimension of the batch's first tensor; a warning where tensors differ in it.

    MisconfigurationException for a batch without tensors.
    """
    size: int | None = None
    for leaf in tensors_in(batch):
        if leaf is None:
            continue
        found = len(leaf) if isinstance(leaf, str) else 1 if leaf.ndim == 0 else leaf.shape[0]
        if size is None:
            size = found
        elif size != found:
            warnings_said.warn("Trying to infer the `batch_size` from an ambiguous collection. The batch size we"
                               f" found is {size}. To avoid any miscalculations, use `self.log(...,"
                               " batch_size=batch_size)`.")
            break
    if size is None:
        raise MisconfigurationException("We could not infer the batch_size from the batch. Either simplify its"
                                        " structure or provide the batch_size as `self.log(...,"
                                        " batch_size=batch_size)`.")
    return size


def move_data_to_device(batch: Any, device: Any) -> Any:
    """The batch with everything that has a ``to`` method on the device."""
    return apply_to_collection(batch, TransferableDataType, lambda x: x.to(device))


class _Transferable(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor) or callable(getattr(value, "to", None))


class TransferableDataType(metaclass=_Transferable):
    """Anything with a ``to`` method."""


def sized_len(loader: Any) -> int | None:
    """The length of a loader, None where it has none."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None
