"""Reductions while a loop runs: vectors that take in one vector of elements after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.kernel import Statement
from rushlight.exec.cpu.scalars import FORMS, I1

if TYPE_CHECKING:
    from rushlight.exec.cpu.emit import Writer


class Accumulator:
    """One vector of a reduction, at first what changes nothing.

    The largest and the smallest of floating-point numbers keep apart which lanes have met NaN: then an element waits for the
    ones before it for no more than a comparison.
    """

    def __init__(self, w: Writer, s: Statement):
        self.w, self.b, self.s = w, w.b, s
        self.type = w.s.vector(s.dtype)
        self.place = w.variable(self.type, w.s.neutral(s.name, s.dtype))
        flags = ir.VectorType(I1, w.lanes)
        extreme = s.name in ("amax", "amin") and FORMS[s.dtype][2] == "f"
        self.flags = w.variable(flags, constant(flags, 0)) if extreme else None

    def add(self, value: Any) -> None:
        """Take in a vector."""
        old = self.b.load(self.place, typ=self.type)
        if self.flags is None:
            new = self.w.s.combine(self.s.name, old, value, self.s.dtype)
        else:
            new = self.w.s.extreme(self.s.name, old, value)
            self._flag(self.b.fcmp_unordered("uno", value, value))
        self.b.store(new, self.place)

    def _flag(self, lanes: Any) -> None:
        self.b.store(self.b.or_(self._flags(), lanes), self.flags)

    def _flags(self) -> Any:
        return self.b.load(self.flags, typ=ir.VectorType(I1, self.w.lanes))

    def take(self, others: Sequence[Accumulator]) -> None:
        """Take in what others have found."""
        for other in others:
            if other.flags is not None:
                self._flag(other._flags())
            self.add(self.b.load(other.place, typ=self.type))

    def vector(self) -> Any:
        """The result of each lane."""
        value = self.b.load(self.place, typ=self.type)
        return value if self.flags is None else self.b.select(self._flags(), constant(self.type, float("nan")), value)

    def number(self) -> Any:
        """The result of all lanes."""
        value = self.b.load(self.place, typ=self.type)
        if self.flags is None:
            return self.w.s.fold(self.s.name, value, self.s.dtype)
        most = self.w.s.fold(self.s.name, value, self.s.dtype, lambda x, y: self.w.s.extreme(self.s.name, x, y))
        bits = ir.IntType(self.w.lanes)
        some = self.b.icmp_unsigned("!=", self.b.bitcast(self._flags(), bits), constant(bits, 0))
        return self.b.select(some, constant(self.type.element, float("nan")), most)
