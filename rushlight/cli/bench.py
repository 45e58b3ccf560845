"""`rushlight bench`: what the layers cost on this machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def median_us(f: object, times: int) -> float:
    """The median time of a call in microseconds."""
    rows = []
    for _ in range(times):
        start = time.perf_counter()
        f()  # type: ignore[operator]
        rows.append(time.perf_counter() - start)
    return statistics.median(rows) * 1e6


def import_seconds(module: str) -> float:
    """The time a fresh process takes to import a module, best of five."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(5))


def bench(steps: int) -> int:
    """Print the cost of import, of recording a node, and of an MLP training step."""
    from rich.console import Console
    from rich.table import Table

    import rushlight as rl
    from rushlight import nn
    from rushlight.exec.stats import stats
    from rushlight.tensor.core import realize_pending
    numpy_s, ours = import_seconds("numpy"), import_seconds("rushlight")
    x = rl.rand(8, requires_grad=True)
    count = 500

    def record() -> None:
        y = x
        for _ in range(count):
            y = y.exp()
    node = min(median_us(record, 9) / count for _ in range(3))
    realize_pending()
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    opt = rl.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data, target, loss = rl.rand(64, 1, 28, 28), rl.randint(0, 10, (64,)), nn.CrossEntropyLoss()

    def step() -> None:
        opt.zero_grad()
        loss(model(data), target).backward()
        opt.step()
    for _ in range(5):
        step()
    before = stats.nodes
    step()
    nodes = stats.nodes - before
    table = Table("what", "cost")
    table.add_row("import rushlight, beyond numpy", f"{ours - numpy_s:.3f} s (numpy alone {numpy_s:.3f} s)")
    table.add_row("recording a node with gradient", f"{node:.2f} µs")
    table.add_row("nodes of an MLP training step", str(nodes))
    table.add_row("MLP training step 784-256-128-10, batch 64", f"{median_us(step, steps) / 1e3:.2f} ms")
    Console().print(table)
    return 0
