"""Switches of gradients and of autocast that a captured program turns:
nodes of its graph, in pairs that enter and leave.

A program turns them with blocks, decorators and functions; what counts is how they stand when it calls a function. So
the graph gets a pair around each run of calls under other switches than those that the capture began with, and leaving
gives back what the caller of the graph has set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.amp.autocast_mode import _enter_autocast, _exit_autocast, chosen, is_autocast_cache_enabled
from rushlight.autograd.grad_mode import _enter_grad_mode, _exit_grad_mode
from rushlight.fx.graph import Graph
from rushlight.fx.node import Node, has_side_effect
from rushlight.tensor.state import state

GRADIENTS = (_enter_grad_mode, _exit_grad_mode)
AUTOCAST = (_enter_autocast, _exit_autocast)
SWITCHES: dict[Any, str] = {
    _enter_grad_mode: "torch.autograd.grad_mode._enter_grad_mode",
    _exit_grad_mode: "torch.autograd.grad_mode._exit_grad_mode",
    _enter_autocast: "torch.amp.autocast_mode._enter_autocast",
    _exit_autocast: "torch.amp.autocast_mode._exit_autocast",
}


for _f in SWITCHES:
    has_side_effect(_f)


def _autocast_arguments(dtype: Any) -> tuple[Any, ...]:
    from rushlight.amp.autocast_mode import get_autocast_dtype

    chosen = get_autocast_dtype("cpu") if dtype is None else dtype
    return "cpu", chosen, dtype is not None, is_autocast_cache_enabled()


class Switch:
    """One switch: how it stood when the capture began, and the node that turned it since, if it is turned."""

    def __init__(self, read: Callable[[], Any], pair: tuple[Any, Any], arguments: Callable[[Any], tuple[Any, ...]]):
        self.read, self.pair, self.arguments = read, pair, arguments
        self.first = self.now = read()
        self.entered: Node | None = None

    def leave(self, graph: Graph, want: Any) -> None:
        """Write down that it does not stay turned as it is, unless that is wanted."""
        if want != self.now and self.entered is not None:
            graph.call_function(self.pair[1], (self.entered,))
            self.entered, self.now = None, self.first

    def enter(self, graph: Graph, want: Any) -> None:
        """Write down that it is turned from here on."""
        if want != self.now:
            self.entered, self.now = graph.call_function(self.pair[0], self.arguments(want)), want


class Modes:
    """The switches of a program that is being captured. With ``casts``,
    autocast that was on before belongs to the program too."""

    def __init__(self, graph: Graph, casts: bool = False):
        self.graph = graph
        self.switches = [
            Switch(lambda: state.grad, GRADIENTS, lambda on: (on,)),
            Switch(lambda: state.autocast, AUTOCAST, _autocast_arguments),
        ]
        if casts:
            self.switches[1].first = self.switches[1].now = None

    def follow(self) -> None:
        """Before a call: nodes for switches that were turned."""
        self._turn([s.read() for s in self.switches])

    def close(self) -> None:
        """At the end: everything as it was at the beginning."""
        self._turn([s.first for s in self.switches])

    def _turn(self, wanted: list[Any]) -> None:
        for s, want in zip(self.switches[::-1], wanted[::-1]):
            s.leave(self.graph, want)
        for s, want in zip(self.switches, wanted):
            s.enter(self.graph, want)


def is_needed(n: Node) -> bool:
    """Whether a node stays although nobody reads its result: inputs, results, writes in place, switches."""
    return bool(n.users) or n.op in ("placeholder", "output") or bool(n.meta.get("mutates")) or n.target in SWITCHES


def drop(graph: Graph, pair: tuple[Any, Any]) -> None:
    """Take one kind of switch out of a graph."""
    for n in reversed(graph.nodes):
        if n.target in pair:
            graph.erase_node(n)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """However the block ends, the switches stand afterwards as before: an error in a graph leaves none turned."""
    before = state.grad, state.autocast, dict(chosen.dtypes)
    try:
        yield
    finally:
        state.grad, state.autocast, chosen.dtypes = before
