"""Matrix products as oneDNN primitives, with transposed operands read in place; biases in the same pass as a convolution.

oneDNN's relu makes 0 of NaN, PyTorch's keeps it: so only products and convolutions that we generate ourselves take a relu in.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import prod

from rushlight.exec.cpu import convolutions, direct, packing
from rushlight.exec.cpu.onednn import library, primitives
from rushlight.exec.cpu.onednn.library import OneDNNError, Unsupported
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import Bound
from rushlight.exec.cpu.packing import Variant
from rushlight.exec.cpu.steps import PrimitiveStep
from rushlight.ir.dtype import float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE, Op

NAMES = frozenset(("matmul", "linear", "linear_no_bias"))
# products with a relu after them, which the generated kernel alone computes
LINEAR_RELU = {name: Op(f"{name}_relu", "contract", " ".join(TABLE[name].inputs), TABLE[name].shape, differentiable=False,
                        numpy=lambda np, x, w, b=0: np.maximum(x @ w.T + b, 0)) for name in ("linear", "linear_no_bias")}
RELU_OF = {op.name: name for name, op in LINEAR_RELU.items()}

def join(program: Program) -> Program:
    """Convolutions as one instruction with the bias and the `relu` that alone read them."""
    readers: dict[int, int] = {}
    for instr in program.instrs:
        for o in instr.operands:
            readers[o.value] = readers.get(o.value, 0) + 1
    out: list[Instr | None] = []
    places: dict[int, int] = {}  # result of a product -> its place in the list
    for instr in program.instrs:
        for o in instr.operands:
            if o.value not in places or readers[o.value] != 1 or o.value in program.outputs:
                continue
            joined = _joined(out[places[o.value]], instr, o)
            if joined is not None:  # nobody else reads the product, so it may move down here
                out[places.pop(o.value)] = None
                instr = joined
                break
        if _joins(instr):
            places[instr.results[0]] = len(out)
        out.append(instr)
    return replace(program, instrs=[i for i in out if i is not None])


def _joins(instr: Instr) -> bool:
    """Whether an instruction may have a form with what follows it."""
    if instr.op.name in LINEAR_RELU:
        from rushlight.exec.cpu import contract
        return instr.outs[0].dtype.is_floating_point and contract.order()[0] == "generated"
    return instr.op.name in convolutions.RELU and instr.outs[0].dtype is float32


def _joined(product: Instr | None, reader: Instr, o: Operand) -> Instr | None:
    """A product or convolution together with the instruction that reads all of it."""
    assert product is not None
    if not (isinstance(o.spec, Spec) and o.spec.plain and o.spec.shape == product.outs[0].shape and o.spec.dtype is product.outs[0].dtype):
        return None
    if reader.op.name == "relu" and product.op.name in LINEAR_RELU:
        return replace(product, op=LINEAR_RELU[product.op.name], results=reader.results)
    if reader.op.name == "relu" and product.op.name in convolutions.RELU:
        joined = replace(product, op=convolutions.RELU[product.op.name], results=reader.results)
        return joined if direct.handles(joined) else None
    if reader.op.name == "add" and product.op.name == "convolution":
        bias = _bias(next(x for x in reader.operands if x is not o), product)
        if bias is not None:
            return replace(product, op=TABLE["convolution_bias"], operands=(*product.operands, bias), results=reader.results)
    return None


def _bias(o: Operand, product: Instr) -> Operand | None:
    """An operand that adds one number to each channel, as a vector."""
    shape = product.outs[0].shape
    if not isinstance(o.spec, Spec) or o.spec.dtype is not float32 or o.spec.shape != shape:
        return None
    if any(stride and n != 1 for d, (n, stride) in enumerate(zip(shape, o.spec.strides)) if d != 1) or (o.spec.strides[1] != 1 and shape[1] != 1):
        return None
    return Operand(o.value, o.spec.at((shape[1],), (1,)))


def primitive_step(instr: Instr, new_value: Callable[[int], int], lasting: AbstractSet[int] = frozenset()) -> PrimitiveStep | None:
    """The product as a step, or None where oneDNN has no fast way. `lasting` are inputs that the plan does not replace."""
    name = instr.op.name
    if name not in NAMES or not library.available() or instr.outs[0].dtype is not float32 or not instr.outs[0].numel:
        return None
    if any(not isinstance(o.spec, Spec) or o.spec.dtype is not float32 or not o.spec.numel for o in instr.operands):
        return None
    try:
        return _linear(instr, new_value, lasting) if name != "matmul" else _matmul(instr, new_value)
    except OneDNNError:
        return None


def _linear(instr: Instr, new_value: Callable[[int], int], lasting: AbstractSet[int]) -> PrimitiveStep | None:
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
    step = _step(operands[0], operands[1], out, bias, instr, new_value)
    if step is not None and w.value in lasting and rows <= packing.MOST_ROWS and w.spec.numel >= packing.SMALLEST and w.spec.strides == (k, 1):
        step.variant = _packed(step, operands[1])
    return step


def _packed(step: PrimitiveStep, y: Operand) -> Variant | None:
    """The product on weights in the layout that oneDNN likes best, if it needs no more scratch memory."""
    plain = step.bound.primitive
    descs = plain.descs
    primitive = primitives.matmul(descs["src"], Desc.any(y.spec.shape, float32), descs["dst"], descs.get("bias"))
    have, need = descs.get("scratchpad"), primitive.descs.get("scratchpad")
    if primitive.impl != plain.impl or (need is not None and (have is None or need.size > have.size)):
        return None
    reorder = Bound(primitives.reorder(descs["weights"], primitive.descs["weights"]))
    return Variant(y.value, y.spec.offset * 4, Bound(primitive), reorder)


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
            return _step(Operand(x.value, flat), Operand(y.value, tail), spec(float32, (flat.shape[0], out.shape[-1])), None, instr, new_value)
    return _step(x, y, out, None, instr, new_value)


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


def _step(x: Operand, y: Operand, out: Spec, bias: Operand | None, instr: Instr, new_value: Callable[[int], int]) -> PrimitiveStep | None:
    bias_desc = Desc.of(bias.spec.shape, float32) if bias is not None else None
    primitive = primitives.matmul(_desc(x.spec), _desc(y.spec), Desc.of(out.shape, float32), bias_desc)
    if primitive.reference:
        return None
    sources = {"src": (x.value, x.spec.offset * 4), "weights": (y.value, y.spec.offset * 4)}
    if bias is not None:
        sources["bias"] = (bias.value, bias.spec.offset * 4)
    results = {"dst": (instr.results[0], 0)}
    if "scratchpad" in primitive.descs:
        results["scratchpad"] = (new_value(primitive.descs["scratchpad"].size), 0)
    return PrimitiveStep(Bound(primitive), sources, results, 2 * out.numel * x.spec.shape[-1])
