"""The first steps of a plan, run before its graph is complete (`rushlight.exec.speculation`)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rushlight.exec import flight
from rushlight.exec.cpu import memory
from rushlight.exec.cpu.packing import Kept
from rushlight.exec.speculation import Opening, Successor
from rushlight.ir.graph import Buffer

if TYPE_CHECKING:
    from rushlight.exec.cpu.launch import Launcher
    from rushlight.exec.cpu.plan import Plan


class Form(NamedTuple):
    """What the first steps of runs on the same weights have in common: the arrays of a run, with ``holes`` for what differs, and which
    of their switches are on (after so many ``turns`` of any)."""

    arrays: list[Any]
    holes: list[int]
    ways: list[bool]
    turns: int

    @staticmethod
    def of(plan: Plan, cells: Sequence[Any], lasts: list[bool], switches: int) -> Form:
        """That of runs on these inputs, some of which are the same in all: those that so many of the plan's switches are for, too."""
        arrays = [None, *[cell.buffer if same else None for cell, same in zip(cells, lasts)], *plan.blank]
        for switch in plan.switches[:switches]:
            arrays[switch.at] = switch.choose(cells[switch.variant.value], None)
        made = {at for at, *_ in plan.made}
        holes = [at for at, array in enumerate(arrays) if array is None and at not in made]
        return Form(arrays, holes, [switch.active for switch in plan.switches[:switches]], Kept.turns)


class Beginning:
    """The first steps of a run, in flight (`rushlight.exec.flight.InFlight`) until its graph is complete or something else runs."""

    __slots__ = ("launcher", "expected", "opening", "cells", "arrays")

    def __init__(self, launcher: Launcher, expected: Successor, opening: Opening, form: Form, cells: Sequence[Any]) -> None:
        plan = launcher.plan
        self.launcher, self.expected, self.opening = launcher, expected, opening
        self.cells = [id(cell) for cell in cells]  # they live while the nodes do that read them; who refers to them is counted
        arena = memory.SCRATCH.take(plan.arena)
        arrays = self.arrays = form.arrays.copy()
        for at in form.holes:
            arrays[at] = arena
        for at, size, dtype, make in plan.made:
            arrays[at] = make(size, dtype)
        for place, cell in zip(opening.places, cells):
            arrays[place + 1] = cell.buffer
        plan.list[0] = id(arrays)

    def land(self) -> None:
        """Help until the steps are done, and forget them: what they were computed from may change now."""
        steps = self.opening.steps
        self.launcher.call(self.launcher.request(steps, False, 0, steps))
        self._end()

    def fetch(self, cell: Any) -> None:
        """It has no results to show."""

    def _end(self) -> None:
        if flight.current is self:
            flight.current = None
        arrays, self.arrays = self.arrays, []
        if arrays:
            memory.SCRATCH.give(arrays[0])

    def finish(self, run: Any, inputs: list[Any], cells: Sequence[Any]) -> tuple[Buffer, ...] | None:
        """Run the rest, of a plan on these inputs; None where it began otherwise, or something else ran in between."""
        launcher = self.launcher
        if run is not launcher.plan or not self.opening.holds(cells, self.cells):
            self.expected.failed()
        else:
            with launcher.lock, flight.lock:
                if flight.current is self:
                    try:
                        return self._rest(inputs, cells)
                    except struct.error:  # a number beyond 64 bits
                        pass
        self.drop()
        return None

    def _rest(self, inputs: list[Any], cells: Sequence[Any]) -> tuple[Buffer, ...]:
        launcher, arrays, plan = self.launcher, self.arrays, self.launcher.plan
        done, steps = self.opening.steps, launcher.steps
        if done < steps:
            arrays[1:plan.buffers + 1] = inputs[:plan.buffers]
            for switch in plan.switches[launcher.switches[done - 1]:]:  # the others may be in use
                arrays[switch.at] = switch.choose(cells[switch.variant.value], arrays[0])
            if plan.numbered:
                plan.number(inputs)
        code = launcher.call(launcher.request(steps, done < steps, done, steps))
        self.expected.doubt = 0
        self._end()
        return plan.failed(code, inputs, launcher.segment) if code else tuple([arrays[at] for at in plan.places])

    def drop(self) -> None:
        """Wait for the steps that run, and forget them."""
        with flight.lock:
            if flight.current is self:
                self.land()
