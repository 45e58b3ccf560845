"""How rushlight was put together (torch.__config__)."""

from __future__ import annotations


def show() -> str:
    """Versions and executors as text.

    >>> "NumPy" in show()
    True
    """
    import sys

    import numpy as np

    import rushlight
    from rushlight.exec import choose
    native = "off (RUSHLIGHT_EXEC=numpy)" if not choose.native() else "on"
    return (f"rushlight {rushlight.__version__} built with:\n  - Python {sys.version.split()[0]}\n  - "
            f"NumPy {np.__version__}\n  - native executor: {native}\n  - CUDA: not used\n")


def parallel_info() -> str:
    """The threads in use as text."""
    from rushlight.tensor.settings import get_num_interop_threads, get_num_threads
    return ("threads of one operation: "
            f"{get_num_threads()}\nthreads of several operations: {get_num_interop_threads()}\n")
