"""Running sums and products along one dimension, in the precision and the order of `rushlight.exec.numpy.scan`, and so with its bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rushlight.exec.cpu.cells import CELLS, constant
from rushlight.exec.cpu.code import I64, Code
from rushlight.exec.cpu.gathers import Dim, address, merged
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.scalars import FORMS
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.exec.numpy.scan import ACCUMULATOR
from rushlight.ir.program import Instr

START = {"cumsum": ("add", 0), "cumprod": ("mul", 1)}
ROWS = 4  # that go side by side, so that one need not wait for the other
UNIT = 4  # vectors of a unit
SLOTS = ("*x", "*out", "ny", "count", "width", "pieces", "x_a", "x_b", "x_step", "x_last")


def steps(instr: Instr, _: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of a running sum or product, None where NumPy must run it."""
    if instr.op.name not in START or instr.outs[0].dtype.name not in FORMS or instr.outs[0].dtype.name == "bool" or not instr.outs[0].numel:
        return None
    x, out, dim = instr.operands[0], instr.outs[0], instr.attrs[0]
    s = x.spec
    if not s.shape or s.dtype is not out.dtype:
        return None
    pairs = [Dim(n, (stride,)) for n, stride in zip(s.shape, s.strides)]
    before, after = merged(pairs[:dim]), merged(pairs[dim + 1:])
    if len(before) > 2 or len(after) > 1:
        return None
    single = Dim(1, (0,))
    (na, (xa,)), (nb, (xb,)) = [single, single, *before][-2:]
    width, (last,) = (after or [single])[0]
    way = "rows" if width == 1 else "columns" if last == 1 else "strided columns"
    lanes = vector_bytes() // FORMS[out.dtype.name][3]
    pieces = -(-width // (UNIT * lanes)) if width > 1 else 1
    units = -(-na * nb // ROWS) if way == "rows" else na * nb * pieces
    slots: list[int | Address] = [0, address(x), Address(instr.results[0]), nb, s.shape[dim], na * nb if way == "rows" else width, pieces,
                                  xa, xb, s.strides[dim], last]
    return [KernelStep(f"{instr.op.name} {out.dtype.name} x {lanes} {way}", partial(write, instr.op.name, out.dtype.name, lanes, way), slots, units,
                       2 * out.numel, {x.value}, set(instr.results), title=f"{instr.op.name} {list(out.shape)}")]


def write(op: str, dtype: str, lanes: int, way: str, name: str) -> str:
    """out[a, b, i, l] = x[a, b, 0, l] ∘ … ∘ x[a, b, i, l], as LLVM IR; units are a few rows (a, b), or vectors of l of one."""
    k = _Scan(op, dtype, lanes, name)
    k.loop(k.function.args[1], k.function.args[2], 1, k.rows if way == "rows" else partial(k.columns, way == "columns"))
    k.b.ret(constant(I64, 0))
    return str(k.module)


class _Scan(Code):
    """Writes the kernel."""

    def __init__(self, op: str, dtype: str, lanes: int, name: str):
        super().__init__(name, lanes)
        self.dtype = dtype
        self.wide = ACCUMULATOR.get(dtype, dtype)
        self.verb, self.first = START[op]
        self.slot()  # of the numbers, which it has none of
        self.slots = {n.lstrip("*"): self.pointer() if n[0] == "*" else self.slot() for n in SLOTS}

    def row(self, r: Any) -> tuple[Any, Any]:
        """Where a row (a, b) begins in x and in the result, in elements of x and in rows."""
        b, s = self.b, self.slots
        return b.add(b.mul(b.udiv(r, s["ny"]), s["x_a"]), b.mul(b.urem(r, s["ny"]), s["x_b"])), r

    def place(self, base: str, offset: Any) -> Any:
        return self.b.gep(self.slots[base], [offset], source_etype=self.s.memory(self.dtype))

    def step(self, total: Any, value: Any) -> Any:
        """One more element into a variable; what it holds then, as an element."""
        wide = self.s.cast(self.s.widen(value, self.dtype), self.dtype, self.wide)
        self.s.kind = self.s.kind_of(self.wide)
        made = CELLS[self.verb][1](self.s, self.b.load(total, typ=wide.type), wide)
        self.b.store(made, total)
        return self.s.narrow(self.s.cast(made, self.wide, self.dtype), self.dtype)

    def rows(self, unit: Any) -> None:
        """Some rows side by side, one element of each after the other."""
        b, s = self.b, self.slots
        low = b.mul(unit, constant(I64, ROWS))
        starts, totals = [], []
        for j in range(ROWS):  # what is left of the last ones is computed as often as the last row
            r = self.least(b.add(low, constant(I64, j)), b.sub(s["width"], constant(I64, 1)))
            starts.append(self.row(r))
            totals.append(self.variable(self.s.register(self.wide), constant(self.s.register(self.wide), self.first)))

        def element(i: Any) -> None:
            found = [b.load(self.place("x", b.add(x, b.mul(i, s["x_step"]))), typ=self.s.memory(self.dtype)) for x, _ in starts]
            for (_, r), total, value in zip(starts, totals, found):
                self.s.store(self.step(total, value), self.place("out", b.add(b.mul(r, s["count"]), i)), None)
        self.loop(constant(I64, 0), s["count"], 1, element)

    def columns(self, adjacent: bool, unit: Any) -> None:
        """Vectors of adjacent columns, from the first row to the last."""
        b, s = self.b, self.slots
        x, r = self.row(b.udiv(unit, s["pieces"]))
        low = b.mul(b.urem(unit, s["pieces"]), constant(I64, UNIT * self.lanes))
        out = b.mul(r, b.mul(s["count"], s["width"]))

        def vector(v: Any, mask: Any) -> None:
            total = self.variable(self.s.vector(self.wide), constant(self.s.vector(self.wide), self.first))

            def element(i: Any) -> None:
                at = self.place("x", b.add(b.add(x, b.mul(i, s["x_step"])), b.mul(v, s["x_last"])))
                value = self.s.load(at, self.dtype, mask) if adjacent else self.s.gather(at, self.dtype, s["x_last"], self.iota, mask)
                self.s.store(self.step(total, value), self.place("out", b.add(b.add(out, b.mul(i, s["width"])), v)), mask)
            self.loop(constant(I64, 0), s["count"], 1, element)
        self.vectors(low, self.least(b.add(low, constant(I64, UNIT * self.lanes)), s["width"]), vector)
