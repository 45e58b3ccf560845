"""Plans that are built in two parts, for programs whose sizes change all the time.

An optimizer's update is most of a training step's operations, and it is the same whatever the sizes of the
batch. So where a graph of a form seen before comes with other sizes, its plan is two: what the update needs,
which is new, and the update, which another plan has built already. Sizes that come again get one plan for
all, in which the update joins the loops that make its gradients. The numbers are the same to the last bit:
the order of a sum never depends on what else is in a plan (docs/design.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.passes import recent
from rushlight.passes.pipeline import hashable
from rushlight.passes.recent import Recent

Run = Callable[..., "tuple[Any, ...]"]
Compile = Callable[[Program, frozenset[int]], Run]  # a program, and the inputs that change from run to run
UPDATE = ("flags", "numbers", "outputs")  # the attributes of an optimizer's update (`rushlight.tensor.coarse.region`)
MOST_FORMS, MOST_UPDATES = 1024, 64

_forms: Recent[bool] = Recent(MOST_FORMS)
_updates: Recent[Run] = Recent(MOST_UPDATES)


@dataclass(slots=True)
class Parts:
    """A program cut before its updates. ``needs`` are the values of the program that `update` is given, in order;
    ``made`` and ``updated`` are those that the parts make."""

    before: Program
    update: Program
    needs: list[int]
    made: tuple[int, ...]
    updated: tuple[int, ...]


def compile_program(program: Program, compiled: Compile) -> Run:
    """The plan of a program, in two parts where only its sizes are new."""
    parts = cut(program) if any([i.op.attrs == UPDATE for i in program.instrs]) else None
    if parts is None:
        return compiled(program, program.donated)
    form = (tuple([(i.op, *[o.value for o in i.operands]) for i in program.instrs]), program.outputs)
    if _forms.get(form) is None:
        _forms.put(form, True)
        return compiled(program, program.donated)
    return Apart(program, parts, compiled)


def forget() -> None:
    """Forget all that plans have in common (`rushlight.exec.realize.clear_plans`)."""
    recent.forget()


def cut(program: Program) -> Parts | None:
    """The program as what its updates need, and the updates with all that follows from them; None where that is all."""
    inputs = len(program.inputs)
    types: dict[int, Any] = dict(enumerate(program.inputs))
    later: set[int] = set()
    first: list[Instr] = []
    second: list[Instr] = []
    for instr in program.instrs:
        if instr.op.attrs == UPDATE or not later.isdisjoint([o.value for o in instr.operands]):
            second.append(instr)
            later.update(instr.results)
        else:
            first.append(instr)
            types.update(zip(instr.results, instr.outs))
    used = {o.value for i in second for o in i.operands} - later
    if not first or not all(isinstance(types[v], Spec) for v in used if v >= inputs):
        return None
    needs = sorted(used, key=lambda v: (not isinstance(types[v], Spec), v))  # numbers come last
    kept = [v for v in program.outputs if v not in later]
    made = (*kept, *[v for v in needs if v >= inputs and v not in kept])
    before = Program(program.inputs, first, made, program.donated - used, program.values)
    updated = tuple([v for v in program.outputs if v in later])
    spare = {v for v in needs if v in program.donated or (v >= inputs and v not in kept)}
    return Parts(before, _numbered(second, needs, types, updated, spare), needs, made, updated)


def _numbered(instrs: list[Instr], needs: list[int], types: dict[int, Any], outputs: tuple[int, ...],
              spare: set[int]) -> Program:
    """Instructions as a program of their own, whose inputs are these values."""
    number = {v: i for i, v in enumerate(needs)}
    memory = [spec(s.dtype, (s.numel,)) if isinstance(s, Spec) else s for s in [types[v] for v in needs]]
    program = Program(memory, values=len(needs), donated=frozenset([number[v] for v in spare]))
    for i in instrs:
        operands = tuple([Operand(number[o.value], o.spec) for o in i.operands])
        results = tuple([program.new() for _ in i.results])
        number.update(zip(i.results, results))
        program.instrs.append(Instr(i.op, operands, i.attrs, results, i.outs, i.line))
    program.outputs = tuple([number[v] for v in outputs])
    return program


def _update(program: Program, compiled: Compile) -> Run:
    """The plan of an update, the same for all programs that it ends."""
    key = (tuple(program.inputs), program.outputs, program.donated,
           *[(i.op, hashable(i.attrs), i.outs, *[(o.value, o.spec) for o in i.operands]) for i in program.instrs])
    return _updates.get(key) or _updates.put(key, compiled(program, program.donated))


class Apart:
    """A plan in two parts; from its second run on one plan."""

    def __init__(self, program: Program, parts: Parts, compiled: Compile) -> None:
        self.program, self.compiled = program, compiled
        self.needs, self.made, self.updated = parts.needs, parts.made, parts.updated
        self.lock = threading.Lock()
        self.whole: Any = None
        self.runs = 0
        self.before = compiled(parts.before, program.donated)
        self.update = _update(parts.update, compiled)

    @property
    def switches(self) -> Any:
        """What the one plan keeps with its inputs (`rushlight.exec.realize`)."""
        return getattr(self.whole, "switches", None)

    @property
    def launcher(self) -> Any:
        """How the one plan runs while the program goes on (`rushlight.exec.realize`)."""
        return getattr(self.whole, "launcher", None)

    def __call__(self, inputs: list[Any], *cells: Any) -> tuple[Any, ...]:
        with self.lock:
            self.runs += 1
            if self.runs == 2:
                self.whole = self.compiled(self.program, self.program.donated)
                self.before = self.update = None  # type: ignore[assignment]
            whole, before, update = self.whole, self.before, self.update
        return whole(inputs, *cells) if whole is not None else self._run(inputs, before, update)

    def _run(self, inputs: list[Any], before: Run, update: Run) -> tuple[Any, ...]:
        values = dict(enumerate(inputs))
        values.update(zip(self.made, before(inputs)))
        try:
            values.update(zip(self.updated, update([values[v] for v in self.needs])))
        except Exception as e:
            lost = [self.needs[i] for i in getattr(e, "spoiled", ())]
            taken = [i for _, i in getattr(before, "taken", ())]
            e.spoiled = [*[v for v in lost if v < len(inputs)], *taken]  # type: ignore[attr-defined]
            raise
        return tuple([values[v] for v in self.program.outputs])
