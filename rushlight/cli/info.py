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
    "llvmlite": "native CPU code", "onednn-cpu-gomp": "kernels of oneDNN", "jax": "GPU, TPU",
    "safetensors": "safetensors files", "scipy": "",
    "matplotlib": "plots", "onnx": "ONNX files", "tensorboardX": "TensorBoard logs", "optuna": "tuning",
    "mpi4py": "clusters",
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
    built: Any = np.show_config(mode="dicts")
    found = (built or {}).get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def executors() -> Iterator[tuple[str, str]]:
    """The executors by name, and whether each can run here."""
    yield "numpy", f"ready (the definition of every operation; BLAS: {blas()})"
    yield "cpu", native()
    if importlib.util.find_spec("rushlight.exec.xla") is None:
        yield "xla", "not part of this version"
    else:
        yield "xla", "ready" if importlib.util.find_spec("jax") else "needs jax"


def executor() -> str:
    """The executor of the larger plans and its threads, in a line."""
    from rushlight.exec import choose
    from rushlight.exec.cpu import executor as cpu
    name = "native" if choose.native() and cpu.available() else "numpy"
    return f"{name} executor, threads: {rushlight.get_num_threads()}"


def native() -> str:
    """What the native executor found: its code generator and oneDNN."""
    from rushlight.exec import choose
    from rushlight.exec.cpu import executor, host
    from rushlight.exec.cpu.onednn import library
    if not executor.available():
        return "needs llvmlite"
    vectors = f"native code with vectors of {8 * host.vector_bytes()} bits"
    found = library.library() if library.available() else None
    kernels = (f"oneDNN {'.'.join(map(str, found.version))} from {found.path}" if found else
               "oneDNN not found: convolutions are slower")
    return f"{'ready' if choose.native() else 'switched off by RUSHLIGHT_EXEC'} ({vectors}; {kernels})"


def kernel_cache() -> str:
    """Where compiled kernels are kept, how many, and their size."""
    from rushlight.exec.cpu import executor, jit
    if not executor.available():
        return "not used"
    here = jit.cache_folder()
    if here is None:
        return "off: RUSHLIGHT_CACHE_DIR is empty"
    files = [file for file in here.parent.rglob("*") if file.is_file()]
    usable = sum(file.parent == here for file in files)
    size = sum(file.stat().st_size for file in files) / 1e6
    return f"{here.parent} ({len(files)} kernels, {size:.1f} MB; {usable} of them of this version for this machine)"


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
    yield "kernel cache", kernel_cache()
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
