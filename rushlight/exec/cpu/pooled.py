"""A relu before a maximum pooling, and its gradient, taken on the pooled values: a fraction of the elements, the same numbers.

``max_pool(relu(x))`` is ``relu(max_pool(x))``; only the positions of maxima that the relu makes 0 may differ, where no gradient flows.

The gradient of the pooling is zero but at the positions of the maxima, where the relu's value is the pooled one. So
``relu_grad(max_pool_grad(g, positions), y)`` is ``max_pool_grad(relu_grad(g, pooled), positions)``, and its sum over all but
the channels (the gradient of a bias) is the sum of ``relu_grad(g, pooled)``.
"""

from __future__ import annotations

from dataclasses import replace

from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec
from rushlight.ops.table import TABLE


def rewrite(program: Program) -> Program:
    """The program with both on pooled values; instructions that nobody reads any more stay."""
    if all([i.op.name != "max_pool" for i in program.instrs]):
        return program
    return _forward(_gradients(program))


def _forward(program: Program) -> Program:
    """Relus that only a pooling reads, after it."""
    readers: dict[int, list[Instr]] = {}
    for instr in program.instrs:
        for o in instr.operands:
            readers.setdefault(o.value, []).append(instr)
    relus = {i.results[0]: i for i in program.instrs if i.op.name == "relu" and i.results[0] not in program.outputs}
    out = replace(program, instrs=[])
    for instr in program.instrs:
        x = instr.operands[0] if instr.op.name == "max_pool" else None
        relu = relus.get(x.value) if x is not None else None
        if x is None or relu is None or not _whole(x, relu) or readers[x.value] != [instr] or instr.results[1] in program.outputs \
                or any(r.op.name != "max_pool_grad" for r in readers.get(instr.results[1], ())):
            out.instrs.append(instr)
            continue
        pooled = Operand(out.new(), instr.outs[0])
        out.instrs.append(replace(instr, operands=relu.operands, results=(pooled.value, instr.results[1])))
        out.instrs.append(replace(relu, operands=(pooled,), results=instr.results[:1], outs=instr.outs[:1]))
    return out


def _gradients(program: Program) -> Program:
    """Gradients of relus whose values only a pooling's gradient gives, before that spreads them."""
    out = replace(program, instrs=[])
    made: dict[int, Instr] = {}
    pools: dict[int, Instr] = {}  # by the positions that they give
    small: dict[int, Operand] = {}  # a gradient -> the same before it was spread
    for instr in program.instrs:
        made.update((r, instr) for r in instr.results)
        if instr.op.name == "max_pool":
            pools[instr.results[1]] = instr
        if instr.op.name == "relu_grad" and (found := _spread(instr, made, pools)):
            grad, pool = found
            less = Operand(out.new(), pool.outs[0])
            out.instrs.append(Instr(instr.op, (grad.operands[0], Operand(pool.results[0], pool.outs[0])), (), (less.value,), (pool.outs[0],), instr.line))
            out.instrs.append(replace(grad, operands=(less, grad.operands[1]), results=instr.results, outs=instr.outs))
            small[instr.results[0]] = less
        elif instr.op is TABLE["sum"] and instr.operands[0].value in small and _all_but_channels(instr):
            out.instrs.append(replace(instr, operands=(small[instr.operands[0].value],)))
        else:
            out.instrs.append(instr)
    return out


def _spread(instr: Instr, made: dict[int, Instr], pools: dict[int, Instr]) -> tuple[Instr, Instr] | None:
    """The gradient of a pooling that a relu's gradient reads, and the pooling, where the relu's values were pooled."""
    g, y = instr.operands
    grad = made.get(g.value)
    if grad is None or grad.op.name != "max_pool_grad" or not _whole(g, grad) or g.spec.dtype is not instr.outs[0].dtype:
        return None
    positions = grad.operands[1]
    pool = pools.get(positions.value)
    if pool is None or not positions.spec.plain or positions.spec.shape != pool.outs[1].shape or grad.operands[0].spec.shape != pool.outs[0].shape:
        return None
    x = pool.operands[0]
    same = x.value == y.value and isinstance(y.spec, Spec) and x.spec is y.spec and instr.outs[0].shape == x.spec.shape
    return (grad, pool) if same and grad.operands[0].spec.dtype is pool.outs[0].dtype else None


def _whole(o: Operand, made: Instr) -> bool:
    return isinstance(o.spec, Spec) and o.spec.plain and o.spec.shape == made.outs[0].shape and o.spec.dtype is made.outs[0].dtype


def _all_but_channels(instr: Instr) -> bool:
    s = instr.operands[0].spec
    return isinstance(s, Spec) and s.plain and tuple(sorted(d % len(s.shape) for d in instr.attrs[0])) == (0, *range(2, len(s.shape)))
