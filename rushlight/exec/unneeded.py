"""Nodes whose results nobody reads.

Before a model's first pass stand the zeros and ones that its layers were made of, and that a checkpoint has replaced since. A plan
makes none of them, but a graph with them has another key than those of all later passes. So a graph without a plan is looked up,
and planned, without them. One that comes again and again with nodes like these gets a plan under its own key.
"""

from __future__ import annotations

from typing import Any

from rushlight.ir.graph import Cell, Node
from rushlight.passes.recent import Recent

MOST = 256
OFTEN = 8  # from when on finding the key twice costs more than a plan

_met: Recent[list[None]] = Recent(MOST)  # by the keys of graphs that went without some of their nodes: how often


def needed(nodes: list[Node], live: list[tuple[Cell, Any]], key: Any) -> list[Node]:
    """The nodes that the `live` results follow from: all of them where none is superfluous, or where this graph has come often."""
    read = {id(cell) for cell, _ in live}
    operands: list[Any] = []
    results: list[Any] = []
    for node in nodes:
        operands += node.ins
        results += node.outs
    if read.union(map(id, operands)).issuperset(map(id, results)):
        return nodes
    kept = []
    for node in reversed(nodes):
        if any([id(cell) in read for cell in node.outs]):
            kept.append(node)
            read.update(map(id, node.ins))
            read.update([id(cell.before) for cell in node.outs])  # what its storage shows should it fail
    if not kept or len(kept) == len(nodes):
        return nodes
    times = _met.get(key) or _met.put(key, [])
    times.append(None)
    return nodes if len(times) >= OFTEN else kept[::-1]


def drop(nodes: list[Node], kept: list[Node]) -> None:
    """Nodes that are not among those `kept` refer to nothing any more: memory that only they would have read is spare."""
    staying = {*map(id, kept)}
    for node in nodes:
        if id(node) not in staying:
            node.ins = ()
            for cell in node.outs:
                cell.node = cell.before = None
