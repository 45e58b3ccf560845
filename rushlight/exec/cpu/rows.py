"""Rows of a table by their numbers, and the sums of rows that go to the same place: embeddings and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL
from rushlight.exec.cpu.emit import OUT_OF_RANGE
from rushlight.exec.cpu.parts_kernel import SIZES
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.exec.cpu.tiles import NUMBERS, REALS, Form, Vectors, const
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec

NAMES = ("embedding", "embedding_grad")
INDICES = ("int64", "int32")
TAKE_SLOTS = ("numbers", "*table", "*index", "*out", "rows", "row", "width")
FIND_SLOTS = ("numbers", "*index", "*out", "rows", "block", "count", "row", "first", "width")
ADD_SLOTS = ("numbers", "*source", "*index", "*out", "rows", "blocks", "block", "count", "row", "width")


def readable(embedding: Instr) -> bool:
    """Whether the kernels can read the table and the index of an embedding."""
    table, index = embedding.operands
    return len(table.spec.shape) == 2 and _dense(table.spec) and index.spec.contiguous and index.spec.dtype.name in INDICES


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of an embedding or of its gradient, None where NumPy must run it."""
    rule = {"embedding": _take, "embedding_grad": _add}.get(instr.op.name)
    if rule is None or not instr.outs[0].numel or not instr.operands[1].spec.numel:
        return None
    index = instr.operands[1].spec
    return rule(instr) if index.contiguous and index.dtype.name in INDICES else None


def places(index: Operand, view: Spec, count: int, width: int, new_value: Callable[[int], int]) -> KernelStep:
    """Where in a matrix of `width` columns each row of a view of the rows of a table is found."""
    found = blocks(view, len(view.shape) - 1)
    assert found is not None
    size = view.shape[-1]
    number, block, rows, row = found
    result = new_value(8 * number * rows)
    slots: list[int | Address] = [0, _address(index), Address(result), count, block // size, rows, row // size, view.offset // size, width]
    kind = index.spec.dtype.name
    return KernelStep(f"places {kind}", partial(find, kind), slots, number * rows, number * rows, {index.value}, {result},
                      checks=(index.value, index.spec if number * rows == index.spec.numel else view, count))


def _step(key: str, write: Any, instr: Instr, slots: list[int | Address], units: int, rows: int, work: int) -> list[KernelStep]:
    index = instr.operands[1]
    return [KernelStep(key, write, slots, units, work, {o.value for o in instr.operands}, set(instr.results),
                       title=f"{instr.op.name} {list(instr.outs[0].shape)}", checks=(index.value, index.spec, rows))]


def _address(o: Operand) -> Address:
    return Address(o.value, o.spec.offset * o.spec.dtype.itemsize)


def _dense(s: Spec) -> bool:
    """Whether each row lies in one piece."""
    return s.at(s.shape[1:], s.strides[1:]).contiguous


def _take(instr: Instr) -> list[KernelStep] | None:
    table, index = instr.operands
    out = instr.outs[0]
    if out.dtype.itemsize not in SIZES or not _dense(table.spec):
        return None
    width, rows = prod(table.spec.shape[1:]), table.spec.shape[0]
    kind = SIZES[out.dtype.itemsize], index.spec.dtype.name
    slots: list[int | Address] = [0, _address(table), _address(index), Address(instr.results[0]), rows, table.spec.strides[0], width]
    return _step(f"take {kind[0]} {kind[1]}", partial(take, *kind), instr, slots, index.spec.numel, rows, out.numel)


def _add(instr: Instr) -> list[KernelStep] | None:
    y, index = instr.operands
    out = instr.outs[0]
    found = blocks(y.spec, len(index.spec.shape))
    if out.dtype.name not in REALS or found is None:
        return None
    form = Form(out.dtype.name)
    rows, width = out.shape[0], prod(out.shape[1:])
    slots: list[int | Address] = [0, _address(y), _address(index), Address(instr.results[0]), rows, *found, width]
    return _step(f"add rows {form} {index.spec.dtype.name}", partial(add, form.dtype, index.spec.dtype.name), instr, slots,
                 -(-width // form.lanes), rows, y.spec.numel + out.numel)


def blocks(s: Spec, rank: int) -> tuple[int, int, int, int] | None:
    """The rows of the first `rank` dimensions as blocks of rows: number and distance of blocks, and of the rows of one; None
    where they lie in no such way.

    >>> from rushlight.ir.dtype import float32
    >>> from rushlight.ir.spec import spec
    >>> blocks(spec(float32, (4, 3, 5), (5, 20, 1)), 2)
    (4, 5, 3, 20)
    """
    if not s.at(s.shape[rank:], s.strides[rank:]).contiguous:
        return None
    runs: list[tuple[int, int]] = []
    for n, stride in zip(s.shape[:rank], s.strides[:rank]):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * stride:
            runs[-1] = runs[-1][0] * n, stride
        else:
            runs.append((n, stride))
    if len(runs) > 2:
        return None
    (number, block), (count, row) = [(1, 0), (1, 0), *runs][-2:]
    return number, block, count, row


# --- kernels ------------------------------------------------------------------------------------------------------
class _Rows(Vectors):
    """A kernel that reads row numbers."""

    def __init__(self, dtype: str, index: str, slots: tuple[str, ...], name: str):
        super().__init__(ir.Function(ir.Module(name), KERNEL, name), Form(dtype))
        self.index = NUMBERS[index][0]
        self.slots = self.named(slots)

    def number(self, i: Any) -> Any:
        """The row number at a position; the kernel ends where there is no such row."""
        b, s = self.b, self.slots
        value = b.load(self.at(s["index"], i, self.index), typ=self.index)
        if self.index is not I64:
            value = b.sext(value, I64)
        with b.if_then(b.icmp_unsigned(">=", value, s["rows"]), likely=False):  # negative ones are large unsigned ones
            b.ret(const(OUT_OF_RANGE))
        return value


def take(dtype: str, index: str, name: str) -> str:
    """out[i] = table[index[i]]; units are rows of the result."""
    k = _Rows(dtype, index, TAKE_SLOTS, name)
    b, s = k.b, k.slots

    def row(i: Any) -> None:
        k.copy(k.at(s["table"], b.mul(k.number(i), s["row"])), k.at(s["out"], b.mul(i, s["width"])), s["width"])
    k.loop(k.function.args[1], k.function.args[2], 1, row)
    b.ret(const(0))
    return str(k.module)


def find(index: str, name: str) -> str:
    """out[z, i] = index[first + z·block + i·row] · width; units are elements of the result."""
    k = _Rows("int64", index, FIND_SLOTS, name)
    b, s = k.b, k.slots

    def place(u: Any) -> None:
        at = b.add(b.mul(b.sdiv(u, s["count"]), s["block"]), b.mul(b.srem(u, s["count"]), s["row"]))
        b.store(b.mul(k.number(b.add(s["first"], at)), s["width"]), k.at(s["out"], u))
    k.loop(k.function.args[1], k.function.args[2], 1, place)
    b.ret(const(0))
    return str(k.module)


def add(dtype: str, index: str, name: str) -> str:
    """out[j] = the sum of source[i] over all i with index[i] = j, in the order of i; units are vectors of columns."""
    k = _Rows(dtype, index, ADD_SLOTS, name)
    b, s, lanes = k.b, k.slots, const(k.form.lanes)
    first = b.mul(k.function.args[1], lanes)
    end = k.least(b.mul(k.function.args[2], lanes), s["width"])

    def place(j: Any) -> Any:
        return k.at(s["out"], b.mul(j, s["width"]))
    k.loop(const(0), s["rows"], 1, lambda j: k.vectors(first, end, lambda v, mask: k.store(k.zero(), k.at(place(j), v), mask)))

    def row(z: Any, i: Any) -> None:
        target = place(k.number(b.add(b.mul(z, s["count"]), i)))
        source = k.at(s["source"], b.add(b.mul(z, s["block"]), b.mul(i, s["row"])))

        def part(v: Any, mask: Any) -> None:
            at = k.at(target, v)
            k.store(b.fadd(k.load(at, mask), k.load(k.at(source, v), mask)), at, mask)
        k.vectors(first, end, part)
    k.loop(const(0), s["blocks"], 1, lambda z: k.loop(const(0), s["count"], 1, lambda i: row(z, i)))
    b.ret(const(0))
    return str(k.module)
