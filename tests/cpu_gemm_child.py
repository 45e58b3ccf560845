"""Runs in a process of its own: matrix products on memory that ends at a page that nobody may touch."""

from __future__ import annotations

from typing import Any

import cpu_faults_child as faults
import numpy as np

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import plan

SIZES = (1, 2, 3, 5, 6, 7, 8, 15, 16, 17, 31, 33, 40, 64, 65, 70, 129, 300)
DTYPES = ("float32", "float64", "float16", "int8", "int32", "int64")


def operand(r: Any, rows: int, columns: int, dtype: str) -> Any:
    """A matrix that lies plainly or turned."""
    if r.integers(2):
        return faults.tensor(r, rows, columns, dtype=np.dtype(dtype))
    return faults.tensor(r, columns, rows, dtype=np.dtype(dtype)).t()


def products() -> None:
    plan.np = faults.Empty()
    plan.SCRATCH = faults.Arena()
    for seed in range(300):
        r = np.random.default_rng(seed)
        dtype = DTYPES[seed % len(DTYPES)]
        m, n, k = (int(v) for v in r.choice(SIZES, 3))
        results = [operand(r, m, k, dtype) @ operand(r, k, n, dtype)]
        if dtype.startswith("f"):
            x, w, b = operand(r, m, k, dtype), faults.tensor(r, n, k, dtype=np.dtype(dtype)), faults.tensor(
                r, n, dtype=np.dtype(dtype))
            results += [F.relu(F.linear(x, w, b)), F.linear(x, w)]
        for result in results:
            assert result.numpy() is not None
        faults.kept.clear()


if __name__ == "__main__":
    rl.manual_seed(0)
    products()
    print("survived")
