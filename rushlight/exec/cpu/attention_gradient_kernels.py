"""The gradients of attention as a kernel: a unit is one head of keys, with all heads of queries that read it.

For a block of queries at a time: the weights again, their gradients, and from these the product that gives dq and, added up over the
blocks, those that give dk and dv. Formulas: rushlight/exec/numpy/attention.py.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.attention_kernels import MASK, SIZES, Frame
from rushlight.exec.cpu.tiles import WIDTH, Form, const, tiles

BACKWARD_SLOTS = (*SIZES, "*q", "q_start", "q_row", "*k", "k_start", "k_row", "*v", "v_start", "v_row", "*norms", *MASK,
                  "*dy", "dy_start", "dy_row", "*dq", "dq_start", "dq_row", "*dk", "dk_start", "dk_row", "*dv", "dv_start", "dv_row",
                  "*scratch", "scratch_size", "keys", "values", "key_rows", "queries", "grads", "scores", "slopes", "key_sums", "value_sums")
BLOCK = 48  # queries of a block on the way back


def backward(form: Form, masked: bool, causal: bool, name: str) -> str:
    """The gradients of q, k and v."""
    module = ir.Module(name)
    kernel = Backward(module, name, form, masked, causal)
    kernel.loop(kernel.function.args[1], kernel.function.args[2], 1, kernel.unit)
    return kernel.done(module)


class Backward(Frame):
    """The parts of the kernel, from the outermost loop to the innermost."""

    def __init__(self, module: Any, name: str, form: Form, masked: bool, causal: bool):
        self.parts, self.sums = tiles(module, form), tiles(module, form, "sum", columns=True, add=True)
        super().__init__(module, name, form, BACKWARD_SLOTS, masked, causal)
        self.panel = const(form.panel)
        self.out = self.array(max(form.rows) * WIDTH)

    def rounded(self, n: Any) -> Any:
        """n in whole vectors."""
        lanes = const(self.form.lanes)
        return self.b.mul(self.b.sdiv(self.b.add(n, const(self.form.lanes - 1)), lanes), lanes)

    def unit(self, m: Any) -> None:
        """All heads of queries of one head of keys."""
        b, s = self.b, self.slots
        reader = b.mul(m, s["groups"])  # units of q, dy, … count heads of queries
        (keys, k_row), (values, v_row) = self.matrix("k", reader), self.matrix("v", reader)
        self.pack_transposed(keys, k_row, s["keys"], s["D"])
        self.pack_transposed(values, v_row, s["values"], s["E"])
        self.pack_rows(keys, k_row, s["S"], s["D"], s["key_rows"])
        for acc, width in (("key_sums", "D"), ("value_sums", "E")):
            size = b.mul(b.mul(self.panels(s[width]), self.panel), s["S"])
            self.loop(const(0), size, self.form.lanes, lambda v, acc=acc: self.store(self.zero(), self.at(s[acc], v)))

        def head(g: Any) -> None:
            u = b.add(reader, g)
            blocks = b.sdiv(b.add(s["T"], const(BLOCK - 1)), const(BLOCK))
            self.loop(const(0), blocks, 1, lambda i: self.block(u, b.mul(i, const(BLOCK))))
        self.loop(const(0), s["groups"], 1, head)
        self.finish("dk", "key_sums", "D", m)
        self.finish("dv", "value_sums", "E", m)

    def finish(self, name: str, acc: str, width: str, m: Any) -> None:
        """A unit's sums go to where its gradient lies."""
        b, s = self.b, self.slots
        target, row = self.matrix(name, m)

        def write(p: Any) -> None:
            at = b.mul(p, self.panel)
            self.loop(const(0), s["S"], 1, lambda j: self.put(
                self.at(s[acc], b.add(b.mul(at, s["S"]), b.mul(j, self.panel))), self.at(target, b.add(b.mul(j, row), at)),
                b.sub(s[width], at)))
        self.loop(const(0), self.panels(s[width]), 1, write)

    def block(self, u: Any, start: Any) -> None:
        """A block of a unit's queries."""
        b, s = self.b, self.slots
        (q, q_row), (dy, dy_row), (dq, dq_row) = (self.matrix(n, u) for n in ("q", "dy", "dq"))
        count = self.least(b.sub(s["T"], start), const(BLOCK))
        most = self.sees(b.sub(b.add(start, count), const(1)))
        q, dy, dq = (self.at(x, b.mul(start, row)) for x, row in ((q, q_row), (dy, dy_row), (dq, dq_row)))
        self.pack_rows(q, q_row, count, s["D"], s["queries"])
        self.pack_rows(dy, dy_row, count, s["E"], s["grads"])

        def again(r: Any, height: int) -> None:
            self.products("scores", "keys", q, q_row, "D", r, height, most)
            self.products("slopes", "values", dy, dy_row, "E", r, height, most)
        self.by_tiles(const(0), count, again)
        self.loop(const(0), count, 1, lambda r: self.weights(u, b.add(start, r), r, most))
        self.by_tiles(const(0), count, lambda r, height: self.queries(dq, dq_row, r, height, most))
        self.sum_up("key_sums", "slopes", "queries", "D", count, most)
        self.sum_up("value_sums", "scores", "grads", "E", count, most)

    def products(self, target: str, source: str, a: Any, row: Any, depth: str, r: Any, height: int, most: Any) -> None:
        """Rows of a · sourceᵀ: scores of queries, or the slopes of their weights."""
        b, s = self.b, self.slots
        line, place = self.at(a, b.mul(r, row)), b.mul(r, s["wide"])
        size = b.mul(self.rounded(s[depth]), self.panel)
        self.loop(const(0), self.panels(most), 1, lambda p: self.call(
            self.parts[height], self.at(s[target], b.add(place, b.mul(p, self.panel))), s["wide"], self.at(s[source], b.mul(p, size)),
            line, row, s[depth]))

    def weights(self, u: Any, query: Any, r: Any, most: Any) -> None:
        """A query's weights in place of its scores, and the slopes of its scores in place of those of its weights."""
        b, s = self.b, self.slots
        row, slope = (self.at(s[n], b.mul(r, s["wide"])) for n in ("scores", "slopes"))
        count = self.sees(query)
        product = self.variable(self.form.vector, self.zero())
        highest, factor = (self.splat(b.load(self.at(self.norms(u, query), const(i)), typ=self.form.real)) for i in range(2))

        def weigh(v: Any, x: Any, mask: Any) -> None:
            weight = b.fmul(self.exp(b.fsub(x, highest)), factor)
            self.store(weight, self.at(row, v))
            term = b.fmul(weight, self.load(self.at(slope, v)))
            b.store(b.fadd(self.value(product), term if mask is None else b.select(mask, term, self.zero())), product)

        def part(v: Any, mask: Any) -> None:
            change = b.fmul(self.load(self.at(row, v)), b.fsub(self.load(self.at(slope, v)), delta))
            self.store(b.fmul(change, self.scale), self.at(slope, v))
        self.scores(row, u, query, count, weigh)
        delta = self.fold(self.value(product), b.fadd)  # from the very slopes that it is taken off: equal terms leave zero
        self.vectors(const(0), count, part)
        self.clear(row, count, most)
        self.clear(slope, count, most)

    def queries(self, dq: Any, dq_row: Any, r: Any, height: int, most: Any) -> None:
        """Rows of dq."""
        b, s = self.b, self.slots

        def features(p: Any) -> None:
            at = b.mul(p, self.panel)
            self.call(self.parts[height], self.out, self.form.panel, self.at(s["key_rows"], b.mul(at, s["S"])),
                      self.at(s["slopes"], b.mul(r, s["wide"])), s["wide"], most)
            self.loop(const(0), const(height), 1, lambda i: self.put(
                self.at(self.out, b.mul(i, self.panel)), self.at(dq, b.add(b.mul(b.add(r, i), dq_row), at)), b.sub(s["D"], at)))
        self.loop(const(0), self.panels(s["D"]), 1, features)

    def sum_up(self, acc: str, a: str, rows: str, width: str, count: Any, most: Any) -> None:
        """What a block adds to the sums of dk or dv."""
        b, s = self.b, self.slots

        def features(p: Any) -> None:
            at = b.mul(p, self.panel)
            packed, target = self.at(s[rows], b.mul(at, count)), self.at(s[acc], b.mul(at, s["S"]))
            self.by_tiles(const(0), most, lambda j, height: self.call(
                self.sums[height], self.at(target, b.mul(j, self.panel)), self.form.panel, packed, self.at(s[a], j), s["wide"], count))
        self.loop(const(0), self.panels(s[width]), 1, features)
