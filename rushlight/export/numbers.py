"""Numbers that a program reads from tensors while it is captured:
they count as usual and remember how they were computed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from rushlight.ir.graph import SCALARS

ARITHMETIC = ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


class Traced:
    """What traced integers and floats share. ``node`` is the graph's node of the number, made when it is first used."""

    _capture: Any
    _make: Callable[[], Any]
    _node: Any

    @property
    def node(self) -> Any:
        """The node that computes this number."""
        if self._node is None:
            self._node = self._make()
            self._node.meta.setdefault("val", plain(self))
        return self._node


class TracedInt(Traced, int):
    """An integer with its origin."""

    __hash__ = int.__hash__


class TracedFloat(Traced, float):
    """A float with its origin."""

    __hash__ = float.__hash__


def plain(x: Any) -> Any:
    """The number without its origin; other values as they are."""
    if isinstance(x, TracedInt):
        return int.__add__(x, 0)
    return float.__add__(x, 0.0) if isinstance(x, TracedFloat) else x


def traced(value: Any, capture: Any, make: Callable[[], Any]) -> Any:
    """A number that the node of make() computes; plain where it is no int or float, and after the capture."""
    if type(value) not in (int, float) or capture.done:
        return value
    out = (TracedInt if type(value) is int else TracedFloat)(value)
    out._capture, out._make, out._node = capture, make, None
    return out


def _operand(x: Any) -> Any:
    return x.node if isinstance(x, Traced) else x


def _binary(function: Any, swapped: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        value = function(plain(pair[0]), plain(pair[1]))
        graph = self._capture.graph
        return traced(value, self._capture, lambda: graph.call_function(function, tuple(map(_operand, pair))))

    return method


def _unary(function: Any) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        return traced(
            function(plain(self)), self._capture, lambda: self._capture.graph.call_function(function, (self.node,))
        )

    return method


def _comparison(function: Any) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        value = function(plain(self), plain(other))
        if not self._capture.done:
            self._capture.guards.append((function, self, other, value))
        return value

    return method


SCALARS[TracedInt], SCALARS[TracedFloat] = SCALARS[int], SCALARS[float]  # a program may keep one beyond the capture
for _kind in (TracedInt, TracedFloat):
    for _name in ARITHMETIC:
        setattr(_kind, f"__{_name}__", _binary(getattr(operator, _name), False))
        setattr(_kind, f"__r{_name}__", _binary(getattr(operator, _name), True))
    for _name in COMPARISONS:
        setattr(_kind, f"__{_name}__", _comparison(getattr(operator, _name)))
    for _name, _function in (
        ("neg", operator.neg),
        ("abs", abs),
        ("ceil", math.ceil),
        ("floor", math.floor),
        ("trunc", math.trunc),
        ("round", round),
    ):
        setattr(_kind, f"__{_name}__", _unary(_function))
