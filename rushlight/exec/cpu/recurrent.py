"""Recurrent layers in a native plan: their weights packed into panels, then one kernel for all steps of all sequences.

Left to NumPy: projections, numbers other than float32 and float64, and inputs whose rows are not adjacent in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from rushlight.exec.cpu import recurrent_kernels as kernels
from rushlight.exec.cpu import rows
from rushlight.exec.cpu.recurrent_kernels import KINDS, Kind
from rushlight.exec.cpu.steps import Address, KernelStep, Table
from rushlight.exec.cpu.tiles import PACK_SLOTS, REALS, WIDTH, Form, pack_kernel
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec
from rushlight.ops.recurrent import Weights, schedule

NewValue = Callable[[int], int]
NAMES = frozenset(f"{n}_layer{way}" for n in ("lstm", "gru", "rnn") for way in ("", "_grad", "_of_rows"))


def recurrent_steps(instr: Instr, new_value: NewValue) -> list[KernelStep] | None:
    """The steps of a recurrent layer or of its gradient; None where NumPy must run it."""
    return _Layer(instr, new_value).steps() if instr.op.name in NAMES and fits(instr) else None


def fits(instr: Instr) -> bool:
    """Whether the kernels can run a layer."""
    return instr.outs[0].dtype.name in REALS and bool(instr.outs[0].numel) and _Layer(instr, lambda size: 0).fits()


class _Schedule:
    """The steps of a layer and of its gradient, with the tables that both have."""

    def __init__(self, shape: tuple[int, ...], sizes: tuple[int, ...] | None, reverse: bool):
        if sizes is None:  # `schedule` of sequences that are all as long
            firsts = np.arange(shape[0], dtype=np.int64) * shape[1]
            self.firsts = np.ascontiguousarray(firsts[::-1] if reverse else firsts)
            counts = np.full(shape[0], shape[1], np.int64)
        else:
            steps = schedule((*shape, 1), sizes, reverse)
            self.firsts = np.array([s.first for s in steps], np.int64)
            counts = np.array([s.count for s in steps], np.int64)
        self.batch = int(counts.max())
        self.active = np.concatenate([NONE, counts, NONE])

    def __len__(self) -> int:
        return len(self.firsts)


NONE = np.zeros(1, np.int64)
_schedules = lru_cache(16)(_Schedule)


class _Layer:
    """One instruction."""

    def __init__(self, instr: Instr, new_value: NewValue):
        self.instr, self.new_value = instr, new_value
        self.back = instr.op.name.endswith("_grad")
        name = instr.op.name.split("_")[0]
        attrs = dict(zip(instr.op.attrs, instr.attrs))
        self.view: Spec | None = attrs.get("view")  # of the rows of a table that are x
        self.kind: Kind = KINDS[f"rnn_{attrs['nonlinearity']}" if name == "rnn" else name]
        self.keep = bool(attrs.get("keep"))
        self.form = Form(instr.outs[0].dtype.name)
        fixed = [n for n in instr.op.inputs if n != "weights"]
        self.operands = dict(zip(fixed, instr.operands))
        rest = instr.operands[len(fixed):]
        self.weights = Weights.of(tuple(rest)) if not self.back else Weights(None, rest[0] if rest else self.operands["w_hh"])
        self.projected = len(rest) > 1 if self.back else len(rest) % 2 == 1
        self.hidden = self.weights.w_hh.spec.shape[0] // self.kind.gates
        rows = self.x
        self.schedule = _schedules(rows.shape[:-1], attrs["sizes"], attrs["reverse"])
        self.batch = self.schedule.batch
        self.made: list[KernelStep] = []

    @property
    def x(self) -> Spec:
        """The type of what has a row per step and sequence: the inputs, or their gradients."""
        if self.view is not None:
            return self.view
        found: Spec = self.operands["dy" if self.back else "x"].spec
        return found

    def fits(self) -> bool:
        """Whether the kernels can run it."""
        rows = self.x
        others = [o.spec for n, o in self.operands.items() if n not in ("x", "dy", "w_hh", "table", "index")]
        biases = [o.spec for o in self.weights[2:4] if o is not None]
        return not self.projected and (rows.strides[-1] == 1 or rows.shape[-1] == 1) and all(s.contiguous for s in (*others, *biases)) \
            and all(s.dtype is rows.dtype for s in (*others, *biases))

    # --- pieces ---------------------------------------------------------------------------------------------------
    def starts(self, s: Spec) -> tuple[Table, int]:
        """Where the rows of each step begin in an operand, as a table, and the distance of rows; in elements."""
        if len(s.shape) == 2:
            return Table.of(self.schedule.firsts * s.strides[0]), s.strides[0]
        return Table.of(self.schedule.firsts // s.shape[1] * s.strides[0]), s.strides[1]

    def step_tables(self) -> dict[str, int | Table]:
        s = self.schedule
        return {"steps": len(s), "hidden": self.hidden, "batch": self.batch, "active": Table(s.active),
                "first_row": Table(s.firsts)}

    def address(self, o: Operand) -> Address:
        return Address(o.value, o.spec.offset * self.form.size)

    def memory(self, elements: int) -> Address:
        """Fresh memory for the length of the plan."""
        return Address(self.new_value(elements * self.form.size))

    def emit(self, key: str, write: Callable[[str], str], names: tuple[str, ...], values: dict[str, Any], units: int, work: int,
             results: set[int]) -> None:
        """A step."""
        slots = [values.get(n.lstrip("*"), 0) for n in names]
        read = {s.value for s in slots if isinstance(s, Address)} - results
        self.made.append(KernelStep(f"{key} {self.form}", write, slots, units, work, read, results))

    def pack(self, source: Operand, groups: int, **values: int) -> Address:
        """A matrix of weights as panels."""
        panels = -(-values["units"] // values["step"])
        size = panels * values["depth"] * groups * self.form.lanes
        target = self.memory(size)
        way = "k" if values["k_stride"] == 1 else "units" if values["unit_stride"] == 1 else "any"
        self.emit(f"pack {groups} {way}", partial(pack_kernel, self.form, groups, way), PACK_SLOTS,
                  {"target": target, "source": self.address(source), **values}, panels, size, {target.value})
        return target

    def panels(self) -> int:
        wide = self.form.panel if self.kind.adjacent else self.form.lanes
        return int(-(-self.hidden // wide))

    def pack_gates(self, w: Operand, segment: tuple[int, ...]) -> Address:
        """w (G·H, k) so that a panel has a vector of each gate, or four vectors of units."""
        unit, k = w.spec.strides
        lanes, flat = self.form.lanes, self.kind.adjacent
        return self.pack(w, len(segment), depth=w.spec.shape[1], k_stride=k, unit_stride=unit, units=self.hidden,
                         group_stride=(lanes if flat else self.hidden) * unit, step=self.form.panel if flat else lanes, group_step=lanes if flat else 0)

    # --- the two kernels ------------------------------------------------------------------------------------------
    def steps(self) -> list[KernelStep]:
        if self.back:
            self.backward()
        else:
            self.forward()
        return self.made

    def forward(self) -> None:
        k, w = self.kind, self.weights
        packed = {"w_ih": self.pack_gates(w.w_ih, k.x), "w_hh": self.pack_gates(w.w_hh, k.h)}
        bias = self.memory(self.panels() * self.form.panel)
        both = {"target": bias, "hidden": self.hidden, "b_ih": self.address(w.b_ih), "b_hh": self.address(w.b_hh)} if w.b_ih is not None \
            else {"target": bias, "hidden": self.hidden}
        self.emit(f"bias {k.name} {w.b_ih is not None}", partial(kernels.bias, k, self.form, w.b_ih is not None), kernels.BIAS_SLOTS, both,
                  self.panels(), self.hidden, {bias.value})
        results = dict(zip(("y", "h", "c", "gates", "cells") if k.name == "lstm" else ("y", "h", "gates"), map(Address, self.instr.results)))
        state = self.memory(2 * self.batch * self.hidden)
        given = self.rows_of_table(packed["w_ih"]) if self.view is not None else self.inputs()
        y_start, y_stride = self.starts(self.instr.outs[0])
        values = {**self.step_tables(), **given, "y_start": y_start, "y_stride": y_stride, "h0": self.address(self.operands["h"]), "bias": bias, "state": state, **packed, **results}
        if k.name == "lstm":
            values["c0"] = self.address(self.operands["c"])
        rows = self.instr.outs[0].numel // self.hidden
        of_rows = self.view is not None
        self.emit(f"recurrent {k.name} {self.keep}{' of rows' * of_rows}", partial(kernels.forward, k, self.form, self.keep, of_rows),
                  kernels.ROWS_SLOTS if of_rows else kernels.FORWARD_SLOTS, values, self.batch,
                  rows * k.gates * self.hidden * (self.hidden if of_rows else self.x.shape[-1] + self.hidden), {state.value, *self.instr.results})

    def inputs(self) -> dict[str, Any]:
        """The slots of x where it lies in memory."""
        x_start, x_stride = self.starts(self.x)
        return {"inputs": self.x.shape[-1], "x_start": x_start, "x_stride": x_stride, "x": self.address(self.operands["x"])}

    def rows_of_table(self, w_ih: Address) -> dict[str, Any]:
        """The slots of x where it is rows of a table: their part of the sums is computed once for each row of the table."""
        table, index, k = self.operands["table"], self.operands["index"], self.kind
        count, inputs = table.spec.shape
        width = self.panels() * self.form.panel
        sums = self.memory(count * width)
        self.emit(f"sums of rows {k.name}", partial(kernels.sums_of_rows, k, self.form), kernels.TABLE_SLOTS,
                  {"hidden": self.hidden, "inputs": inputs, "stride": table.spec.strides[0], "x": self.address(table), "w_ih": w_ih, "sums": sums},
                  count, count * inputs * k.gates * self.hidden, {sums.value})
        step = rows.places(index, self.x, count, width, self.new_value)
        self.made.append(step)
        return {"x": sums, "places": Address(min(step.results))}

    def backward(self) -> None:
        k, w, o = self.kind, self.weights.w_hh, self.operands
        depth = k.gates * self.hidden
        row, column = w.spec.strides
        lanes, panel = self.form.lanes, self.form.panel
        packed = self.pack(w, WIDTH, depth=depth, k_stride=row, unit_stride=column, units=self.hidden, group_stride=lanes * column, step=panel,
                           group_step=lanes)
        y_start, y_stride = self.starts(o["dy"].spec)
        names = ("dgates", "dh", "dc")[:len(self.instr.results)]
        values = {**self.step_tables(), "y_start": y_start, "y_stride": y_stride, "weights": packed,
                  **{slot: self.address(o[name]) for slot, name in kernels.OPERANDS.items() if name in o},
                  **dict(zip(names, map(Address, self.instr.results)))}
        rows = o["dy"].spec.numel // self.hidden
        self.emit(f"recurrent back {k.name}", partial(kernels.backward, k, self.form), kernels.BACKWARD_SLOTS, values,
                  self.batch, rows * depth * self.hidden, set(self.instr.results))
