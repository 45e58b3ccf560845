"""What the pickle machine can reach while it loads one file."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.serialization import numpy_objects
from rushlight.serialization.allowed import BLOCKED_MODULES, allowed_by_name
from rushlight.serialization.budget import Budget
from rushlight.serialization.errors import Fault
from rushlight.serialization.keys import KeyGuard
from rushlight.serialization.machine import PAIR
from rushlight.serialization.names import python3_name
from rushlight.serialization.records import StorageRecord, TensorRecord
from rushlight.serialization.tables import ENTRIES, TABLE, Named, new_parameter

PATHS_OF_TENSOR_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.Parameter")
ITEM_TYPES = (OrderedDict, Counter, defaultdict)
MARKS = ("_is_buffer", "_is_param")  # PyTorch's own attributes of tensors that are buffers and parameters
LAZY: dict[str, Callable[[Any], Any]] = {"conj": np.conj, "neg": np.negative}


class TableWorld:
    """Names come from the fixed table and from what the user allowed; nothing is imported.

    ``storages`` answers persistent ids, ``builder`` turns TensorRecords into what the caller wants.
    """

    def __init__(self, builder: Any, storages: Any, budget: Budget):
        self.builder = builder
        self.storages = storages
        self.budget = budget
        self.keys = KeyGuard()
        self.owners: dict[int, tuple[Any, StorageRecord]] = {}  # id of every tensor made -> it and its storage
        self.user = allowed_by_name()
        self.user_ids = {id(v) for v in self.user.values()}
        self.user_types = {v for v in self.user.values() if isinstance(v, type)}
        self.keys.allowed_types = self.user_types
        types = builder.tensor_types
        self.types = {"torch.nn.Parameter": types["torch.nn.parameter.Parameter"], **types}
        self.parameter_type = types["torch.nn.parameter.Parameter"]

    # --- names ---
    def find(self, module: str, name: str) -> Any:
        module, name = python3_name(module, name)
        path = f"{module}.{name}"
        if module in BLOCKED_MODULES:
            raise Fault(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
        entry = TABLE.get(path)
        if entry is not None:
            return entry.value
        if path in self.types:
            return self.types[path]
        if path in self.user:
            return self.user[path]
        path = path.removeprefix("builtins.")
        raise Fault(
            f"Unsupported global: GLOBAL {path} was not an allowed global by default. "
            f"Please use `torch.serialization.add_safe_globals([{path}])` or the "
            f"`torch.serialization.safe_globals([{path}])` context manager to allowlist this global "
            "if you trust this class/function.")

    # --- objects ---
    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        entry = ENTRIES.get(id(function))
        if entry is not None and entry.call is not None:
            return entry.call(self, *args)
        if id(function) in self.user_ids:
            return function(*args)
        raise Fault(f"Trying to call reduce for unrecognized function {title(function)}")

    def new(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if cls is self.parameter_type:
            return new_parameter(self, *args, **kwargs)
        entry = ENTRIES.get(id(cls))
        if entry is not None and entry.new is not None:
            return entry.new(self, *args, **kwargs)
        if isinstance(cls, type) and id(cls) in self.user_ids:
            return cls.__new__(cls, *args, **kwargs)
        raise Fault("Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` "
                    f"but got {title(cls)}")

    def build(self, instance: Any, state: Any) -> None:
        kind = type(instance)
        if kind is OrderedDict:
            self.build_ordered_dict(instance, state)
        elif isinstance(instance, np.dtype):
            numpy_objects.build_dtype(instance, state)
        elif kind is np.ndarray:
            numpy_objects.build_array(self, instance, state)
        elif kind in self.user_types:
            build_user_object(instance, state)
        else:
            raise Fault("Can only build Tensor, Parameter, "
                        f"OrderedDict or types allowlisted via `add_safe_globals`, but got {kind}")

    def build_ordered_dict(self, instance: OrderedDict[Any, Any], state: Any) -> None:
        """The attribute that state_dict() keeps beside its items."""
        if type(state) is not dict or any(type(k) is not str or hasattr(OrderedDict, k) for k in state):
            raise Fault("the attributes of an OrderedDict must be a dict of new names")
        self.budget.spend(PAIR * len(state))
        instance.__dict__.update(state)

    def persistent(self, identity: Any) -> Any:
        if type(identity) is not tuple or not identity:
            raise Fault(f"persistent_load id must be tuple or int, but got {type(identity)}")
        if decoded(identity[0]) != "storage":
            raise Fault(f"Only persistent_load of storage is allowed, but got {title(identity[0])}")
        return self.given(identity)

    def given(self, identity: Any) -> Any:
        """What stands for a storage: tensors are built on it, and a program that saved a storage gets it as one."""
        found = self.storages(identity)
        return self.builder.public(found) if isinstance(found, StorageRecord) else found

    def append_target(self, target: Any) -> Callable[[list[Any]], None] | None:
        return target.extend if type(target) in self.user_types and isinstance(target, list) else None

    def item_target(self, target: Any) -> Callable[[Any, Any], None] | None:
        kind = type(target)
        return target.__setitem__ if kind in ITEM_TYPES or kind in self.user_types else None

    # --- tensors ---
    def tensor(self, record: TensorRecord) -> Any:
        return self.own(self.builder.tensor(record), record.storage)

    def computed(self, record: TensorRecord, bits: tuple[str, ...]) -> Any:
        """A tensor whose values are the conjugate or the negative of its memory: it gets memory of its own."""
        made, fill = self.builder.computed(record, [LAZY[bit] for bit in bits])
        self.storages.when_filled(fill)
        return self.own(made, record.storage)

    def sparse(self, layout: str, parts: list[Any], size: tuple[int, ...], coalesced: bool) -> Any:
        """A sparse tensor, whose components are checked as soon as their memory is there."""
        made, check = self.builder.sparse(layout, parts, size, coalesced)
        self.storages.when_filled(check)
        return self.own(made, self.owners[id(parts[-1])][1])

    def own(self, tensor: Any, storage: StorageRecord) -> Any:
        self.owners[id(tensor)] = tensor, storage
        return tensor

    def is_own(self, value: Any) -> bool:
        """Whether a value is a tensor that this file made."""
        return id(value) in self.owners

    def own_as(self, tensor: Any, made: Any) -> Any:
        """Another tensor on the storage of one."""
        return self.own(made, self.owners[id(tensor)][1])

    def parameter(self, data: Any, requires_grad: bool) -> Any:
        owner = self.owners.get(id(data))
        if owner is None:
            raise Fault(f"a Parameter needs a tensor, got {title(data)}")
        return self.own(self.builder.parameter(data, requires_grad), owner[1])

    def is_tensor_type(self, kind: Any) -> bool:
        return isinstance(kind, type) and (kind in self.types.values() or id(kind) in self.user_ids)

    def as_type(self, tensor: Any, kind: type) -> Any:
        if type(tensor) is kind:
            return tensor
        if kind is self.parameter_type:
            return self.parameter(tensor, tensor.requires_grad)
        return self.own(tensor.as_subclass(kind), self.owners[id(tensor)][1])

    def tensor_state(self, tensor: Any, state: Any) -> None:
        """Attributes that the program had put on a tensor; never one that tensors have themselves."""
        if type(state) is tuple and len(state) == 2 and state[1] in (None, {}):
            state = state[0]
        if state is None:
            return
        if type(state) is not dict or len(state) > 1000:
            raise Fault("the attributes of a tensor must be a dict")
        for name in state:
            if name in MARKS and type(state[name]) is bool:
                continue
            if type(name) is not str or name.startswith("_") or hasattr(type(tensor), name):
                raise Fault(f"attribute {name!r:.60} cannot be set on a tensor")
        self.builder.attributes(tensor, state)


def build_user_object(instance: Any, state: Any) -> None:
    """What pickle does with the state of an object whose class the user trusts."""
    setstate = getattr(instance, "__setstate__", None)
    if setstate is not None:
        setstate(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        instance.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(instance, name, value)


def decoded(text: Any) -> Any:
    """Python 2 wrote these as byte strings."""
    return text.decode("ascii") if type(text) is bytes else text


def title(value: Any) -> str:
    """A short name of an object of the file, without calling its own code."""
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value) is Named:
        return value.name
    if type(value) is str:
        return repr(value[:60])
    return f"an object of {type(value)}"


def full_names(names: set[tuple[str, str]]) -> set[str]:
    return {".".join(python3_name(*n)) for n in names}


def is_known(path: str) -> bool:
    """Whether a file may name this by default or by the user's leave."""
    return path in TABLE or path in PATHS_OF_TENSOR_TYPES or path in allowed_by_name()
