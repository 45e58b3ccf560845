"""Checks of arguments that many transforms share."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

TWO_DIMENSIONS = "Please provide only two dimensions (h, w) for size."


def pair_of_sizes(size: Any, message: str = TWO_DIMENSIONS) -> Any:
    """(height, width) from one number, a sequence of one or a sequence of two; ValueError with the message
    otherwise."""
    if isinstance(size, numbers.Number):
        return int(size), int(size)  # type: ignore[call-overload]
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(message)
    return size


def check_sequence(value: Any, name: str, lengths: tuple[int, ...]) -> None:
    """TypeError unless it is a sequence, ValueError unless it has one of the lengths."""
    wanted = " or ".join(map(str, lengths))
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length {wanted}.")
    if len(value) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {wanted}.")


def angle_range(value: Any, name: str, lengths: tuple[int, ...] = (2,)) -> list[float]:
    """[-value, value] from one number, or the floats of a sequence of an allowed length."""
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"If {name} is a single number, it must be positive.")
        value = [-value, value]  # type: ignore[operator]
    else:
        check_sequence(value, name, lengths)
    return [float(v) for v in value]


def check_fill(fill: Any) -> Any:
    """What a transform keeps as its fill: 0 for None; TypeError unless a number or a sequence."""
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def check_padding_mode(mode: Any) -> None:
    """ValueError unless it is one of the four ways to pad."""
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")


def shown(kind: object, body: str) -> str:
    """The text of a transform: its class and what it was made with."""
    return f"{type(kind).__name__}({body})"
