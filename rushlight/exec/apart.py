"""Plans that are built in parts, for programs whose sizes change all the time.

An optimizer's update is most of a training step's operations, and it is the same whatever the sizes of the
batch. So where a graph of a form seen before comes with other sizes, its plan is two: what the update needs,
which is new, and the update, which another plan has built already. Where the form keeps coming with new sizes,
what comes before the update is cut as well (`rushlight.exec.cuts`). Sizes that come again get one plan for
all, in which the update joins the loops that make its gradients. The numbers are the same to the last bit:
the order of a sum never depends on what else is in a plan (docs/design.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rushlight.exec.cuts import cuts
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.passes import recent
from rushlight.passes.pipeline import drop_dead, hashable
from rushlight.passes.recent import Recent

Run = Callable[..., "tuple[Any, ...]"]
Compile = Callable[[Program, frozenset[int]], Run]  # a program, and the inputs that change from run to run
UPDATE = ("flags", "numbers", "outputs")  # the attributes of an optimizer's update (`rushlight.tensor.coarse.region`)
FEWEST = 8  # operations of a program without an update that may be cut
OFTEN = 3  # sizes of a form from which on more than its update is cut off
AGAIN = 2, 4  # at which of its runs a plan of two parts, or of more, becomes one
MOST_FORMS, MOST_PARTS = 1024, 512


@dataclass(slots=True)
class Slot:
    """A part of all programs of a form. ``needs`` are the values of the whole that it is given, in order, ``made`` those that it
    makes, ``ending`` those that no later part reads, and ``gone`` those of them that are no results of the whole either. Only the
    ``last`` part may overwrite what others have made: else the first of several layers would be another program than the second.

    ``latest`` is what its last plan was made for beside its instructions, and that plan.
    """

    instrs: slice
    needs: list[int]
    made: tuple[int, ...]
    ending: list[int]
    gone: list[int]
    last: bool
    latest: tuple[Any, Run] | None = None


class Form:
    """What programs have in common whose sizes differ: which instructions and inputs have had the same types in all of them, and their
    parts.

    ``instrs`` are the latest program's in the order in which parts run: `before` of them need no update, updates and the rest follow.
    """

    __slots__ = ("instrs", "before", "seen", "fixed", "inputs", "steady", "slots")

    def __init__(self, program: Program, instrs: list[Instr], before: int) -> None:
        self.instrs, self.before = instrs, before
        self.seen = 1
        self.fixed = [True] * len(instrs)
        self.inputs, self.steady = program.inputs, [True] * len(program.inputs)
        self.slots = slots(program, instrs, [before])

    def meet(self, program: Program, instrs: list[Instr]) -> list[bool]:
        """Another program of this form; which instructions have the types of those in the one before."""
        same = [alike(i, j) for i, j in zip(instrs, self.instrs)]
        fixed = [a and b for a, b in zip(same, self.fixed)]
        self.steady = [a is b and c for a, b, c in zip(program.inputs, self.inputs, self.steady)]
        self.instrs, self.inputs = instrs, program.inputs
        self.seen += 1
        if self.seen == OFTEN or self.seen > OFTEN and fixed != self.fixed:
            at = cuts(instrs[:self.before], len(program.inputs), fixed)
            self.slots = slots(program, instrs, [*at, self.before])
        self.fixed = fixed
        return same


_forms: Recent[Form] = Recent(MOST_FORMS)
_parts: Recent[Run] = Recent(MOST_PARTS)


def compile_program(program: Program, compiled: Compile) -> Run:
    """The plan of a program, in parts where only its sizes are new."""
    updates = any([i.op.attrs == UPDATE for i in program.instrs])
    if not updates and len(program.instrs) < FEWEST:
        return compiled(program, program.donated)
    name = (tuple([(i.op, *[o.value for o in i.operands]) for i in program.instrs]), program.outputs)
    first, second = around_updates(program if updates else drop_dead(program))
    instrs = first + second
    form = _forms.get(name)
    if form is None:
        _forms.put(name, Form(program, instrs, len(first)))
        return compiled(program, program.donated)
    same = form.meet(program, instrs)
    if not form.slots:
        return compiled(program, program.donated)
    types: dict[int, Any] = dict(enumerate(program.inputs))
    for i in instrs:
        types.update(zip(i.results, i.outs))
    lasting = {v for v, steady in enumerate(form.steady) if steady and v not in program.donated}
    parts = [(slot, _planned(slot, program, instrs, types, lasting, all(same[slot.instrs]), compiled)) for slot in form.slots]
    return Apart(program, parts, compiled)


def forget() -> None:
    """Forget all that plans have in common (`rushlight.exec.realize.clear_plans`)."""
    recent.forget()


def alike(a: Instr, b: Instr) -> bool:
    """Whether instructions of one operation have the same types and attributes."""
    if a.outs != b.outs or [o.spec for o in a.operands] != [o.spec for o in b.operands]:
        return False
    return a.attrs is b.attrs or (attrs := hashable(a.attrs)) is not None and attrs == hashable(b.attrs)


def around_updates(program: Program) -> tuple[list[Instr], list[Instr]]:
    """The instructions that follow from no update, and updates with all that follows from them."""
    later: set[int] = set()
    first: list[Instr] = []
    second: list[Instr] = []
    for instr in program.instrs:
        if instr.op.attrs == UPDATE or not later.isdisjoint([o.value for o in instr.operands]):
            second.append(instr)
            later.update(instr.results)
        else:
            first.append(instr)
    return first, second


def slots(program: Program, instrs: list[Instr], at: Sequence[int]) -> list[Slot]:
    """The parts of a program whose instructions are cut at these positions; none where that is one, or where a part would have to
    hand on a number."""
    slices = [slice(a, b) for a, b in pairwise((0, *at, len(instrs))) if a < b]
    inputs = len(program.inputs)
    numbers = {i for i, s in enumerate(program.inputs) if not isinstance(s, Spec)}
    last: dict[int, int] = {}
    for place, part in enumerate(slices):
        for i in instrs[part]:
            last.update([(o.value, place) for o in i.operands])
            numbers.update([r for r, s in zip(i.results, i.outs) if not isinstance(s, Spec)])
    kept = {*program.outputs}
    found = []
    for place, part in enumerate(slices):
        own = {r for i in instrs[part] for r in i.results}
        used = dict.fromkeys([o.value for i in instrs[part] for o in i.operands if o.value not in own])
        needs = sorted(used, key=numbers.__contains__)  # in the order in which they are read; numbers come last
        if any([v in numbers and v >= inputs for v in needs]):
            return []
        ending = [v for v in needs if last[v] == place]
        made = tuple([r for i in instrs[part] for r in i.results if r in kept or last.get(r, -1) > place])
        found.append(Slot(part, needs, made, ending, [v for v in ending if v not in kept], part is slices[-1]))
    return found if len(found) > 1 else []


def _planned(slot: Slot, program: Program, instrs: list[Instr], types: dict[int, Any], lasting: AbstractSet[int], same: bool,
             compiled: Compile) -> Run:
    """The plan of a part, the same for all programs and places in them that it belongs to. `types` are those of all values, `lasting`
    inputs stay from run to run, and `same` says that the part's instructions have the types of the last program's."""
    inputs, donated = len(program.inputs), program.donated
    memory = tuple([spec(s.dtype, (s.numel,)) if isinstance(s, Spec) else s for s in [types[v] for v in slot.needs]])
    spare = frozenset([v for v in slot.ending if v in donated or slot.last and v >= inputs and v in slot.gone])
    changing = frozenset([v for v in slot.needs if v not in lasting])
    asked = (memory, spare, changing)
    if same and slot.latest is not None and slot.latest[0] == asked:
        return slot.latest[1]
    number = {v: i for i, v in enumerate(slot.needs)}
    cut = part(slot, instrs, memory, frozenset([number[v] for v in spare]))
    changed = frozenset([number[v] for v in changing])
    rows = [(i.op, hashable(i.attrs), i.outs, *[(o.value, o.spec) for o in i.operands]) for i in cut.instrs]
    key = None if any([row[1] is None for row in rows]) else (memory, cut.outputs, cut.donated, changed, *rows)
    run = _parts.get(key) or _parts.put(key, compiled(cut, changed)) if key is not None else compiled(cut, changed)
    slot.latest = asked, run
    return run


def part(slot: Slot, instrs: list[Instr], memory: Sequence[Any], donated: frozenset[int]) -> Program:
    """A part as a program of its own, whose inputs have these types."""
    number = {v: i for i, v in enumerate(slot.needs)}
    made = Program([*memory], values=len(slot.needs), donated=donated)
    for i in instrs[slot.instrs]:
        operands = tuple([Operand(number[o.value], o.spec) for o in i.operands])
        results = tuple([made.new() for _ in i.results])
        number.update(zip(i.results, results))
        made.instrs.append(Instr(i.op, operands, i.attrs, results, i.outs, i.line))
    made.outputs = tuple([number[v] for v in slot.made])
    return made


class Apart:
    """A plan in parts, which becomes one plan when it has run a few times."""

    def __init__(self, program: Program, parts: list[tuple[Slot, Run]], compiled: Compile) -> None:
        self.program, self.compiled = program, compiled
        self.lock = threading.Lock()
        self.whole: Any = None
        self.runs = 0
        self.parts = parts

    @property
    def switches(self) -> Any:
        """What the plans keep with their inputs (`rushlight.exec.realize`)."""
        if self.whole is not None:
            return getattr(self.whole, "switches", None)
        return [s for _, run in self.parts for s in getattr(run, "switches", ())]

    @property
    def launcher(self) -> Any:
        """How the one plan runs while the program goes on (`rushlight.exec.realize`)."""
        return getattr(self.whole, "launcher", None)

    def __call__(self, inputs: list[Any], cells: Sequence[Any] | None = None) -> tuple[Any, ...]:
        with self.lock:
            self.runs += 1
            if self.runs >= AGAIN[len(self.parts) > 2] and self.whole is None:
                self.whole = self.compiled(self.program, self.program.donated)
                self.parts = []
            whole, parts = self.whole, self.parts
        if whole is None:
            return self._run(inputs, cells, parts)
        results: tuple[Any, ...] = whole(inputs, cells) if cells is not None and getattr(whole, "switches", None) else whole(inputs)
        return results

    def _run(self, inputs: list[Any], cells: Sequence[Any] | None, parts: list[tuple[Slot, Run]]) -> tuple[Any, ...]:
        values = dict(enumerate(inputs))
        spoiled: list[int] = []
        for slot, run in parts:
            given = [values[v] for v in slot.needs]
            holders = [cells[v] if v < len(cells) else None for v in slot.needs] if cells is not None and getattr(run, "switches", None) else None
            try:
                made = run(given) if holders is None else run(given, holders)
            except Exception as e:
                lost = [slot.needs[i] for i in getattr(e, "spoiled", ())]
                e.spoiled = [*[v for v in lost if v < len(inputs)], *spoiled]  # type: ignore[attr-defined]
                raise
            spoiled += [v for v in [slot.needs[i] for _, i in getattr(run, "taken", ())] if v < len(inputs)]
            values.update(zip(slot.made, made))
            for v in slot.gone:
                del values[v]
            del given, made  # they refer to what is gone
        return tuple([values[v] for v in self.program.outputs])
