"""Values that are there already: mistakes in them are reported at the line that makes them, not when a plan runs."""

from __future__ import annotations

import numpy as np

from rushlight.tensor.core import Tensor, unwrap


def known(t: Tensor) -> np.ndarray | None:
    """The values of a tensor where nothing has to run for them, else None."""
    storage = t._storage
    if storage.batched or storage.cell.buffer is None:
        return None
    return unwrap(t)


def check_index(index: Tensor, size: int, message: str, error: type[Exception] = IndexError, low: int = 0) -> None:
    """Raise ``error`` for the first index that is not within low … size - 1, if its value is known by now.

    ``message`` may use {bad} and {size}; the position within the index is added. The executors check again.
    """
    values = known(index)
    if values is None or not values.size or (values.min() >= low and values.max() < size):
        return
    at = np.argwhere((values < low) | (values >= size))[0].tolist()
    raise error(message.format(bad=values[tuple(at)], size=size) + position(at))


def position(at: list[int]) -> str:
    """Words for a position, nothing for that of a single number.

    >>> position([1, 2]), position([])
    (' (at position [1, 2])', '')
    """
    return f" (at position {at})" if at else ""
