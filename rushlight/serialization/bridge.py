"""Between the plain records of files and rushlight's tensors. The only file here that knows both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rushlight.ir.dtype import QUANTIZED, DType, int32, int64
from rushlight.ir.spec import contiguous_strides
from rushlight.nn.parameter import Parameter
from rushlight.serialization import sparse_tensors
from rushlight.serialization.errors import Fault
from rushlight.serialization.records import StorageRecord, TensorRecord
from rushlight.tensor.core import Tensor, flat_memory, from_storage, unwrap
from rushlight.tensor.device import device
from rushlight.tensor.functions.shape import Size
from rushlight.tensor.public_storage import TypedStorage
from rushlight.tensor.storage import Storage, fresh

Function = Callable[[np.ndarray], np.ndarray]
Then = Callable[[], None]


class LoadedStorage(TypedStorage):
    """A storage of a file, which tensors may share."""

    def __init__(self, record: StorageRecord, builder: TensorBuilder):
        self.record, self.builder, self.dtype = record, builder, record.dtype

    @property
    def _storage(self) -> Storage:  # type: ignore[override]
        return self.builder.storage(self.record, self.dtype)


class TensorBuilder:
    """Makes tensors of records. Views of one storage record share one storage."""

    tensor_types: dict[str, type] = {"torch.Tensor": Tensor, "torch.nn.parameter.Parameter": Parameter}

    def public(self, record: StorageRecord) -> LoadedStorage:
        return LoadedStorage(record, self)

    def tensor(self, record: TensorRecord) -> Tensor:
        made = from_storage(self.storage(record.storage, record.dtype), record.dtype,
                            record.size, record.stride, record.offset)
        return made.requires_grad_() if record.requires_grad else made

    def storage(self, record: StorageRecord, dtype: DType) -> Storage:
        """The storage of a record. Untyped bytes take the type of the first tensor on them."""
        if record.built is None:
            assert record.array is not None
            array = record.array
            if array.nbytes % dtype.itemsize == 0 and array.dtype != dtype.numpy:
                array = array.view(dtype.numpy)
            record.built = fresh(array, dtype)
        built: Storage = record.built
        return built

    def computed(self, record: TensorRecord, functions: list[Function]) -> tuple[Tensor, Then]:
        """(a tensor with memory of its own, what writes functions of the record's values into it)."""
        made, fill = filled_by(self.tensor(replace(record, requires_grad=False)), record.dtype, functions)
        return made.requires_grad_() if record.requires_grad else made, fill

    def sparse(self, layout: str, parts: list[Tensor], size: tuple[int, ...], coalesced: bool) -> tuple[Any, Then]:
        """(a sparse tensor, what checks it when the memory of its parts is there)."""
        fills: list[Then] = []
        for i, part in enumerate(parts[:-1]):
            if part.dtype is int32:  # PyTorch's compressed layouts may have them; ours are int64
                parts[i], fill = filled_by(part, int64, [])
                fills.append(fill)
            elif part.dtype is not int64:
                raise Fault(f"the indices of a sparse tensor are int64 or int32, got {part.dtype}")

        def check() -> None:
            for fill in fills:
                fill()
            sparse_tensors.check(layout, parts, size)
        return sparse_tensors.built(layout, parts, size, coalesced), check

    def quantized(self, ints: Any, scale: Any, zero: Any, axis: int | None, scheme: Any) -> Any:
        from rushlight.ao import tensors
        dtype = next((d for d in QUANTIZED if d.numpy == ints.dtype.numpy), None)
        if dtype is None:
            raise Fault(f"quantized tensors hold integers of 8 or 32 bits, not {ints.dtype}")
        return tensors.make(ints, tensors.Meaning(dtype, scale, zero, axis, scheme))

    def distributed(self, local: Any, where: Any, placements: Any, shape: Any, requires_grad: bool,
                    is_param: bool) -> Any:
        from rushlight.distributed.tensor.saving import rebuild
        if requires_grad and local.dtype.kind not in "fc":
            raise Fault("Only Tensors of floating point and complex dtype can require gradients")
        return rebuild(local, where, placements, shape, requires_grad, is_param, {})

    def parameter(self, data: Any, requires_grad: bool) -> Parameter:
        if requires_grad and data.dtype.kind not in "fc":
            raise Fault("Only Tensors of floating point and complex dtype can require gradients")
        made: Parameter = Parameter(data, requires_grad)
        return made

    def attributes(self, tensor: Any, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(tensor, name, value)

    def size(self, sizes: tuple[int, ...]) -> Size:
        return Size(sizes)

    def device(self, kind: str, index: int | None) -> Any:
        try:
            return device(kind, index)
        except RuntimeError as e:
            raise Fault(str(e)) from None

    def layout(self, name: str) -> Any:
        import rushlight
        return getattr(rushlight, name.removeprefix("torch."))


def filled_by(source: Tensor, dtype: DType, functions: list[Function]) -> tuple[Tensor, Then]:
    """(a tensor of a source's shape, what writes into it the functions of the source's values)."""
    memory, shape = np.empty(source._spec.numel, dtype.numpy), source._spec.shape

    def fill() -> None:
        values: Any = unwrap(source)
        for function in functions:
            values = function(values)
        memory.reshape(shape)[...] = values
    return from_storage(fresh(memory, dtype), dtype, shape, contiguous_strides(shape), 0), fill


def describe(tensor: Tensor, storage: StorageRecord) -> TensorRecord:
    """The record of a tensor whose storage has this record."""
    s = tensor._spec
    return TensorRecord(storage, s.dtype, s.offset, s.shape, s.strides, bool(tensor.requires_grad),
                        isinstance(tensor, Parameter))


def memory(storage: Storage) -> np.ndarray:
    """The realized memory of a storage, one-dimensional and contiguous."""
    return np.ascontiguousarray(flat_memory(storage))


def own_attributes(tensor: Tensor) -> dict[str, Any]:
    """What the program itself has put on a tensor as attributes, and the mark of a buffer."""
    return {name: value for name, value in vars(tensor).items()
            if name == "_is_buffer" or not name.startswith("_") and not hasattr(type(tensor), name)}
