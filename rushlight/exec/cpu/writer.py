"""LLVM IR for kernels ``void kernel(i64* slots)`` that are no part of a plan (random numbers, pictures): slots, loops, vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

I8, I32, I64, F32, POINTER = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.PointerType()


class Writer:
    """A kernel that is being written; ``slots`` are its arguments by name, a leading * marks an address."""

    def __init__(self, name: str, slots: tuple[str, ...]):
        self.module = ir.Module(name)
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
        self.b = ir.IRBuilder(function.append_basic_block())
        self.function = function
        self.s = {}
        for i, slot in enumerate(slots):
            value = self.load(self.at(function.args[0], i, I64), I64)
            self.s[slot.lstrip("*")] = self.b.inttoptr(value, POINTER) if slot[0] == "*" else value

    def number(self, value: int, type_: Any = I64) -> Any:
        """A constant."""
        return ir.Constant(type_, value)

    def at(self, pointer: Any, index: Any, type_: Any = I8) -> Any:
        """The address so many elements on."""
        return self.b.gep(pointer, [self.number(index) if isinstance(index, int) else index], source_etype=type_)

    def load(self, pointer: Any, type_: Any, align: int = 1) -> Any:
        """What lies at an address."""
        return self.b.load(pointer, typ=type_, align=align)

    def store(self, value: Any, pointer: Any) -> None:
        """Put a value at an address of any alignment."""
        self.b.store(value, pointer, align=1)

    def loop(self, end: Any, body: Callable[..., tuple[Any, ...]], carried: tuple[Any, ...] = (), start: Any = None, step: int = 1) -> tuple[Any, ...]:
        """for (i = start; i < end; i += step) carried = body(i, *carried); gives what is carried out."""
        before = self.b.block
        head, inside, after = (self.function.append_basic_block() for _ in range(3))
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(I64)
        i.add_incoming(self.number(0) if start is None else start, before)
        values = []
        for value in carried:
            phi = self.b.phi(value.type)
            phi.add_incoming(value, before)
            values.append(phi)
        self.b.cbranch(self.b.icmp_signed("<", i, end), inside, after)
        self.b.position_at_end(inside)
        results = body(i, *values)
        i.add_incoming(self.b.add(i, self.number(step)), self.b.block)
        for phi, result in zip(values, results or ()):
            phi.add_incoming(result, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return tuple(values)

    def splat(self, scalar: Any, lanes: int) -> Any:
        """A vector with one number in all places."""
        one = self.b.insert_element(ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined), scalar, self.number(0, I32))
        return self.b.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))

    def pick(self, one: Any, other: Any, lanes: list[int]) -> Any:
        """A vector of these lanes of two vectors: those of the other count on."""
        return self.b.shuffle_vector(one, other, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))

    def same(self, value: int, lanes: int, type_: Any = I32) -> Any:
        """A constant vector with one number in all places."""
        return ir.Constant(ir.VectorType(type_, lanes), [value] * lanes)

    def done(self) -> str:
        """The text of the module."""
        self.b.ret_void()
        return str(self.module)
