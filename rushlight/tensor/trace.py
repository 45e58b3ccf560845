"""Decompositions written out: a rule runs on stand-in tensors in a graph of its own, which becomes a program."""

from __future__ import annotations

from typing import Any

from rushlight.ir.graph import SCALARS, Cell, Graph, Node, Signature
from rushlight.ir.program import Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE, Op, row
from rushlight.passes import pipeline
from rushlight.tensor.core import Tensor, apply, functions, new_tensor
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage

SYMBOL_OPS = ("add", "sub", "mul", "truediv", "neg", "pow")


class ScalarResult:
    """The type of a number that is computed inside a plan."""

    dtype = None
    shape = ()

    def __repr__(self) -> str:
        return "number"


NUMBER = ScalarResult()
for _name in SYMBOL_OPS:
    row(f"scalar_{_name}", "map", "x" if _name == "neg" else "x y", lambda *a: (), differentiable=False)


class Symbol:
    """A Python number whose value is known only when the plan runs. Arithmetic on it is recorded."""

    __slots__ = ("cell",)

    def __init__(self, cell: Cell):
        self.cell = cell

    def _record(self, name: str, *operands: Any) -> Symbol:
        node = Node(Signature(TABLE[f"scalar_{name}"], (), tuple(SCALARS[float] for _ in operands), (NUMBER,)),  # type: ignore[arg-type]
                    tuple(o.cell if isinstance(o, Symbol) else float(o) for o in operands), state.graph)
        cell = Cell(node, 0)
        node.outs = (cell,)
        state.graph.nodes.append(node)
        return Symbol(cell)

    def __add__(self, other: Any) -> Any:
        return self._record("add", self, other) if not isinstance(other, Tensor) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._record("sub", self, other) if not isinstance(other, Tensor) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return self._record("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._record("mul", self, other) if not isinstance(other, Tensor) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._record("truediv", self, other) if not isinstance(other, Tensor) else NotImplemented

    def __rtruediv__(self, other: Any) -> Any:
        return self._record("truediv", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._record("pow", self, other) if not isinstance(other, Tensor) else NotImplemented

    def __neg__(self) -> Any:
        return self._record("neg", self)

    def __bool__(self) -> bool:
        raise TypeError("the value of this number is not known while a plan is made; "
                        "make it a static flag of the operation")


def trace(op: Op, types: tuple[Any, ...], attrs: tuple[Any, ...]) -> Program:
    """The decomposition of an operation on operands of these types, as a program."""
    graph = Graph(traced=True)
    outer, grad = state.graph, state.grad
    casting, state.autocast = state.autocast, None
    state.graph, state.grad = graph, False
    keep: list[Any] = []
    try:
        args = [_stand_in(t, keep) for t in types]
        outs = op.decompose(functions(), *args, *attrs)  # type: ignore[misc]
        outs = outs if isinstance(outs, (tuple, list)) else (outs,)
        inputs = [_cell_of(a) for a in args]
        results = []
        for o in outs:
            if not o._spec.plain or o._storage.size != o._spec.numel or any(o._storage.cell is c for c in inputs) \
                    or any(o._storage.cell is c for c in results):
                o = apply(TABLE["copy"], (o,))
                keep.append(o)
            results.append(o._storage.cell)
    finally:
        state.graph, state.grad, state.autocast = outer, grad, casting
    return _program(graph, inputs, types, results)


def _stand_in(t: Any, keep: list[Any]) -> Any:
    if not isinstance(t, Spec):
        return Symbol(Cell(None, 0))
    plain = spec(t.dtype, t.shape)
    tensor = new_tensor(Storage(Cell(None, 0), plain.numel, t.dtype), plain)
    keep.append(tensor)
    return tensor


def _cell_of(a: Any) -> Cell:
    return a.cell if isinstance(a, Symbol) else a._storage.cell


def _program(graph: Graph, inputs: list[Cell], types: tuple[Any, ...], results: list[Cell]) -> Program:
    """The traced nodes with operands as inputs; numbers that the rule wrote become constants."""
    import numpy as np

    from rushlight.ir.program import Instr, Operand
    kinds = [spec(t.dtype, t.shape) if isinstance(t, Spec) else t for t in types]
    program = Program(kinds, values=len(kinds))
    number = {id(c): i for i, c in enumerate(inputs)}
    for node in graph.nodes:
        operands = []
        for x, s in zip(node.ins, node.sig.specs):
            if type(x) is Cell:
                if id(x) not in number:
                    number[id(x)] = _constant(program, np.array(x.buffer))
                operands.append(Operand(number[id(x)], s))
            elif isinstance(x, Symbol):
                operands.append(Operand(number[id(x.cell)], s))
            else:
                value = program.new()
                program.instrs.append(Instr(CONSTANT, (), (x,), (value,), (NUMBER,)))  # type: ignore[arg-type]
                operands.append(Operand(value, s))
        made = tuple(program.new() for _ in node.outs)
        number.update((id(c), r) for c, r in zip(node.outs, made))
        program.instrs.append(Instr(node.sig.op, tuple(operands), node.sig.attrs, made, node.sig.outs))
    program.outputs = tuple(number[id(c)] for c in results)
    return program


def _constant(program: Program, array: Any) -> int:
    raise AssertionError("a decomposition read a tensor that is not one of its operands")


CONSTANT = row("constant", "move", "", lambda value: (), attrs="value", numpy=lambda np, value: value,
               differentiable=False)
SCALARS[Symbol] = SCALARS[float]
pipeline.trace = trace
pipeline.setting = lambda: settings.default_dtype
