"""The time loops of recurrent layers as kernels whose units are sequences: threads share nothing and never wait.

Forward: for each step, panel of hidden units and tile of rows, x·W_ihᵀ + h·W_hhᵀ in registers, then the gate arithmetic.
Backward: for each step the gradients of the gates, then their product with W_hh, which is what the step before receives.

Tables, one entry per step in the order of computing: the number of active sequences (a zero on either side), and the first
row of the step in everything that has a row per step and sequence. The formulas are those of rushlight/exec/numpy/recurrent.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu import vector_math
from rushlight.exec.cpu.code import KERNEL, POINTER
from rushlight.exec.cpu.tiles import WIDTH, Form, Segment, Vectors, const, tiles

FORWARD_SLOTS = ("numbers", "steps", "hidden", "inputs", "active", "first_row", "x_start", "x_stride", "batch", "y_start", "y_stride",
                 "*x", "*h0", "*c0", "*w_ih", "*w_hh", "*bias", "*y", "*h", "*c", "*state", "*gates", "*cells")
# where x is rows of a table: what each row of the table brings to the sums, and where each row of x finds it
ROWS_SLOTS = ("numbers", "steps", "hidden", "active", "first_row", "batch", "y_start", "y_stride", "*x", "*places",
              "*h0", "*c0", "*w_hh", "*bias", "*y", "*h", "*c", "*state", "*gates", "*cells")
TABLE_SLOTS = ("numbers", "hidden", "inputs", "stride", "*x", "*w_ih", "*sums")
BACKWARD_SLOTS = ("numbers", "steps", "hidden", "active", "first_row", "y_start", "y_stride", "batch",
                  "*dy", "*dh_last", "*dc_last", "*h0", "*c0", "*weights", "*y", "*gates", "*cells", "*dh", "*dc", "*dgates")
# slots of the way back that are operands -> their names in the table
OPERANDS = {"dy": "dy", "dh_last": "dh", "dc_last": "dc", "h0": "h", "c0": "c", "y": "y", "gates": "gates", "cells": "cells"}
BIAS_SLOTS = ("numbers", "hidden", "*target", "*b_ih", "*b_hh")


@dataclass(frozen=True)
class Kind:
    """A cell: the groups of rows that its weights stack, which sums x and h add to, and what is saved per unit."""

    name: str
    gates: int
    x: Segment
    h: Segment
    saved: int

    @property
    def adjacent(self) -> bool:
        """Whether a panel is four vectors of units, rather than one vector of each gate."""
        return self.gates == 1


KINDS = {k.name: k for k in (Kind("lstm", 4, (0, 1, 2, 3), (0, 1, 2, 3), 4), Kind("gru", 3, (0, 1, 2), (0, 1, 3), 4),
                             Kind("rnn_tanh", 1, (0, 1, 2, 3), (0, 1, 2, 3), 0), Kind("rnn_relu", 1, (0, 1, 2, 3), (0, 1, 2, 3), 0))}


class Frame(Vectors):
    """A kernel with named slots."""

    def __init__(self, module: Any, name: str, form: Form, slots: tuple[str, ...]):
        super().__init__(ir.Function(module, KERNEL, name), form)
        self.slots = {}
        for i, slot in enumerate(slots):
            value = self.word(self.function.args[0], i)
            self.slots[slot.lstrip("*")] = self.b.inttoptr(value, POINTER) if slot[0] == "*" else value
        for table in ("active", "first_row", "x_start", "y_start"):
            if table in self.slots:
                self.slots[table] = self.b.inttoptr(self.slots[table], POINTER)
        self.begin, self.end = self.function.args[1:3]
        self.hidden = self.slots["hidden"]

    def f(self, name: str, x: Any) -> Any:
        return vector_math.emit(self.b, name, x)

    def row(self, base: Any, index: Any, width: Any, type_: Any = None) -> Any:
        """The address of a row of a dense matrix."""
        return self.at(base, self.b.mul(index, width), type_)

    def active(self, step: Any, by: int = 0) -> Any:
        """How many sequences are active at a step, or one before (-1) or after (1)."""
        return self.word(self.slots["active"], self.b.add(step, const(1 + by)))

    def panels(self, kind: Kind) -> Any:
        """The number of panels of hidden units."""
        wide = self.form.panel if kind.adjacent else self.form.lanes
        return self.b.sdiv(self.b.add(self.hidden, const(wide - 1)), const(wide))

    def mine(self, count: Any) -> Any:
        """The end of this thread's rows below a count."""
        return self.least(count, self.end)

    def done(self, module: Any) -> str:
        self.b.ret(const(0))
        return str(module)


# --- biases -------------------------------------------------------------------------------------------------------
def bias(kind: Kind, form: Form, given: bool, name: str) -> str:
    """The biases of a panel's four sums, side by side; units are panels. Zeros where the layer has none."""
    module = ir.Module(name)
    k = Frame(module, name, form, BIAS_SLOTS)
    b, s, H = k.b, k.slots, k.hidden

    def panel(p: Any) -> None:
        for j in range(WIDTH):
            target = k.at(s["target"], b.add(b.mul(p, const(form.panel)), const(j * form.lanes)))
            unit = b.mul(p, const(form.panel if kind.adjacent else form.lanes))
            if kind.adjacent:
                unit = b.add(unit, const(j * form.lanes))
            total = k.zero()
            for vector, segment in (("b_ih", kind.x), ("b_hh", kind.h)) if given else ():
                if j in segment:
                    gate = 0 if kind.adjacent else segment.index(j)
                    source = k.at(k.at(s[vector], b.mul(H, const(gate))), unit)
                    total = b.fadd(total, k.load(source, k.first(b.sub(H, unit))))
            k.store(total, target)
    k.loop(k.begin, k.end, 1, panel)
    return k.done(module)


# --- forward ------------------------------------------------------------------------------------------------------
def sums_of_rows(kind: Kind, form: Form, name: str) -> str:
    """What x adds to the sums of all panels, for each row of a table; units are its rows."""
    module = ir.Module(name)
    parts = tiles(module, form, segments=(kind.x,))
    k = Frame(module, name, form, TABLE_SLOTS)
    b, s = k.b, k.slots
    panels = k.panels(kind)
    width = b.mul(panels, const(form.panel))

    def panel(p: Any) -> None:
        by_x = k.at(s["w_ih"], b.mul(p, b.mul(s["inputs"], const(len(kind.x) * form.lanes))))
        sums = k.at(s["sums"], b.mul(p, const(form.panel)))

        def block(n: Any, height: int) -> None:
            target = k.row(sums, n, width)
            b.call(parts[height], [target, width, by_x, k.row(s["x"], n, s["stride"]), s["stride"], s["inputs"]])
            for r in range(height):
                for j in set(range(WIDTH)) - set(kind.x):
                    k.store(k.zero(), k.at(k.row(target, const(r), width), j * form.lanes))
        k.by_tiles(k.begin, k.end, block)
    k.loop(const(0), panels, 1, panel)
    return k.done(module)


def forward(kind: Kind, form: Form, keep: bool, rows: bool, name: str) -> str:
    """All steps of a layer. Without ``keep`` nothing is saved for the backward pass. With ``rows`` x is rows of a table, whose
    part of the sums is there already: sums begin with it, and every bit is as it would be without."""
    module = ir.Module(name)
    parts = tiles(module, form, segments=(kind.h,), add=True) if rows else tiles(module, form, segments=(kind.x, kind.h))
    k = Frame(module, name, form, ROWS_SLOTS if rows else FORWARD_SLOTS)
    b, s, H = k.b, k.slots, k.hidden
    out = k.array(max(form.rows) * WIDTH)
    half = b.mul(s["batch"], H)  # elements of one of the two state buffers
    wide = form.panel if kind.adjacent else form.lanes

    def step(t: Any) -> None:
        count = k.mine(k.active(t))
        parity = b.and_(t, const(1))
        old = k.at(s["state"], b.mul(half, parity))
        new = k.at(s["state"], b.mul(half, b.xor(parity, const(1))))

        def join(n: Any) -> None:  # a sequence starts here
            k.copy(k.row(s["h0"], n, H), k.row(old, n, H), H)
            if kind.name == "lstm":
                k.copy(k.row(s["c0"], n, H), k.row(s["c"], n, H), H)
        k.loop(k.most(k.active(t, -1), k.begin), count, 1, join)
        first, y_start = k.word(s["first_row"], t), k.word(s["y_start"], t)
        x_start = None if rows else k.word(s["x_start"], t)

        def panel(p: Any) -> None:
            by_h = k.at(s["w_hh"], b.mul(p, b.mul(H, const(len(kind.h) * form.lanes))))
            bias = k.at(s["bias"], b.mul(p, const(form.panel)))
            unit = b.mul(p, const(wide))

            def given(n: Any, height: int) -> list[Any]:
                """What the tile takes of x; rows of a table are where the sums begin."""
                if not rows:
                    by_x = k.at(s["w_ih"], b.mul(p, b.mul(s["inputs"], const(len(kind.x) * form.lanes))))
                    return [by_x, k.at(s["x"], b.add(x_start, b.mul(n, s["x_stride"]))), s["x_stride"], s["inputs"]]
                for r in range(height):
                    source = k.at(s["x"], b.add(k.word(s["places"], b.add(b.add(first, n), const(r))), b.mul(p, const(form.panel))))
                    for j in range(WIDTH):
                        k.store(k.load(k.at(source, j * form.lanes)), k.at(out, r * form.panel + j * form.lanes))
                return []

            def block(n: Any, height: int) -> None:
                b.call(parts[height], [out, const(form.panel), *given(n, height), by_h, k.row(old, n, H), H, H])
                k.loop(const(0), const(height), 1, lambda r: k_row(b.add(n, r), k.at(out, b.mul(r, const(form.panel)))))

            def k_row(n: Any, sums: Any) -> None:
                y = k.at(s["y"], b.add(y_start, b.mul(n, s["y_stride"])))
                where = Row(k, kind, sums, bias, unit, n, b.add(first, n), old, new, y, keep)
                CELLS[kind.name](where)
            k.by_tiles(k.begin, count, block)
        k.loop(const(0), k.panels(kind), 1, panel)

        def leave(n: Any) -> None:  # a sequence ends here
            k.copy(k.row(new, n, H), k.row(s["h"], n, H), H)
        k.loop(k.most(k.active(t, 1), k.begin), count, 1, leave)
    k.loop(const(0), s["steps"], 1, step)
    return k.done(module)


class Row:
    """One row of one panel: its sums with the bias, and where its results go."""

    def __init__(self, k: Frame, kind: Kind, sums: Any, bias: Any, unit: Any, n: Any, row: Any, old: Any, new: Any, y: Any,
                 keep: bool):
        self.k, self.kind, self.sums, self.bias, self.unit, self.n, self.at_row = k, kind, sums, bias, unit, n, row
        self.old, self.new, self.y, self.keep = old, new, y, keep
        self.left = k.b.sub(k.hidden, unit)  # units from here on

    def sum(self, i: int) -> Any:
        k = self.k
        lanes = k.form.lanes
        return k.b.fadd(k.load(k.at(self.sums, i * lanes)), k.load(k.at(self.bias, i * lanes)))

    def units(self, body: Callable[[Any], None]) -> None:
        """body(mask) with no mask where the vector is whole."""
        k = self.k
        with k.b.if_else(k.b.icmp_signed(">=", self.left, const(k.form.lanes))) as (whole, part):
            with whole:
                body(None)
            with part:
                body(k.first(self.left))

    def place(self, base: Any, row: Any, column: int = 0, width: int = 1) -> Any:
        """The address of this row's units in a matrix of `width` times H columns, from a multiple of H on."""
        k = self.k
        at = k.row(base, row, k.b.mul(k.hidden, const(width)))
        return k.at(k.at(at, k.b.mul(k.hidden, const(column))), self.unit)

    def give(self, h: Any, mask: Any) -> None:
        self.k.store(h, self.place(self.new, self.n), mask)
        self.k.store(h, self.k.at(self.y, self.unit), mask)

    def save(self, values: tuple[Any, ...], mask: Any) -> None:
        if self.keep:
            for i, value in enumerate(values):
                self.k.store(value, self.place(self.k.slots["gates"], self.at_row, i, self.kind.saved), mask)


def _lstm(r: Row) -> None:
    k, b = r.k, r.k.b
    i, f, o = (k.f("sigmoid", r.sum(j)) for j in (0, 1, 3))
    g = k.f("quick_tanh", r.sum(2))

    def finish(mask: Any) -> None:
        at = r.place(k.slots["c"], r.n)
        c = k.fma(f, k.load(at, mask), b.fmul(i, g))
        k.store(c, at, mask)
        r.give(b.fmul(o, k.f("quick_tanh", c)), mask)
        r.save((i, f, g, o), mask)
        if r.keep:
            k.store(c, r.place(k.slots["cells"], r.at_row), mask)
    r.units(finish)


def _gru(r: Row) -> None:
    k, b = r.k, r.k.b
    reset, z, hidden = k.f("sigmoid", r.sum(0)), k.f("sigmoid", r.sum(1)), r.sum(3)
    n = k.f("quick_tanh", k.fma(reset, hidden, r.sum(2)))

    def finish(mask: Any) -> None:
        h = k.load(r.place(r.old, r.n), mask)
        r.give(k.fma(z, b.fsub(h, n), n), mask)
        r.save((reset, z, n, hidden), mask)
    r.units(finish)


def _rnn(r: Row) -> None:
    k = r.k
    lanes = k.form.lanes
    for j in range(WIDTH):
        pre = r.sum(j)
        h = k.f("quick_tanh", pre) if r.kind.name == "rnn_tanh" else k.b.select(k.b.fcmp_unordered(">", pre, k.zero()), pre, k.zero())
        with k.b.if_then(k.b.icmp_signed(">", r.left, const(0))):
            r.units(lambda mask, h=h: r.give(h, mask))
        r.unit, r.left = k.b.add(r.unit, const(lanes)), k.b.sub(r.left, const(lanes))


CELLS: dict[str, Callable[[Row], None]] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn, "rnn_relu": _rnn}


# --- backward -----------------------------------------------------------------------------------------------------
def backward(kind: Kind, form: Form, name: str) -> str:
    """The gradients of all gates (a row per step and sequence) and of the initial states, from those of all results."""
    module = ir.Module(name)
    wide = kind.saved or 1  # columns of gradients, in units of H
    segments: tuple[Segment, ...] = ((0, 1, 2, 3), (0, 1, 2, 3)) if kind.name == "gru" else ((0, 1, 2, 3),)
    parts = tiles(module, form, segments=segments)
    k = Frame(module, name, form, BACKWARD_SLOTS)
    b, s, H = k.b, k.slots, k.hidden
    out = k.array(max(form.rows) * WIDTH)
    width = b.mul(H, const(wide))
    depth = b.mul(H, const(kind.gates))
    block_size = b.mul(depth, const(form.panel))

    def start(n: Any) -> None:  # what the gradients of the last states are is where the way back begins
        for gradient in ("dh", "dc") if kind.name == "lstm" else ("dh",):
            k.copy(k.row(s[f"{gradient}_last"], n, H), k.row(s[gradient], n, H), H)
    k.loop(k.begin, k.end, 1, start)

    def step(back: Any) -> None:
        t = b.sub(b.sub(s["steps"], const(1)), back)
        count = k.mine(k.active(t))
        first, y_start = k.word(s["first_row"], t), k.word(s["y_start"], t)
        before = k.active(t, -1)  # rows that had a step before this one
        previous = k.word(s["first_row"], k.most(b.sub(t, const(1)), const(0)))

        def gates(n: Any) -> None:
            row = b.add(first, n)
            had = b.icmp_signed("<", n, before)
            where = Back(k, kind, n, row, k.row(s["dgates"], row, width), had, b.add(previous, n),
                         k.at(s["dy"], b.add(y_start, b.mul(n, s["y_stride"]))))
            k.vectors(const(0), H, lambda v, mask: SLOPES[kind.name](where, v, mask))
        k.loop(k.begin, count, 1, gates)

        def panel(p: Any) -> None:
            column = b.mul(p, const(form.panel))
            weights = k.at(s["weights"], b.mul(p, block_size))

            def block(n: Any, height: int) -> None:
                a = k.row(s["dgates"], b.add(first, n), width)
                both = b.mul(H, const(2))
                rest = []
                if kind.name == "gru":  # r and z, then the hidden part of n
                    rest = [k.at(weights, b.mul(both, const(form.panel))), k.at(a, b.mul(H, const(3))), width, H]
                b.call(parts[height], [out, const(form.panel), weights, a, width, both if rest else depth, *rest])

                def row(r: Any) -> None:
                    source = k.at(out, b.mul(r, const(form.panel)))
                    target = k.at(k.row(s["dh"], b.add(n, r), H), column)

                    def part(v: Any, mask: Any) -> None:
                        value = k.load(k.at(source, v))
                        place = k.at(target, v)
                        if kind.name == "gru":
                            value = b.fadd(value, k.load(place, mask))
                        k.store(value, place, mask)
                    k.vectors(const(0), k.least(b.sub(H, column), const(form.panel)), part)
                k.loop(const(0), const(height), 1, row)
            k.by_tiles(k.begin, count, block)
        k.loop(const(0), b.sdiv(b.add(H, const(form.panel - 1)), const(form.panel)), 1, panel)
    k.loop(const(0), s["steps"], 1, step)
    return k.done(module)


class Back:
    """One row of one step of the backward pass."""

    def __init__(self, k: Frame, kind: Kind, n: Any, row: Any, dgates: Any, had: Any, previous: Any, dy: Any):
        self.k, self.kind, self.row, self.dgates, self.dy = k, kind, row, dgates, dy
        s, H = k.slots, k.hidden
        self.dh, self.dc = k.row(s["dh"], n, H), k.row(s["dc"], n, H)
        self.gates = k.row(s["gates"], row, k.b.mul(H, const(kind.saved)))
        self.cells, self.y = k.row(s["cells"], row, H), k.row(s["y"], row, H)
        # the state before this step: of the step before, or the initial one
        self.before = {"cells": k.b.select(had, k.row(s["cells"], previous, H), k.row(s["c0"], n, H)),
                       "y": k.b.select(had, k.row(s["y"], previous, H), k.row(s["h0"], n, H))}

    def gate(self, i: int, v: Any, mask: Any) -> Any:
        return self.k.load(self.k.at(self.k.at(self.gates, self.k.b.mul(self.k.hidden, const(i))), v), mask)

    def give(self, values: tuple[Any, ...], v: Any, mask: Any) -> None:
        for i, value in enumerate(values):
            self.k.store(value, self.k.at(self.k.at(self.dgates, self.k.b.mul(self.k.hidden, const(i))), v), mask)

    def total(self, v: Any, mask: Any) -> Any:
        """The gradient of this step's h: from its result and from the step after."""
        return self.k.b.fadd(self.k.load(self.k.at(self.dy, v), mask), self.k.load(self.k.at(self.dh, v), mask))


def _sigmoid_slope(k: Frame, g: Any, s: Any) -> Any:
    """g·s·(1 - s)."""
    return k.b.fmul(k.b.fmul(g, s), k.b.fsub(k.real(1.0), s))


def _tanh_slope(k: Frame, g: Any, t: Any) -> Any:
    """g·(1 - t²)."""
    return k.b.fmul(g, k.fma(k.b.fneg(t), t, k.real(1.0)))


def _lstm_slope(r: Back, v: Any, mask: Any) -> None:
    k, b = r.k, r.k.b
    i, f, g, o = (r.gate(j, v, mask) for j in range(4))
    t = k.f("quick_tanh", k.load(k.at(r.cells, v), mask))
    dh, place = r.total(v, mask), k.at(r.dc, v)
    dc = b.fadd(k.load(place, mask), _tanh_slope(k, b.fmul(dh, o), t))
    before = k.load(k.at(r.before["cells"], v), mask)
    k.store(b.fmul(dc, f), place, mask)
    r.give((_sigmoid_slope(k, b.fmul(dc, g), i), _sigmoid_slope(k, b.fmul(dc, before), f), _tanh_slope(k, b.fmul(dc, i), g),
            _sigmoid_slope(k, b.fmul(dh, t), o)), v, mask)


def _gru_slope(r: Back, v: Any, mask: Any) -> None:
    k, b = r.k, r.k.b
    reset, z, n, hidden = (r.gate(j, v, mask) for j in range(4))
    dh = r.total(v, mask)
    before = k.load(k.at(r.before["y"], v), mask)
    dn = _tanh_slope(k, b.fmul(dh, b.fsub(k.real(1.0), z)), n)
    k.store(b.fmul(dh, z), k.at(r.dh, v), mask)
    r.give((_sigmoid_slope(k, b.fmul(dn, hidden), reset), _sigmoid_slope(k, b.fmul(dh, b.fsub(before, n)), z), dn, b.fmul(dn, reset)), v, mask)


def _rnn_slope(r: Back, v: Any, mask: Any) -> None:
    k = r.k
    y, dh = k.load(k.at(r.y, v), mask), r.total(v, mask)
    r.give((_tanh_slope(k, dh, y) if r.kind.name == "rnn_tanh" else k.b.select(k.b.fcmp_ordered(">", y, k.zero()), dh, k.zero()),), v, mask)


SLOPES: dict[str, Callable[[Back, Any, Any], None]] = {"lstm": _lstm_slope, "gru": _gru_slope, "rnn_tanh": _rnn_slope, "rnn_relu": _rnn_slope}
