"""Values made of parts: concatenations, gradients of views and sums of such gradients are put together by one kernel.

The gradients of ``q, k, v = x.unbind()`` are three views of one memory; written as what they are, that is three times zeros
with a part filled in, and two sums. As nothing meets, every part goes to its place and only the rest is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod

from rushlight.exec.cpu import parts_kernel as kernel
from rushlight.exec.cpu.boxes import Box, box_of, covering, grid_of, turned
from rushlight.exec.cpu.steps import Address, KernelStep, Table
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides, spec
from rushlight.ops.table import Op

# xs[i] at views[i] of memory of as many elements as `shape` has, zeros elsewhere. `copied` is the view of it that becomes the
# result, None for all as it lies. ``summed``: the parts are summands, so that -0.0 becomes 0.0 as in a sum with zeros.
PARTS = Op("parts", "move", "*xs", lambda *given: ((given[0].dtype, given[-4]),), attrs="shape views copied summed",
           differentiable=False)
NAMES = ("cat", "unview")
MOST_PARTS = 32


def join(program: Program) -> Program:
    """Concatenations, and sums of gradients of views with the copies that follow them, as one operation each."""
    return _Joining(program).run()


class _Joining:
    """The pass: what is read once and only by the next sum or copy disappears in it."""

    def __init__(self, program: Program):
        self.p = program
        self.reads: dict[int, int] = dict.fromkeys(program.outputs, 2)
        for instr in program.instrs:
            for o in instr.operands:
                self.reads[o.value] = self.reads.get(o.value, 0) + 1
        self.made: dict[int, Instr] = {}  # by result: what was rewritten
        self.taken: list[int] = []  # what the instruction at hand takes in

    def run(self) -> Program:
        rules = {"unview": self._unview, "cat": self._cat, "add": self._add, "copy": self._copy}
        instrs: list[Instr | None] = []
        place: dict[int, int] = {}
        for instr in self.p.instrs:
            rule, self.taken = rules.get(instr.op.name), []
            new = rule(instr) if rule is not None else None
            if new is not None and plan(new) is not None:
                for value in self.taken:
                    instrs[place[value]] = None
                self.made[new.results[0]] = instr = new
                place[new.results[0]] = len(instrs)
            instrs.append(instr)
        return Program(self.p.inputs, [i for i in instrs if i is not None], self.p.outputs, self.p.donated, self.p.values)

    def _unview(self, instr: Instr) -> Instr:
        size, view = instr.attrs
        return _parts(instr, instr.operands, (size,), (view,))

    def _cat(self, instr: Instr) -> Instr | None:
        out, dim = instr.outs[0], instr.attrs[0]
        operands = tuple([o for o in instr.operands if o.spec.numel])  # empty ones of any rank are allowed
        if not out.shape or any(len(o.spec.shape) != len(out.shape) or o.spec.dtype is not out.dtype for o in operands):
            return None
        whole, at, views = spec(out.dtype, out.shape), 0, []
        for o in operands:
            views.append(whole.narrow(dim, at, o.spec.shape[dim]))
            at += o.spec.shape[dim]
        return _parts(instr, operands, out.shape, tuple(views))

    def _add(self, instr: Instr) -> Instr | None:
        a, b = [self._summand(o) for o in instr.operands]
        if a is None or b is None or instr.outs[0].dtype.kind == "c":
            return None
        return _parts(instr, a.operands + b.operands, instr.outs[0].shape, a.attrs[1] + b.attrs[1], summed=instr.outs[0].dtype.kind == "f")

    def _summand(self, o: Operand) -> Instr | None:
        """The parts that a summand is made of, as it lies."""
        found = self._alone(o)
        return found if found is not None and o.spec.plain and found.attrs[2] is None else None

    def _alone(self, o: Operand) -> Instr | None:
        """The parts that all of a value is made of, which is taken in if nothing else reads it."""
        found = self.made.get(o.value)
        whole = found is not None and isinstance(o.spec, Spec) and o.spec.numel == found.outs[0].numel and o.spec.dtype is found.outs[0].dtype
        if not whole or self.reads[o.value] != 1:
            return None
        self.taken.append(o.value)
        return found

    def _copy(self, instr: Instr) -> Instr | None:
        o = instr.operands[0]
        found = self._alone(o)
        if found is None or found.attrs[2] is not None or not instr.outs[0].plain:
            return None
        return _parts(instr, found.operands, instr.outs[0].shape, found.attrs[1], o.spec, found.attrs[3])


def _parts(instr: Instr, operands: tuple[Operand, ...], shape: tuple[int, ...], views: tuple[Spec, ...], copied: Spec | None = None,
           summed: bool = False) -> Instr:
    """The instruction as parts."""
    return Instr(PARTS, operands, (shape, views, copied, summed), instr.results, instr.outs, instr.line)


def plan(instr: Instr) -> tuple[list[Box], tuple[int, ...]] | None:
    """The boxes of an instruction and the strides of their grid in the result; None where the kernel has no code for it."""
    shape, views, copied, _ = instr.attrs
    out, reads = instr.outs[0], tuple([o.spec for o in instr.operands])
    if out.dtype.itemsize not in kernel.SIZES or not 0 < len(reads) <= MOST_PARTS or not out.numel:
        return None
    if any(s.dtype is not out.dtype or s.numel == 0 for s in reads):
        return None
    return _plan(prod(shape), views, copied, reads)


@lru_cache(1024)
def _plan(total: int, views: tuple[Spec, ...], copied: Spec | None, reads: tuple[Spec, ...]) -> tuple[list[Box], tuple[int, ...]] | None:
    steps = [s for v in (*views, *([copied] if copied is not None else [])) for n, s in zip(v.shape, v.strides) if n > 1]
    grid = grid_of(total, steps)
    if grid is None:
        return None
    boxes = [box_of(grid, view, i, read) for i, (view, read) in enumerate(zip(views, reads))]
    target = contiguous_strides(grid.shape) if copied is None else turned(grid, copied)
    if target is None or any(b is None for b in boxes):
        return None
    found = covering(grid, [b for b in boxes if b is not None])
    if found is None or any(_runs(target, b) is None for b in found):
        return None
    return found, target


Run = tuple[int, int, int]  # a dimension: its size, and what a step takes in the result and in the source


def _runs(target: tuple[int, ...], box: Box) -> list[Run] | None:
    """The dimensions of a box, the innermost of the result first, merged where both memories run on evenly; None for
    too many."""
    dims = sorted([(to, n, step) for n, to, step in zip(box.size, target, box.steps) if n > 1])
    runs: list[Run] = []
    for to, n, step in dims:
        if runs and to == runs[-1][0] * runs[-1][1] and step == runs[-1][0] * runs[-1][2]:
            runs[-1] = (runs[-1][0] * n, *runs[-1][1:])
        else:
            runs.append((n, to, step))
    runs = runs or [(1, 1, 1)]
    return runs if len(runs) <= kernel.RANK + 1 else None


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of an instruction that is made of parts."""
    if instr.op is not PARTS:
        return None
    found = plan(instr)
    assert found is not None
    boxes, target = found
    table: list[int] = []
    first = 0
    for box in boxes:
        runs = _runs(target, box)
        assert runs is not None
        start = sum(a * to for a, to in zip(box.low, target))
        for runs, more in _cut(runs):
            first += _row(table, box, runs, first, start + more * runs[0][1], box.offset + more * runs[0][2])
    size = instr.outs[0].dtype.itemsize
    summed = bool(instr.attrs[3])
    slots: list[int | Address | Table] = [0, Address(instr.results[0]), len(table) // kernel.ENTRY, Table.of(table),
                                          *[Address(o.value) for o in instr.operands]]
    return [KernelStep(f"parts {size} {summed}", partial(kernel.parts, size, summed), slots, first, instr.outs[0].numel,
                       {o.value for o in instr.operands}, set(instr.results), title=f"parts {list(instr.outs[0].shape)}")]


def _cut(runs: list[Run]) -> list[tuple[list[Run], int]]:
    """A box in boxes whose rows are short enough to share them, and where each begins in the innermost dimension."""
    (n, to, step), outer = runs[0], runs[1:]
    whole = n // kernel.LONG
    if whole < 2 or len(outer) == kernel.RANK:
        return [(runs, 0)]
    rest = n - whole * kernel.LONG
    row = (kernel.LONG, to, step)
    found = [([row, (whole, to * kernel.LONG, step * kernel.LONG), *outer], 0)]
    return [*found, ([(rest, to, step), *outer], whole * kernel.LONG)] if rest else found


def _row(table: list[int], box: Box, runs: list[Run], first: int, start: int, offset: int) -> int:
    """Append the entry of a box to the kernel's table; the number of its rows."""
    (n, to, step), outer = runs[0], runs[1:]
    rows = prod(r[0] for r in outer)
    zeros = box.source is None
    even = to == 1 and (zeros or step == 1)
    table += [first, rows, -1 if box.source is None else box.source, start, 0 if zeros else offset, n, to, step, int(even)]
    for d in range(kernel.RANK):
        table += outer[d] if d < len(outer) else (1, 0, 0)
    return rows
