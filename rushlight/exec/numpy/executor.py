"""The NumPy executor: a program becomes one Python function of NumPy calls. It defines what every operation means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.exec.numpy import blas
from rushlight.exec.numpy.kernels import KERNELS, OVERWRITING
from rushlight.ir.dtype import HALF, float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides

Array = np.ndarray[Any, Any]
WIDEN = frozenset(("map", "reduce", "contract", "coarse", "library"))  # kinds that compute half precision in float32
KEEPS_HALF = frozenset(("cast", "sort", "topk", "nextafter", "max_dim", "min_dim", "bitcast",
                        "where", "amax", "amin", "neg", "abs", "cumsum", "cumprod"))


def claims(instr: Instr) -> bool:
    """Whether this executor has a kernel for the operation; else its decomposition runs."""
    op = instr.op
    return op.numpy is not None or op.name in KERNELS or op.decompose is None


def view(array: Array, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Memory seen with another geometry; strides and offset in bytes."""
    flat = array.reshape(-1).view(np.uint8)
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, flat, offset, strides)


def finish(result: Any, dtype: np.dtype[Any]) -> Array:
    """A kernel's result as a C-contiguous array of the promised dtype."""
    if result.__class__ is not np.ndarray or result.dtype != dtype:
        result = np.asarray(result, dtype)
    if not result.flags.c_contiguous:
        result = np.array(result, order="C")
    return result


def own(result: Array) -> Array:
    """The result as flat memory that nothing else refers to."""
    if result.base is not None or not result.flags.writeable:
        result = np.array(result)
    return result.reshape(-1)


def compile_program(program: Program) -> Callable[[list[Any]], tuple[Array, ...]]:
    """The program as a Python function from inputs to flat result arrays."""
    text, names = source(program)
    code = compile(text, "<rushlight plan>", "exec")
    exec(code, names)  # the text is ours: it holds nothing but names of kernels and constants
    plan = names["plan"]
    threads = blas.Limit(blas.worth(program))

    spoiled = sorted(program.donated) if any(i.op.overwrites is not None for i in program.instrs) else []

    def run(inputs: list[Any]) -> tuple[Array, ...]:
        with threads, np.errstate(all="ignore"):
            try:
                return plan(*inputs)
            except Exception as e:
                e.spoiled = spoiled  # type: ignore[attr-defined]  # inputs that may have been overwritten by then
                raise
    run.source = text  # type: ignore[attr-defined]
    return run


def source(program: Program) -> tuple[str, dict[str, Any]]:
    """The Python text of the plan and the names that it uses."""
    names: dict[str, Any] = {"np": np, "view": view, "finish": finish, "own": own}
    last = _last_uses(program)
    types: dict[int, Any] = {i: s for i, s in enumerate(program.inputs)}
    lines = [f"def plan({', '.join(f'v{i}' for i in range(len(program.inputs)))}):"]
    for at, instr in enumerate(program.instrs):
        args = [_operand(o, types, names) for o in instr.operands]
        kernel = kernel_of(instr)
        overwrites = instr.op.overwrites
        if overwrites is not None:
            args.insert(0, str(_may_overwrite(program, instr, at, last, types)))
        names[f"k{at}"] = kernel
        for j, a in enumerate(instr.attrs):
            names[f"a{at}_{j}"] = a
            args.append(f"a{at}_{j}")
        head = "np, " if instr.op.numpy is not None else ""
        call = f"k{at}({head}{', '.join(args)})"
        left = [f"v{r}" for r in instr.results]
        for j, s in enumerate(instr.outs):
            names[f"d{at}_{j}"] = s.dtype.numpy if isinstance(s, Spec) else None
        if not isinstance(instr.outs[0], Spec):
            lines.append(f"    {left[0]} = {call}")
        elif len(left) == 1:
            lines.append(f"    {left[0]} = finish({call}, d{at}_0)")
        else:
            lines.append(f"    {', '.join(left)} = {call}")
            lines += [f"    {n} = finish({n}, d{at}_{j})" for j, n in enumerate(left)]
        types.update(zip(instr.results, instr.outs))
        dead = {o.value for o in instr.operands
                if last.get(o.value) == at} | {r for r in instr.results if r not in last}
        if dead:
            lines.append(f"    {' = '.join(f'v{d}' for d in sorted(dead))} = None")
    returned = ", ".join(f"own(v{v})" for v in program.outputs)
    lines.append(f"    return ({returned}{',' if returned else ''})")
    return "\n".join(lines), names


def _last_uses(program: Program) -> dict[int, int]:
    """The position of the last instruction that reads each value; outputs are read at the end."""
    last: dict[int, int] = {}
    for at, instr in enumerate(program.instrs):
        for o in instr.operands:
            last[o.value] = at
    last.update((v, len(program.instrs)) for v in program.outputs)
    return last


def _may_overwrite(program: Program, instr: Instr, at: int, last: dict[int, int], types: dict[int, Any]) -> bool:
    """Whether the kernel may write its result over the operand that the row names."""
    o = instr.operands[instr.op.overwrites]
    reads = sum(p.value == o.value for p in instr.operands)
    mine = o.value >= len(program.inputs) or o.value in program.donated
    return mine and last[o.value] == at and reads == 1 and o.spec.plain and types[o.value].numel == o.spec.numel


def _operand(o: Operand, types: dict[int, Any], names: dict[str, Any]) -> str:
    """The expression that reads an operand through its view."""
    have, want = types[o.value], o.spec
    if not isinstance(want, Spec) or have is want:
        return f"v{o.value}"
    if have.dtype is want.dtype and want.plain and have.numel == want.numel and isinstance(have, Spec):
        return f"v{o.value}.reshape({want.shape})"
    size = want.dtype.itemsize
    strides = tuple(s * size for s in want.strides)
    name = f"d_{want.dtype.name}"
    names[name] = want.dtype.numpy
    return f"view(v{o.value}, {name}, {want.shape}, {strides}, {want.offset * size})"


def kernel_of(instr: Instr) -> Callable[..., Any]:
    """The NumPy function of an instruction; half precision is computed in float32."""
    op = instr.op
    f = op.numpy if op.numpy is not None else KERNELS[op.name]
    half = any(isinstance(o.spec, Spec) and o.spec.dtype in HALF for o in instr.operands)
    if half and op.kind in WIDEN and op.name not in KEEPS_HALF:
        return _widened(f, {o.spec.dtype.numpy
                            for o in instr.operands if isinstance(o.spec, Spec) and o.spec.dtype in HALF})
    assert op.overwrites is None or op.numpy is None or op.name in OVERWRITING
    return f


def _widened(f: Callable[..., Any], half: set[np.dtype[Any]]) -> Callable[..., Any]:
    """f with half-precision arrays given as float32; `finish` rounds the result back."""
    def wide(*args: Any) -> Any:
        return f(*[a.astype(float32.numpy) if isinstance(a, np.ndarray) and a.dtype in half else a for a in args])
    return wide


def plain_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Row-major strides in bytes."""
    return tuple(s * itemsize for s in contiguous_strides(shape))
