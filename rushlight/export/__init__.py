"""torch.export: modules as graphs with their state, which can be saved,
loaded and run without the classes that defined them."""

from __future__ import annotations

from typing import Any

from rushlight.export import dynamic_shapes, exported_program, graph_signature
from rushlight.export.dynamic_shapes import Dim, dims
from rushlight.export.exported_program import ExportedProgram
from rushlight.export.exporting import export
from rushlight.export.graph_signature import ExportGraphSignature
from rushlight.export.saving import load, save


def register_dataclass(cls: type[Any], *, serialized_type_name: str | None = None) -> None:
    """Let a dataclass be a container of arguments and results.

    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Pair:
    ...     a: object
    ...     b: object
    >>> register_dataclass(Pair)
    """
    import dataclasses

    from rushlight.utils._pytree import register_pytree_node

    if not dataclasses.is_dataclass(cls):
        raise AssertionError(f"Only dataclasses can be registered with this function: {cls}")
    names = [f.name for f in dataclasses.fields(cls)]
    register_pytree_node(
        cls, lambda x: ([getattr(x, n) for n in names], None), lambda values, _: cls(**dict(zip(names, values)))
    )


__all__ = [
    "Dim",
    "ExportGraphSignature",
    "ExportedProgram",
    "dims",
    "dynamic_shapes",
    "export",
    "exported_program",
    "graph_signature",
    "load",
    "register_dataclass",
    "save",
]
