"""Layouts of images: what convolutions and pooling make lies in memory with channels last, and what reads it follows.

The pass rewrites a program so that no kernel needs to know: a value with channels last is a value whose memory has the
permuted shape, and its readers see it through a view with permuted strides. Elementwise operations and reductions on such
views run over the permuted dimensions, so chains of convolution, normalisation, activation, pooling and residual sums
never reorder. Readers to which the permuted memory offers no view (a flattening before a linear layer) get a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rushlight.exec.cpu import convolutions, direct, windows
from rushlight.exec.cpu.cells import COUNTING
from rushlight.exec.cpu.groups import generated, is_reduction
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides, spec
from rushlight.ops.table import TABLE

Dims = tuple[int, ...]


def assign(program: Program) -> Program:
    """The program with channels last wherever convolutions and pooling want it."""
    wanted = any(convolutions.handles(i) or windows.handles(i) for i in program.instrs)
    return _Assignment(program).run() if wanted else program


def channels_last(rank: int) -> Dims:
    """The dimensions of (N, C, …) in the order (N, …, C)."""
    return 0, *range(2, rank), 1


class _Assignment:
    def __init__(self, program: Program):
        self.source = program
        self.out = Program(program.inputs, [], program.outputs, program.donated, program.values)
        self.order: dict[int, Dims] = {}  # value -> order of its dimensions in memory, where that is not their own
        self.shape: dict[int, Dims] = {}  # value -> its shape as the program sees it
        self.stand_in: dict[int, int] = {}  # output -> the same numbers in another order
        self.copies: dict[tuple[int, Spec | None, bool], int] = {}  # of a view of a value, with channels last or in its own order
        self.readers: dict[int, list[Instr]] = {}
        for instr in program.instrs:
            for o in instr.operands:
                self.readers.setdefault(o.value, []).append(instr)

    def run(self) -> Program:
        for instr in self.source.instrs:
            if convolutions.handles(instr):
                self._convolution(instr)
            elif windows.handles(instr):
                self._window(instr)
            else:
                self._other(instr)
        self.out.verify()
        return self.out

    # --- values ---------------------------------------------------------------------------------------------------
    def view(self, o: Operand) -> Operand:
        """An operand as a view of the memory that its value has now."""
        value = self.stand_in.get(o.value, o.value)
        order = self.order.get(value)
        if order is None or not isinstance(o.spec, Spec):
            return o
        seen = through(o.spec, self.shape[value], order)
        if seen is not None:
            return Operand(value, seen)
        return o if value != o.value else Operand(self._plain(value), o.spec)

    def _plain(self, value: int) -> int:
        """The value copied in its dimensions' own order."""
        key = value, None, False
        if key not in self.copies:
            shape, order = self.shape[value], self.order[value]
            dtype = self._dtype(value)
            self.copies[key] = self.out.new()
            self._copy(Operand(value, spec(dtype, shape, _strides(shape, order))), spec(dtype, shape), self.copies[key])
        return self.copies[key]

    def _dtype(self, value: int) -> Any:
        return next(s.dtype for i in reversed(self.out.instrs) for r, s in zip(i.results, i.outs) if r == value)

    def _copy(self, o: Operand, out: Spec, result: int) -> None:
        self.out.instrs.append(Instr(TABLE["copy"], (o,), (), (result,), (out,)))

    def last(self, o: Operand) -> Operand:
        """An operand as a dense array with channels last, copied where it is not one."""
        o = self.view(o)
        shape = o.spec.shape
        order = channels_last(len(shape))
        if not o.spec.offset and all(n == 1 or a == b for n, a, b in zip(shape, o.spec.strides, _strides(shape, order))):
            return o
        key = o.value, o.spec, True
        if key not in self.copies:
            result = self.copies[key] = self.out.new()
            seen = o.spec.permute(order)
            self._copy(Operand(o.value, seen), spec(o.spec.dtype, seen.shape), result)
            self._stored(result, shape, order)
        result = self.copies[key]
        return Operand(result, spec(o.spec.dtype, shape, _strides(shape, order)))

    def _stored(self, value: int, shape: Dims, order: Dims) -> None:
        self.order[value], self.shape[value] = order, shape

    def _result(self, value: int, s: Spec, order: Dims) -> tuple[int, Spec]:
        """The value and memory that an instruction with permuted dimensions writes instead of this result."""
        written = value
        if value in self.source.outputs:
            written = self.stand_in[value] = self.out.new()
        self._stored(written, s.shape, order)
        return written, spec(s.dtype, tuple(s.shape[d] for d in order))

    def _add(self, instr: Instr, order: Dims, **changes: Any) -> None:
        """Append an instruction whose results lie in another order; outputs get copies in their own."""
        written = [self._result(r, s, order) for r, s in zip(instr.results, instr.outs)]
        self.out.instrs.append(replace(instr, results=tuple(w for w, _ in written), outs=tuple(s for _, s in written), **changes))
        for r, s, (value, _) in zip(instr.results, instr.outs, written):
            if value != r:
                self._copy(Operand(value, spec(s.dtype, s.shape, _strides(s.shape, order))), s, r)

    # --- instructions ---------------------------------------------------------------------------------------------
    def _convolution(self, instr: Instr) -> None:
        images = convolutions.IMAGES[instr.op.name]
        if direct.handles(instr):
            claimed: Instr | None = direct.claim(instr, tuple(self._readable(o) if at in images else self.view(o) for at, o in enumerate(instr.operands)))
        else:
            claimed = convolutions.claim(instr, tuple(self.last(o) if at in images else self._dense(o) for at, o in enumerate(instr.operands)))
        if claimed is None:
            self.out.instrs.append(replace(instr, operands=tuple(self.view(o) for o in instr.operands)))
        elif instr.op.name == "convolution_weight_grad":
            self.out.instrs.append(claimed)
        else:
            self._add(claimed, channels_last(len(instr.outs[0].shape)))

    def _readable(self, o: Operand) -> Operand:
        """Images as they lie, or a copy where a kernel could not read them."""
        seen = self.view(o)
        return seen if direct.readable(seen.spec) else self._dense(o)

    def _dense(self, o: Operand) -> Operand:
        """An operand that is contiguous, from wherever in its memory."""
        o = self.view(o)
        if o.spec.contiguous:
            return o
        key = o.value, o.spec, False
        if key not in self.copies:
            self.copies[key] = self.out.new()
            self._copy(o, spec(o.spec.dtype, o.spec.shape), self.copies[key])
        return Operand(self.copies[key], spec(o.spec.dtype, o.spec.shape))

    def _window(self, instr: Instr) -> None:
        compact = instr.op.name == "max_pool" and instr.results[1] not in self.source.outputs \
            and all(windows.handles(r) and r.op.name == "max_pool_grad" for r in self.readers.get(instr.results[1], ()))
        operands = tuple(self._positions(o) if at == 1 else self.last(o) for at, o in enumerate(instr.operands))
        self._add(windows.claim(instr, compact), channels_last(len(instr.outs[0].shape)), operands=operands)

    def _positions(self, o: Operand) -> Operand:
        """The positions of maxima: as the pooling wrote them, 32 bits where only its gradient reads them."""
        if o.value in self.order:
            o = Operand(o.value, spec(self._dtype(o.value), o.spec.shape, o.spec.strides, o.spec.offset))
        return self.last(o)

    def _other(self, instr: Instr) -> None:
        operands = tuple(self.view(o) for o in instr.operands)
        order = self._order(instr, operands) if generated(instr) and instr.op.name not in ("pick", "complex") and instr.op.name not in COUNTING else None
        instr = replace(instr, operands=operands)
        if order is None:
            self.out.instrs.append(instr)
        elif is_reduction(instr):
            dims = tuple(sorted(order.index(d) for d in instr.attrs[0]))
            seen = replace(operands[0], spec=operands[0].spec.permute(order))
            self.out.instrs.append(replace(instr, operands=(seen,), attrs=(dims, *instr.attrs[1:])))
        else:
            seen_all = tuple(Operand(o.value, o.spec.permute(order)) if isinstance(o.spec, Spec) else o for o in operands)
            self._add(instr, order, operands=seen_all)

    def _order(self, instr: Instr, operands: Sequence[Operand]) -> Dims | None:
        """The order of dimensions in which an instruction should run, where that is not their own."""
        shape = operands[0].spec.shape if is_reduction(instr) else instr.outs[0].shape
        for o in operands:
            order = self.order.get(o.value)
            if order is None or not isinstance(o.spec, Spec) or o.spec.shape != shape or len(order) != len(shape) \
                    or not o.spec.permute(order).contiguous or o.spec.contiguous:
                continue
            if not is_reduction(instr) or _keeps(shape, order, instr.attrs[0]):
                return order
        return None


def _keeps(shape: Dims, order: Dims, dims: Dims) -> bool:
    """Whether the dimensions that a reduction leaves come in the same order either way."""
    kept = [d for d in order if d not in dims and shape[d] != 1]
    return kept == sorted(kept)


def _strides(shape: Dims, order: Dims) -> Dims:
    """Strides by dimension of a dense array whose dimensions lie in that order."""
    dense = contiguous_strides(tuple(shape[d] for d in order))
    return tuple(dense[order.index(d)] for d in range(len(shape)))


def through(seen: Spec, shape: Dims, order: Dims) -> Spec | None:
    """A view of a contiguous array of that shape, expressed on memory that has its dimensions in another order."""
    own, new = contiguous_strides(shape), _strides(shape, order)
    real = [d for d, n in enumerate(shape) if n > 1]
    place = {d: seen.offset // own[d] % shape[d] for d in real}
    strides = []
    for n, stride in zip(seen.shape, seen.strides):
        if n == 1 or not stride:
            strides.append(0 if not stride else 1)
            continue
        found = _dimension(n, stride, shape, own, order, place)
        if found is None:
            return None
        strides.append(new[found] * (stride // own[found]))
    return seen.at(seen.shape, tuple(strides), sum(place[d] * new[d] for d in real))


def _dimension(n: int, stride: int, shape: Dims, own: Dims, order: Dims, place: dict[int, int]) -> int | None:
    """The dimension along which n steps of a stride go, or the last of several that lie together in both orders."""
    for d in place:
        if stride % own[d] == 0 and 0 <= place[d] + (n - 1) * (stride // own[d]) < shape[d]:
            return d
    for d in place:
        if stride != own[d]:
            continue
        first, size = d, shape[d]
        while size < n and first > 0 and order.index(first) == order.index(first - 1) + 1:
            first -= 1
            size *= shape[first]
        if size == n and not any(place.get(e, 0) for e in range(first, d + 1)):
            return d
    return None
