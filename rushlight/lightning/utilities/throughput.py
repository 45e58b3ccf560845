"""How many operations a pass takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def measure_flops(model: Any, forward_fn: Callable[[], Any], loss_fn: Callable[[Any], Any] | None = None) -> int:
    """Floating-point operations of ``forward_fn()``, and of the backward
    pass of ``loss_fn(output)`` where it is given."""
    from rushlight.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        if loss_fn is None:
            forward_fn()
        else:
            loss_fn(forward_fn()).backward()
    return int(counter.get_total_flops())
