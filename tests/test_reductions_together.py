"""Several reductions that one compiled loop does: each gives what it gives alone.

LLVM 22 for x86 reads a lane wrongly where a maximum and a minimum of integers are folded by shuffles of whole vectors.
"""

from __future__ import annotations

from itertools import permutations

import pytest
from executors import only

import rushlight as rl

ALONE = {
    "amax": max, "amin": min, "sum": sum, "any": lambda x: any(x), "all": lambda x: all(x),
    "count": lambda x: sum(v != 0 for v in x),
}
TOGETHER = {
    "amax": lambda t: t.amax(-1), "amin": lambda t: t.amin(-1), "sum": lambda t: t.sum(-1), "any": lambda t: t.any(-1),
    "all": lambda t: t.all(-1), "count": lambda t: (t != 0).sum(-1),
}


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "float32", "float64"])
def test_pairs_of_reductions_in_one_loop(dtype: str) -> None:
    pairs = list(permutations(("amax", "amin", "sum", "any", "count", "all"), 2))
    with only("cpu"):
        for size in (3, 8, 17):
            low = 0 if dtype == "uint8" else -3
            rows = [[(i * 7 + 3 * r) % 11 + low for i in range(size)] for r in range(2)]
            for pair in pairs if size == 8 else (("amax", "amin"), ("amin", "amax")):
                t = rl.tensor(rows, dtype=getattr(rl, dtype)).clone()
                found = [TOGETHER[name](t) for name in pair]
                for name, f in zip(pair, found):
                    assert f.tolist() == [ALONE[name](row) for row in rows], (pair, name, size)


def test_extremes_of_one_vector() -> None:
    with only("cpu"):
        t = rl.tensor([-3, 4, 0, 7, 3, -1, 6, 2]).clone()
        highest, lowest = t.max(), t.min()
        assert (highest.item(), lowest.item()) == (7, -3)
