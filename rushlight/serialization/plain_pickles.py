"""Pickles of plain data (numbers, text, containers, NumPy arrays),
as data sets are published in, read without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rushlight.serialization.budget import Budget
from rushlight.serialization.errors import CheckpointError, Fault, short
from rushlight.serialization.machine import Machine
from rushlight.serialization.records import RecordBuilder
from rushlight.serialization.world import TableWorld

FAULTS = (Fault, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
          EOFError, MemoryError, RecursionError)


class Latin1World(TableWorld):
    """The world of checkpoints, but text of Python 2 (bytes here) counts as text where NumPy's constructors want it."""

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        return super().call(function, tuple(map(_text, args)) if function is np.dtype else args)

    def build(self, instance: Any, state: Any) -> None:
        if isinstance(instance, np.dtype) and isinstance(state, tuple):
            state = tuple(map(_text, state))
        super().build(instance, state)


def _text(value: Any) -> Any:
    return value.decode("latin1") if type(value) is bytes else value


def _decoded(value: Any) -> Any:
    """Python 2's text in a structure as text."""
    if type(value) is dict:
        return {_decoded(key): _decoded(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_decoded, value))
    return _text(value)


def load_plain(path: str | Path) -> Any:
    """What the pickle in a file describes; bytes of Python 2 become text, as with ``encoding="latin1"``.

    CheckpointError names the file where it is damaged, or holds anything but plain data; nothing of it is run.
    """
    size = Path(path).stat().st_size
    budget = Budget(2 * size)  # an array is held twice while it is made
    with open(path, "rb") as file:
        world = Latin1World(RecordBuilder(), _no_storage, budget)
        machine = Machine(file, size, world, budget, "bytes")
        machine.keys = world.keys
        try:
            return _decoded(machine.load())
        except FAULTS as e:
            fact = str(e).split(" Please use ")[0] if isinstance(e, Fault) else f"{type(e).__name__}: {short(str(e))}"
            text = (f"{path} is no pickle of plain data: {fact} (at byte {file.tell()}). Nothing of it was run. "
                    "Delete it and fetch it again from where it is published.")
            raise CheckpointError(text, str(path), "pickle") from (None if isinstance(e, Fault) else e)


def _no_storage(identity: Any) -> Any:
    raise Fault("it names memory outside the file")
