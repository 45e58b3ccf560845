"""replace_pattern: every place in a graph that looks like one function becomes another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rushlight.fx.graph import Graph
from rushlight.fx.graph_module import GraphModule, _find, _install
from rushlight.fx.node import Node
from rushlight.fx.tracer import symbolic_trace


@dataclasses.dataclass
class Match:
    """A place where the pattern was found: its last node, and which nodes stand for those of the pattern."""

    anchor: Node
    nodes_map: dict[Node, Node]


def replace_pattern(gm: GraphModule, pattern: Callable[..., Any] | GraphModule,
                    replacement: Callable[..., Any] | GraphModule) -> list[Match]:
    """Replace each part of gm's graph that computes ``pattern`` by ``replacement``, a function of as many inputs; the
    places that were found.

    Nodes inside a match may have no users outside of it. Matches do not overlap: earlier ones win.

    >>> import rushlight as rl
    >>> gm = rl.fx.symbolic_trace(lambda x: rl.relu(x) + rl.relu(x))
    >>> len(replace_pattern(gm, lambda v: rl.relu(v), lambda v: rl.sigmoid(v)))
    2
    >>> gm(rl.zeros(1))
    tensor([1.])
    """
    sought, new = ((m if isinstance(m, GraphModule) else symbolic_trace(m)) for m in (pattern, replacement))
    inputs = [n for n in sought.graph.nodes if n.op == "placeholder"]
    end = sought.graph.output_node().args[0]
    if not isinstance(end, Node):
        raise NotImplementedError("replace_pattern: the pattern must have one result")
    found, taken = [], set()
    for n in list(gm.graph.nodes):
        places: dict[Node, Node] = {}
        if _matches(end, n, places):
            inside = [v for k, v in places.items() if k.op != "placeholder"]
            closed = all(u in inside for v in inside if v is not n for u in v.users)
            if closed and taken.isdisjoint(inside):
                taken.update(inside)
                found.append(Match(n, places))
    for match in found:
        _replace(gm, match, inputs, new)
    gm.graph.eliminate_dead_code()
    gm.recompile()
    return found


def _matches(p: Node, n: Any, places: dict[Node, Node]) -> bool:
    """Whether node n computes what the pattern's node p does; fills places."""
    if not isinstance(n, Node):
        return False
    if p in places:
        return places[p] is n
    if p.op == "placeholder":
        places[p] = n
        return True
    if p.op != n.op or p.target != n.target:
        return False
    places[p] = n
    return _operands(p.args, n.args, places) and _operands(p.kwargs, n.kwargs, places)


def _operands(a: Any, b: Any, places: dict[Node, Node]) -> bool:
    if isinstance(a, Node):
        return _matches(a, b, places) if isinstance(b, Node) else False
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(_operands(x, y, places) for x, y in zip(a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_operands(a[k], b[k], places) for k in a)
    return bool(type(a) is type(b) and a == b)


def _replace(gm: GraphModule, match: Match, inputs: list[Node], new: GraphModule) -> None:
    graph: Graph = gm.graph
    values: dict[Node, Node] = {}
    for old, mine in zip([n for n in new.graph.nodes if n.op == "placeholder"], inputs):
        values[old] = match.nodes_map[mine]
    for n in new.graph.nodes:
        if n.op in ("call_module", "get_attr") and not hasattr(gm, n.target.split(".")[0]):
            _install(gm, n.target, _find(new, n.target))
    with graph.inserting_before(match.anchor):
        result = graph.graph_copy(new.graph, values)
    if not isinstance(result, Node):
        raise NotImplementedError("replace_pattern: the replacement must have one result")
    match.anchor.replace_all_uses_with(result)
    for old in [v for k, v in reversed(list(match.nodes_map.items())) if k.op != "placeholder"]:
        if not old.users and not old._erased and old.op != "placeholder":
            graph.erase_node(old)
