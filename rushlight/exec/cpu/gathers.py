"""Elements and rows read where indices say: `gather`, indexing with lists of places, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL
from rushlight.exec.cpu.kernel import OUT_OF_RANGE
from rushlight.exec.cpu.parts_kernel import SIZES
from rushlight.exec.cpu.steps import Address, Check, KernelStep
from rushlight.exec.cpu.tiles import NUMBERS, Form, Vectors, const
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec, broadcast

RANK = 4  # dimensions that the loops have
INDICES = ("int64", "int32")
CUT = 4096  # elements of a longer last dimension that a unit has
AXES = ("a", "b", "c", "d")


class Index(NamedTuple):
    """One index: how many positions it chooses from, and the elements from one of them to the next."""

    operand: Operand
    size: int
    step: int


class Dim(NamedTuple):
    """A dimension of what is read or written: the steps along it, in elements, in each memory."""

    size: int
    steps: tuple[int, ...]


class Places(NamedTuple):
    """Where the elements of a value lie in another one: along `dims`, first that memory's steps, then those of each index; a
    negative position counts from the end where it `wraps`."""

    indices: tuple[Index, ...]
    dims: list[Dim]
    wraps: bool


def along(x: Spec, index: Operand, dim: int) -> Places:
    """The places that an index of x's rank names along one dimension (`gather`, `scatter`)."""
    steps = [0 if d == dim else stride for d, stride in enumerate(x.strides)]
    dims = [Dim(n, pair) for n, *pair in zip(index.spec.shape, steps, index.spec.strides)]  # type: ignore[arg-type]
    return Places((Index(index, x.shape[dim], x.strides[dim]),), dims, False)


def at_lists(x: Spec, indices: Sequence[Operand], dims: Sequence[int]) -> Places:
    """The places that broadcast indices name in some dimensions (`index`, `index_put`): theirs stand where the indexed ones stood if
    these are neighbours, else in front."""
    shape: tuple[int, ...] = ()
    for o in indices:
        joined = broadcast(shape, o.spec.shape)
        assert joined is not None
        shape = joined
    steps = [_expanded(o.spec, shape) for o in indices]
    chosen = [Dim(n, (0, *[s[d] for s in steps])) for d, n in enumerate(shape)]
    kept = [Dim(n, (stride, *[0] * len(indices))) for d, (n, stride) in enumerate(zip(x.shape, x.strides)) if d not in dims]
    first = dims[0] if tuple(dims) == tuple(range(dims[0], dims[0] + len(dims))) else 0
    found = tuple([Index(o, x.shape[d], x.strides[d]) for o, d in zip(indices, dims)])
    return Places(found, [*kept[:first], *chosen, *kept[first:]], True)


def _expanded(s: Spec, shape: tuple[int, ...]) -> tuple[int, ...]:
    wider = s.expand(shape)
    assert wider is not None
    return wider.strides


def merged(dims: Sequence[Dim]) -> list[Dim]:
    """Neighbouring dimensions as one where all memories step evenly through them; those of size 1 go.

    >>> merged([Dim(2, (12, 0)), Dim(3, (4, 0)), Dim(1, (5, 5)), Dim(4, (1, 2))])
    [Dim(size=6, steps=(4, 0)), Dim(size=4, steps=(1, 2))]
    """
    found: list[Dim] = []
    for n, steps in dims:
        if n == 1:
            continue
        if found and found[-1].steps == tuple([n * step for step in steps]):
            found[-1] = Dim(found[-1].size * n, steps)
        else:
            found.append(Dim(n, steps))
    return found


def kind_of(places: Places) -> str | None:
    """The one type that all indices have, as kernels read it; None where there is none."""
    kinds = {i.operand.spec.dtype.name for i in places.indices}
    return kinds.pop() if len(kinds) == 1 and kinds.issubset(INDICES) else None


def check_of(index: Index, wraps: bool) -> Check:
    """What a step that checks an index says of it."""
    return index.operand.value, index.operand.spec, index.size, wraps


def read_by(instr: Instr) -> Places | None:
    """Where a kernel reads what an instruction asks for, None where NumPy has to."""
    rule = READS.get(instr.op.name)
    if rule is None:
        return None
    x, out = instr.operands[0].spec, instr.outs[0]
    if not out.numel or out.dtype.itemsize not in SIZES or not x.numel or not x.shape:
        return None
    places = rule(instr)
    return None if len(merged(places.dims)) > RANK or kind_of(places) is None else places


def steps(instr: Instr, _: Callable[[int], int]) -> list[KernelStep] | None:
    """The step that reads, None where NumPy has to."""
    places = read_by(instr)
    if places is None:
        return None
    dims, kind, out = merged(places.dims), kind_of(places), instr.outs[0]
    assert kind is not None
    dims = [Dim(1, (0,) * (1 + len(places.indices)))] * (RANK - len(dims)) + dims
    width, last = dims[-1]
    by_row = not any(last[1:])
    chunk = min(width, CUT)
    chunks = -(-width // chunk)
    slots: list[int | Address] = [0, address(instr.operands[0]), Address(instr.results[0]), dims[1].size, dims[2].size, chunk, chunks, width,
                                  *[d.steps[0] for d in dims]]
    for at, i in enumerate(places.indices, 1):
        slots += [address(i.operand), i.size, i.step, *[d.steps[at] for d in dims]]
    form = Form(SIZES[out.dtype.itemsize])
    way = "elements" if not by_row else "rows" if last[0] == 1 else "strided rows"
    write = partial(read, form.dtype, kind, len(places.indices), places.wraps, way)
    checks = frozenset([check_of(i, places.wraps) for i in places.indices])
    return [KernelStep(f"read {form} at {len(places.indices)} {kind} {places.wraps} {way}", write, slots, out.numel // width * chunks, 2 * out.numel,
                       {o.value for o in instr.operands}, set(instr.results), title=f"{instr.op.name} {list(out.shape)}", checks=checks)]


def address(o: Operand) -> Address:
    """Where an operand begins."""
    return Address(o.value, o.spec.offset * o.spec.dtype.itemsize)


READS: dict[str, Callable[[Instr], Places]] = {
    "gather": lambda i: along(i.operands[0].spec, i.operands[1], i.attrs[0]),
    "index": lambda i: at_lists(i.operands[0].spec, i.operands[1:], i.attrs[0]),
    "embedding": lambda i: at_lists(i.operands[0].spec, i.operands[1:], (0,))._replace(wraps=False),
}


# --- kernels ------------------------------------------------------------------------------------------------------
class Reader(Vectors):
    """A kernel that reads positions from several indices, each with the slots address, size, step and a step for each dimension."""

    def __init__(self, form: Form, kind: str, names: tuple[str, ...], count: int, axes: tuple[str, ...], name: str):
        super().__init__(ir.Function(ir.Module(name), KERNEL, name), form)
        self.index = NUMBERS[kind][0]
        self.count, self.axes = count, axes
        of_each = [f"{n}{j}" for j in range(count) for n in ("*index", "size", "step", *axes)]
        self.slots = self.named((*names, *of_each))

    def start(self, j: int, at: dict[str, Any]) -> Any:
        """Where an index stands at places along some dimensions."""
        offset = self.offset([self.slots[f"{axis}{j}"] for axis in at], at.values())
        return self.at(self.slots[f"index{j}"], offset, self.index)

    def offset(self, steps: Any, places: Any) -> Any:
        """Σ step · place."""
        total = const(0)
        for step, place in zip(steps, places):
            total = self.b.add(total, self.b.mul(step, place))
        return total

    def position(self, j: int, place: Any, wraps: bool) -> tuple[Any, Any]:
        """The position that an index holds, and whether there is none such."""
        value, size = self.b.load(place, typ=self.index), self.slots[f"size{j}"]
        if self.index is not I64:
            value = self.b.sext(value, I64)
        if wraps:
            value = self.b.select(self.b.icmp_signed("<", value, const(0)), self.b.add(value, size), value)
        return value, self.b.icmp_unsigned(">=", value, size)  # negative ones are large unsigned ones

    def place(self, starts: list[Any], along: Any, wraps: bool) -> Any:
        """Where the indices together point to, `along` the last dimension from where they start; the kernel ends where one is out of
        range."""
        total = const(0)
        for j, start in enumerate(starts):
            value, bad = self.position(j, start if along is None else self.at(start, self.b.mul(along, self.slots[f"{self.axes[-1]}{j}"]), self.index), wraps)
            with self.b.if_then(bad, likely=False):
                self.b.ret(const(OUT_OF_RANGE))
            total = self.b.add(total, self.b.mul(value, self.slots[f"step{j}"]))
        return total


def read(dtype: str, kind: str, count: int, wraps: bool, way: str, name: str) -> str:
    """out[a, b, c, d] = x[Σ index · step + the place of (a, b, c, d)], as LLVM IR; units are pieces of the last dimension."""
    k = Reader(Form(dtype), kind, ("numbers", "*x", "*out", "nb", "nc", "chunk", "chunks", "width", *[f"x{axis}" for axis in AXES]), count, AXES, name)
    b, s = k.b, k.slots
    begin, end = k.function.args[1:3]
    row = b.udiv(begin, s["chunks"])
    outer = b.udiv(row, s["nc"])
    turning = [k.variable(I64, value) for value in (b.urem(begin, s["chunks"]), b.urem(row, s["nc"]), b.urem(outer, s["nb"]), b.udiv(outer, s["nb"]))]
    row = k.variable(I64, row)

    def unit(_: Any) -> None:
        piece, c, b_, a = [b.load(v, typ=I64) for v in turning]
        at = {"a": a, "b": b_, "c": c}
        low = b.mul(piece, s["chunk"])
        high = k.least(b.add(low, s["chunk"]), s["width"])
        source = k.at(s["x"], k.offset([s[f"x{axis}"] for axis in at], at.values()))
        target = k.at(s["out"], b.mul(b.load(row, typ=I64), s["width"]))
        starts = [k.start(j, at) for j in range(count)]
        if way == "elements":
            k.loop(low, high, 1, lambda i: one(k.at(source, k.place(starts, i, wraps)), target, i))
        else:
            source = k.at(source, k.place(starts, None, wraps))
            if way == "rows":
                k.copy(k.at(source, low), k.at(target, low), b.sub(high, low))
            else:
                k.loop(low, high, 1, lambda i: one(source, target, i))
        _next(k, turning, (s["chunks"], s["nc"], s["nb"]), row)

    def one(source: Any, target: Any, i: Any) -> None:
        b.store(b.load(k.at(source, b.mul(i, s["xd"])), typ=k.form.real), k.at(target, i))
    k.loop(begin, end, 1, unit)
    b.ret(const(0))
    return str(k.module)


def _next(k: Vectors, turning: list[Any], sizes: tuple[Any, ...], row: Any) -> None:
    """On to the next unit, as an odometer counts; `row` counts the turns of the first wheel."""
    b = k.b
    carry = const(1)
    for at, (wheel, size) in enumerate(zip(turning, sizes)):
        moved = b.add(b.load(wheel, typ=I64), carry)
        turned = b.icmp_signed("==", moved, size)
        b.store(b.select(turned, const(0), moved), wheel)
        carry = b.zext(turned, I64)
        if not at:
            b.store(b.add(b.load(row, typ=I64), carry), row)
    b.store(b.add(b.load(turning[-1], typ=I64), carry), turning[-1])
