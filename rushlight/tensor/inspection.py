"""Counters of the lazy machinery."""

from __future__ import annotations

from rushlight.exec import flight
from rushlight.exec.stats import stats as _stats
from rushlight.tensor.core import realize_pending
from rushlight.tensor.state import state


def stats() -> dict[str, int]:
    """Nodes recorded, plans built and reused, bytes of realized results (now and at most).

    >>> import rushlight as rl
    >>> sorted(rl.stats())
    ['bytes_live', 'bytes_peak', 'nodes', 'plans_built', 'plans_reused']
    """
    flight.land()
    out = _stats.as_dict()
    out["nodes"] += len(state.graph.nodes)
    return out


def realize() -> None:
    """Run everything that was recorded and not run yet."""
    realize_pending()
