"""Attention as kernels: a unit is one head of one sample, whose scores live only as a few rows in a thread's scratch memory.

For six queries at a time: q · kᵀ against panels of transposed keys, softmax of the rows, their product with the values. The way
back is in attention_gradient_kernels.py. Formulas: rushlight/exec/numpy/attention.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu import vector_math
from rushlight.exec.cpu.code import KERNEL, POINTER
from rushlight.exec.cpu.tiles import WIDTH, Form, Vectors, const, tiles

SIZES = ("heads", "groups", "T", "S", "D", "E", "scale", "causal", "wide")  # wide: S rounded up to whole panels
MASK = ("*mask", "mask_start", "mask_row", "mask_column")
FORWARD_SLOTS = (*SIZES, "*q", "q_start", "q_row", "*k", "k_start", "k_row", "*v", "v_start", "v_row", "*out", "out_start", "out_row", "*norms", *MASK,
                 "*scratch", "scratch_size", "keys", "values", "scores")


class Frame(Vectors):
    """A kernel with named slots, and what both directions do."""

    def __init__(self, module: Any, name: str, form: Form, slots: tuple[str, ...], masked: bool, causal: bool):
        super().__init__(ir.Function(module, KERNEL, name), form)
        self.slots: dict[str, Any] = {}
        self.masked, self.causal = masked, causal
        for i, slot in enumerate(slots):
            value = self.word(self.function.args[0], i)
            pointer = slot[0] == "*" or slot.endswith("_start")
            self.slots[slot.lstrip("*")] = self.b.inttoptr(value, POINTER) if pointer else value
        scale = self.b.bitcast(self.slots["scale"], ir.DoubleType())
        self.scale = self.splat(scale if form.size == 8 else self.b.fptrunc(scale, form.real))
        scratch = self.at(self.slots["scratch"], self.b.mul(self.slots["scratch_size"], self.function.args[3]))
        for slot in slots[slots.index("scratch_size") + 1:]:
            self.slots[slot] = self.at(scratch, self.slots[slot])

    def call(self, function: Any, *args: Any) -> None:
        self.b.call(function, [const(a) if isinstance(a, int) else a for a in args])

    def exp(self, x: Any) -> Any:
        return vector_math.emit(self.b, "exp", x)

    def matrix(self, name: str, unit: Any) -> tuple[Any, Any]:
        """A unit's first row in an operand, and the distance of rows."""
        return self.at(self.slots[name], self.word(self.slots[f"{name}_start"], unit)), self.slots[f"{name}_row"]

    def panels(self, width: Any) -> Any:
        return self.b.sdiv(self.b.add(width, const(self.form.panel - 1)), const(self.form.panel))

    def norms(self, unit: Any, query: Any) -> Any:
        """Where a row's greatest score lies, and after it one over its sum."""
        return self.at(self.slots["norms"], self.b.mul(self.b.add(self.b.mul(unit, self.slots["T"]), query), const(2)))

    def larger(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def sees(self, query: Any) -> Any:
        """How many keys a query sees."""
        return self.least(self.b.add(query, const(1)), self.slots["S"]) if self.causal else self.slots["S"]

    def pack_transposed(self, source: Any, row: Any, target: Any, depth: Any) -> None:
        """Panels of rows 0 … S-1 as columns: vector g of panel p at k holds element k of rows 64p + 16g …; zeros beyond S."""
        b, lanes = self.b, self.form.lanes
        steps = b.mul(b.sdiv(b.add(depth, const(lanes - 1)), const(lanes)), const(lanes))  # k of a panel, rounded up
        size = b.mul(steps, const(self.form.panel))

        def rows(j: Any) -> None:
            panel = b.sdiv(j, const(self.form.panel))
            base = self.at(target, b.add(b.mul(panel, size), b.sub(j, b.mul(panel, const(self.form.panel)))))

            def block(k: Any) -> None:
                left = b.sub(depth, k)
                read = []
                for u in range(lanes):
                    here = b.add(j, const(u))
                    count = b.select(b.icmp_signed("<", here, self.slots["S"]), left, const(0))
                    read.append(self.load(self.at(source, b.add(b.mul(here, row), k)), self.first(count)))
                for i, vector in enumerate(self.transposed(read)):
                    self.store(vector, self.at(base, b.mul(b.add(k, const(i)), const(self.form.panel))))
            self.loop(const(0), steps, lanes, block)
        self.loop(const(0), self.slots["wide"], lanes, rows)

    def pack_rows(self, source: Any, row: Any, count: Any, width: Any, target: Any) -> None:
        """Panels of the columns of `count` rows, zeros beyond the width."""
        b, lanes, panel = self.b, self.form.lanes, self.form.panel
        size = b.mul(count, const(panel))

        def one(i: Any) -> None:
            def part(v: Any) -> None:
                p = b.sdiv(v, const(panel))
                place = b.add(b.add(b.mul(p, size), b.mul(i, const(panel))), b.sub(v, b.mul(p, const(panel))))
                self.store(self.load(self.at(source, b.add(b.mul(i, row), v)), self.first(b.sub(width, v))), self.at(target, place))
            self.loop(const(0), b.mul(self.panels(width), const(panel)), lanes, part)
        self.loop(const(0), count, 1, one)

    def scores(self, row: Any, unit: Any, query: Any, count: Any, body: Callable[[Any, Any, Any], None]) -> None:
        """body(v, scaled and masked scores, mask of lanes) for the vectors of a row; scores outside the mask are -inf."""
        mask_row = self.at(self.slots["mask"], self.b.add(self.word(self.slots["mask_start"], unit), self.b.mul(query, self.slots["mask_row"]))) if self.masked else None

        def part(v: Any, mask: Any) -> None:
            x = self.b.fmul(self.load(self.at(row, v)), self.scale)
            if mask_row is not None:
                x = self.b.fadd(x, self._added(mask_row, v, mask))
            if mask is not None:
                x = self.b.select(mask, x, self.real(float("-inf")))
            body(v, x, mask)
        self.vectors(const(0), count, part)

    def _added(self, row: Any, v: Any, mask: Any) -> Any:
        """The mask's numbers: adjacent, or one for all."""
        value = self.variable(self.form.vector, self.zero())
        with self.b.if_else(self.b.icmp_signed("==", self.slots["mask_column"], const(0))) as (one, many):
            with one:
                self.b.store(self.splat(self.b.load(row, typ=self.form.real)), value)
            with many:
                self.b.store(self.load(self.at(row, v), mask), value)
        return self.value(value)

    def clear(self, row: Any, begin: Any, end: Any) -> None:
        """Zeros in whole vectors from the first that begins at `begin` or later."""
        lanes = const(self.form.lanes)
        start = self.b.mul(self.b.sdiv(self.b.add(begin, const(self.form.lanes - 1)), lanes), lanes)
        self.loop(start, self.b.add(end, const(self.form.lanes - 1)), self.form.lanes, lambda v: self.store(self.zero(), self.at(row, v)))

    def put(self, source: Any, target: Any, width: Any, factor: Any = None) -> None:
        """A row's part of one panel, as far as it lies within `width`."""
        def part(v: Any, mask: Any) -> None:
            value = self.load(self.at(source, v))
            self.store(value if factor is None else self.b.fmul(value, factor), self.at(target, v), mask)
        self.vectors(const(0), self.least(width, const(self.form.panel)), part)

    def done(self, module: Any) -> str:
        self.b.ret(const(0))
        return str(module)


def forward(form: Form, masked: bool, causal: bool, name: str) -> str:
    """The outputs and the norms; units are heads of queries."""
    module = ir.Module(name)
    parts = tiles(module, form)
    k = Frame(module, name, form, FORWARD_SLOTS, masked, causal)
    b, s = k.b, k.slots
    panel = const(form.panel)
    rounded = b.mul(b.sdiv(b.add(s["D"], const(form.lanes - 1)), const(form.lanes)), const(form.lanes))
    out = k.array(max(form.rows) * WIDTH)
    inverse = k.array(max(form.rows))

    def unit(u: Any) -> None:
        (q, q_row), (keys, k_row), (values, v_row), (y, y_row) = (k.matrix(n, u) for n in ("q", "k", "v", "out"))
        k.pack_transposed(keys, k_row, s["keys"], s["D"])
        k.pack_rows(values, v_row, s["S"], s["E"], s["values"])

        def queries(t: Any, height: int) -> None:
            most = k.sees(b.add(t, const(height - 1)))
            a = k.at(q, b.mul(t, q_row))
            k.loop(const(0), k.panels(most), 1, lambda p: k.call(
                parts[height], k.at(s["scores"], b.mul(p, panel)), s["wide"], k.at(s["keys"], b.mul(p, b.mul(rounded, panel))), a, q_row, s["D"]))
            k.loop(const(0), const(height), 1, lambda r: softmax(u, t, r, most))

            def features(p: Any) -> None:
                k.call(parts[height], out, form.panel, k.at(s["values"], b.mul(p, b.mul(s["S"], panel))), s["scores"], s["wide"], most)
                at = b.mul(p, panel)
                k.loop(const(0), const(height), 1, lambda r: k.put(
                    k.at(out, b.mul(r, panel)), k.at(y, b.add(b.mul(b.add(t, r), y_row), at)), b.sub(s["E"], at),
                    k.load(k.at(inverse, b.mul(r, const(form.lanes))))))
            k.loop(const(0), k.panels(s["E"]), 1, features)
        k.by_tiles(const(0), s["T"], queries)

    def softmax(u: Any, t: Any, r: Any, most: Any) -> None:
        query = b.add(t, r)
        row = k.at(s["scores"], b.mul(r, s["wide"]))
        count = k.sees(query)
        top, total = k.variable(form.vector, k.real(float("-inf"))), k.variable(form.vector, k.zero())

        def scaled(v: Any, x: Any, mask: Any) -> None:
            k.store(x, k.at(row, v))
            b.store(k.larger(x, k.value(top)), top)
        k.scores(row, u, query, count, scaled)
        highest = k.fold(k.value(top), k.larger)
        highest = b.select(b.fcmp_ordered("==", highest, k.real(float("-inf"))), k.zero(), highest)

        def weigh(v: Any) -> None:
            e = k.exp(b.fsub(k.load(k.at(row, v)), highest))
            k.store(e, k.at(row, v))
            b.store(b.fadd(k.value(total), e), total)
        k.loop(const(0), b.add(count, const(form.lanes - 1)), form.lanes, weigh)
        k.clear(row, count, most)
        whole = k.fold(k.value(total), b.fadd)
        nothing = b.fcmp_ordered("==", whole, k.zero())
        factor = b.select(nothing, k.zero(), b.fdiv(k.real(1.0), whole))
        k.store(factor, k.at(inverse, b.mul(r, const(form.lanes))))
        norms = k.norms(u, query)
        for i, value in enumerate((highest, factor)):
            b.store(b.extract_element(value, ir.Constant(ir.IntType(32), 0)), k.at(norms, const(i)))
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    return k.done(module)
