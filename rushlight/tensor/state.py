"""What each thread has of its own: the pending graph and the switches of autograd."""

from __future__ import annotations

import threading
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.ir.graph import Graph


class State(threading.local):
    """Per-thread state. New threads start with gradients on, as in PyTorch."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.grad = True
        self.inference = False
        self.anomaly = False
        self.level: Any = None  # the innermost vmap that is running (rushlight.func.batching.Level)
        self.autocast: Any = None  # the dtype of products while autocast is on (rushlight.tensor.autocast)
        self.lines = False  # whether nodes keep the user's source line


state = State()


class Settings:
    """Process-wide settings."""

    default_dtype = dtypes.float32
    max_nodes = 2048  # pending operations
    max_elements = 1 << 30  # of all their results
    more_nodes = 24  # operations beyond that


settings = Settings()
