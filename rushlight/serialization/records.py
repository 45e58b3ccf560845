"""Checkpoint contents as plain data: what the format code works on, whatever becomes of it afterwards."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.serialization.errors import Fault

MAX_DIMS = 64
MAX_ELEMENTS = 2**62
LITTLE = sys.byteorder == "little"

STORAGE_DTYPES: dict[str, DType] = {
    "DoubleStorage": dtypes.float64, "FloatStorage": dtypes.float32, "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16, "LongStorage": dtypes.int64, "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16, "CharStorage": dtypes.int8, "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_, "ComplexDoubleStorage": dtypes.complex128, "ComplexFloatStorage": dtypes.complex64,
}
# quantized tensors are written as their integers; these types of storage say that they are
QUANTIZED_DTYPES: dict[str, DType] = {"QInt8Storage": dtypes.int8, "QUInt8Storage": dtypes.uint8,
                                      "QInt32Storage": dtypes.int32}
QUANTIZED_NAMES: dict[DType, str] = {d: name for name, d in QUANTIZED_DTYPES.items()}
STORAGE_NAMES: dict[DType, str] = {d: name for name, d in STORAGE_DTYPES.items()}


@dataclass(eq=False, slots=True)
class StorageRecord:
    """One flat allocation of a file. ``array`` is its memory, one-dimensional, once it has been read.

    ``built`` is for whoever turns records into tensors: the storage object that views share.
    """

    key: str
    dtype: DType
    numel: int
    array: np.ndarray | None = None
    location: str = "cpu"
    built: Any = None

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    def cpu(self) -> StorageRecord:
        """Itself: what ``map_location=lambda storage, loc: storage.cpu()`` asks for."""
        return self


@dataclass(eq=False, slots=True)
class StorageSlice:
    """Part of a storage, which files of PyTorch 0.3 and older can hold."""

    root: StorageRecord
    start: int
    numel: int


@dataclass(eq=False, slots=True)
class TensorRecord:
    """A view of a storage, in elements of ``dtype``."""

    storage: StorageRecord
    dtype: DType
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool = False
    is_parameter: bool = False
    state: dict[str, Any] = field(default_factory=dict)

    def numpy(self) -> np.ndarray:
        """The values as a strided view of the storage's memory."""
        assert self.storage.array is not None
        flat = self.storage.array.view(self.dtype.numpy)[self.offset:]
        step = self.dtype.itemsize
        return np.lib.stride_tricks.as_strided(flat, self.size, tuple(s * step for s in self.stride), writeable=False)


def whole(value: Any, what: str) -> int:
    """The value if it is an int of at least 0 that a tensor can have."""
    if type(value) is not int or not 0 <= value <= MAX_ELEMENTS:
        raise Fault(f"{what} must be an integer between 0 and 2**62")
    return value


def extents(values: Any, what: str) -> tuple[int, ...]:
    """The sizes or strides of a tensor as a plain tuple."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMS:
        raise Fault(f"{what} must be a tuple of at most {MAX_DIMS} integers, got {type(values).__name__}")
    return tuple([whole(v, f"an element of {what}") for v in values])


def checked_tensor(storage: Any, dtype: DType | None, offset: Any, size: Any, stride: Any,
                   requires_grad: Any = False) -> TensorRecord:
    """A TensorRecord whose every element lies inside its storage; Fault otherwise."""
    offset, size, stride = whole(offset, "the storage offset"), extents(size, "size"), extents(stride, "stride")
    storage = getattr(storage, "record", storage)
    if isinstance(storage, StorageSlice):
        end, offset, storage = storage.start + storage.numel, offset + storage.start, storage.root
    elif isinstance(storage, StorageRecord):
        dtype = dtype or storage.dtype
        end = storage.nbytes // dtype.itemsize
    else:
        raise Fault(f"a tensor needs a storage, got {type(storage).__name__}")
    dtype = dtype or storage.dtype
    if len(size) != len(stride):
        raise Fault(f"a tensor has {len(size)} sizes but {len(stride)} strides")
    if type(requires_grad) is not bool:
        raise Fault(f"requires_grad must be a bool, got {type(requires_grad).__name__}")
    if requires_grad and dtype.kind not in "fc":
        raise Fault(f"only Tensors of floating point and complex dtype can require gradients, got {dtype}")
    elements = 1
    for n in size:
        elements *= n
    if elements == 0:
        return TensorRecord(storage, dtype, min(offset, end), size, stride, requires_grad)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if elements > MAX_ELEMENTS or last >= end:
        raise Fault(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset} and itemsize "
                    f"{dtype.itemsize} reach element {last} of storage '{storage.key}', which has {end}")
    return TensorRecord(storage, dtype, offset, size, stride, requires_grad)


class RecordBuilder:
    """Leaves tensors as records: for looking into a checkpoint without making tensors."""

    tensor_types: dict[str, type] = {"torch.Tensor": TensorRecord, "torch.nn.parameter.Parameter": TensorRecord}

    def public(self, record: StorageRecord) -> Any:
        return record

    def tensor(self, record: TensorRecord) -> Any:
        return record

    def computed(self, record: TensorRecord, functions: Any) -> Any:
        """A record with memory of its own, for functions of another's values."""
        values = np.empty(record.size, record.dtype.numpy)
        steps = [s // record.dtype.itemsize for s in values.strides]
        storage = StorageRecord(record.storage.key, record.dtype, values.size, values.reshape(-1), record.storage.location)

        def fill() -> None:
            found = record.numpy()
            for function in functions:
                found = function(found)
            values[...] = found
        return replace(record, storage=storage, offset=0, stride=tuple(steps)), fill

    def sparse(self, layout: str, parts: list[Any], size: tuple[int, ...], coalesced: bool) -> Any:
        """A sparse tensor as its parts."""
        return {"layout": layout, "parts": parts, "size": size, "coalesced": coalesced}, lambda: None

    def distributed(self, local: Any, where: Any, placements: Any, shape: Any, requires_grad: bool,
                    is_param: bool) -> Any:
        return replace(local, requires_grad=requires_grad, is_parameter=is_param)  # the rank's piece

    def parameter(self, data: Any, requires_grad: bool) -> Any:
        if not isinstance(data, TensorRecord):
            raise Fault(f"a Parameter needs a tensor, got {type(data).__name__}")
        return replace(data, requires_grad=requires_grad, is_parameter=True)

    def attributes(self, tensor: Any, state: dict[str, Any]) -> None:
        tensor.state.update(state)

    def size(self, sizes: tuple[int, ...]) -> Any:
        return sizes

    def device(self, kind: str, index: int | None) -> Any:
        return kind if index is None else f"{kind}:{index}"

    def layout(self, name: str) -> Any:
        return name
