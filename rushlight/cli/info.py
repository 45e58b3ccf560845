"""`rushlight info`: versions, executors, and the number of threads with its reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rushlight
from rushlight.exec import threads

OPTIONAL = {
    "llvmlite": "native CPU code", "onednn-cpu-gomp": "kernels of oneDNN", "jax": "GPU, TPU", "safetensors": "safetensors files", "scipy": "",
    "matplotlib": "plots", "onnx": "ONNX files", "tensorboardX": "TensorBoard logs", "optuna": "tuning", "mpi4py": "clusters",
}
REQUIRED = ("numpy", "ml_dtypes", "rich", "pillow")


def version(package: str = "rushlight") -> str:
    """The installed version of a distribution; rushlight's own also where it runs from a checkout."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return rushlight.__version__ if package == "rushlight" else "not installed"


def blas() -> str:
    """The matrix library that NumPy was built with."""
    import numpy as np
    built: Any = np.show_config(mode="dicts")  # type: ignore[call-arg]
    found = (built or {}).get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def executors() -> Iterator[tuple[str, str]]:
    """The executors by name, and whether each can run here."""
    yield "numpy", f"ready (the definition of every operation; BLAS: {blas()})"
    for name, needs in (("cpu", "llvmlite"), ("xla", "jax")):
        if importlib.util.find_spec(f"rushlight.exec.{name}") is None:
            yield name, "not part of this version"
        else:
            yield name, "ready" if importlib.util.find_spec(needs) else f"needs {needs}"


def rows() -> Iterator[tuple[str, str]]:
    """What is printed, line by line."""
    yield "rushlight", f"{version()} in {Path(rushlight.__file__).parent}"
    yield "Python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    for name in REQUIRED:
        yield name, version(name)
    for name, use in OPTIONAL.items():
        found = version(name)
        yield name, found + (f" ({use})" if found == "not installed" and use else "")
    for name, state in executors():
        yield f"executor {name}", state
    chosen = rushlight.get_num_threads()
    yield "threads", f"{chosen}: {threads.why(chosen, threads.affinity(), threads.quota())}"


def info() -> int:
    """Print it."""
    from rich.console import Console
    from rich.text import Text
    console = Console()
    for name, value in rows():
        console.print(Text.assemble((f"{name:<17}", "bold"), value), soft_wrap=True)
    return 0
