"""Which piece of each parameter a rank holds: a stretch of all of them laid end to end, or an equal cut of each one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rushlight.distributed.tensor.layout import chunk


@dataclasses.dataclass
class Slot:
    """One parameter of a unit: where it is used, its clean name within the unit, and what it is when whole."""

    owners: list[tuple[Any, str]]
    path: str
    shape: tuple[int, ...]
    dtype: Any
    requires_grad: bool
    own_dtype: bool = False  # not cast by mixed precision
    # (mesh, placements, shape) of a parameter that is a DTensor of another mesh: its local tensor is what is cut
    spread: Any = None
    start: int = 0  # where it begins when all parameters lie end to end

    @property
    def numel(self) -> int:
        """How many numbers."""
        return int(np.prod(self.shape, dtype=np.int64))


class Stretches:
    """Parameters end to end, in as many equal stretches as there are ranks: a piece is one-dimensional."""

    def __init__(self, slots: list[Slot], size: int):
        self.size, total = size, 0
        for s in slots:
            s.start, total = total, total + s.numel
        self.total = total

    def _bounds(self, slot: Slot, rank: int) -> tuple[int, int]:
        low, high = chunk(self.total, self.size, rank)
        return min(max(low - slot.start, 0), slot.numel), min(max(high - slot.start, 0), slot.numel)

    def shape(self, slot: Slot, rank: int) -> tuple[int, ...]:
        """The shape of a rank's piece: that of the parameter where it has all of it."""
        low, high = self._bounds(slot, rank)
        return slot.shape if high - low == slot.numel else (high - low,)

    def piece(self, slot: Slot, whole: np.ndarray, rank: int) -> np.ndarray:
        """A rank's piece as a flat array."""
        low, high = self._bounds(slot, rank)
        return whole.reshape(-1)[low:high]

    def whole(self, slot: Slot, pieces: list[np.ndarray]) -> np.ndarray:
        """All ranks' flat pieces put together."""
        return np.concatenate(pieces).reshape(slot.shape)


class Cuts:
    """Each parameter cut along a dimension of its own (0 unless ``dims`` says otherwise by number of slot)."""

    def __init__(self, slots: list[Slot], size: int, dims: list[int]):
        self.size = size
        self.dims = {id(s): d for s, d in zip(slots, dims)}

    def dim(self, slot: Slot) -> int:
        """The dimension that is cut."""
        return self.dims[id(slot)]

    def shape(self, slot: Slot, rank: int) -> tuple[int, ...]:
        """The shape of a rank's piece."""
        d = self.dim(slot)
        low, high = chunk(slot.shape[d], self.size, rank)
        return (*slot.shape[:d], high - low, *slot.shape[d + 1 :])

    def piece(self, slot: Slot, whole: np.ndarray, rank: int) -> np.ndarray:
        """A rank's piece as a flat array."""
        d = self.dim(slot)
        low, high = chunk(slot.shape[d], self.size, rank)
        return whole.reshape(slot.shape)[(slice(None),) * d + (slice(low, high),)].reshape(-1)

    def whole(self, slot: Slot, pieces: list[np.ndarray]) -> np.ndarray:
        """All ranks' flat pieces put together."""
        return np.concatenate([p.reshape(self.shape(slot, r)) for r, p in enumerate(pieces)], self.dim(slot))
