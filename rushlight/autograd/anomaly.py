"""Anomaly detection: which of the user's lines made a gradient NaN."""

from __future__ import annotations

from typing import Any


class set_detect_anomaly:
    """Record the user's line of each operation, and check every gradient for NaN."""

    def __init__(self, mode: bool, check_nan: bool = True):
        from rushlight.tensor.state import state
        self._before = (state.anomaly, state.lines)
        state.anomaly = ("nan" if check_nan else "lines") if mode else False
        state.lines = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        from rushlight.tensor.state import state
        state.anomaly, state.lines = self._before


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` for a block."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on in this thread."""
    from rushlight.tensor.state import state
    return bool(state.anomaly)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN."""
    from rushlight.tensor.state import state
    return state.anomaly == "nan"
