"""Fills: one for everything, or one per kind of input."""

from __future__ import annotations

import numbers
from typing import Any


def fills(fill: Any) -> dict[Any, Any]:
    """A fill as {kind: fill}, "others" for all other kinds; TypeError for what is no number, sequence, dictionary or
    None."""
    if isinstance(fill, dict):
        return {kind: fills(value)["others"] for kind, value in fill.items()}
    if fill is not None and not isinstance(fill, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg, only Numbers, tuples, lists and dicts are allowed.")
    return {"others": fill if fill is None or isinstance(fill, (int, float)) else [float(v) for v in fill]}  # type: ignore[union-attr]


def fill_for(chosen: dict[Any, Any], inpt: Any) -> Any:
    """The fill for an input."""
    return chosen.get(type(inpt), chosen.get("others"))
