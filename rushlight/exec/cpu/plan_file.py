"""A blueprint as bytes, and back: steps whose code lies on disk, primitives that are made again by their recipes.

It is a pickle of few types and functions, named in a table; whatever else a blueprint holds (a function of the program's, memory that a
kernel points to) makes it one that no other process can have.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import threading
from dataclasses import fields
from typing import Any

import numpy as np

from rushlight.exec.cpu import jit
from rushlight.exec.cpu.blueprint import Blueprint
from rushlight.exec.cpu.jit import COMPILED
from rushlight.exec.cpu.onednn import openmp
from rushlight.exec.cpu.steps import KernelStep, LoopStep, PythonStep, Step, Table
from rushlight.ir.dtype import by_name
from rushlight.ir.graph import SCALARS, ScalarSpec
from rushlight.ir.program import Instr, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops import table
from rushlight.ops.table import TABLE, Op
from rushlight.passes.recent import Recent

CPU = "rushlight.exec.cpu"
# the types and functions that a file may name, by their modules; they are imported where a file does
NAMES = {
    "builtins": "set frozenset slice complex",
    f"{CPU}.blueprint": "Blueprint",
    f"{CPU}.kernel": "Access Kernel Loop Place Statement",
    f"{CPU}.onednn.primitive": "Attributes Binary Eltwise Sum",
    f"{CPU}.packing": "Variant",
    f"{CPU}.panels": "Panels",
    f"{CPU}.plan_file": "bound desc desc_of hint kernel_step number operation own_operation primitive scalar table_of",
    f"{CPU}.steps": "Address LoopStep PrimitiveStep PythonStep",
    "rushlight.ir.dtype": "by_name",
    "rushlight.ir.program": "Instr Operand Program",
    "rushlight.ir.spec": "spec",
}
ALLOWED = frozenset((module, name) for module, names in NAMES.items() for name in names.split())
# operations of the executor's own that numbers or NumPy steps of a plan may have
OWN = {f"{CPU}.complex_pairs": "REAL_PART IMAGINARY_PART", f"{CPU}.dropout": "COUNTER SCALE", f"{CPU}.lower": "REVERSED"}
KERNEL_FIELDS = tuple([f.name for f in fields(KernelStep) if f.name not in ("write", "keep")])
_reading = threading.local()  # the recipes of the file that a thread reads, and the layouts in it

_primitives: Recent[Any] = Recent(128)  # made again


class Stale(Exception):
    """A file that does not fit what is installed now."""


# --- writing ------------------------------------------------------------------------------------------------------------
def text(blueprint: Blueprint) -> bytes | None:
    """A blueprint without its arena as bytes; None where it holds something that no other process can have."""
    names = [jit.symbol(s.loop.kernel if isinstance(s, LoopStep) else s.key) for s in blueprint.steps if isinstance(s, (LoopStep, KernelStep))]
    recipes: dict[bytes, bytes] = {}
    try:
        body = _written((names, _slim(blueprint)), recipes)
    except Exception:  # noqa: BLE001 - a plan that cannot be kept is a plan nevertheless
        return None
    return pickle.dumps(recipes, 5) + body


def _written(x: Any, recipes: dict[bytes, bytes]) -> bytes:
    out = io.BytesIO()
    _Writer(out, recipes).dump(x)
    return out.getvalue()


def _slim(b: Blueprint) -> Blueprint:
    """Without what a plan does not ask for once its arena is known."""
    instrs = [i for i in b.program.instrs if not isinstance(i.outs[0], Spec)]
    program = Program(b.program.inputs, [_without_line(i) for i in instrs], b.program.outputs, b.program.donated, b.program.values)
    python = [s for s in b.steps if isinstance(s, PythonStep)]
    asked = {*range(len(program.inputs)), *program.outputs, *[o.value for s in python for o in s.instr.operands]}
    steps: list[Step] = [PythonStep(_without_line(s.instr)) if isinstance(s, PythonStep) else s for s in b.steps]
    return Blueprint(program, steps, {v: s for v, s in b.types.items() if v in asked}, {}, b.numbers)


def _without_line(i: Instr) -> Instr:
    return Instr(i.op, i.operands, i.attrs, i.results, i.outs)


class _Writer(pickle.Pickler):
    """A pickler of what the table names, and of primitives, whose `recipes` it collects by their digests."""

    def __init__(self, out: io.BytesIO, recipes: dict[bytes, bytes]) -> None:
        super().__init__(out, 5)
        self.recipes = recipes

    def reducer_override(self, x: Any) -> Any:
        kind = x.__class__
        if kind is type or kind.__name__ in ("function", "builtin_function_or_method"):
            if (x.__module__, x.__qualname__) not in ALLOWED:
                raise pickle.PicklingError(f"{x} has no name in a file")
            return NotImplemented
        if kind.__name__ == "Primitive":
            return primitive, (self.digest(x.recipe), x.impl, {name: d.size for name, d in x.descs.items()})
        if kind.__name__ == "Recipe":
            return hint, (self.digest(x),)
        if kind.__name__ == "Desc":
            return self.layout(x.source)
        reduce = REDUCED.get(kind.__name__)
        if reduce is not None:
            return reduce(x)
        if (kind.__module__, kind.__qualname__) not in ALLOWED and kind.__name__ != "DType":
            raise pickle.PicklingError(f"{kind} has no name in a file")
        return NotImplemented

    def digest(self, recipe: Any) -> bytes:
        """A recipe's name in the file."""
        if recipe is None:
            raise pickle.PicklingError("a primitive without a recipe")
        text = _written(tuple(recipe), self.recipes)
        found = hashlib.sha256(text).digest()[:12]
        self.recipes[found] = text
        return found

    def layout(self, source: tuple[Any, ...] | None) -> Any:
        if source is None:
            raise pickle.PicklingError("a layout of unknown origin")
        return (desc_of, (self.digest(source[0]), source[1])) if len(source) == 2 else (desc, source)


def _of_operation(op: Op) -> Any:
    if TABLE.get(op.name) is op:
        return operation, (op.name,)
    for module, names in OWN.items():
        for name in names.split():
            if getattr(importlib.import_module(module), name) is op:
                return own_operation, (module, name)
    raise pickle.PicklingError(f"{op} has no name in a file")


def _of_kernel(step: KernelStep) -> Any:
    if step.keep is not None:
        raise pickle.PicklingError(f"{step.key} points to memory")
    return kernel_step, tuple([getattr(step, name) for name in KERNEL_FIELDS])


def _of_bound(made: Any) -> Any:
    if vars(made).keys() > {"destroy", "primitive", "memories", "count", "array", "args"} or any(":" in name for name in made.memories):
        raise pickle.PicklingError("memory that only this process has")  # scales and zero points
    return bound, (made.primitive,)


# how objects become functions and their arguments, by the names of their types: most processes never import them all
REDUCED: dict[str, Any] = {
    "Spec": lambda s: (spec, (s.dtype, s.shape, s.strides, s.offset)),
    "ScalarSpec": lambda s: (scalar, (s.kind,)),
    "ScalarResult": lambda s: (number, ()),
    "Op": _of_operation,
    "KernelStep": _of_kernel,
    "Table": lambda t: (table_of, (t.words.tobytes(),)),
    "Bound": _of_bound,
}


# --- reading ------------------------------------------------------------------------------------------------------------
def read(data: bytes) -> Blueprint | None:
    """The blueprint that `text` wrote, followed by its arena; None where some of its code is not there any more."""
    file = io.BytesIO(data)
    _reading.recipes, _reading.descs = _Reader(file).load(), {}
    try:
        names, blueprint = _Reader(file).load()
        blueprint.kernels = COMPILED.named(names)
        blueprint.arena = _Reader(file).load()
    finally:
        del _reading.recipes, _reading.descs
    return None if blueprint.kernels is None else blueprint


class _Reader(pickle.Unpickler):
    """An unpickler of what the table names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} in a plan")
        return getattr(importlib.import_module(module), name)


def _lost(name: str) -> str:
    raise RuntimeError(f"the code of {name} is on disk only")


def kernel_step(*values: Any) -> KernelStep:
    """A step whose code is there already."""
    return KernelStep(write=_lost, **dict(zip(KERNEL_FIELDS, values)))


def table_of(words: bytes) -> Table:
    """A table of numbers."""
    return Table(np.frombuffer(words, np.int64).copy())


def scalar(kind: str) -> ScalarSpec:
    """The type of a number that a plan is given."""
    return next(s for s in SCALARS.values() if s.kind == kind)


def number() -> Any:
    """The type of a number that a plan computes."""
    from rushlight.tensor.trace import NUMBER
    return NUMBER


def operation(name: str) -> Op:
    """A row of the table."""
    return TABLE[name] if name in TABLE else table.load()[name]


def own_operation(module: str, name: str) -> Op:
    """An operation of the executor's own."""
    if name not in OWN[module].split():
        raise pickle.UnpicklingError(f"{module}.{name} in a plan")
    found: Op = getattr(importlib.import_module(module), name)
    return found


def desc(shape: tuple[int, ...], dtype: str, strides: tuple[int, ...] | None) -> Any:
    """A layout with these strides, or one that a primitive chooses."""
    from rushlight.exec.cpu.onednn.memory import Desc
    key = shape, dtype, strides
    found = _reading.descs.get(key)
    if found is None:
        found = _reading.descs[key] = Desc.any(shape, by_name(dtype)) if strides is None else Desc.of(shape, by_name(dtype), strides)
    return found


def desc_of(digest: bytes, slot: str) -> Any:
    """The layout that a primitive has chosen."""
    return hint(digest).descs[slot]


def primitive(digest: bytes, implementation: str, sizes: dict[str, int]) -> Any:
    """A primitive of oneDNN; Stale where it has become another one."""
    made = hint(digest)
    if made.impl != implementation or {name: d.size for name, d in made.descs.items()} != sizes:
        raise Stale(f"{implementation} is {made.impl} now")
    return made


def hint(digest: bytes) -> Any:
    """The primitive of a recipe of the file, made once for all that refer to it."""
    key = digest, openmp.threads()  # which it divides its work among
    found = _primitives.get(key)
    if found is None:
        from rushlight.exec.cpu.onednn.primitive import create
        function, slots, args, attributes, engine = _Reader(io.BytesIO(_reading.recipes[digest])).load()
        found = _primitives.put(key, create(function, slots, *args, attributes=attributes, engine=engine))
    return found


def bound(made: Any) -> Any:
    """A primitive with memory objects of its own."""
    from rushlight.exec.cpu.onednn.primitive import Bound
    return Bound(made)
