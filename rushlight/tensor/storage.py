"""One flat allocation, which any number of tensors view."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

from rushlight.exec import flight
from rushlight.exec.realize import realize, realize_cell
from rushlight.ir.graph import Cell
from rushlight.tensor.state import state


# results that a backward pass needs as they were, by the number of their cell: whoever writes to the tensor leaves them a storage
held: dict[int, weakref.ref[Any]] = {}


def _nobody() -> None:
    """What a reference to nothing gives."""


class Storage:
    """A flat allocation: ``cell`` is its present value, realized or pending.

    ``home`` is set once the memory is shared with the outside (NumPy, DLPack): results are then written back into it.
    """

    __slots__ = ("cell", "size", "dtype", "version", "home", "owner", "forever", "__weakref__")
    batched = False  # whether this is the storage of a sample inside vmap (rushlight.func.batching)

    def __init__(self, cell: Cell, size: int, dtype: Any):
        self.cell = cell
        self.size = size
        self.dtype = dtype
        self.version = 0
        self.home: np.ndarray | None = None
        self.owner: Any = None
        self.forever = False
        cell.owner = weakref.ref(self)

    def replace(self, cell: Cell) -> None:
        """Give the storage a new value: what an in-place operation does (it also counts the version of the tensor)."""
        if cell.node is not None:
            cell.before = self.cell
        if held and (saved := held.get(id(self.cell), _nobody)()) is not None:
            saved.spare = Storage(self.cell, self.size, self.dtype)
        self.cell = cell
        cell.owner = weakref.ref(self)
        if self.home is not None and (cell.buffer is not None or flight.current is not None or self.exposed()):
            realize_cell(cell)  # what is in flight would not find its way home
            if cell.buffer is not self.home:  # it was realized before this storage showed it
                np.copyto(self.home, cell.buffer)
                cell.buffer = self.home

    def read(self) -> Cell:
        """The cell to record a read of: a snapshot where somebody outside could write before the node runs."""
        if self.home is None or self.cell.buffer is None or not self.exposed():
            return self.cell
        return Cell(None, 0, np.array(self.memory()))

    def exposed(self) -> bool:
        """Whether anybody but this storage can reach the memory."""
        if self.forever:
            return True
        # this storage holds the owner once, the flat buffer (home) holds it once, the call's argument once
        return sys.getrefcount(self.owner) > 3

    def memory(self) -> np.ndarray:
        """The realized flat memory."""
        cell = self.cell
        if cell.buffer is None:
            realize_cell(cell)
        return cell.buffer

    def share(self) -> np.ndarray:
        """The memory for the outside: from now on in-place results land in it."""
        if self.home is None or not self.exposed():
            realize(state.graph)  # what was recorded reads the memory as it is now
        flat = self.memory()
        if self.home is None:
            if not isinstance(flat.base, np.ndarray):  # views of views refer to the one that is no view of an array
                flat = self.cell.buffer = flat.view()
            self.home = flat
            self.owner = flat.base
        return self.home


def fresh(buffer: np.ndarray, dtype: Any) -> Storage:
    """A storage on memory that nobody else refers to."""
    return Storage(Cell(None, 0, buffer), buffer.size, dtype)


def pending_graph() -> Any:
    """The calling thread's pending graph."""
    return state.graph
