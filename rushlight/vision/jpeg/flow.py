"""Loops and choices in a kernel that carry values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.exec.cpu.writer import Writer

Values = tuple[Any, ...]


def repeat(w: Writer, carried: Values, body: Callable[..., tuple[Values, Any]]) -> Values:
    """do { carried, again = body(*carried) } while (again)."""
    before, inside = w.b.block, w.function.append_basic_block()
    w.b.branch(inside)
    w.b.position_at_end(inside)
    phis = []
    for value in carried:
        phi = w.b.phi(value.type)
        phi.add_incoming(value, before)
        phis.append(phi)
    results, again = body(*phis)
    last, after = w.b.block, w.function.append_basic_block()
    w.b.cbranch(again, inside, after)
    for phi, value in zip(phis, results, strict=True):
        phi.add_incoming(value, last)
    w.b.position_at_end(after)
    return results


def choose(w: Writer, condition: Any, first: Callable[[], Values], second: Callable[[], Values]) -> Values:
    """What ``first()`` gives where the condition holds, else what ``second()`` does."""
    starts = [w.function.append_basic_block() for _ in range(3)]
    w.b.cbranch(condition, *starts[:2])
    ends = []
    for start, make in zip(starts, (first, second)):
        w.b.position_at_end(start)
        values = make()
        ends.append((values, w.b.block))
        w.b.branch(starts[2])
    w.b.position_at_end(starts[2])
    merged = []
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        phi = w.b.phi(one.type)
        phi.add_incoming(one, ends[0][1])
        phi.add_incoming(other, ends[1][1])
        merged.append(phi)
    return tuple(merged)
