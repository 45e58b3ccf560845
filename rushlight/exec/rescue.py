"""After a failure: the values of all pending operations that do not depend on what cannot be computed.

A plan fails as a whole, and no write in place that was pending happens: a failed step leaves a model as it was. But the program asked
for its operations one after the other, and a value that depends neither on the one that fails nor on such a write is as valid as it
would be if each had run when it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rushlight.exec import choose
from rushlight.ir.graph import Buffer, Cell, Node
from rushlight.ir.program import Program

Ins = Sequence[Any]  # the operands of a node: cells and numbers
ToProgram = Callable[[list[Node], list[Cell], list[Any], Sequence[int]], Program]


def values(nodes: list[Node], ins: list[Ins], spoiled: set[int], to_program: ToProgram) -> tuple[list[Node], list[Cell], tuple[Buffer, ...]]:
    """The nodes that can be computed, their results, and the values of these. Inputs in `spoiled` were overwritten.

    Which they are is found by NumPy, one after the other; their values come from one plan, so that no bit of them is another one.
    """
    valid = _valid(nodes, ins, spoiled, to_program)
    if not valid:
        return [], [], ()
    found, outs = [node for node, _ in valid], [c for node, _ in valid for c in node.outs]
    made = {id(c) for c in outs}
    inputs = {id(x): x for _, given in valid for x in given if x.__class__ is Cell and id(x) not in made}
    results = _run(valid, outs, [*inputs.values()], to_program, choose.compile_program)
    return found, outs, results


def _valid(nodes: list[Node], ins: list[Ins], spoiled: set[int], to_program: ToProgram) -> list[tuple[Node, Ins]]:
    """Nodes with operands that have values, whose computation raises nothing; none that writes in place."""
    have: dict[int, Buffer] = {}
    found = []
    for node, given in zip(nodes, ins):
        cells = {id(x): x for x in given if x.__class__ is Cell}
        if any([i in spoiled or c.buffer is None and i not in have for i, c in cells.items()]) or any([c.before is not None for c in node.outs]):
            continue
        stand_ins = {i: c if c.buffer is not None else Cell(None, 0, have[i]) for i, c in cells.items()}
        seen = tuple([stand_ins[id(x)] if x.__class__ is Cell else x for x in given])
        try:
            results = _run([(node, seen)], [*node.outs], [*stand_ins.values()], to_program, choose.interpreted)
        except Exception:  # noqa: S112 - it fails, and so does what depends on it
            continue
        have.update(zip(map(id, node.outs), results))
        found.append((node, given))
    return found


def _run(pairs: list[tuple[Node, Ins]], outs: list[Cell], inputs: list[Cell], to_program: ToProgram,
         compiled: Callable[[Program], choose.Run]) -> tuple[Buffer, ...]:
    """The values of these results of nodes with these operands."""
    numbers = [x for _, given in pairs for x in given if x.__class__ is not Cell]
    for node, given in pairs:
        node.ins = given
    try:
        program = to_program([node for node, _ in pairs], outs, [*inputs, *numbers], ())
    finally:
        for node, _ in pairs:
            node.ins = ()
    return compiled(program)([*[c.buffer for c in inputs], *numbers])
