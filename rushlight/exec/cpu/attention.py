"""Attention in a native plan: one kernel each way. Left to NumPy: features that are not adjacent in memory, and half precision."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import product
from typing import Any

from rushlight.exec.cpu import attention_gradient_kernels as gradient_kernels
from rushlight.exec.cpu import attention_kernels as kernels
from rushlight.exec.cpu.steps import Address, KernelStep, Table
from rushlight.exec.cpu.tiles import REALS, Form
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec

NAMES = frozenset(("sdpa", "sdpa_grad"))


def attention_steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The step of attention or of its gradient; None where NumPy must run it."""
    if instr.op.name not in NAMES or instr.outs[0].dtype.name not in REALS or any(not s.numel for s in instr.outs):
        return None
    if any(o.spec.dtype is not instr.outs[0].dtype for o in instr.operands):
        return None
    call = _Call(instr)
    return [call.step(new_value)] if call.fits() else None


class _Call:
    """One instruction."""

    def __init__(self, instr: Instr):
        self.instr = instr
        self.back = instr.op.name == "sdpa_grad"
        self.form = Form(instr.outs[0].dtype.name)
        fixed = [n for n in instr.op.inputs if n != "mask"]
        self.operands = dict(zip(fixed, instr.operands))
        self.mask: Operand | None = instr.operands[len(fixed)] if len(instr.operands) > len(fixed) else None
        self.scale, self.causal, self.inside = instr.attrs
        q, k, v = (self.operands[n].spec for n in "qkv")
        self.n, self.heads, self.T, self.D = q.shape
        self.groups, self.S, self.E = self.heads // k.shape[1], k.shape[2], v.shape[3]

    def fits(self) -> bool:
        """Whether the kernel can run it."""
        rows = [o.spec for n, o in self.operands.items() if n != "norms"]
        norms = self.operands["norms"].spec.contiguous if self.back else True
        return norms and self.D > 0 and all(s.strides[-1] == 1 or s.shape[-1] == 1 for s in rows) \
            and (self.mask is None or self.mask.spec.strides[-1] in (0, 1))

    def starts(self, s: Spec, per: int = 1) -> Table:
        """Where each head begins, for heads that are read `per` times."""
        n, h = s.strides[:2]
        return Table.of([i * n + j * h for i, j in product(range(s.shape[0]), range(s.shape[1])) for _ in range(per)])

    def outer(self, s: Spec) -> Spec:
        """A result or what has its order, with heads outside."""
        return s.permute((0, 2, 1, 3)) if self.inside else s

    def place(self, name: str, value: int, s: Spec, per: int = 1) -> dict[str, Any]:
        return {name: Address(value, s.offset * self.form.size), f"{name}_start": self.starts(s, per), f"{name}_row": s.strides[2]}

    def panels(self, n: int) -> int:
        """n rounded up to whole panels."""
        return -(-n // self.form.panel) * self.form.panel

    def scratch(self) -> dict[str, int]:
        """The sizes of a thread's scratch matrices."""
        def whole(n: int) -> int:
            return -(-n // self.form.lanes) * self.form.lanes
        S, wide, rows = self.S, self.panels(self.S), max(self.form.rows)
        if not self.back:
            return {"keys": wide * whole(self.D), "values": S * self.panels(self.E), "scores": rows * wide}
        block = min(gradient_kernels.BLOCK, self.T)
        d, e = self.panels(self.D), self.panels(self.E)
        return {"keys": wide * whole(self.D), "values": wide * whole(self.E), "key_rows": S * d, "queries": block * d, "grads": block * e,
                "scores": block * wide, "slopes": block * wide, "key_sums": S * d, "value_sums": S * e}

    def step(self, new_value: Callable[[int], int]) -> KernelStep:
        from rushlight.exec import threads
        o = {n: (x.value, x.spec) for n, x in self.operands.items()}
        if self.back:
            o["dy"] = o["dy"][0], self.outer(o["dy"][1])
        values: dict[str, Any] = {
            "heads": self.heads, "groups": self.groups, "T": self.T, "S": self.S, "D": self.D, "E": self.E, "wide": self.panels(self.S),
            "scale": struct.unpack("q", struct.pack("d", self.scale))[0], "causal": int(self.causal)}
        for name, (value, s) in o.items():
            values |= {name: Address(value, s.offset * self.form.size)} if name == "norms" else \
                self.place(name, value, s, self.groups if name in "kv" else 1)
        names = ("dq", "dk", "dv") if self.back else ("out",)
        for name, value, s in zip(names, self.instr.results, self.instr.outs):
            values |= self.place(name, value, self.outer(s))
        if not self.back:
            values["norms"] = Address(self.instr.results[1])
        if self.mask is not None:
            s = self.mask.spec
            values |= self.place("mask", self.mask.value, s)
            values["mask_column"] = s.strides[3]
        sizes = {n: -(-size // 16) * 16 for n, size in self.scratch().items()}
        total = sum(sizes.values())
        scratch = new_value(threads.count() * total * self.form.size)
        values |= {"scratch": Address(scratch), "scratch_size": total}
        at = 0
        for name, size in sizes.items():
            values[name] = at
            at += size
        table = gradient_kernels.BACKWARD_SLOTS if self.back else kernels.FORWARD_SLOTS
        slots = [values.get(n.lstrip("*"), 0) for n in table]
        masked, causal, form = self.mask is not None, bool(self.causal), self.form
        write = gradient_kernels.backward if self.back else kernels.forward
        results = {scratch, *self.instr.results}
        read = {s.value for s in slots if isinstance(s, Address)} - results
        units = self.n * (self.heads // self.groups if self.back else self.heads)
        work = self.n * self.heads * self.T * self.S * (self.D + self.E)
        return KernelStep(f"attention {self.back} {form} {masked} {causal}", lambda name: write(form, masked, causal, name), slots, units, work,
                          read, results)
