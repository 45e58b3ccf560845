"""Discrete Fourier transforms along one dimension as steps of plans, for lengths whose prime factors are 2, 3, 5 and 7."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from rushlight.exec import threads
from rushlight.exec.cpu import fourier_kernels as kernels
from rushlight.exec.cpu.gathers import Dim, address, merged
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec

NAMES = ("fft", "ifft")
REALS = {"complex64": "float32", "complex128": "float64"}
LEAST = 4  # signals: of fewer, most lanes would be empty, and NumPy is up to three times as fast
LONGEST = 1 << 14  # longer ones leave the cache, of which this keeps a vector for each point
SCALES: dict[tuple[str, str], Callable[[int], float]] = {
    ("fft", "forward"): lambda n: 1 / n, ("ifft", "backward"): lambda n: 1 / n, ("fft", "ortho"): lambda n: 1 / math.sqrt(n),
    ("ifft", "ortho"): lambda n: 1 / math.sqrt(n)}


def fits(instr: Instr) -> bool:
    """Whether the kernel can run a transform."""
    if instr.op.name not in NAMES:
        return False
    x, out, dim = instr.operands[0].spec, instr.outs[0], instr.attrs[0]
    n = x.shape[dim]
    return 2 <= n <= LONGEST and out.numel >= LEAST * n and radices(n) is not None and len(_others(x, out, dim)) <= 3


@lru_cache(256)
def radices(n: int) -> tuple[int, ...] | None:
    """The factors of a length in which it is transformed; None where others are needed.

    >>> radices(96), radices(11)
    ((4, 4, 2, 3), None)
    """
    found = []
    for r in kernels.RADICES:
        while n % r == 0:
            found.append(r)
            n //= r
    return tuple(found) if n == 1 else None


def _others(x: Spec, out: Spec, dim: int) -> list[Dim]:
    """All dimensions but the transformed one, with the steps in both memories."""
    pairs = [Dim(n, (a, b)) for n, a, b in zip(x.shape, x.strides, out.strides)]
    return [*merged(pairs[:dim]), *merged(pairs[dim + 1:])]


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of a transform, None where NumPy must run it."""
    if not fits(instr):
        return None
    name, (dim, norm) = instr.op.name, instr.attrs
    x, out = instr.operands[0], instr.outs[0]
    n, dtype = out.shape[dim], REALS[out.dtype.name]
    lanes = vector_bytes() // np.dtype(dtype).itemsize
    others = _others(x.spec, out, dim)
    wide = max(others, key=lambda d: (d.steps == (1, 1), d.size), default=Dim(1, (0, 0)))
    rest = [d for d in others if d is not wide]
    (na, a), (nb, b) = [Dim(1, (0, 0)), Dim(1, (0, 0)), *rest][-2:]
    real = not x.spec.dtype.is_complex
    by_pairs = dtype == "float32"  # which are transposed as numbers of 64 bits
    ways = (_way(wide.steps[0], x.spec.strides[dim], real or by_pairs), _way(wide.steps[1], out.strides[dim], by_pairs))
    table = _table(n, dtype)
    groups = -(-wide.size // lanes)
    scratch = 4 * n * vector_bytes()
    scale = SCALES[name, norm](n) if (name, norm) in SCALES else 1.0
    room = new_value(threads.count() * scratch)
    slots: list[int | Address] = [0, address(x), Address(instr.results[0]), Address(room), scratch, ctypes.addressof(table), len(radices(n) or ()), n,
                                  _bits(scale), nb, groups, wide.size,
                                  x.spec.strides[dim], wide.steps[0], a[0], b[0], out.strides[dim], wide.steps[1], a[1], b[1]]
    key = f"fourier {name} {dtype} x {lanes} {'real ' * real}{ways}"
    return [KernelStep(key, partial(kernels.transform, dtype, name == "ifft", real, ways), slots, na * nb * groups, out.numel * 8, {x.value},
                       {instr.results[0], room}, keep=table, flops=int(5 * out.numel * math.log2(n)), title=f"{name} {list(out.shape)}")]


def _way(step: int, along: int, turns: bool) -> str:
    """How signals lie that are `step` apart, with points `along` each; whether those in one piece can be transposed."""
    return "columns" if step == 1 else "rows" if along == 1 and turns else "any"


def _bits(x: float) -> int:
    return int(np.float64(x).view(np.int64))


@lru_cache(64)
def _table(n: int, dtype: str) -> Any:
    """What the kernel reads of each stage: its radix, the number of its butterflies, their distance, and the address of their factors,
    for each butterfly exp(-2πi p j / l), j = 1 … radix - 1. The memory lives as long as the table."""
    rows, kept, left, step = [], [], n, 1
    for r in radices(n) or ():
        count = left // r
        angles = -2 * np.pi * np.outer(np.arange(count), np.arange(1, r)) / left
        factors = np.stack([np.cos(angles), np.sin(angles)], -1).astype(dtype)
        kept.append(factors)
        rows += [r, count, step, factors.ctypes.data]
        left, step = count, step * r
    table: Any = (ctypes.c_int64 * len(rows))(*rows)
    table.factors = kept
    return table


def join(program: Program) -> Program:
    """Transforms of real numbers that were cast to complex ones read those themselves."""
    if not any([i.op.name in NAMES for i in program.instrs]):
        return program
    casts = {i.results[0]: i for i in program.instrs if i.op.name == "cast"}
    instrs = [replace(i, operands=(_real(i.operands[0], casts),)) if fits(i) else i for i in program.instrs]
    return replace(program, instrs=instrs)


def _real(x: Operand, casts: dict[int, Instr]) -> Operand:
    """The real numbers behind a complex operand, where it is a cast of them as a whole."""
    cast = casts.get(x.value)
    if cast is None or not x.spec.plain or x.spec.shape != cast.outs[0].shape:
        return x
    source = cast.operands[0]
    return source if source.spec.dtype.name == REALS[x.spec.dtype.name] else x
