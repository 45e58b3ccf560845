"""Pickles objects as torch.save does: tensors as calls of torch._utils, storages as persistent ids."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from types import FunctionType
from typing import Any

from rushlight.ir.dtype import DType, uint8
from rushlight.nn.parameter import Parameter, is_lazy
from rushlight.serialization import bridge, sparse_tensors
from rushlight.serialization.names import place
from rushlight.serialization.records import QUANTIZED_NAMES, STORAGE_NAMES, StorageRecord
from rushlight.tensor.core import Tensor
from rushlight.tensor.device import device
from rushlight.tensor.formats import layout, memory_format, strided
from rushlight.tensor.functions.shape import Size
from rushlight.tensor.public_storage import UntypedStorage
from rushlight.tensor.storage import Storage

MIXED = "Cannot save multiple tensors or storages that view the same data as different types"


class Global:
    """A name that the pickle mentions without our having the object: pickled as GLOBAL, in PyTorch's words."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self) -> None:
        raise AssertionError("only its name is written")


class StorageRef:
    """Stands for a storage in the arguments of a tensor."""

    def __init__(self, record: StorageRecord, kind: Global, count: int):
        self.record, self.kind, self.count = record, kind, count


REBUILD_V2 = Global("torch._utils", "_rebuild_tensor_v2")
REBUILD_V3 = Global("torch._utils", "_rebuild_tensor_v3")
REBUILD_SPARSE = Global("torch._utils", "_rebuild_sparse_tensor")
GET_LAYOUT = Global("torch.serialization", "_get_layout")
REBUILD_QUANTIZED = Global("torch._utils", "_rebuild_qtensor")
REBUILD_PARAMETER = Global("torch._utils", "_rebuild_parameter")
REBUILD_PARAMETER_STATE = Global("torch._utils", "_rebuild_parameter_with_state")
REBUILD_TYPE = Global("torch._tensor", "_rebuild_from_type_v2")
UNTYPED = Global("torch.storage", "UntypedStorage")
STORAGE_TYPES = {d: Global("torch", name) for d, name in STORAGE_NAMES.items()}
TYPES = {Tensor: Global("torch", "Tensor"), Parameter: Global("torch.nn.parameter", "Parameter"),
         Size: Global("torch", "Size"), device: Global("torch", "device")}


class Writer:
    """What one `save` collects: the storages that its pickle names, in order."""

    def __init__(self, key_of: Callable[[int, Storage], str]):
        self.key_of = key_of
        self.storages: dict[int, tuple[StorageRecord, Storage]] = {}
        self.dtypes: dict[DType, Global] = {}

    def storage(self, tensor: Tensor) -> StorageRef:
        """The reference to a tensor's storage, which is written once however many tensors view it."""
        return self.memory(tensor._storage, tensor.dtype)

    def memory(self, storage: Storage, dtype: DType) -> StorageRef:
        """The reference to a storage as elements of a type."""
        found = self.storages.get(id(storage))
        if found is None:
            count = storage.size * storage.dtype.itemsize // dtype.itemsize
            record = StorageRecord(self.key_of(len(self.storages), storage), dtype, count)
            self.storages[id(storage)] = found = record, storage
        record = found[0]
        if record.dtype is not dtype:
            raise RuntimeError(MIXED)
        kind = STORAGE_TYPES.get(dtype)
        return StorageRef(record, kind or UNTYPED, record.numel if kind else record.nbytes)

    def tensor(self, tensor: Tensor) -> tuple[Any, ...]:
        """The call that rebuilds a tensor."""
        ref = self.storage(tensor)
        record = bridge.describe(tensor, ref.record)
        hooks: OrderedDict[int, Any] = OrderedDict()  # none, as in PyTorch's files
        args = (ref, record.offset, record.size, record.stride, record.requires_grad, hooks)
        return (REBUILD_V3, (*args, self.dtype(record.dtype))) if ref.kind is UNTYPED else (REBUILD_V2, args)

    def quantized(self, tensor: Any) -> tuple[Any, ...]:
        """The call that rebuilds a quantized tensor: its integers and what they stand for."""
        ints, m = tensor._ints, tensor._meaning
        ref = self.storage(ints)
        record = bridge.describe(ints, ref.record)
        ref = StorageRef(ref.record, Global("torch", QUANTIZED_NAMES[ints.dtype]), ref.count)
        meaning = (Global("torch", m.scheme.name), m.scale, m.zero, *(() if m.axis is None else (m.axis,)))
        return REBUILD_QUANTIZED, (ref, record.offset, record.size, record.stride, meaning, False, OrderedDict())

    def dtype(self, dtype: DType) -> Global:
        return self.dtypes.setdefault(dtype, Global("torch", dtype.name))

    def reduce(self, obj: Any) -> Any:
        """How an object of ours is pickled; NotImplemented for everything else."""
        kind = type(obj)
        if isinstance(obj, Tensor):
            if obj.is_quantized:
                return self.quantized(obj)
            if obj.layout is not strided:
                return REBUILD_SPARSE, (obj.layout, sparse_tensors.components(obj))
            return obj.__reduce_ex__(2) if is_lazy(obj) or is_wrapper(kind) else self.reduce_tensor(obj, kind)
        if kind is Size:
            return TYPES[Size], (tuple(obj),)
        if kind is device:
            return TYPES[device], (obj.type,) if obj.index is None else (obj.type, obj.index)
        if kind is layout:
            return GET_LAYOUT, (str(obj),)
        return NotImplemented

    def reduce_tensor(self, obj: Tensor, kind: type) -> tuple[Any, ...]:
        state = bridge.own_attributes(obj)
        if kind is Parameter:
            hooks: OrderedDict[int, Any] = OrderedDict()
            args: tuple[Any, ...] = (obj.detach(), bool(obj.requires_grad), hooks)
            return (REBUILD_PARAMETER_STATE, (*args, state)) if state else (REBUILD_PARAMETER, args)
        function, args = self.tensor(obj)
        if kind is Tensor and not state:
            return function, args
        return REBUILD_TYPE, (function, kind, args, state)


def pickler_class(pickle_module: Any, writer: Writer, persistent_id: Callable[[StorageRef], tuple[Any, ...]]) -> type:
    """A Pickler that writes PyTorch's names.

    It is the Python one of the pickle module: the C one insists on importing every name that it writes.
    """
    base: Any = pickle._Pickler if pickle_module is pickle else pickle_module.Pickler
    if not issubclass(base, pickle._Pickler):
        name = getattr(pickle_module, "__name__", pickle_module)
        raise NotImplementedError(f"save(pickle_module={name}): its Pickler must "
                                  "be a subclass of Python's own pickle._Pickler, as dill's is")

    class CheckpointPickler(base):  # type: ignore[misc]
        dispatch: dict[type, Callable[..., None]] = copy(base.dispatch)

        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, UntypedStorage):
                obj = writer.memory(obj._storage, getattr(obj, "dtype", uint8))
            return persistent_id(obj) if type(obj) is StorageRef else None

        def reducer_override(self, obj: Any) -> Any:
            return writer.reduce(obj)

        def write_global(self, obj: Global) -> None:
            write_name(self, obj, obj.module, obj.name)

        def write_dtype(self, obj: DType) -> None:
            self.save(writer.dtype(obj))

        def write_format(self, obj: memory_format) -> None:
            self.save(Global("torch", obj.name))

        def save_global(self, obj: Any, name: str | None = None) -> None:
            known = TYPES.get(obj) if isinstance(obj, type) else None
            if known is not None:
                self.save(known)
            elif is_ours(obj):
                write_name(self, obj, *place(obj))
            else:
                base.save_global(self, obj, name)

        def save_type(self, obj: Any) -> None:
            if obj in TYPES or is_ours(obj):
                self.save_global(obj)
            else:
                base.dispatch[type](self, obj)

        def save_function(self, obj: Any) -> None:
            if is_ours(obj):
                self.save_global(obj)
            else:
                base.dispatch[FunctionType](self, obj)

        dispatch[Global] = write_global
        dispatch[DType] = write_dtype
        dispatch[memory_format] = write_format
        dispatch[type] = save_type
        dispatch[FunctionType] = save_function

    return CheckpointPickler


def is_wrapper(kind: type) -> bool:
    """Whether a class of tensors says itself of what it is made (a DTensor: of a piece and where it lies)."""
    return kind not in (Tensor, Parameter) and "__reduce_ex__" in vars(kind)


def write_name(pickler: Any, obj: Any, module: str, name: str) -> None:
    """GLOBAL, or STACK_GLOBAL from protocol 4 on."""
    if pickler.proto >= 4:
        pickler.save(module)
        pickler.save(name)
        pickler.write(pickle.STACK_GLOBAL)
    elif "." in name:
        raise pickle.PicklingError(f"Can't pickle {module}.{name}: protocol {pickler.proto} has no nested names; "
                                   "use pickle_protocol=4")
    else:
        pickler.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
    pickler.memoize(obj)


def is_ours(obj: Any) -> bool:
    """Whether this is a class or function of rushlight that can be found again by its name."""
    module = getattr(obj, "__module__", None)
    return isinstance(obj, (type, FunctionType)) and isinstance(module, str) and module.startswith("rushlight.") \
        and "<" not in obj.__qualname__
