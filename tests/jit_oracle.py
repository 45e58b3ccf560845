"""Files of modules, and what comes back from them."""

from __future__ import annotations

import io
from typing import Any

import rushlight as rl
from rushlight.utils._pytree import tree_flatten

R = rl.randn


def round_trip(m: Any, **options: Any) -> Any:
    """Saved and loaded."""
    f = io.BytesIO()
    rl.jit.save(m, f, **options)
    f.seek(0)
    return rl.jit.load(f)


def same(a: Any, b: Any) -> None:
    """Bitwise equal nests."""
    (x, s), (y, t) = tree_flatten(a), tree_flatten(b)
    assert s == t and len(x) == len(y)
    for p, q in zip(x, y):
        assert rl.equal(p, q) and p.dtype == q.dtype if isinstance(p, rl.Tensor) else p == q


def check(m: Any, *inputs: Any) -> Any:
    """A file of it, and a file of that, give the same bits; the loaded module."""
    once = round_trip(m)
    again = round_trip(once)
    for args in inputs:
        want = m(*args)
        same(once(*args), want)
        same(again(*args), want)
    return once
