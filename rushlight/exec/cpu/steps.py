"""The steps of a plan: what each reads, writes and needs, before it has addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rushlight.exec.cpu.kernel import Loop
from rushlight.ir.program import Instr
from rushlight.ir.spec import Spec

if TYPE_CHECKING:
    from rushlight.exec.cpu.packing import Variant
    from rushlight.exec.cpu.panels import Panels

LARGE = 1 << 40
Check = tuple[int, Any, int, bool]  # an index: value, view, how many positions there are, and whether negative ones count from the end


@dataclass(eq=False, slots=True)
class LoopStep:
    """A generated kernel on values."""

    loop: Loop
    values: list[int]  # to which the loop refers by their positions
    scratch: list[int] = field(default_factory=list)  # values that stand for scratch memory, in the order of such accesses

    def reads(self) -> set[int]:
        return {self.values[i] for i in self.loop.sources}

    def writes(self) -> set[int]:
        return {self.values[i] for i in self.loop.results}.union(self.scratch)

    @property
    def units(self) -> int:
        return self.loop.units

    @property
    def work(self) -> int:
        return self.loop.work


@dataclass(eq=False, slots=True)
class PrimitiveStep:
    """A oneDNN primitive: ``bound`` with the value and byte offset of each of its memories."""

    bound: Any
    sources: dict[str, tuple[int, int]]
    results: dict[str, tuple[int, int]]
    work: int = LARGE  # floating-point operations; small ones run in one thread
    variant: Variant | None = None  # the same on weights that are packed already
    packs: PrimitiveStep | None = None  # the step that packs them, which has nothing to do then

    def reads(self) -> set[int]:
        return {value for value, _ in self.sources.values()}

    def writes(self) -> set[int]:
        return {value for value, _ in self.results.values()}


class Address(NamedTuple):
    """Where a value lies, in an argument block: the value and a byte offset."""

    value: int
    offset: int = 0


@dataclass(eq=False, slots=True)
class Table:
    """Numbers of 64 bits that a kernel reads: in an argument block, where they lie."""

    words: np.ndarray[Any, Any]

    @classmethod
    def of(cls, numbers: Sequence[int] | np.ndarray[Any, Any]) -> Table:
        return cls(np.ascontiguousarray(numbers, np.int64))

    @property
    def address(self) -> int:
        return int(self.words.__array_interface__["data"][0])


@dataclass(eq=False, slots=True)
class KernelStep:
    """A kernel written by hand: ``write(name)`` gives its LLVM IR, a function ``i64 (i64* slots, i64 begin, i64 end, i64 thread)``
    that runs units begin … end-1 and returns 0. ``key`` identifies the code, ``slots`` are its argument block."""

    key: str
    write: Callable[[str], str]
    slots: Sequence[int | Address | Table]
    units: int
    work: int  # about one per element and operation; decides whether threads share it
    sources: set[int]
    results: set[int]
    keep: Any = None  # memory that slots point to
    flops: int = 0  # operations on numbers, where they are not as many as the work
    title: str = ""  # what it does, where the key does not say all
    light: bool = False  # written such that LLVM's passes find nothing to gain
    variant: Panels | None = None  # its weights in panels, which may be kept
    checks: frozenset[Check] = frozenset()  # the indices that it checks
    inside: int | None = None  # an input whose memory its result has, changed in place

    def on(self, values: list[int]) -> KernelStep:
        """The same for other values: those that it has are positions among them."""
        slots: list[int | Address | Table] = [Address(values[s.value], s.offset) if isinstance(s, Address) else s
                                              for s in self.slots]
        sources, results = {values[i] for i in self.sources}, {values[i] for i in self.results}
        variant = None if self.variant is None else replace(self.variant, value=values[self.variant.value])
        assert not self.checks
        return replace(self, slots=slots, sources=sources, results=results, variant=variant)

    def reads(self) -> set[int]:
        return self.sources

    def writes(self) -> set[int]:
        return self.results if self.inside is None else {*self.results, self.inside}


@dataclass(eq=False, slots=True)
class PythonStep:
    """An operation that NumPy runs."""

    instr: Instr

    def reads(self) -> set[int]:
        return {o.value for o in self.instr.operands}

    def writes(self) -> set[int]:
        return set(self.instr.results)


Step = LoopStep | PrimitiveStep | KernelStep | PythonStep


def last_check(steps: list[Step]) -> int:
    """The last step that may fail, -1 for none: nothing that a program still needs is overwritten before it. Of steps that
    check the same index the first one tells."""
    last = -1
    passed: set[Check] = set()
    for at, step in enumerate(steps):
        checks = step.checks if isinstance(step, KernelStep) else frozenset()
        if may_fail(step) and not (checks and checks <= passed):
            last = at
        passed |= checks
    return last


def may_fail(step: Step) -> bool:
    """Whether a step checks what it is given."""
    if isinstance(step, KernelStep):
        return bool(step.checks)
    if isinstance(step, LoopStep):
        return any(s.name == "pick" for s in step.loop.kernel.body)
    return isinstance(step, PythonStep) and step.instr.op.kind in ("index", "library", "coarse")


def flat_size(s: Spec) -> int:
    """The bytes of a value."""
    return s.numel * s.dtype.itemsize
