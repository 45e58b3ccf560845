"""Images that a program keeps with channels last are computed in their dimensions' own order.

Where they lie in memory is assigned later (`layouts.py`), so a chain of layers is the same program whichever order its user asked for.
Copies into the other order go; elementwise operations and norms that run over permuted dimensions run over the images'
own; what the program gives is copied at the end.
"""

from __future__ import annotations

from dataclasses import replace

from rushlight.exec.cpu.layouts import channels_last, through
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE

Dims = tuple[int, ...]
RANKS = (4, 5)


def stand(program: Program) -> Program:
    """The program without copies between the two orders, where it has any."""
    if not any([i.op.name == "copy" and _upright(i.operands[0], i.outs[0]) is not None for i in program.instrs]):
        return program
    return _Standing(program).run()


def _upright(o: Operand, out: Spec) -> Spec | None:
    """The images of which a copy has channels last: all of a value, in its own order. None for any other copy."""
    rank = len(out.shape)
    if rank not in RANKS or o.spec.contiguous:
        return None
    seen = o.spec.permute(_back(rank))
    return seen if seen.plain else None


def _back(rank: int) -> Dims:
    """The dimensions of (N, …, C) in the order (N, C, …)."""
    return 0, rank - 1, *range(1, rank - 1)


class _Standing:
    def __init__(self, program: Program) -> None:
        self.source = program
        self.out = Program(program.inputs, [], program.outputs, program.donated, program.values)
        self.sizes = {i: s.numel for i, s in enumerate(program.inputs) if isinstance(s, Spec)}
        self.standing: dict[int, tuple[int, Spec]] = {}  # value with channels last -> the images in their own order
        self.lying: set[int] = set()  # those of which there is a copy with channels last, since some reader needs it

    def run(self) -> Program:
        for instr in self.source.instrs:
            seen = [self._seen(o) for o in instr.operands]
            if instr.op.name == "copy" and self._copied(instr, seen[0]):
                continue
            if not self._turned(instr, seen):
                self._add(replace(instr, operands=tuple(seen)))
        for v in self.source.outputs:
            self._lie_down(v)
        return self.out

    def _add(self, instr: Instr) -> None:
        self.out.instrs.append(instr)
        self.sizes.update([(r, s.numel) for r, s in zip(instr.results, instr.outs) if isinstance(s, Spec)])

    def _seen(self, o: Operand) -> Operand:
        """An operand as a view of the images in their own order, or of a copy where there is no such view."""
        found = self.standing.get(o.value)
        if found is None:
            return o
        value, images = found
        if o.spec.dtype is images.dtype:
            rank = len(images.shape)
            view = through(o.spec, tuple([images.shape[d] for d in channels_last(rank)]), _back(rank))
            if view is not None:
                return Operand(value, view)
        self._lie_down(o.value)
        return o

    def _lie_down(self, value: int) -> None:
        """Make the value that the program has, with channels last."""
        if value in self.standing and value not in self.lying:
            self.lying.add(value)
            source, images = self.standing[value]
            read = images.permute(channels_last(len(images.shape)))
            self._add(Instr(TABLE["copy"], (Operand(source, read),), (), (value,), (spec(read.dtype, read.shape),)))

    def _copied(self, instr: Instr, o: Operand) -> bool:
        """Leave out a copy that turns all of a value; False for any other."""
        images = _upright(o, instr.outs[0])
        if images is None or images.numel != self.sizes[o.value] or not images.numel:
            return False
        self.standing[instr.results[0]] = o.value, images
        return True

    def _turned(self, instr: Instr, seen: list[Operand]) -> bool:
        """Run an operation over the dimensions of images that stand; False where it reads none or cannot."""
        op, shape = instr.op, getattr(instr.outs[0], "shape", ())
        rank = len(shape)
        if rank not in RANKS or not (op.kind == "map" or op.turn is not None):
            return False
        back, place = _back(rank), channels_last(rank)
        whole = [isinstance(o.spec, Spec) and len(o.spec.shape) == rank for o in seen]
        stands = [full and o.value != was.value and o.spec.permute(back).plain for o, was, full in zip(seen, instr.operands, whole)]
        if True not in stands:
            return False
        operands = tuple([Operand(o.value, o.spec.permute(back)) if full else o for o, full in zip(seen, whole)])
        results, outs = [], []
        for r, s in zip(instr.results, instr.outs):
            if len(s.shape) != rank:  # a number for each channel
                results.append(r)
                outs.append(s)
                continue
            images = spec(s.dtype, tuple([s.shape[d] for d in back]))
            self.standing[r] = self.out.new(), images
            results.append(self.standing[r][0])
            outs.append(images)
        attrs = instr.attrs if op.turn is None else op.turn(instr.attrs, place)
        self._add(Instr(op, operands, attrs, tuple(results), tuple(outs), instr.line))
        return True
