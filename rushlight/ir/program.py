"""A program: what the passes rewrite and an executor compiles. Straight-line code over numbered values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rushlight.ir.spec import Spec, contiguous_strides


Packed = tuple[tuple[Any, ...], np.ndarray[Any, Any], tuple[int, ...], frozenset[int], int]


@dataclass(slots=True)
class Operand:
    """A value read through a view. ``value`` is a number of the program, ``spec`` the view (or a scalar's type)."""

    value: int
    spec: Any


@dataclass(slots=True)
class Instr:
    """results = op(operands, attrs)."""

    op: Any
    operands: tuple[Operand, ...]
    attrs: tuple[Any, ...]
    results: tuple[int, ...]
    outs: tuple[Spec, ...]
    line: str | None = None


@dataclass(slots=True)
class Program:
    """Inputs (buffers, then numbers) are values 0 … n-1; ``outputs`` are the values that must be materialised.

    ``donated`` are inputs whose memory nobody reads after the program, so that a result may take it over.
    """

    inputs: list[Any]  # the type of each input: a Spec over the whole buffer, or a ScalarSpec
    instrs: list[Instr] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    donated: frozenset[int] = frozenset()
    values: int = 0

    def new(self) -> int:
        self.values += 1
        return self.values - 1

    def verify(self) -> None:
        """Every operand is defined before it is used, and views stay within their memory."""
        size = {i: getattr(s, "numel", 1) * (s.dtype.itemsize if s.dtype else 1) for i, s in enumerate(self.inputs)}
        for instr in self.instrs:
            for o in instr.operands:
                assert o.value in size, f"{instr.op.name} reads value {o.value} before it is defined"
                s = o.spec
                if isinstance(s, Spec):
                    assert (s.numel if s.plain else s.extent()) * s.dtype.itemsize <= size[o.value], \
                        f"{instr.op.name} reads {s} beyond its memory of {size[o.value]} bytes"
            for r, s in zip(instr.results, instr.outs):
                assert r not in size, f"value {r} is defined twice"
                size[r] = s.numel * s.dtype.itemsize if isinstance(s, Spec) else 8
        for v in self.outputs:
            assert v in size, f"output {v} is never defined"

    def packed(self) -> Packed:
        """The program in one array: plans keep theirs for errors, and the garbage collector goes through all else that they keep."""
        flat: list[Any] = []
        for i in self.instrs:
            flat += (i.op, i.attrs, i.results, i.outs, i.line, len(i.operands))
            for o in i.operands:
                flat += (o.value, o.spec)
        return tuple(self.inputs), np.fromiter(flat, object, len(flat)), self.outputs, self.donated, self.values

    @classmethod
    def unpacked(cls, packed: Packed) -> Program:
        """The program of `packed`."""
        inputs, flat, outputs, donated, values = packed
        program = cls([*inputs], [], outputs, donated, values)
        parts = iter(flat)
        for op, attrs, results, outs, line, count in zip(*[parts] * 6):
            operands = tuple([Operand(next(parts), next(parts)) for _ in range(count)])
            program.instrs.append(Instr(op, operands, attrs, results, outs, line))
        return program

    def __str__(self) -> str:
        lines = [f"def plan({', '.join(f'v{i}: {s!r}' for i, s in enumerate(self.inputs))}):"]
        types = dict(enumerate(self.inputs))
        for instr in self.instrs:
            args = [self._operand(o, types) for o in instr.operands]
            args += [f"{k}={v!r}" for k, v in zip(instr.op.attrs, instr.attrs)]
            left = ", ".join(f"v{r}" for r in instr.results)
            note = ", ".join(map(repr, instr.outs)) + (f"  {instr.line}" if instr.line else "")
            lines.append(f"    {left} = {instr.op.name}({', '.join(args)})".ljust(64) + f"  # {note}")
            types.update(zip(instr.results, instr.outs))
        lines.append(f"    return {', '.join(f'v{v}' for v in self.outputs)}")
        return "\n".join(lines)

    @staticmethod
    def _operand(o: Operand, types: dict[int, Any]) -> str:
        if not isinstance(o.spec, Spec) or types.get(o.value) is o.spec:
            return f"v{o.value}"
        s = o.spec
        if s.contiguous and s.offset == 0 and s.strides == contiguous_strides(s.shape):
            return f"v{o.value}.view({list(s.shape)})"
        return f"v{o.value}.as_strided({list(s.shape)}, {list(s.strides)}, {s.offset})"
