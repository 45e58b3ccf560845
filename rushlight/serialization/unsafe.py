"""``weights_only=False``: Python's own unpickler, which can run any code. Used only when the user says so."""

from __future__ import annotations

from functools import partial
from typing import Any

from rushlight.serialization.names import ours
from rushlight.serialization.tables import FROM_TYPE, TABLE
from rushlight.serialization.world import TableWorld


def unpickler_class(pickle_module: Any, world: TableWorld) -> Any:
    """An Unpickler that knows PyTorch's names and this file's storages."""

    class FullUnpickler(pickle_module.Unpickler):  # type: ignore[misc]
        def persistent_load(self, identity: Any) -> Any:
            return world.given(identity)

        def find_class(self, module: str, name: str) -> Any:
            if module.partition(".")[0] != "torch":
                return super().find_class(module, name)
            path = f"{module}.{name}"
            if path == FROM_TYPE:
                return partial(rebuild_from_type, world)
            if path in world.types:
                return world.types[path]
            entry = TABLE.get(path)
            if entry is None:
                return ours(module, name)
            return partial(entry.call, world) if entry.call is not None else entry.value

    return FullUnpickler


def rebuild_from_type(world: TableWorld, function: Any, kind: type, args: tuple[Any, ...], state: Any) -> Any:
    """A tensor of a subclass, with its attributes."""
    tensor = world.as_type(function(*args), kind)
    world.tensor_state(tensor, state)
    return tensor
