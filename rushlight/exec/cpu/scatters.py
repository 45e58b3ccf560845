"""Numbers written or added at places that indices name (`scatter`, `scatter_add`, `index_put`, gradients of embeddings), in memory that
holds the rest already.

`prepare` puts checks of indices before them, and a copy before each that may not have the memory of what it changes; the plan lets
the copy make the very memory of the result. Places that other threads share are no matter: a unit of work owns all that it adds to, and adds in the order
of the index, so that the bits are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

from rushlight.exec.cpu.gathers import AXES as PLACES
from rushlight.exec.cpu.gathers import CUT, RANK, Dim, Index, Places, Reader, address, along, at_lists, check_of, kind_of, merged, read_by
from rushlight.exec.cpu.groups import generated
from rushlight.exec.cpu.instructions import Writer
from rushlight.exec.cpu.parts_kernel import SIZES
from rushlight.exec.cpu.scalars import FORMS
from rushlight.exec.cpu.steps import Address, Check, KernelStep
from rushlight.exec.cpu.tiles import REALS, Form, const
from rushlight.ir.dtype import int64
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec
from rushlight.ops.table import Op

AXES = ("p", "q", "s", "t", "l")  # own dimensions, where other places are other places in the result, two shared ones, and an own one
ADDED = frozenset(("float32", "float64", "int64", "int32", "int16", "int8", "uint8"))
LINE = 64  # elements of a last dimension that a unit has at least
OWN = ("p", "q", "l")
UNITS = 8  # pieces of a last dimension, where there are no other units


class Scatter(NamedTuple):
    """What is written where: the loops by their axes, whether it is added, the operation's name, and whether there is a copy to
    write to, which the result becomes."""

    places: Places
    loops: dict[str, Dim]
    adds: bool
    name: str
    copied: bool = True


# result = the memory of x, with what is given written at places; it comes after the checks of indices that stand behind those
WRITE_AT = Op("write at", "index", "x value *indices", lambda x, value, *rest: ((x.dtype, x.shape),), attrs="scatter", differentiable=False)
# fails where an index is out of range
CHECK = Op("check", "index", "index", lambda index, *_: ((int64, (1,)),), attrs="size wraps", differentiable=False)


def prepare(program: Program) -> tuple[Program, dict[int, int]]:
    """The program with scatters that kernels run as such, and the result of each by the copy whose memory it takes."""
    found = [_scatter(i) for i in program.instrs]
    if not any(found):
        return program, {}
    return _Preparation(program, found).run()


class _Preparation:
    """Indices are checked as soon as they are there: so what comes later cannot fail, and memory may be changed in place before it."""

    def __init__(self, program: Program, found: list[Scatter | None]) -> None:
        self.source, self.found = program, found
        self.out = Program(program.inputs, [], program.outputs, program.donated, program.values)
        self.made = {r: at for at, instr in enumerate(program.instrs) for r in instr.results}
        self.inside = {at for at, scatter in enumerate(found) if scatter is not None and self._may_have(at)}
        self.due: dict[int, dict[Check, Index]] = {}  # the checks after each instruction
        for at, scatter in enumerate(found):
            places = scatter.places if scatter is not None else read_by(program.instrs[at]) if self.inside else None
            if places is None:
                continue
            for index in places.indices:
                self.due.setdefault(self.made.get(index.operand.value, -1), {})[check_of(index, places.wraps)] = index
        self.checked: dict[Check, Operand] = {}
        self.taken: dict[int, int] = {}

    def run(self) -> tuple[Program, dict[int, int]]:
        self._check(-1)
        for at, (instr, scatter) in enumerate(zip(self.source.instrs, self.found)):
            if scatter is None:
                self.out.instrs.append(instr)
            else:
                self._write(at, instr, scatter)
            self._check(at)
        return self.out, self.taken

    def _check(self, at: int) -> None:
        for key, index in self.due.get(at, {}).items():
            if key not in self.checked:
                self.checked[key] = Writer(self.out, None)(CHECK, index.operand, attrs=(index.size, key[-1]))

    def _write(self, at: int, instr: Instr, scatter: Scatter) -> None:
        x, value, indices = _operands(instr)
        w = Writer(self.out, instr.line)
        if not isinstance(value.spec, Spec):
            value = w("full", value, attrs=((), instr.outs[0].dtype))
        if at in self.inside:
            scatter = scatter._replace(copied=False)
            checks = [*self.checked.values()]
        else:
            x = w("full", w.number(0.0), attrs=(instr.outs[0].shape, instr.outs[0].dtype)) if x is None else w("copy", x)
            self.taken[x.value] = instr.results[0]
            checks = [self.checked[check_of(i, scatter.places.wraps)] for i in scatter.places.indices]
        assert x is not None
        self.out.instrs.append(Instr(WRITE_AT, (x, value, *indices, *checks), (scatter,), instr.results, instr.outs, instr.line))

    def _may_have(self, at: int) -> bool:
        """Whether a scatter may change an input's memory: whoever else reads that has done so, and nothing that comes later can fail."""
        x, *_ = _operands(self.source.instrs[at])
        program = self.source
        if x is None or x.value not in program.donated or x.value in program.outputs or not x.spec.plain \
                or x.spec.numel != program.inputs[x.value].numel:
            return False
        readers = [j for j, i in enumerate(program.instrs) for o in i.operands if o.value == x.value]
        return readers[-1] == at and readers.count(at) == 1 and not any([generated(program.instrs[j]) for j in readers]) \
            and not any([self._may_fail(j, at) for j in range(at + 1, len(program.instrs))])

    def _may_fail(self, later: int, at: int) -> bool:
        """Whether an instruction fails where what it checks is not known when an earlier one runs."""
        instr = self.source.instrs[later]
        if instr.op.kind not in ("index", "library", "coarse"):
            return False
        scatter = self.found[later]
        places = scatter.places if scatter is not None else read_by(instr)
        return places is None or any([self.made.get(i.operand.value, -1) >= at for i in places.indices])


def _operands(instr: Instr) -> tuple[Operand | None, Operand, list[Operand]]:
    """What is changed, None for zeros, what is written, and the indices."""
    if instr.op.name == "embedding_grad":
        return None, instr.operands[0], [instr.operands[1]]
    if instr.op.name == "index_put":
        return instr.operands[0], instr.operands[1], list(instr.operands[2:])
    x, index, value = instr.operands
    return x, value, [index]


def _scatter(instr: Instr) -> Scatter | None:
    """How kernels run an instruction, None where NumPy has to."""
    rule = SCATTERS.get(instr.op.name)
    if rule is None:
        return None
    _, value, indices = _operands(instr)
    out = instr.outs[0]
    if not out.shape or not out.numel or not all([not isinstance(o.spec, Spec) or o.spec.numel for o in (value, *indices)]):
        return None
    places, adds = rule(instr, out)
    if out.dtype.name not in (ADDED if adds else FORMS) or kind_of(places) is None or any([len(_own_dims(i)) > RANK for i in places.indices]):
        return None
    loops = _loops(places, value)
    return None if loops is None else Scatter(places, loops, adds, instr.op.name)


SCATTERS: dict[str, Callable[[Instr, Spec], tuple[Places, bool]]] = {
    "scatter": lambda i, out: (along(out, i.operands[1], i.attrs[0]), False),
    "scatter_add": lambda i, out: (along(out, i.operands[1], i.attrs[0]), True),
    "embedding_grad": lambda i, out: (at_lists(out, i.operands[1:], (0,))._replace(wraps=False), True),
    "index_put": lambda i, out: (at_lists(out, i.operands[2:], i.attrs[0]), bool(i.attrs[1])),
}


def _loops(places: Places, value: Operand) -> dict[str, Dim] | None:
    """The loops, with the steps in the result, in what is written and in each index; None where they are too many."""
    shape = tuple([d.size for d in places.dims])
    steps: tuple[int, ...] = (0,) * len(shape)
    if isinstance(value.spec, Spec):
        view = value.spec if len(value.spec.shape) != len(shape) or places.wraps else value.spec.at(shape, value.spec.strides)
        wider = view.expand(shape)
        if wider is None:
            return None
        steps = wider.strides
    dims = merged([Dim(n, (own, step, *rest)) for (n, (own, *rest)), step in zip(places.dims, steps)])
    own, shared = ([at for at, d in enumerate(dims) if bool(d.steps[0]) is kind] for kind in (True, False))
    last = own.pop() if own and (not shared or own[-1] > shared[-1] or len(own) == 3) else None
    if len(own) > 2 or len(shared) > 2:
        return None
    single = Dim(1, (0,) * (2 + len(places.indices)))
    chosen = [*[None] * (2 - len(own)), *own, *[None] * (2 - len(shared)), *shared, last]
    return {axis: single if at is None else dims[at] for axis, at in zip(AXES, chosen)}


def _own_dims(index: Index) -> list[Dim]:
    """The dimensions along which an index holds positions of its own."""
    s = index.operand.spec
    return merged([Dim(n, (stride,)) for n, stride in zip(s.shape, s.strides) if stride])


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step that checks an index, or the one that writes."""
    return [_check(instr)] if instr.op is CHECK else [_write(instr)] if instr.op is WRITE_AT else None


def _write(instr: Instr) -> KernelStep:
    scatter: Scatter = instr.attrs[0]
    x, value, *_ = instr.operands
    loops, out, kind = scatter.loops, instr.outs[0], kind_of(scatter.places)
    assert kind is not None
    width, (own, given, *places) = loops["l"]
    by_row = not any(places)
    lines = loops["p"].size * loops["q"].size
    chunk = width if lines >= UNITS else max(LINE, -(-width // UNITS))
    chunks = -(-width // chunk)
    slots: list[int | Address] = [0, Address(instr.results[0]), address(value), *[loops[axis].size for axis in "qst"], chunk, chunks, width,
                                  *[loops[axis].steps[0] for axis in OWN], *[loops[axis].steps[1] for axis in AXES]]
    for at, i in enumerate(scatter.places.indices, 2):
        slots += [address(i.operand), i.size, i.step, *[loops[axis].steps[at] for axis in AXES]]
    form = Form(out.dtype.name if out.dtype.name in REALS else SIZES[out.dtype.itemsize])
    way = "elements" if not by_row else "rows" if own == given == 1 else "strided rows"
    count, wraps, verb = len(scatter.places.indices), scatter.places.wraps, "add" if scatter.adds else "write"
    work = 2 * lines * loops["s"].size * loops["t"].size * width
    reads = {o.value for o in instr.operands[1:]} | {instr.results[0] if scatter.copied else x.value}
    return KernelStep(f"{verb} {form} at {count} {kind} {wraps} {way}", partial(write, form.dtype, kind, count, wraps, scatter.adds, way), slots,
                      lines * chunks, work, reads, set(instr.results), title=f"{scatter.name} {list(out.shape)}",
                      inside=None if scatter.copied else x.value)


def _check(instr: Instr) -> KernelStep:
    """A step that fails where an index is out of range; what it makes says only that it has run."""
    size, wraps = instr.attrs
    index = Index(instr.operands[0], size, 0)
    dims = [*[Dim(1, (0,))] * RANK, *_own_dims(index)][-RANK:]
    *outer, width = [d.size for d in dims]
    chunk = min(width, CUT)
    chunks = -(-width // chunk)
    s, kind = index.operand.spec, index.operand.spec.dtype.name
    slots: list[int | Address] = [0, *outer[1:], chunk, chunks, width, address(index.operand), size, 0, *[d.steps[0] for d in dims]]
    return KernelStep(f"check {kind} {wraps}", partial(check, kind, wraps), slots, outer[0] * chunks, prod(outer) * width, {index.operand.value},
                      set(instr.results), title=f"check of an index {list(s.shape)}", checks=frozenset({check_of(index, wraps)}))


# --- kernels ------------------------------------------------------------------------------------------------------
def check(kind: str, wraps: bool, name: str) -> str:
    """Whether all that an index holds are positions, as LLVM IR; units are pieces of the last dimension for each place in the first."""
    k = Reader(Form("int64"), kind, ("numbers", "nb", "nc", "chunk", "chunks", "width"), 1, PLACES, name)
    b, s = k.b, k.slots

    def unit(u: Any) -> None:
        a = b.udiv(u, s["chunks"])
        low = b.mul(b.urem(u, s["chunks"]), s["chunk"])
        high = k.least(b.add(low, s["chunk"]), s["width"])
        k.loop(const(0), s["nb"], 1, lambda i: k.loop(const(0), s["nc"], 1, lambda j: line({"a": a, "b": i, "c": j}, low, high)))

    def line(at: dict[str, Any], low: Any, high: Any) -> None:
        def one(i: Any) -> None:
            k.place([start], i, wraps)
        start = k.start(0, at)
        k.loop(low, high, 1, one)
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)


def write(dtype: str, kind: str, count: int, wraps: bool, adds: bool, way: str, name: str) -> str:
    """out[Σ index · step + the place of (p, q, l)] = value[p, q, s, t, l], or is increased by it, as LLVM IR; units are pieces of l for each
    p and q. An index that is none, since another thread has written to it after its check, is passed over."""
    names = ("numbers", "*out", "*value", "nq", "ns", "nt", "chunk", "chunks", "width", *[f"out_{axis}" for axis in OWN], *[f"value_{axis}" for axis in AXES])
    k = Reader(Form(dtype), kind, names, count, AXES, name)
    b, s = k.b, k.slots
    plus = b.fadd if dtype in REALS else b.add

    def unit(u: Any) -> None:
        row = b.udiv(u, s["chunks"])
        own = {"p": b.udiv(row, s["nq"]), "q": b.urem(row, s["nq"])}
        low = b.mul(b.urem(u, s["chunks"]), s["chunk"])
        high = k.least(b.add(low, s["chunk"]), s["width"])
        k.loop(const(0), s["ns"], 1, lambda i: k.loop(const(0), s["nt"], 1, lambda j: line({**own, "s": i, "t": j}, low, high)))

    def line(at: dict[str, Any], low: Any, high: Any) -> None:
        target = k.at(s["out"], k.offset((s["out_p"], s["out_q"]), (at["p"], at["q"])))
        source = k.at(s["value"], k.offset([s[f"value_{axis}"] for axis in at], at.values()))
        starts = [k.start(j, at) for j in range(count)]
        if way == "elements":
            k.loop(low, high, 1, lambda i: guarded(starts, i, target, lambda place: one(source, place, i)))
        elif way == "rows":
            guarded(starts, None, target, lambda place: k.vectors(low, high, lambda v, mask: several(k.at(source, v), k.at(place, v), mask)))
        else:
            guarded(starts, None, target, lambda place: k.loop(low, high, 1, lambda i: one(source, place, i)))

    def guarded(starts: list[Any], i: Any, target: Any, body: Callable[[Any], None]) -> None:
        total, good = const(0), const(1)
        for j, start in enumerate(starts):
            value, bad = k.position(j, start if i is None else k.at(start, b.mul(i, s[f"l{j}"]), k.index), wraps)
            total = b.add(total, b.mul(value, s[f"step{j}"]))
            good = b.select(bad, const(0), good)
        with b.if_then(b.icmp_signed("!=", good, const(0)), likely=True):
            body(k.at(target, total))

    def one(source: Any, target: Any, i: Any) -> None:
        place = k.at(target, b.mul(i, s["out_l"]))
        value = b.load(k.at(source, b.mul(i, s["value_l"])), typ=k.form.real)
        b.store(plus(b.load(place, typ=k.form.real), value) if adds else value, place)

    def several(source: Any, place: Any, mask: Any) -> None:
        value = k.load(source, mask)
        k.store(plus(k.load(place, mask), value) if adds else value, place, mask)
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)
