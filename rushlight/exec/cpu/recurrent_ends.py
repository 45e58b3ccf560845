"""What comes before and after a recurrent layer, taken in by it.

Where its inputs are rows of a table that has fewer of them than the layer has steps and sequences, such as the characters of
a text, it needs no product for each: what a row of the table brings to the sums is computed once. And where its results are
read only as batches of sequences, they are written so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rushlight.exec.cpu import rows
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec
from rushlight.ops.table import TABLE, Op
from rushlight.passes import pipeline

LAYERS = ("lstm_layer", "gru_layer", "rnn_layer")
# `view` is the view of the table's rows, in the order of the index, that is x
OF_ROWS = {name: Op(f"{name}_of_rows", "coarse", " ".join(["table index", *TABLE[name].inputs[1:-1], "*weights"]), TABLE[name].shape,
                    attrs=" ".join([*TABLE[name].attrs, "view"]), differentiable=False) for name in LAYERS}


def join(program: Program, fits: Callable[[Instr], bool]) -> Program:
    """Layers with what they can take in, where the executor ``fits`` them."""
    if not any(i.op.name in LAYERS for i in program.instrs):
        return program
    program = _inputs(program, fits)
    return _results(pipeline.drop_dead(program), fits)


def _inputs(program: Program, fits: Callable[[Instr], bool]) -> Program:
    made: dict[int, Instr] = {}
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    for instr in program.instrs:
        found = _rows_of(instr.operands[0], made) if instr.op.name in LAYERS else None
        if found is not None:
            table, index, view = found
            new = Instr(OF_ROWS[instr.op.name], (table, index, *instr.operands[1:]), (*instr.attrs, view), instr.results, instr.outs, instr.line)
            instr = new if fits(new) else instr
        out.instrs.append(instr)
        made.update(dict.fromkeys(instr.results, instr))
    return out


def _rows_of(x: Operand, made: dict[int, Instr]) -> tuple[Operand, Operand, Spec] | None:
    """The table, the index and the view of the rows that an operand is; None where it is something else, or where the table is
    not much smaller."""
    maker, view = made.get(x.value), x.spec
    if maker is not None and maker.op.name == "copy" and view.plain and view.shape == maker.outs[0].shape:
        view = maker.operands[0].spec
        maker = made.get(maker.operands[0].value)
    if maker is None or maker.op.name != "embedding" or not rows.readable(maker):
        return None
    table, index = maker.operands
    count, width = table.spec.shape
    whole = view.shape[-1] == width and view.dtype is table.spec.dtype and not any(n % width for n in (view.offset, *view.strides[:-1]))
    return (table, index, view) if whole and 2 * count <= view.numel // width and rows.blocks(view, len(view.shape) - 1) is not None else None


def _results(program: Program, fits: Callable[[Instr], bool]) -> Program:
    """Outputs that are read only as a copy with batches first, written so."""
    reads = Counter(o.value for i in program.instrs for o in i.operands)
    reads.update(program.outputs)
    place: dict[int, int] = {}  # of the layer that makes a value
    instrs: list[Instr] = []
    for instr in program.instrs:
        at = place.get(instr.operands[0].value) if instr.op.name == "copy" else None
        turned = _turned(instrs[at], instr) if at is not None and reads[instr.operands[0].value] == 1 else None
        if at is not None and turned is not None and fits(turned):
            instrs[at] = turned
            continue
        if instr.op.name in LAYERS or instr.op in OF_ROWS.values():
            place[instr.results[0]] = len(instrs)
        instrs.append(instr)
    return Program(program.inputs, instrs, program.outputs, program.donated, program.values)


def _turned(layer: Instr, copy: Instr) -> Instr | None:
    """The layer with outputs in the memory order of a copy; None where the copy is another view of them."""
    y = layer.outs[0]
    if len(y.shape) != 3 or copy.operands[0].spec is not y.permute((1, 0, 2)):
        return None
    return Instr(layer.op, layer.operands, layer.attrs, (copy.results[0], *layer.results[1:]), (copy.outs[0].permute((1, 0, 2)), *layer.outs[1:]),
                 layer.line)
