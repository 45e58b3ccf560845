"""The frame of every kernel in LLVM IR: ``i64 kernel(i64* slots, i64 begin, i64 end, i64 thread)``, loops and variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.scalars import Scalars

I64, I32, I1, POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.PointerType()
KERNEL = ir.FunctionType(I64, [POINTER, I64, I64, I64])  # slots, begin, end, thread


class Code:
    """A kernel that is being written, or another function. Slots of the argument block are read in order with `slot`."""

    def __init__(self, name: str, lanes: int, function: Any = None):
        self.function = ir.Function(ir.Module(name), KERNEL, name) if function is None else function
        self.module = self.function.module
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Scalars(self.b, lanes)
        self.entry = self.function.entry_basic_block
        self.lanes = lanes
        self.iota = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
        self.slots_read = 0

    def slot(self) -> Any:
        """The next 64-bit slot."""
        value = self.b.load(self.b.gep(self.function.args[0], [constant(I64, self.slots_read)], source_etype=I64), typ=I64)
        self.slots_read += 1
        return value

    def pointer(self) -> Any:
        """The next slot as an address."""
        return self.b.inttoptr(self.slot(), POINTER)

    def number(self, value: int) -> Any:
        """A 64-bit integer."""
        return constant(I64, value)

    def least(self, x: Any, y: Any) -> Any:
        """The smaller of two signed integers."""
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def most(self, x: Any, y: Any) -> Any:
        """The larger of two signed integers."""
        return self.b.select(self.b.icmp_signed(">", x, y), x, y)

    def loop(self, begin: Any, end: Any, step: int, body: Callable[[Any], None]) -> Any:
        """for (i = begin; i + step <= end; i += step) body(i); gives the variable that holds the last i."""
        counter = self.variable(I64, begin)
        head, inner, after = (self.function.append_basic_block(n) for n in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.load(counter, typ=I64)
        reach = i if step == 1 else self.b.add(i, constant(I64, step - 1))
        self.b.cbranch(self.b.icmp_signed("<", reach, end), inner, after)
        self.b.position_at_end(inner)
        body(i)
        self.b.store(self.b.add(i, constant(I64, step)), counter)
        self.b.branch(head)
        self.b.position_at_end(after)
        return counter

    def variable(self, type_: Any, value: Any) -> Any:
        """A stack variable, set to a value here; LLVM turns it into a register."""
        with self.b.goto_block(self.entry):
            self.b.position_at_start(self.entry)
            place = self.b.alloca(type_)
        self.b.store(value, place)
        return place

    def vectors(self, begin: Any, end: Any, body: Callable[[Any, Any], None]) -> None:
        """body(v, None) for whole vectors, then body(v, mask) for what is left."""
        counter = self.loop(begin, end, self.lanes, lambda v: body(v, None))
        v = self.b.load(counter, typ=I64)
        with self.b.if_then(self.b.icmp_signed("<", v, end)):
            left = self.s.splat(self.b.sub(end, v))
            body(v, self.b.icmp_signed("<", self.iota, left))
