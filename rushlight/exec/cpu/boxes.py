"""Views of flat memory as boxes of one grid: whether they meet, what they leave out, and how to go through each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from rushlight.ir.spec import Spec

Ints = tuple[int, ...]
MOST_BOXES = 64


@dataclass(frozen=True, slots=True)
class Grid:
    """Flat memory as an array: each stride divides the one before it, the last is 1."""

    shape: Ints
    strides: Ints


@dataclass(frozen=True, slots=True)
class Box:
    """Part of a grid: where it begins and how far it goes in each dimension, and what one step takes in the memory that
    goes there; ``source`` is the operand, or None for zeros."""

    low: Ints
    size: Ints
    steps: Ints
    source: int | None = None
    offset: int = 0  # where the source begins

    def meets(self, other: Box) -> bool:
        """Whether the two have an element in common."""
        return all(a < b + m and b < a + n for a, n, b, m in zip(self.low, self.size, other.low, other.size))

    def without(self, other: Box) -> list[Box]:
        """What is left of this box outside of another, as boxes of zeros."""
        if not self.meets(other):
            return [self]
        left, low, size = [], list(self.low), list(self.size)
        for d, (begin, length) in enumerate(zip(other.low, other.size)):
            end = min(begin + length, low[d] + size[d])
            if begin > low[d]:
                left.append(_zeros((*low[:d], low[d], *low[d + 1:]), (*size[:d], begin - low[d], *size[d + 1:])))
            if end < low[d] + size[d]:
                left.append(_zeros((*low[:d], end, *low[d + 1:]), (*size[:d], low[d] + size[d] - end, *size[d + 1:])))
            first = max(begin, low[d])
            low[d], size[d] = first, end - first
        return left


def _zeros(low: Ints, size: Ints) -> Box:
    return Box(low, size, (0,) * len(low))


def grid_of(total: int, strides: Iterable[int]) -> Grid | None:
    """The grid in which all of these strides are steps along a dimension, if there is one.

    >>> grid_of(24, (12, 4))
    Grid(shape=(2, 3, 4), strides=(12, 4, 1))
    >>> grid_of(24, (12, 8)) is None
    True
    """
    order = sorted({1, *strides}, reverse=True)
    if order[-1] < 1 or any(a % b for a, b in zip((total, *order), order)):
        return None
    return Grid(tuple([a // b for a, b in zip((total, *order), order)]), tuple(order))


def box_of(grid: Grid, view: Spec, source: int, read: Spec) -> Box | None:
    """A view as a box, with what the operand `read` of its shape brings to each place; None where it is none."""
    rank = len(grid.shape)
    size, steps = [1] * rank, [0] * rank
    low = [view.offset // stride % n for n, stride in zip(grid.shape, grid.strides)]
    for n, stride, step in zip(view.shape, view.strides, read.strides):
        if n == 1:
            continue
        at = grid.strides.index(stride)
        while n > 1:  # a dimension of the view may run through several of the grid
            part = min(n, grid.shape[at]) if n <= grid.shape[at] or not n % grid.shape[at] else 0
            if not part or size[at] > 1 or at == 0 and n > part:
                return None
            size[at], steps[at] = part, step
            n, step, at = n // part, step * part, at - 1
    if any(a + n > whole for a, n, whole in zip(low, size, grid.shape)):
        return None
    return Box(tuple(low), tuple(size), tuple(steps), source, read.offset)


def covering(grid: Grid, boxes: list[Box]) -> list[Box] | None:
    """The boxes and those of zeros that fill the grid; None where two meet, or where it would take too many."""
    if any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i]):
        return None
    if sum(prod(b.size) for b in boxes) == prod(grid.shape):
        return boxes
    rest = [_zeros((0,) * len(grid.shape), grid.shape)]
    for b in boxes:
        rest = [left for r in rest for left in r.without(b)]
        if len(rest) > MOST_BOXES:
            return None
    return boxes + rest


def turned(grid: Grid, view: Spec) -> Ints | None:
    """The strides of the grid's dimensions in a copy of a view of all its memory; None where they have none.

    >>> from rushlight.ir.dtype import float32
    >>> from rushlight.ir.spec import spec
    >>> turned(Grid((2, 3), (3, 1)), spec(float32, (3, 2), (1, 3)))
    (1, 2)
    """
    found = []
    after = [prod(view.shape[d + 1:]) for d in range(len(view.shape))]
    for n, stride in zip(grid.shape, grid.strides):
        home = [stride // s * to for m, s, to in zip(view.shape, view.strides, after)
                if m > 1 and s and not stride % s and stride // s * n <= m]
        if n == 1:
            home = [0]
        if len(home) != 1:
            return None
        found += home
    return tuple(found)
