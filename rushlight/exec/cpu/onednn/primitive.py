"""A primitive, what it computes besides its name (attributes), and its binding to memory for the native driver."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rushlight.exec.cpu.onednn import names
from rushlight.exec.cpu.onednn.library import Unsupported, library
from rushlight.exec.cpu.onednn.memory import Desc, dims
from rushlight.ir import dtype as dt

CACHE = 1024  # primitives that oneDNN keeps, its default


@dataclass(frozen=True)
class Eltwise:
    """A function of ``names.ELTWISE`` applied to the result."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Sum:
    """The result is added to ``scale`` times what the memory of ``dst`` held."""

    scale: float = 1.0


@dataclass(frozen=True)
class Binary:
    """An operation of ``names.BINARY`` between the result and another array (slot ``post<index>``), which may broadcast."""

    name: str
    other: Desc


Post = Eltwise | Sum | Binary


@dataclass(frozen=True)
class Attributes:
    """What a primitive does besides its own operation.

    ``post`` operations follow it. ``scales`` and ``zero_points`` (int8) give, per slot, the bit mask of dimensions that have
    own factors and how many factors there are; they become slots ``scale:<slot>`` (float32) and ``zero:<slot>`` (int32).
    ``math`` is the least precision that float32 arithmetic may use. ``skip`` passes over so many implementations.
    """

    post: Sequence[Post] = ()
    scales: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    zero_points: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    math: str = "strict"
    skip: int = 0

    @contextmanager
    def handle(self) -> Iterator[int]:
        """The dnnl_primitive_attr, for the length of a block."""
        lib = library()
        made = lib.make("primitive_attr_create")
        try:
            lib.call("primitive_attr_set_scratchpad_mode", made, names.USER_SCRATCHPAD)
            if self.math != "strict":
                lib.call("primitive_attr_set_fpmath_mode", made, names.MATH[self.math])
            for slot, (mask, _) in self.scales.items():
                lib.call("primitive_attr_set_scales_mask", made, names.ARGS[slot], mask)
            for slot, (mask, _) in self.zero_points.items():
                lib.call("primitive_attr_set_zero_points_mask", made, names.ARGS[slot], mask)
            if self.post:
                self._append(made)
            yield made
        finally:
            lib.call("primitive_attr_destroy", made)

    def _append(self, attr: int) -> None:
        lib = library()
        ops = lib.make("post_ops_create")
        try:
            for op in self.post:
                if isinstance(op, Eltwise):
                    lib.call("post_ops_append_eltwise", ops, names.ELTWISE[op.name], op.alpha, op.beta)
                elif isinstance(op, Sum):
                    lib.call("post_ops_append_sum", ops, op.scale, 0, 0)
                else:
                    lib.call("post_ops_append_binary", ops, names.BINARY[op.name], op.other.handle)
            lib.call("primitive_attr_set_post_ops", attr, ops)
        finally:
            lib.call("post_ops_destroy", ops)

    def slots(self) -> dict[str, tuple[int, Desc | None]]:
        """The arguments that these attributes add: number, and descriptor where the primitive cannot be asked for it."""
        added: dict[str, tuple[int, Desc | None]] = {
            f"post{i}": (names.POST_OP * (i + 1) | names.ARGS["src_1"], op.other)
            for i, op in enumerate(self.post) if isinstance(op, Binary)}
        for prefix, flag, dtype, table in (("scale", names.ATTR_SCALES, dt.float32, self.scales),
                                           ("zero", names.ATTR_ZERO_POINTS, dt.int32, self.zero_points)):
            for slot, (_, count) in table.items():
                added[f"{prefix}:{slot}"] = (flag | names.ARGS[slot], Desc.of((count,), dtype))
        return added


PLAIN = Attributes()


class Primitive:
    """A compiled operation. ``slots`` maps the names of its arguments, in order, to DNNL_ARG numbers; ``descs`` to the layouts.

    ``desc`` is the dnnl_primitive_desc (the hint that backward primitives want), ``impl`` the implementation's name.
    """

    def __init__(self, desc: int, slots: Sequence[str], attributes: Attributes = PLAIN):
        """Takes the primitive descriptor over; of the named slots those that this primitive uses remain."""
        lib = library()
        self.desc = desc
        self.recipe: Recipe | None = None
        self.handle = 0
        self.destroy = (lib.dll.dnnl_primitive_destroy, lib.dll.dnnl_primitive_desc_destroy)  # at hand when the interpreter ends
        for _ in range(attributes.skip):
            lib.call("primitive_desc_next_impl", desc)
        self.slots: dict[str, int] = {}
        self.descs: dict[str, Desc] = {}
        for name in (*slots, "workspace", "scratchpad"):
            number = names.ARGS[name]
            found = lib.dll.dnnl_primitive_desc_query_md(desc, names.QUERY["exec_arg_md"], number)
            if found and _ndims(found):
                self.slots[name] = number
                self.descs[name] = Desc.copy(found)
        for name, (number, known) in attributes.slots().items():
            self.slots[name] = number
            self.descs[name] = known if known is not None else Desc.copy(
                lib.dll.dnnl_primitive_desc_query_md(desc, names.QUERY["exec_arg_md"], number))
        self.handle = lib.make("primitive_create", desc)

    def __del__(self) -> None:
        for destroy, handle in zip(getattr(self, "destroy", ()), (self.handle, self.desc)):
            if handle:
                destroy(handle)

    @property
    def impl(self) -> str:
        """The implementation, for example ``jit:avx512_core``."""
        result = ctypes.c_char_p()
        library().call("primitive_desc_query", self.desc, names.QUERY["impl"], 0, ctypes.byref(result))
        return (result.value or b"").decode()

    @property
    def reference(self) -> bool:
        """Whether this is oneDNN's plain C++ loop nest, which is slow: better compute it otherwise.

        Recurrent layers are called ``ref`` too, but their work is in matrix products and generated gate kernels.
        """
        return self.impl.startswith(("ref", "simple:any")) and "src_layer" not in self.slots

    def __repr__(self) -> str:
        return f"<{self.impl}: {', '.join(f'{name} {desc}' for name, desc in self.descs.items())}>"


def _ndims(desc: int) -> int:
    result = ctypes.c_int()
    library().call("memory_desc_query", desc, names.QUERY["ndims"], ctypes.byref(result))
    return result.value


class Recipe(NamedTuple):
    """What a primitive is made from, in words that mean the same in every process: the arguments of `create`, with the recipes of
    the primitives among them."""

    function: str
    slots: tuple[str, ...]
    args: tuple[Any, ...]
    attributes: Attributes
    engine: bool


ENGINE = "engine"  # stands for the engine among the arguments of a primitive


def create(function: str, slots: Sequence[str], *args: Any, attributes: Attributes = PLAIN, engine: bool = True) -> Primitive:
    """Makes a primitive with ``dnnl_<function>_primitive_desc_create(&desc, engine, *args, attributes)``.

    A ``Desc`` among the arguments gives its handle, a ``Primitive`` (a hint) its descriptor, a tuple an array of dimensions,
    ENGINE the engine, None a null pointer. Unsupported where oneDNN cannot.
    """
    lib = library()
    values = [_value(arg) for arg in args]
    with attributes.handle() as attr, _uncached() if attributes.skip else nullcontext():
        made = lib.make(f"{function}_primitive_desc_create", *([lib.engine] if engine else []), *values, attr)
        primitive = Primitive(made, slots, attributes)
    given = tuple([arg.recipe if isinstance(arg, Primitive) else arg for arg in args])
    recipe = primitive.recipe = Recipe(function, tuple(slots), given, attributes, engine)
    for name, desc in primitive.descs.items():
        desc.source = desc.source or (recipe, name)
    return primitive


def _value(arg: Any) -> Any:
    if isinstance(arg, Desc):
        return arg.handle
    if isinstance(arg, Primitive):
        return arg.desc
    if arg.__class__ is tuple:
        return dims(arg)
    return library().engine if arg == ENGINE else arg


@contextmanager
def _uncached() -> Iterator[None]:
    """oneDNN 3.2 loses count of implementations where its cache of primitives knows one of them."""
    library().call("set_primitive_cache_capacity", 0)
    try:
        yield
    finally:
        library().call("set_primitive_cache_capacity", CACHE)


class ExecArg(ctypes.Structure):
    """dnnl_exec_arg_t."""

    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


class Bound:
    """A primitive with a memory object per slot, ready for ``dnnl_primitive_execute(primitive, stream, count, args)``.

    The driver points the memory objects at buffers with ``dnnl_memory_set_data_handle(memory, pointer)``. Buffers need 64-byte
    alignment for full speed. One Bound serves one execution at a time.
    """

    def __init__(self, primitive: Primitive):
        lib = library()
        self.destroy = lib.dll.dnnl_memory_destroy  # at hand when the interpreter ends
        self.primitive = primitive
        self.memories: dict[str, int] = {}
        for name, desc in primitive.descs.items():
            self.memories[name] = lib.make("memory_create", desc.handle, lib.engine, None)
        self.count = len(self.memories)
        self.array = (ExecArg * self.count)(*[ExecArg(primitive.slots[n], memory) for n, memory in self.memories.items()])
        self.args = ctypes.addressof(self.array)

    def memory(self, name: str) -> int:
        """The dnnl_memory of a slot."""
        return self.memories[name]

    def set(self, name: str, pointer: int) -> None:
        """Points a slot at a buffer."""
        library().call("memory_set_data_handle", self.memories[name], pointer)

    def execute(self) -> None:
        """Runs once, as the driver does natively."""
        lib = library()
        lib.call("primitive_execute", self.primitive.handle, lib.stream, self.count, self.args)

    def __del__(self) -> None:
        for memory in getattr(self, "memories", {}).values():
            self.destroy(memory)


__all__ = ["Attributes", "Binary", "Bound", "Eltwise", "PLAIN", "Post", "Primitive", "Sum", "Unsupported", "create"]
