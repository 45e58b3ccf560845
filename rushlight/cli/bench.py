"""`rushlight bench`: what the layers cost on this machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

ROUNDS = 5  # of measurements of which the best counts
NODES = 500  # recorded at once
KERNELS = 8  # shown


def seconds(f: Callable[[], Any], times: int) -> list[float]:
    """How long each of some calls took."""
    rows = []
    for _ in range(times):
        start = time.perf_counter()
        f()
        rows.append(time.perf_counter() - start)
    return rows


def import_seconds(module: str) -> float:
    """The time that a fresh process takes to import a module, at best."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
               for _ in range(ROUNDS))


def node_seconds() -> float:
    """What it takes to record one elementwise operation on a tensor that requires a gradient."""
    import rushlight as rl
    from rushlight.tensor.core import realize_pending
    x = rl.rand(8, requires_grad=True)

    def record() -> None:
        y = x
        for _ in range(NODES):
            y = y.exp()
    found = min(seconds(record, 5 * ROUNDS)) / NODES
    realize_pending()
    return found


def training_step() -> Callable[[], Any]:
    """One step of an MLP 784-256-128-10 on 64 pictures: forward, backward, SGD with momentum; it reads the loss."""
    import rushlight as rl
    from rushlight import nn
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(),
                          nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = rl.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    data, target, criterion = rl.rand(64, 1, 28, 28), rl.randint(0, 10, (64,)), nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(model(data), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())
    return step


def planning_seconds(step: Callable[[], Any]) -> float:
    """What a step takes longer when its plans have to be made anew; their kernels are compiled already."""
    from rushlight.exec.realize import clear_plans
    found = []
    for _ in range(ROUNDS):
        clear_plans()
        planned, *later = seconds(step, 4)
        found.append(planned - min(later))
    return min(found)


def step_nodes(step: Callable[[], Any]) -> int:
    """The nodes that a step records."""
    from rushlight.exec.stats import stats
    before = stats.nodes
    step()
    return stats.nodes - before


def figures(steps: int) -> Iterator[tuple[str, str]]:
    """What is printed: what was measured, and its cost."""
    numpy_s, ours = import_seconds("numpy"), import_seconds("rushlight")
    yield "import rushlight, beyond numpy", f"{ours - numpy_s:.3f} s (numpy alone {numpy_s:.3f} s)"
    yield "recording a node with gradient", f"{node_seconds() * 1e6:.2f} µs"
    step = training_step()
    (first,) = seconds(step, 1)
    seconds(step, 4)
    yield "nodes of an MLP training step", str(step_nodes(step))
    yield "first MLP training step of a process", f"{first * 1e3:.0f} ms"
    yield "planning an MLP training step", f"{planning_seconds(step) * 1e3:.1f} ms"
    times = [1e3 * t for t in seconds(step, steps)]
    usual, best = statistics.median(times), min(times)
    yield "MLP training step 784-256-128-10, batch 64", f"{usual:.2f} ms (best {best:.2f} ms)"


def kernels(steps: int) -> list[tuple[str, ...]]:
    """The longest kernels of a training step: microseconds of one call, share of the step, GFLOP/s, GB/s and name;
    nothing without native code."""
    from rushlight.exec import choose
    from rushlight.exec.cpu import executor, profile
    if not (choose.native() and executor.available()):
        return []
    step = training_step()
    seconds(step, 5)
    with profile.profile() as found:
        seconds(step, steps)

    def rounded(value: float) -> str:
        return f"{value:.0f}" if value else ""

    return [(f"{1e3 * ms / calls:.1f}", f"{share:.0%}", rounded(flops), rounded(size), title)
            for title, calls, ms, share, flops, size in found.rows()[:KERNELS]]


def bench(steps: int) -> int:
    """Print the cost of import, of recording, of planning, of a training step and of its kernels."""
    from rich.console import Console
    from rich.table import Column, Table

    from rushlight.cli.info import executor
    table = Table("what", "cost", caption=executor(), caption_justify="left")
    for row in figures(steps):
        table.add_row(*row)
    console = Console()
    console.print(table)
    if rows := kernels(steps):
        table = Table(*(Column(name, justify="right") for name in ("µs", "share", "GFLOP/s", "GB/s")), "kernel",
                      title=f"the {len(rows)} longest kernels of that step")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    return 0
