"""Kernels as readable loops, as LLVM IR and as assembly."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.exec.cpu import compiler, emit
from rushlight.exec.cpu.kernel import Kernel, Loop, Ref, Statement
from rushlight.exec.cpu.steps import KernelStep, LoopStep, PrimitiveStep, Step


def title(step: Step) -> str:
    """What a step does, in a few words."""
    if isinstance(step, LoopStep):
        names = [s.name for s in step.loop.kernel.body]
        shape = [*step.loop.outer, *step.loop.mid, step.loop.size]
        return f"{step.loop.kernel.mode} {' '.join(names)} {[n for n in shape if n != 1] or [1]}"
    if isinstance(step, PrimitiveStep):
        primitive = step.bound.primitive
        shapes = ", ".join(f"{name}{list(desc.shape)}" for name, desc in primitive.descs.items() if name not in ("scratchpad", "workspace", "bias"))
        return f"oneDNN {primitive.impl.split(':')[0]} {shapes}"
    if isinstance(step, KernelStep):
        title = step.title or step.key
        return title if len(title) < 70 else title[:67] + "..."
    return f"numpy {step.instr.op.name}"


def flops(step: Step) -> int:
    """Operations on numbers, as far as they are known."""
    if isinstance(step, LoopStep):
        return step.loop.work
    if isinstance(step, PrimitiveStep):
        return step.work if step.work < 1 << 40 else 0
    return step.flops or step.work if isinstance(step, KernelStep) else 0


def traffic(step: Step) -> int:
    """Bytes of the memory that a step reads and writes, each element once."""
    if isinstance(step, PrimitiveStep):
        return sum(desc.size for name, desc in step.bound.primitive.descs.items() if name != "scratchpad")
    if not isinstance(step, LoopStep):
        return 0
    loop, total = step.loop, 0
    for place, access, slots in zip(loop.places, loop.kernel.accesses, loop.slots):
        if place is None:
            continue
        outer = prod(n for n, stride in zip(loop.outer, slots) if stride)
        inner = prod(loop.mid) * loop.size if access.level == "full" else loop.size if access.level == "vec" else 1
        total += place.itemsize * outer * (inner if access.step else 1)
    return total


def loops(loop: Loop) -> str:
    """A fused kernel as Python-like loops; a0, a1, … are its memory, n0, … numbers, t0, … what it computes."""
    k = loop.kernel
    used = ", ".join(f"a{i}: {a.dtype} {a.use}" for i, a in enumerate(k.accesses))
    lines = [f"def kernel({used}):", f"    for unit in parallel({loop.units}):" + (f"  # {k.chunk} in chunks of {loop.chunk}" if k.chunk != "none" else "")]
    pad = "        "
    for phase in range(k.phases):
        lines += [pad + _text(k, j, s) for j, s in enumerate(k.body) if s.level == "row" and not s.reduces and s.phase == phase]
        inner = pad
        for n in loop.mid:
            lines.append(f"{inner}for _ in range({n}):")
            inner += "    "
        lines.append(f"{inner}for v in vectors({loop.size}):  # {k.lanes} lanes")
        inner += "    "
        lines += [inner + _text(k, j, s) for j, s in enumerate(k.body) if s.phase == phase and (s.level == "full" or s.reduces)]
    lines += [pad + _text(k, j, s) for j, s in enumerate(k.body) if s.level == "row" and not s.reduces and s.phase == k.phases]
    return "\n".join(lines)


def _text(k: Kernel, j: int, s: Statement) -> str:
    arguments = ", ".join(_reference(k, r) for r in s.refs)
    if s.reduces:
        return f"t{j} = {s.name}_over(t{j}, {arguments})" + "".join(f"; a{a}[unit] = t{j}" for a in s.store)
    stores = "".join(f"; a{a}[{'v' if s.level == 'full' else 'unit'}] = t{j}" for a in s.store)
    return f"t{j} = {s.name}({arguments}){stores}"


def _reference(k: Kernel, ref: Ref) -> str:
    kind, i = ref
    if kind != "a":
        return f"{kind}{i}"
    a = k.accesses[i]
    return f"a{i}[{'unit' if a.level == 'row' or not a.step else 'v'}]"


def llvm(step: Step) -> str:
    """The LLVM IR of a generated kernel before optimisation, or a line that says what runs instead."""
    if isinstance(step, LoopStep):
        return emit.write(step.loop.kernel, "kernel")
    if isinstance(step, KernelStep):
        return step.write("kernel")
    return f"; {title(step)}"


def assembly(step: Step) -> str:
    """The machine code of a generated kernel, as text."""
    if not isinstance(step, (LoopStep, KernelStep)):
        return f"# {title(step)}"
    return compiler.assembly(llvm(step), isinstance(step, KernelStep) and step.light)


def shown(step: Step, to: str) -> Any:
    """A step as text: ``to`` is kernel, llvm or asm."""
    if to == "kernel":
        return f"# {title(step)}\n" + (loops(step.loop) if isinstance(step, LoopStep) else "")
    return llvm(step) if to == "llvm" else assembly(step)

