"""Which stream a draw without a generator comes from: the global one, or one that belongs to the calling thread."""

from __future__ import annotations

import threading

from rushlight.rng.engine import DEFAULT_SEED, Engine

default = Engine(DEFAULT_SEED)
_thread = threading.local()


def current() -> Engine:
    """The engine of the calling thread: its own where it has one, else the global one."""
    engine: Engine = getattr(_thread, "engine", default)
    return engine


def own_stream(engine: Engine) -> None:
    """Let the calling thread, until it ends, draw from this engine instead of the global one."""
    _thread.engine = engine
