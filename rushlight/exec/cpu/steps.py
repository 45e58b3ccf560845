"""The steps of a plan: what each reads, writes and needs, before it has addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rushlight.exec.cpu.loops import Loop
from rushlight.ir.program import Instr


@dataclass(eq=False, slots=True)
class LoopStep:
    """A generated kernel."""

    loop: Loop
    scratch: list[int] = field(default_factory=list)  # values that stand for scratch memory, in the order of such accesses

    def reads(self) -> set[int]:
        k = self.loop.kernel
        return {p.value for a, p in zip(k.accesses, self.loop.places) if p is not None and a.use == "in"}

    def writes(self) -> set[int]:
        k = self.loop.kernel
        return {p.value for a, p in zip(k.accesses, self.loop.places) if p is not None and a.use == "out"} | set(self.scratch)


@dataclass(eq=False, slots=True)
class PrimitiveStep:
    """A oneDNN primitive: ``bound`` with the value and byte offset of each of its memories."""

    bound: Any
    sources: dict[str, tuple[int, int]]
    results: dict[str, tuple[int, int]]

    def reads(self) -> set[int]:
        return {value for value, _ in self.sources.values()}

    def writes(self) -> set[int]:
        return {value for value, _ in self.results.values()}


@dataclass(eq=False, slots=True)
class PythonStep:
    """An operation that NumPy runs."""

    instr: Instr

    def reads(self) -> set[int]:
        return {o.value for o in self.instr.operands}

    def writes(self) -> set[int]:
        return set(self.instr.results)


Step = LoopStep | PrimitiveStep | PythonStep
