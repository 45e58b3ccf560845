"""The native CPU executor: a program becomes fused kernels, oneDNN primitives and, for what neither has, NumPy calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import cache
from typing import TYPE_CHECKING, Any

from rushlight.exec import threads
from rushlight.exec.cpu import host
from rushlight.ir.program import Instr, Program
from rushlight.ir.spec import Spec

if TYPE_CHECKING:
    from rushlight.exec.cpu.blueprint import Blueprint
    from rushlight.exec.cpu.plan import Plan
    from rushlight.exec.cpu.steps import Step


def available() -> bool:
    """Whether this machine has what the executor needs."""
    return host.available()


@cache
def _start() -> None:
    """Once, before the first plan: how many threads there can be, and how long they wait for work."""
    from rushlight.exec.cpu.onednn import openmp
    from rushlight.exec.cpu.plan import BLOCK_TIME
    runtime = openmp.runtime()
    if runtime is not None:
        runtime.set_blocktime(BLOCK_TIME)
        threads.bound(runtime.fix_teams())


def compile_program(program: Program, original: Callable[[], Any], changing: frozenset[int] | None = None, *, anew: bool = False) -> Plan:
    """The program as a plan. ``original()`` gives the same plan for NumPy, for the cases that only it can run or
    explain; `changing` are inputs that are others at each run, if they are more than the donated ones. `anew` plans are never
    those that another process has made: they can show their code."""
    from rushlight.exec.cpu import plans
    from rushlight.exec.cpu.onednn import openmp
    _start()
    with openmp.limit(1 if threads.single_library else threads.count()):  # primitives are made for a number of threads
        changing = program.donated if changing is None else changing
        return plans.made(program, changing, lambda: _planned(program, changing), original, anew)


def _planned(program: Program, changing: frozenset[int]) -> Blueprint:
    """The steps of a program; `changing` are inputs that are others at each run."""
    from rushlight.exec.cpu import groups, layouts, lower, parts, products, quantized, recurrent, recurrent_ends, scatters, upright
    from rushlight.exec.cpu.blueprint import Blueprint
    from rushlight.exec.cpu.loops import loops_of
    from rushlight.exec.cpu.steps import LoopStep, flat_size
    program = layouts.assign(products.join(lower.lower(upright.stand(quantized.join(program)))))
    program, taken = scatters.prepare(recurrent_ends.join(parts.join(program), recurrent.fits))
    numbers = {i for i, s in enumerate(program.inputs) if not isinstance(s, Spec)}
    numbers |= {i.results[0] for i in program.instrs if not isinstance(i.outs[0], Spec)}
    types = dict(enumerate(program.inputs))
    for instr in program.instrs:
        types.update(zip(instr.results, instr.outs))
    sizes = {r: flat_size(s) for i in program.instrs for r, s in zip(i.results, i.outs) if isinstance(s, Spec)}
    fresh = itertools.count(program.values)

    def new_value(size: int) -> int:
        value = next(fresh)
        sizes[value] = size
        return value

    kept = set(program.outputs)
    readers = _readers(program)
    lasting = set(range(len(program.inputs))) - numbers - changing
    real = Program(program.inputs, [i for i in program.instrs if isinstance(i.outs[0], Spec)], program.outputs, program.donated, program.values)
    steps: list[Step] = []
    for item in groups.fuse(real):
        if isinstance(item, groups.Group):
            inside = {i.results[0] for i in item.instrs}
            outputs = {r for r in inside if r in kept or not inside.issuperset(readers.get(r, ()))}
            loops, made = loops_of(item, outputs, new_value)
            values = [taken.get(v, v) for v in made]
            steps += [LoopStep(loop, values, [new_value(threads.count() * size) for size in loop.scratch])
                      for loop in loops]
        else:
            steps += _steps(item, new_value, lasting)
    return Blueprint(program, steps, types, sizes, numbers)


def _steps(instr: Instr, new_value: Callable[[int], int], lasting: AbstractSet[int]) -> list[Step]:
    """The steps of an instruction that is no generated loop."""
    attention, contract, convolutions, ctc, direct, fourier, gathers, parts, quantized, recurrent, scans, scatters, windows, python = _implementations()
    if convolution := convolutions.steps(instr, new_value, lasting):
        return list(convolution)
    for several in (direct.steps, recurrent.recurrent_steps, attention.attention_steps, quantized.steps, parts.steps, gathers.steps, scatters.steps, scans.steps,
                    fourier.steps, ctc.steps):
        if found := several(instr, new_value):
            return list(found)
    return contract.steps(instr, new_value, lasting) or [windows.step(instr) or python(instr)]


@cache
def _implementations() -> tuple[Any, ...]:
    """The modules that make steps of instructions, imported with the first plan."""
    from rushlight.exec.cpu import attention, contract, convolutions, ctc, direct, fourier, gathers, parts, quantized, recurrent, scans, scatters, windows
    from rushlight.exec.cpu.steps import PythonStep
    return attention, contract, convolutions, ctc, direct, fourier, gathers, parts, quantized, recurrent, scans, scatters, windows, PythonStep


def _readers(program: Program) -> dict[int, list[int]]:
    """The first result of each instruction that reads a value."""
    found: dict[int, list[int]] = {}
    for instr in program.instrs:
        for o in instr.operands:
            found.setdefault(o.value, []).append(instr.results[0])
    return found
