"""Connectionist temporal classification as kernels: a unit is one sample, in double precision. Formulas: rushlight/exec/numpy/ctc.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rushlight.exec.cpu import vector_math
from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.code import I64, Code
from rushlight.exec.cpu.gathers import address
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.scalars import F64
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.exec.numpy.ctc import LEAST, NEVER
from rushlight.ir.program import Instr

FLOATS = ("float32", "float64")
WORK = 40  # of a place at a time: three exponentials and a logarithm
SLOTS = ("*emit", "emit_t", "emit_n", "*jump", "jump_n", "*lengths", "lengths_n", "*sizes", "sizes_n", "*g", "g_n", "*out", "times", "n", "width",
         "*scratch", "scratch_size")


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of a probability of labels or of its gradient, None where NumPy must run it."""
    if instr.op.name not in ("ctc", "ctc_grad"):
        return None
    from rushlight.exec import threads
    back = instr.op.name == "ctc_grad"
    emit, jump, lengths, sizes = instr.operands[back:]
    times, n, width = emit.spec.shape
    dtype = emit.spec.dtype.name
    if dtype not in FLOATS or not (times and n) or emit.spec.strides[2] != 1 or (jump.spec.strides[1] != 1 and width > 1):
        return None
    g: list[int | Address] = [address(instr.operands[0]), instr.operands[0].spec.strides[0]] if back else [0, 0]
    size = 8 * ((times if back else 2) + 2 * back) * (width + 2)
    scratch = new_value(threads.count() * size)
    slots: list[int | Address] = [address(emit), emit.spec.strides[0], emit.spec.strides[1], address(jump), jump.spec.strides[0],
                                  address(lengths), lengths.spec.strides[0], address(sizes), sizes.spec.strides[0], *g,
                                  Address(instr.results[0]), times, n, width, Address(scratch), size]
    lanes = vector_bytes() // 8
    work = WORK * times * n * width * (3 if back else 1)
    return [KernelStep(f"{instr.op.name} {dtype} x {lanes}", partial(write, back, dtype, lanes), slots, n, work, {o.value for o in instr.operands},
                       {*instr.results, scratch}, title=f"{instr.op.name} {list(emit.spec.shape)}")]


def write(back: bool, dtype: str, lanes: int, name: str) -> str:
    """The probabilities of samples, or their gradients, as LLVM IR."""
    k = _Ctc(dtype, lanes, name)
    k.loop(k.function.args[1], k.function.args[2], 1, k.gradient if back else k.probability)
    k.b.ret(constant(I64, 0))
    return str(k.module)


class _Ctc(Code):
    """Writes the kernels. Rows of places are doubles in scratch memory, with two places beside them that nobody is ever at."""

    def __init__(self, dtype: str, lanes: int, name: str):
        super().__init__(name, lanes)
        self.dtype = dtype
        self.slots = {n.lstrip("*"): self.pointer() if n[0] == "*" else self.slot() for n in SLOTS}
        b, s = self.b, self.slots
        s["scratch"] = self.place(s["scratch"], b.sdiv(b.mul(s["scratch_size"], self.function.args[3]), self.number(8)))
        s["row"] = b.add(s["width"], self.number(2))
        self.never = constant(self.s.vector("float64"), NEVER)

    # --- memory and arithmetic ----------------------------------------------------------------------------------------
    def place(self, base: Any, index: Any, dtype: str = "float64") -> Any:
        return self.b.gep(base, [self.number(index) if isinstance(index, int) else index], source_etype=self.s.memory(dtype))

    def places(self, base: Any, index: Any, mask: Any) -> Any:
        """Doubles from an index on."""
        return self.s.load(self.place(base, index), "float64", mask)

    def count(self, name: str, sample: Any, most: Any) -> Any:
        """How many times or labels a sample has, 0 to `most`."""
        at = self.place(self.slots[name], self.b.mul(sample, self.slots[f"{name}_n"]), "int64")
        return self.least(self.most(self.b.load(at, typ=I64), self.number(0)), most)

    def sample(self, sample: Any) -> tuple[Any, Any, Any, Any]:
        """Where a sample's emissions and jumps are, how many times and labels it has."""
        b, s = self.b, self.slots
        return (self.place(s["emit"], b.mul(sample, s["emit_n"]), self.dtype), self.place(s["jump"], b.mul(sample, s["jump_n"]), "bool"),
                self.count("lengths", sample, s["times"]), self.count("sizes", sample, b.sdiv(s["width"], self.number(2))))

    def emitted(self, emit: Any, t: Any, v: Any, mask: Any) -> Any:
        found = self.s.load(self.place(emit, self.b.add(self.b.mul(t, self.slots["emit_t"]), v), self.dtype), self.dtype, mask)
        return self.s.cast(found, self.dtype, "float64")

    def jumps(self, jump: Any, v: Any, mask: Any, ways: Any) -> Any:
        """The ways over the place between, where such are open."""
        return self.b.select(self.s.widen(self.s.load(self.place(jump, v, "bool"), "bool", mask), "bool"), ways, self.never)

    def together(self, *xs: Any) -> Any:
        """log(Σ exp(x)); NaN where one of them is."""
        b = self.b
        top = constant(xs[0].type, LEAST)
        for x in xs:
            top = self.s.extreme("amax", top, x)
        shares = [vector_math.emit(b, "exp", b.fsub(x, top)) for x in xs]
        total = shares[0]
        for share in shares[1:]:
            total = b.fadd(total, share)
        return b.fadd(vector_math.emit(b, "log", total), top)

    def within(self, v: Any, end: Any) -> Any:
        """Which places from v on come before `end`."""
        return self.b.icmp_signed("<", self.iota, self.s.splat(self.b.sub(end, v)))

    def end(self, row: Any, index: Any) -> None:
        """Two places that nobody is at."""
        for i in range(2):
            self.b.store(constant(F64, NEVER), self.place(row, self.b.add(index, self.number(i))))

    # --- forth --------------------------------------------------------------------------------------------------------
    def forth(self, emit: Any, jump: Any, length: Any, size: Any, row: Callable[[Any], Any]) -> None:
        """log of the probabilities of what is emitted up to each time, by the place then, in rows[t] from its third number on."""
        b, s, zero = self.b, self.slots, self.number(0)
        begin = b.select(b.icmp_signed(">", size, zero), self.number(2), self.number(1))  # with a blank or the first label
        first = row(zero)
        self.end(first, zero)

        def start(v: Any, mask: Any) -> None:
            came = b.select(self.within(v, begin), constant(self.never.type, 0.0), self.never)
            self.s.store(b.fadd(came, self.emitted(emit, zero, v, mask)), self.place(first, b.add(v, self.number(2))), mask)
        self.vectors(zero, s["width"], start)

        def time(t: Any) -> None:
            before, here = row(b.sub(t, self.number(1))), row(t)
            self.end(here, zero)

            def arrive(v: Any, mask: Any) -> None:
                over, one, same = (self.places(before, b.add(v, self.number(i)), mask) for i in range(3))
                came = self.together(same, one, self.jumps(jump, v, mask, over))
                self.s.store(b.fadd(came, self.emitted(emit, t, v, mask)), self.place(here, b.add(v, self.number(2))), mask)
            self.vectors(zero, s["width"], arrive)
        self.loop(self.number(1), length, 1, time)

    def probability(self, sample: Any) -> None:
        """out[sample], with rows for two times."""
        b, s = self.b, self.slots
        emit, jump, length, size = self.sample(sample)

        def row(t: Any) -> Any:
            return self.place(s["scratch"], b.mul(b.and_(t, self.number(1)), s["row"]))
        none = b.icmp_signed("==", size, self.number(0))
        total = self.variable(F64, b.select(none, constant(F64, 0.0), constant(F64, NEVER)))
        with b.if_then(b.icmp_signed(">", length, self.number(0))):
            self.forth(emit, jump, length, size, row)
            last = self.place(row(b.sub(length, self.number(1))), b.mul(size, self.number(2)))
            blank = self.s.splat(b.load(self.place(last, 2), typ=F64))
            label = self.s.splat(b.select(none, constant(F64, NEVER), b.load(self.place(last, 1), typ=F64)))
            b.store(b.extract_element(self.together(blank, label), self.number(0)), total)
        self.s.store(self.s.cast(b.load(total, typ=F64), "float64", self.dtype), self.place(s["out"], sample, self.dtype), None)

    # --- and back -----------------------------------------------------------------------------------------------------
    def gradient(self, sample: Any) -> None:
        """out[:, sample, :], with rows for all times and two more for the way back."""
        b, s, zero = self.b, self.slots, self.number(0)
        emit, jump, length, size = self.sample(sample)
        g = self.s.cast(b.load(self.place(s["g"], b.mul(sample, s["g_n"]), self.dtype), typ=self.s.memory(self.dtype)), self.dtype, "float64")
        impossible = self.s.splat(b.select(b.fcmp_ordered("==", g, constant(F64, 0.0)), constant(F64, 0.0), constant(F64, float("nan"))))
        g = self.s.splat(g)

        def row(t: Any) -> Any:
            return self.place(s["scratch"], b.mul(t, s["row"]))

        def other(t: Any) -> Any:
            return row(b.add(s["times"], b.and_(t, self.number(1))))

        def out(t: Any, v: Any) -> Any:
            return self.place(s["out"], b.add(b.mul(b.add(b.mul(t, s["n"]), sample), s["width"]), v), self.dtype)

        def nothing(t: Any) -> None:
            self.vectors(zero, s["width"], lambda v, mask: self.s.store(constant(self.s.vector(self.dtype), 0.0), out(t, v), mask))
        self.loop(length, s["times"], 1, nothing)

        def left(step: Any) -> None:
            """The shares of a time's places, from the last time on."""
            t = b.sub(b.sub(length, self.number(1)), step)
            forth, here, later = self.place(row(t), 2), other(t), other(b.add(t, self.number(1)))
            top_type = self.never.type
            top = self.variable(top_type, self.never)
            is_last = b.icmp_signed("==", step, zero)
            ends = b.mul(size, self.number(2))

            def leave(v: Any, mask: Any) -> None:
                known = self.variable(self.never.type, self.never)
                with b.if_else(is_last) as (end, before):
                    with end:
                        inside = b.and_(self.within(v, b.add(ends, self.number(1))), b.not_(self.within(v, b.sub(ends, self.number(1)))))
                        b.store(b.select(inside, constant(self.never.type, 0.0), self.never), known)
                    with before:
                        same, one, over = (self.places(later, b.add(v, self.number(i)), mask) for i in range(3))
                        b.store(self.together(same, one, over_jumps(v, over)), known)
                came = b.load(known, typ=self.never.type)
                self.s.store(b.fadd(came, self.emitted(emit, t, v, mask)), self.place(here, v), mask)
                both = b.fadd(self.places(forth, v, mask), came)
                self.s.store(both, self.place(forth, v), mask)
                b.store(self.s.combine("amax", b.load(top, typ=top_type), both if mask is None else b.select(mask, both, self.never), "float64"), top)

            def over_jumps(v: Any, ways: Any) -> Any:
                """The ways to the place after the next: whether such are open is written there."""
                at = b.add(v, self.number(2))
                return self.jumps(jump, at, self.within(at, s["width"]), ways)
            self.vectors(zero, s["width"], leave)
            self.end(here, s["width"])
            highest = self.fold(b.load(top, typ=top_type))
            total = self.variable(top_type, constant(top_type, 0.0))

            def weigh(v: Any, mask: Any) -> None:
                share = vector_math.emit(b, "exp", b.fsub(self.places(forth, v, mask), highest))
                share = share if mask is None else b.select(mask, share, constant(top_type, 0.0))
                self.s.store(share, self.place(forth, v), mask)
                b.store(b.fadd(b.load(total, typ=top_type), share), total)
            self.vectors(zero, s["width"], weigh)
            whole = self.s.splat(self.s.fold("sum", b.load(total, typ=top_type), "float64"))
            finite = b.fcmp_ordered("<", self.s.intrinsic("fabs", highest), constant(top_type, float("inf")))

            def write_share(v: Any, mask: Any) -> None:
                share = b.fmul(b.fdiv(self.places(forth, v, mask), whole), g)
                self.s.store(self.s.cast(b.select(finite, share, impossible), "float64", self.dtype), out(t, v), mask)
            self.vectors(zero, s["width"], write_share)
        with b.if_then(b.icmp_signed(">", length, zero)):
            self.forth(emit, jump, length, size, row)
            self.loop(zero, length, 1, left)

    def fold(self, vector: Any) -> Any:
        """The largest number of a vector in all lanes, NaN where it has one."""
        return self.s.splat(self.s.fold("amax", vector, "float64"))
