"""Which stream a draw without a generator comes from: the global one, or one that belongs to the calling thread."""

from __future__ import annotations

import os
import threading

from rushlight.rng.engine import Engine

# A program that sets no seed draws other numbers each time, as under PyTorch
default = Engine(int.from_bytes(os.urandom(8), "little") >> 1)
_thread = threading.local()


def current() -> Engine:
    """The engine of the calling thread: its own where it has one, else the global one."""
    engine: Engine = getattr(_thread, "engine", default)
    return engine


def own_stream(engine: Engine) -> None:
    """Let the calling thread, until it ends, draw from this engine instead of the global one."""
    _thread.engine = engine
