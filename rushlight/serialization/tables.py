"""The fixed table of what a file may name: inert constructors, each of which checks its arguments."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rushlight.ao import schemes
from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.serialization import numpy_objects, sparse_tensors
from rushlight.serialization.errors import Fault
from rushlight.serialization.machine import DICT, MEMBER, PAIR, SET, SLOT
from rushlight.serialization.records import QUANTIZED_DTYPES, STORAGE_DTYPES, checked_tensor, extents

LAYOUTS = tuple([f"torch.{name}" for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")])
TENSOR_COST, DIM_COST = 900, 40  # bytes of Python objects for one tensor, and for each of its dimensions


@dataclass(eq=False, slots=True)
class Named:
    """What a name of the table puts on the stack when it stands for nothing of Python's: a storage type, a function."""

    name: str
    dtype: DType | None = None

    def __repr__(self) -> str:
        return f"<{self.name} of a checkpoint>"


@dataclass(eq=False, slots=True)
class Entry:
    """``value`` goes on the stack; ``call`` is what REDUCE does with it, ``new`` what NEWOBJ does."""

    value: Any
    call: Callable[..., Any] | None = None
    new: Callable[..., Any] | None = None


def of_type(value: Any, kind: type, what: str) -> Any:
    """The value if it has exactly this type; Fault otherwise."""
    if type(value) is not kind:
        raise Fault(f"{what} must be {kind.__name__}, got {type(value).__name__}")
    return value


# --- tensors ------------------------------------------------------------------------------------------------------
def rebuild_tensor(w: Any, storage: Any, offset: Any, size: Any, stride: Any) -> Any:
    return rebuild_tensor_v3(w, storage, offset, size, stride, False, None, None)


def rebuild_tensor_v2(w: Any, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any,
                      metadata: Any = None) -> Any:
    return rebuild_tensor_v3(w, storage, offset, size, stride, requires_grad, hooks, None, metadata)


def rebuild_tensor_v3(w: Any, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any,
                      dtype: Any, metadata: Any = None) -> Any:
    bits = lazy_bits(metadata)
    if dtype is not None:  # as in the two calls before this one: the storage's
        of_type(dtype, DType, "dtype")
    record = checked_tensor(storage, dtype, offset, size, stride, requires_grad)
    w.budget.spend(TENSOR_COST + DIM_COST * len(record.size))
    return w.computed(record, bits) if bits else w.tensor(record)


def rebuild_qtensor(w: Any, storage: Any, offset: Any, size: Any, stride: Any, meaning: Any,
                    requires_grad: Any, hooks: Any) -> Any:
    """A quantized tensor: integers, then (scheme, scale, zero point) or (scheme, scales, zero points, axis)."""
    ints = rebuild_tensor(w, storage, offset, size, stride)
    scheme, *numbers = of_type(meaning, tuple, "the scheme of a quantized tensor") or (None,)
    if scheme is schemes.per_tensor_affine and len(numbers) == 2:
        scale, zero, axis = float(of_type(numbers[0], float, "a scale")), of_type(numbers[1], int, "a zero point"), None
    elif scheme in (schemes.per_channel_affine, schemes.per_channel_affine_float_qparams) and len(numbers) == 3:
        scale, zero, axis = numbers
        if not (w.is_own(scale) and w.is_own(zero) and type(axis) is int and 0 <= axis < len(size)
                and tuple(scale.shape) == tuple(zero.shape) == (size[axis],)):
            raise Fault("a tensor quantized per channel needs a scale and a zero point for each channel")
    else:
        raise Fault("a quantized tensor is of torch.per_tensor_affine or torch.per_channel_affine")
    return w.own_as(ints, w.builder.quantized(ints, scale, zero, axis, scheme))


def rebuild_distributed(w: Any, local: Any, where: Any, placements: Any, shape: Any,
                        requires_grad: Any, is_param: Any, own: Any) -> Any:
    """A rank's piece of a DTensor: `rushlight.distributed.tensor.saving` has the form of the rest."""
    if not w.is_own(local):
        raise Fault("a DTensor is made of a tensor of the file")
    for value, kind in ((where, tuple), (placements, tuple), (shape, tuple), (requires_grad, bool), (is_param, bool)):
        of_type(value, kind, "what describes a DTensor")
    w.budget.spend(TENSOR_COST)
    made = w.own_as(local, w.builder.distributed(local, where, placements, shape, requires_grad, is_param))
    w.tensor_state(made, own)
    return made


def lazy_bits(metadata: Any) -> tuple[str, ...]:
    """Which of "conj" and "neg" are set: PyTorch can save a tensor as the conjugate, or the negative, of its memory."""
    if metadata is None:
        return ()
    if type(metadata) is not dict or any(name not in ("conj", "neg") for name in metadata):
        raise Fault("what is known of a tensor beside its memory are its bits conj and neg")
    return tuple([name for name, on in metadata.items() if of_type(on, bool, f"the bit {name}")])


def rebuild_sparse(w: Any, layout: Any, data: Any) -> Any:
    """A sparse tensor of its layout and its components."""
    parts, size, coalesced = sparse_tensors.parted(str(layout), of_type(data, tuple, "the components of a sparse tensor"))
    if not all([w.is_own(part) for part in parts]):
        raise Fault("a sparse tensor is made of tensors of the file")
    w.budget.spend(TENSOR_COST)
    return w.sparse(str(layout), parts, extents(size, "the size of a sparse tensor"), coalesced)


def rebuild_parameter(w: Any, data: Any, requires_grad: Any, hooks: Any) -> Any:
    w.budget.spend(TENSOR_COST)
    return w.parameter(data, of_type(requires_grad, bool, "requires_grad"))


def rebuild_parameter_with_state(w: Any, data: Any, requires_grad: Any, hooks: Any, state: Any) -> Any:
    parameter = rebuild_parameter(w, data, requires_grad, hooks)
    w.tensor_state(parameter, state)
    return parameter


def new_parameter(w: Any, data: Any, requires_grad: Any = True) -> Any:
    return rebuild_parameter(w, data, requires_grad, None)


def rebuild_from_type_v2(w: Any, function: Any, kind: Any, args: Any, state: Any) -> Any:
    if type(function) is not Named or "._rebuild_" not in function.name or function.name == FROM_TYPE:
        raise Fault("only a tensor can be rebuilt with a type")
    tensor = w.call(function, of_type(args, tuple, "the arguments of a tensor"))
    if not w.is_tensor_type(kind):
        raise Fault(f"a tensor cannot be rebuilt as {kind!r:.200}")
    tensor = w.as_type(tensor, kind)
    w.tensor_state(tensor, state)
    return tensor


def absent(what: str) -> Callable[..., Any]:
    """A call that names what rushlight has not."""
    def refuse(w: Any, *args: Any) -> Any:
        raise Fault(f"the file holds {what}, which rushlight does not have")
    return refuse


def make_size(w: Any, sizes: Any = ()) -> Any:
    if not isinstance(sizes, (tuple, list)) or any(type(n) is not int for n in sizes):
        raise Fault("torch.Size needs a tuple of integers")
    w.budget.spend(120 + SLOT * len(sizes))
    return w.builder.size(tuple(sizes))


def make_device(w: Any, kind: Any, index: Any = None) -> Any:
    if type(kind) is not str or len(kind) > 32 or (index is not None and type(index) is not int):
        raise Fault("torch.device needs a short string and an index")
    return w.builder.device(kind, index)


def get_layout(w: Any, name: Any) -> Any:
    if name not in LAYOUTS:
        raise Fault(f"layout {name!r:.40} is not one that rushlight has ({', '.join(LAYOUTS)})")
    return w.builder.layout(name)


# --- Python's own -------------------------------------------------------------------------------------------------
def encode(w: Any, text: Any, encoding: Any) -> bytes:
    if encoding != "latin1":
        raise Fault("bytes are written as latin1 text only")
    words: str = of_type(text, str, "the text of bytes")
    w.budget.spend(len(words) + 64)
    return words.encode("latin1")


def make_bytes(w: Any) -> bytes:
    return b""


def make_bytearray(w: Any, data: Any = b"", encoding: Any = None) -> bytearray:
    if type(data) is str:
        data = encode(w, data, "latin1" if encoding == "latin-1" else encoding)
    w.budget.spend(len(of_type(data, bytes, "the content of a bytearray")) + 64)
    return bytearray(data)


def make_set(w: Any, items: Any = ()) -> set[Any]:
    return set(_members(w, items))


def make_frozenset(w: Any, items: Any = ()) -> frozenset[Any]:
    return frozenset(_members(w, items))


def _members(w: Any, items: Any) -> Any:
    if type(items) not in (list, tuple):
        raise Fault(f"a set is made of a list, got {type(items).__name__}")
    w.budget.spend(SET + MEMBER * len(items))
    for item in items:
        w.keys.check(item)
    return items


def make_complex(w: Any, real: Any, imag: Any) -> complex:
    return complex(of_type(real, float, "a real part"), of_type(imag, float, "an imaginary part"))


def make_ordered_dict(w: Any, items: Any = ()) -> OrderedDict[Any, Any]:
    w.budget.spend(250)
    result: OrderedDict[Any, Any] = OrderedDict()
    if type(items) not in (list, tuple):
        raise Fault(f"an OrderedDict is made of a list of pairs, got {type(items).__name__}")
    w.budget.spend(2 * PAIR * len(items))
    for pair in items:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Fault("an OrderedDict is made of pairs")
        w.keys.check(pair[0])
        result[pair[0]] = pair[1]
    return result


def make_counter(w: Any, counts: Any = None) -> Counter[Any]:
    counts = {} if counts is None else of_type(counts, dict, "the content of a Counter")
    w.budget.spend(DICT + PAIR * len(counts))
    if any(type(n) is not int for n in counts.values()):
        raise Fault("the counts of a Counter must be integers")
    return Counter(counts)


FACTORIES: tuple[Any, ...] = (None, list, dict, set, tuple, int, float, str, bool, OrderedDict, Counter)


def make_defaultdict(w: Any, factory: Any = None) -> defaultdict[Any, Any]:
    if not any(factory is f for f in FACTORIES):
        raise Fault("the factory of a defaultdict must be list, dict, set, tuple, int, float, str, bool or None")
    w.budget.spend(200)
    return defaultdict(factory)


# --- the table ----------------------------------------------------------------------------------------------------
FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
DISTRIBUTED = "rushlight.distributed.tensor.saving.rebuild"

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter_with_state,
    FROM_TYPE: rebuild_from_type_v2,
    "torch._utils._rebuild_sparse_tensor": rebuild_sparse,
    "torch._utils._rebuild_qtensor": rebuild_qtensor,
    "torch._utils._rebuild_nested_tensor": absent("a nested tensor"),
    "torch._utils._rebuild_wrapper_subclass": absent("a tensor of a wrapper class"),
    "torch._utils._rebuild_meta_tensor_no_storage": absent("a tensor of the meta device"),
    "torch._utils._rebuild_device_tensor_from_numpy": absent("a tensor of another device"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": absent("a tensor of another device"),
    DISTRIBUTED: rebuild_distributed,
    "torch.serialization._get_layout": get_layout,
    "torch.Size": make_size,
    "torch.device": make_device,
    "_codecs.encode": encode,
}

CLASSES: dict[str, Entry] = {
    "collections.OrderedDict": Entry(OrderedDict, make_ordered_dict, make_ordered_dict),
    "collections.Counter": Entry(Counter, make_counter, make_counter),
    "collections.defaultdict": Entry(defaultdict, make_defaultdict, make_defaultdict),
    "builtins.set": Entry(set, make_set),
    "builtins.frozenset": Entry(frozenset, make_frozenset),
    "builtins.complex": Entry(complex, make_complex),
    "builtins.bytearray": Entry(bytearray, make_bytearray),
    "builtins.bytes": Entry(bytes, make_bytes),
    # Only as values, for example as the factory of a defaultdict.
    **{f"builtins.{t.__name__}": Entry(t) for t in (list, dict, tuple, int, float, str, bool)},
}


def _table() -> dict[str, Entry]:
    table = {name: Entry(Named(name), call) for name, call in FUNCTIONS.items()}
    table.update(CLASSES)
    for module in ("torch", "torch.cuda"):
        for storage, d in (*STORAGE_DTYPES.items(), *QUANTIZED_DTYPES.items()):
            table[f"{module}.{storage}"] = Entry(Named(f"{module}.{storage}", d))
    table["torch.storage.UntypedStorage"] = table["torch.UntypedStorage"] = Entry(
        Named("torch.storage.UntypedStorage", dtypes.uint8))
    table.update({f"torch.{name}": Entry(scheme) for name, scheme in schemes.ALL.items()})
    for d in (*dtypes.ALL, *dtypes.QUANTIZED):
        table[f"torch.{d.name}"] = Entry(d)
    table.update({name: Entry(*row) for name, row in numpy_objects.TABLE.items()})
    return table


TABLE: dict[str, Entry] = _table()
ENTRIES: dict[int, Entry] = {id(e.value): e for e in TABLE.values()}  # by what is on the stack; the values live as long
