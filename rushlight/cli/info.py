"""`rushlight info`: what is here."""

from __future__ import annotations

import importlib.metadata
import os
import platform


def quota() -> float | None:
    """The processors that the container's limits allow, None without a limit."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as f:
            most, period = f.read().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        return None


def info() -> int:
    """Print versions, executors and threads."""
    from rich.console import Console
    from rich.table import Table

    from rushlight.tensor.settings import get_num_threads
    table = Table(show_header=False, box=None)
    table.add_row("rushlight", importlib.metadata.version("rushlight"))
    table.add_row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in ("numpy", "ml_dtypes", "llvmlite", "scipy", "pillow", "safetensors", "matplotlib", "jax"):
        try:
            table.add_row(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            table.add_row(name, "not installed")
    table.add_row("executors", "numpy")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = quota()
    table.add_row("threads", f"{get_num_threads()} (affinity {allowed}, cgroup quota {'none' if limit is None else f'{limit:g}'})")
    Console().print(table)
    return 0
