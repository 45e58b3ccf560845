"""torch.export.export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rushlight.export.capture import CaptureError
from rushlight.export.dynamic import SizeError, Sizes, capture_dynamic
from rushlight.export.dynamic_shapes import sizes_of
from rushlight.export.exported_program import ExportedProgram, ValueRanges, lift
from rushlight.nn import Module


class GuardOnDataDependentSymNode(RuntimeError):
    """A program goes by the values of a tensor."""


def export(
    mod: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    preserve_module_call_signature: tuple[str, ...] = (),
    prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:
    """A module as an `ExportedProgram`: it runs once on the example arguments, and the calls of torch's functions
    become the graph.

    ``dynamic_shapes`` says which sizes may change, in the form of the arguments: ``{"x": {0: Dim("batch")}}``;
    the others are fixed. The graph holds the public functions that the program called, and writes in place
    stay. ``strict`` makes no difference.

    ValueError for what is no module, UserError where sizes that should change are fixed by the program,
    GuardOnDataDependentSymNode where it goes by values of tensors, RuntimeError for what no graph can hold.

    >>> import rushlight as rl
    >>> program = export(rl.nn.Linear(3, 2), (rl.ones(4, 3),), dynamic_shapes={"input": {0: rl.export.Dim("batch")}})
    >>> program.module()(rl.ones(7, 3)).shape
    torch.Size([7, 2])
    """
    from rushlight._dynamo.exc import UserError, UserErrorType

    if not isinstance(mod, Module):
        raise ValueError(f"Expected `mod` to be an instance of `torch.nn.Module`, got {type(mod)}.")
    if not isinstance(args, tuple):
        raise UserError(
            UserErrorType.INVALID_INPUT,
            f"Expecting `args` to be a tuple of example positional inputs, got {type(args)}",
        )
    if preserve_module_call_signature:
        raise NotImplementedError(
            "torch.export.export(preserve_module_call_signature=...): submodules are not kept as calls here"
        )
    kwargs = dict(kwargs or {})
    sizes: Sizes = {}
    try:
        sizes = sizes_of(mod, args, kwargs, dynamic_shapes)
        with _unchanged(mod):
            captured = capture_dynamic(mod, args, kwargs, sizes, _read)
    except SizeError as e:
        text = str(e)
        names = ", ".join(sizes_named(sizes))
        if names and "Constraints violated" not in text:
            text = f"Constraints violated ({names})! You marked these sizes as dynamic, but {text}"
        raise UserError(UserErrorType.CONSTRAINT_VIOLATION, text) from e
    except CaptureError as e:
        raise UserError(UserErrorType.ANTI_PATTERN, f"torch.export: {e}") from e
    return lift(captured, _ranges(sizes), (args, kwargs))


def sizes_named(sizes: Any) -> list[str]:
    """The roots of dynamic sizes."""
    return list(dict.fromkeys(s.root for dims in (sizes or {}).values() for s in dims.values()))


def _read(name: str) -> None:
    raise GuardOnDataDependentSymNode(
        "Could not guard on data-dependent expression: the program turns a tensor into a Python value "
        f"({name}) and may go by it. A graph has one way only: use torch.where, or compute the value outside"
    )


def _ranges(sizes: Sizes) -> dict[str, ValueRanges]:
    out = {}
    for dims in sizes.values():
        for s in dims.values():
            out[s.name] = ValueRanges(s.of(s.low), None if s.high is None else s.of(s.high))
    return out


@contextlib.contextmanager
def _unchanged(mod: Module) -> Iterator[None]:
    """What the block writes to buffers is undone."""
    from rushlight.ir.graph import Cell

    before = []
    for t in mod.buffers():
        memory = t._storage.memory().copy()
        before.append((t._storage, t._storage.cell, memory, t._vc, t._vc.version))
    buffers = [(m, dict(m._buffers)) for m in mod.modules()]
    try:
        yield
    finally:
        for storage, cell, memory, counter, version in before:
            if storage.cell is not cell:
                storage.replace(Cell(None, 0, memory))
            counter.version = version
        for m, held in buffers:
            m._buffers.update(held)


__all__ = ["GuardOnDataDependentSymNode", "export"]
