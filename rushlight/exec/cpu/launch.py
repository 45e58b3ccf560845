"""Plans of generated kernels alone run in a team of threads, and may be left while it works on their last steps.

Plans with oneDNN's primitives or NumPy calls run as they are (`rushlight.exec.cpu.plan`), in OpenMP's threads. The two kinds
of threads wait actively for work and would be in each other's way: a program that uses OpenMP now and then uses it always.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rushlight.exec import flight, threads
from rushlight.exec.cpu import memory, teams
from rushlight.exec.cpu import profile as profiling
from rushlight.exec.cpu.beginning import Beginning, Form
from rushlight.exec.cpu.packing import Kept
from rushlight.exec.cpu.steps import LoopStep, PrimitiveStep, PythonStep, may_fail
from rushlight.exec.speculation import Opening, Successor
from rushlight.ir.graph import Buffer

if TYPE_CHECKING:
    from rushlight.exec.cpu.plan import Plan, Segment

REGION = 2  # the driver's kind of steps that threads share
CALM = 8  # runs of plans without OpenMP before a team is used again
_calm = [0]


def openmp_ran() -> None:
    """OpenMP's threads wait for more work just now."""
    _calm[0] = CALM


class Launcher:
    """How a plan runs in a team. ``head`` steps are waited for: they can fail, or nothing is worth leaving after them;
    ``ready`` says for each result the number of steps after which it is there. The first steps are ``free`` to run at any time:
    they cannot fail and overwrite nothing. Of each it says whether threads share it, what inputs it reads, and which of these have
    to be the same as before; ``switches`` is the number of the plan's switches up to the end of each step."""

    __slots__ = ("plan", "segment", "head", "ready", "steps", "free", "switches", "lock", "team", "call", "all", "requests")

    def __init__(self, plan: Plan, segment: Segment, head: int, ready: list[int], steps: int) -> None:
        self.plan, self.segment, self.head, self.ready, self.steps = plan, segment, head, ready, steps
        self.free = _free_steps(plan, segment)
        self.switches: list[int] = segment.switched
        self.lock = plan.lock
        self.team: teams.Team | None = None
        self.call: Any = None  # with the address of a request to the team
        self.all = 0  # that of the request to run all steps
        self.requests: dict[tuple[int, bool, int, int], tuple[int, Any]] = {}  # the address, of what must be kept

    def assemble(self) -> bool:
        """Whether there is a team that runs the plan; else OpenMP has to."""
        if _calm[0]:
            _calm[0] -= 1
            return False
        if teams.current is None or teams.current is not self.team:
            self.team = teams.team(self.plan.threads)
            if self.team is None:
                return False
            self.requests = {}
            self.call, self.all = self.team.call, self.request(self.steps, True)
        return True

    def request(self, until: int, starts: bool, first: int = 0, end: int = 0) -> int:
        """The address of a request to the team (`teams.Team.request`; without `end` to run all steps)."""
        assert self.team is not None
        key = until, starts, first, end
        found = self.requests.get(key)
        if found is None:
            head = -1 if end and not until else until
            made = self.team.request(self.segment.address, until, head, starts, first, end or self.steps)
            found = self.requests[key] = ctypes.addressof(made), made
        return found[0]

    def whole(self) -> int | None:
        """Run all of a prepared plan and give its failure or 0; None where OpenMP has to run it."""
        if not flight.lock.acquire(False):
            return None
        try:
            if flight.current is not None:
                flight.land()
            return self.call(self.all) if self.assemble() else None
        finally:
            flight.lock.release()

    def job(self, inputs: list[Any], cells: Any) -> Job | None:
        """A run with these inputs, not started; None where it has to be an ordinary one."""
        plan = self.plan
        if profiling.active is not None or not self.assemble():
            return None
        arena = memory.SCRATCH.take(plan.arena)
        try:
            arrays, _ = plan.prepare(inputs, cells, arena)
        except struct.error:  # a number beyond 64 bits
            memory.SCRATCH.give(arena)
            return None
        return Job(self, inputs, arrays, arena)

    def form(self, cells: Sequence[Any], lasts: list[bool], steps: int) -> Form | None:
        """What these first steps of runs on these inputs have in common, of which some are the same in all; None where that cannot
        be seen now."""
        if self.lock.locked():  # maybe by this thread, around a finalizer
            return None
        with self.lock, flight.lock:
            return Form.of(self.plan, cells, lasts, self.switches[steps - 1]) if flight.current is None else None

    def begin(self, expected: Successor, opening: Opening, cells: Sequence[Any]) -> Beginning | None:
        """The first steps of a run, started for the others of the team; None where that cannot be now. `cells` are the inputs that
        are others at every step, as far as they are known."""
        form: Form | None = opening.form
        if form is None:
            expected.failed()
            return None
        if profiling.active is not None or self.lock.locked():
            return None
        with self.lock, flight.lock:
            if flight.current is not None or not self.assemble():
                return None
            if form.turns != Kept.turns and form.ways != [s.active for s in self.plan.switches[:len(form.ways)]]:
                expected.failed()
                return None
            begun = flight.current = Beginning(self, expected, opening, form, cells)
            self.call(self.request(0, True, 0, opening.steps))
            return begun


class Job:
    """A run of a plan in a team (`rushlight.exec.flight.Job`)."""

    __slots__ = ("launcher", "inputs", "arrays", "arena", "results", "ready", "steps", "started")

    def __init__(self, launcher: Launcher, inputs: list[Any], arrays: list[Any], arena: Any) -> None:
        self.launcher, self.inputs, self.arrays, self.arena = launcher, inputs, arrays, arena
        self.results: tuple[Buffer, ...] = tuple([arrays[at] for at in launcher.plan.places])
        self.ready, self.steps = launcher.ready, launcher.steps
        self.started = False

    def run(self, until: int) -> None:
        """Run it until so many steps are done; IndexError where a kernel met a bad index."""
        launcher = self.launcher
        code = launcher.call(launcher.request(until, not self.started))
        self.started = True
        if code:
            launcher.plan.failed(code, self.inputs, launcher.segment)

    def close(self) -> None:
        """Give the arena back, once."""
        arena, self.arena = self.arena, None
        if arena is not None:
            memory.SCRATCH.give(arena)


def launcher_of(plan: Plan, last_write: dict[int, int]) -> Launcher | None:
    """How the plan runs in a team; None where it has steps that no team can run, or none that threads share."""
    if len(plan.segments) != 1 or any(isinstance(s, (PrimitiveStep, PythonStep)) for s in plan.steps):
        return None
    segment: Any = plan.segments[0]
    kinds = segment.steps[::2]
    if REGION not in kinds or not 1 < plan.threads <= min(threads.affinity(), teams.MOST_THREADS):
        return None
    # the number of the driver's steps after which a step of the plan is done
    done = {at: i + 1 for i, part in enumerate(segment.parts) for at in part}
    head = done.get(plan.checked, 0)
    if REGION not in kinds[head:]:
        head = len(kinds)
    ready = [done[last_write[v]] if v in last_write else 1 for v in plan.program.outputs]
    return Launcher(plan, segment, head, ready, len(kinds))


def _free_steps(plan: Plan, segment: Any) -> list[tuple[bool, frozenset[int], frozenset[int]]]:
    found: list[tuple[bool, frozenset[int], frozenset[int]]] = []
    overwrites = {at for at, _ in plan.taken}
    before = 0
    for kind, part, after in zip(segment.steps[::2], segment.parts, segment.switched):
        steps = [plan.steps[at] for at in part]
        if not overwrites.isdisjoint(part) or any(may_fail(s) or isinstance(s, LoopStep) and s.loop.numbers for s in steps):
            break
        packed = frozenset(s.variant.value for s in plan.switches[before:after])
        found.append((kind == REGION, frozenset(v for s in steps for v in s.reads() if v < plan.buffers), packed))
        before = after
    return found
