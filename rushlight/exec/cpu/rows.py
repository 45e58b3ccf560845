"""Where the rows of a table lie that an index names: what a recurrent layer reads in place of an embedding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rushlight.exec.cpu.gathers import INDICES, Reader, address
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.exec.cpu.tiles import Form, const
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec

FIND_SLOTS = ("numbers", "*out", "block", "count", "row", "first")


def readable(embedding: Instr) -> bool:
    """Whether the kernels can read the table and the index of an embedding."""
    table, index = embedding.operands
    return len(table.spec.shape) == 2 and _dense(table.spec) and index.spec.contiguous and index.spec.dtype.name in INDICES


def places(index: Operand, view: Spec, count: int, width: int, new_value: Callable[[int], int]) -> KernelStep:
    """Where in a matrix of `width` columns each row of a view of the rows of a table is found."""
    found = blocks(view, len(view.shape) - 1)
    assert found is not None
    size = view.shape[-1]
    number, block, rows, row = found
    result = new_value(8 * number * rows)
    slots: list[int | Address] = [0, Address(result), block // size, rows, row // size, view.offset // size, address(index), count, width]
    kind = index.spec.dtype.name
    return KernelStep(f"places {kind}", partial(find, kind), slots, number * rows, number * rows, {index.value}, {result},
                      checks=frozenset({(index.value, index.spec if number * rows == index.spec.numel else view, count, False)}))


def _dense(s: Spec) -> bool:
    """Whether each row lies in one piece."""
    return s.at(s.shape[1:], s.strides[1:]).contiguous


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


def find(index: str, name: str) -> str:
    """out[z, i] = index[first + z·block + i·row] · step, as LLVM IR; units are elements of the result."""
    k = Reader(Form("int64"), index, FIND_SLOTS, 1, (), name)
    b, s = k.b, k.slots

    def place(u: Any) -> None:
        at = b.add(b.mul(b.sdiv(u, s["count"]), s["block"]), b.mul(b.srem(u, s["count"]), s["row"]))
        b.store(k.place([k.at(s["index0"], b.add(s["first"], at), k.index)], None, False), k.at(s["out"], u))
    k.loop(k.function.args[1], k.function.args[2], 1, place)
    b.ret(const(0))
    return str(k.module)
