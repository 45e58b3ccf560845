"""The table of operations: one row each, holding all that is known about it.

A row's cells are functions that receive what they need as arguments, so this layer imports no backend:

- ``shape(*types, *attrs)`` gives the result types, or raises the user's error;
- ``numpy(np, *arrays, *attrs)`` computes it (absent: the NumPy executor has a kernel of the row's name);
- ``vjp`` gives one gradient rule per input, written with the public operations. A rule names what it needs: ``g``
  (the gradient of the result; ``g0, g1 …`` of several, ``given`` which of them are not known to be zero), ``out``
  (``out0 …``), any input or attribute by its name, ``x_spec`` for the type alone of input ``x``, ``i`` for the
  number of a variadic operand, and ``F``, the public functions. What no rule names is not kept for the backward
  pass. A rule named ``*`` gives the gradients of all inputs in one list; ``needs`` tells it which are wanted;
- ``strides`` says how an elementwise result lies: as its operands do together (joint), where numbers are operands
  like the others (numbers), or exactly as the one dense operand (same);
- ``once`` names the dtypes of half precision whose gradient is computed in float32 and rounded once,
  as in PyTorch's kernel;
- ``lies(types, attrs)`` names the memory order (dimensions, outermost first) of the results, None for the ordinary
  one, and ``turn(attrs, place)`` the attributes when dimension d has become dimension place[d]:
  so the operation runs in that order;
- ``holds`` names what the rules need as it was, even if it is written to before the backward pass: where PyTorch's
  own rule needs something else, so that such a write is no error there;
- ``decompose(F, *inputs, *attrs)`` writes a coarse operation with public operations. It serves the executors, and is
  the gradient of rows that have no ``vjp``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ir.dtype import DType
from rushlight.ir.spec import Spec

Rule = Callable[..., Any]
Types = tuple[tuple[DType, tuple[int, ...]], ...]


class Op:
    """One row. ``kind`` is map, reduce, move, contract, index, random, library (one NumPy call) or coarse."""

    __slots__ = ("name", "kind", "inputs", "attrs", "shape", "numpy", "llvm", "xla", "vjp", "decompose", "overwrites",
                 "grad_name", "cache", "rules", "variadic", "differentiable", "sample", "elementwise", "strides",
                 "once", "lies", "turn", "holds")

    def __init__(self, name: str, kind: str, inputs: str, shape: Rule, *, attrs: str = "", numpy: Rule | None = None,
                 vjp: dict[str, Rule] | None = None, decompose: Rule | None = None, overwrites: int | None = None,
                 grad_name: str | None = None, differentiable: bool = True, sample: str = "real",
                 elementwise: bool = False, strides: str = "joint", once: frozenset[DType] = frozenset(),
                 lies: Rule | None = None, turn: Rule | None = None, holds: str = ""):
        self.name = name
        self.kind = kind
        self.inputs = tuple(inputs.replace("*", "").split())
        self.variadic = "*" in inputs  # the last input stands for any number of operands
        self.attrs = tuple(attrs.split())
        self.shape = shape
        self.numpy = numpy
        self.llvm: Rule | None = None
        self.xla: Rule | None = None
        self.vjp = vjp or {}
        self.decompose = decompose
        self.overwrites = overwrites
        self.grad_name = grad_name or "".join(p.capitalize() for p in name.split("_")) + "Backward0"
        self.differentiable = differentiable and bool(self.vjp or decompose)
        self.sample = sample
        self.elementwise = elementwise or kind == "map"  # the result has the operands' memory order
        self.strides = strides
        self.once = once
        self.lies = lies
        self.turn = turn
        self.holds = holds.split()
        self.cache: dict[tuple[Any, ...], Any] = {}
        self.rules = {k: (f, parameters(f)) for k, f in self.vjp.items()}

    def __repr__(self) -> str:
        return f"Op({self.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        return TABLE.__getitem__, (self.name,)


TABLE: dict[str, Op] = {}


def parameters(f: Rule) -> tuple[str, ...]:
    """The names of a rule's parameters."""
    code = f.__code__
    return code.co_varnames[:code.co_argcount]


def row(name: str, kind: str, inputs: str, shape: Rule, **cells: Any) -> Op:
    """Adds a row to the table."""
    assert name not in TABLE, f"the table has a row {name} already"
    op = TABLE[name] = Op(name, kind, inputs, shape, **cells)
    return op


def types(*specs: Spec) -> Types:
    """Result types from specs."""
    return tuple((s.dtype, s.shape) for s in specs)


def load() -> dict[str, Op]:
    """The whole table: imports every family."""
    from rushlight.ops import (  # noqa: F401
        attention, coarse, contraction, fft, linalg, movement, pointwise, quantized, recurrent, reductions, special)
    return TABLE
