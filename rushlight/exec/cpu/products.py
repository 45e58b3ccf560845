"""Matrix products as oneDNN primitives, with transposed operands read in place and bias and relu in the same pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from rushlight.exec.cpu.onednn import library, primitives
from rushlight.exec.cpu.onednn.library import OneDNNError, Unsupported
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import PLAIN, Attributes, Bound, Eltwise
from rushlight.exec.cpu.steps import PrimitiveStep
from rushlight.ir.dtype import float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE, Op

NAMES = frozenset(("matmul", "linear", "linear_no_bias"))
# products whose result goes through relu and nowhere else
WITH_RELU = {name: Op(f"{name}_relu", "contract", "x w b", TABLE["linear"].shape, differentiable=False) for name in ("linear", "linear_no_bias")}
RELU_OF = {op.name: name for name, op in WITH_RELU.items()}


def join_relu(program: Program) -> Program:
    """`linear` and the `relu` that alone reads it as one instruction."""
    readers: dict[int, int] = {}
    for instr in program.instrs:
        for o in instr.operands:
            readers[o.value] = readers.get(o.value, 0) + 1
    joined: dict[int, Instr] = {}  # result of the product -> the relu
    made = {i.results[0]: i for i in program.instrs if i.op.name in WITH_RELU}
    for instr in program.instrs:
        source = made.get(instr.operands[0].value) if instr.op.name == "relu" else None
        if source is not None and readers[source.results[0]] == 1 and source.results[0] not in program.outputs \
                and instr.operands[0].spec.plain and instr.operands[0].spec.numel == source.outs[0].numel and source.outs[0].dtype is float32:
            joined[source.results[0]] = instr
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    gone = {i.results[0] for i in joined.values()}
    for instr in program.instrs:
        relu = joined.get(instr.results[0])
        if relu is not None:
            out.instrs.append(replace(instr, op=WITH_RELU[instr.op.name], results=relu.results))
        elif instr.results[0] not in gone:
            out.instrs.append(instr)
    return out


def primitive_step(instr: Instr, new_value: Callable[[int], int]) -> PrimitiveStep | None:
    """The product as a step, or None where oneDNN has no fast way."""
    name = RELU_OF.get(instr.op.name, instr.op.name)
    if name not in NAMES or not library.available() or instr.outs[0].dtype is not float32 or not instr.outs[0].numel:
        return None
    if any(not isinstance(o.spec, Spec) or o.spec.dtype is not float32 or not o.spec.numel for o in instr.operands):
        return None
    try:
        return _linear(instr, new_value) if name != "matmul" else _matmul(instr, new_value)
    except OneDNNError:
        return None


def _linear(instr: Instr, new_value: Callable[[int], int]) -> PrimitiveStep | None:
    x, w = instr.operands[0], instr.operands[1]
    k, n = x.spec.shape[-1], w.spec.shape[0]
    rows = prod(x.spec.shape[:-1])
    flat = x.spec.reshape((rows, k))
    if flat is None:
        return None
    operands = [Operand(x.value, flat), Operand(w.value, w.spec.permute((1, 0))), *instr.operands[2:]]
    out = spec(float32, (rows, n))
    bias = Operand(operands[2].value, operands[2].spec.at((1, n), (0 if n == 1 else operands[2].spec.strides[0] * n, operands[2].spec.strides[0]))) \
        if len(operands) > 2 else None
    if bias is not None and not operands[2].spec.contiguous:
        return None
    return _step(operands[0], operands[1], out, bias, instr, new_value, instr.op.name in RELU_OF)


def _matmul(instr: Instr, new_value: Callable[[int], int]) -> PrimitiveStep | None:
    x, y = instr.operands
    out = instr.outs[0]
    rank = len(out.shape)
    operands = []
    for o in (x, y):
        lead = rank - len(o.spec.shape)
        operands.append(Operand(o.value, o.spec.at((1,) * lead + o.spec.shape, (o.spec.numel,) * lead + o.spec.strides)))
    x, y = operands
    if rank > 2 and _one_matrix(y.spec):  # (…, m, k) @ (k, n): the batch is rows
        flat = x.spec.reshape((x.spec.numel // x.spec.shape[-1], x.spec.shape[-1]))
        if flat is not None:
            tail = y.spec.at(y.spec.shape[-2:], y.spec.strides[-2:])
            return _step(Operand(x.value, flat), Operand(y.value, tail), spec(float32, (flat.shape[0], out.shape[-1])), None, instr, new_value, False)
    return _step(x, y, out, None, instr, new_value, False)


def _one_matrix(s: Spec) -> bool:
    return all(n == 1 for n in s.shape[:-2])


def _desc(s: Spec) -> Desc:
    """A layout of an operand; the stride of a dimension of size 1 does not matter, oneDNN wants a dense one."""
    strides = list(s.strides)
    for d in reversed(range(len(strides))):
        if s.shape[d] == 1:
            strides[d] = strides[d + 1] * s.shape[d + 1] if d + 1 < len(strides) else 1
    if len(strides) > 1 and strides[-1] != 1 and strides[-2] != 1:
        raise Unsupported("strides", "matmul")
    return Desc.of(s.shape, s.dtype, strides)


def _step(x: Operand, y: Operand, out: Spec, bias: Operand | None, instr: Instr, new_value: Callable[[int], int], relu: bool) -> PrimitiveStep | None:
    attributes = Attributes((Eltwise("relu"),)) if relu else PLAIN
    bias_desc = Desc.of(bias.spec.shape, float32) if bias is not None else None
    primitive = primitives.matmul(_desc(x.spec), _desc(y.spec), Desc.of(out.shape, float32), bias_desc, attributes)
    if primitive.reference:
        return None
    sources = {"src": (x.value, x.spec.offset * 4), "weights": (y.value, y.spec.offset * 4)}
    if bias is not None:
        sources["bias"] = (bias.value, bias.spec.offset * 4)
    results = {"dst": (instr.results[0], 0)}
    if "scratchpad" in primitive.descs:
        results["scratchpad"] = (new_value(primitive.descs["scratchpad"].size), 0)
    return PrimitiveStep(Bound(primitive), sources, results)
