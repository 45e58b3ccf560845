"""Plans that are built in parts, for programs whose sizes change all the time.

An optimizer's update is most of a training step's operations, and it is the same whatever the sizes of the
batch. So where a graph of a form seen before comes with other sizes, its plan is two: what the update needs,
which is new, and the update, which another plan has built already. Where the form keeps coming with new sizes,
what comes before the update is cut as well (`rushlight.exec.cuts`). What comes again gets one plan for all, in
which the update joins the loops that make its gradients. The numbers are the same to the last bit: the order of
a sum never depends on what else is in a plan (docs/design.md).

Long programs that have another form each time are `rushlight.exec.stretches`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rushlight.exec.cuts import NEW, PART, PLAN, cuts
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
AGAIN = 2, 4  # at which of its runs a plan of two parts becomes one, and one of more at the earliest
MOST_PARTS = 1024
MOST_FORMS = 16_000  # operations of all forms together
Window = tuple[int, int] | None  # the elements of a value that a part is given, None for all


@dataclass(slots=True)
class Slot:
    """A part of all programs of a form. ``needs`` are the values of the whole that it is given, in order, ``made`` those that it
    makes, ``ending`` those that no later part reads, and ``gone`` those of them that are no results of the whole either. Only the
    ``last`` part may overwrite what it is given: none after it can fail, which must leave running statistics as they were, and the
    first of several layers is the same program as the others.

    ``latest`` is what its last plan was made for, with all instructions of that program, the windows of its values, and that plan.
    """

    instrs: slice
    needs: list[int]
    made: tuple[int, ...]
    ending: list[int]
    gone: list[int]
    last: bool
    latest: tuple[list[Instr], Any, list[Window], Run] | None = None


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

    def meet(self, program: Program, instrs: list[Instr]) -> tuple[list[Instr], list[bool]]:
        """Another program of this form; the instructions of the one before, and which of its own have their types."""
        before = self.instrs
        same = [alike(i, j) for i, j in zip(instrs, before)]
        fixed = [a and b for a, b in zip(same, self.fixed)]
        self.steady = [a is b and c for a, b, c in zip(program.inputs, self.inputs, self.steady)]
        self.instrs, self.inputs = instrs, program.inputs
        self.seen += 1
        if self.seen == OFTEN or self.seen > OFTEN and fixed != self.fixed:
            at = cuts(instrs[:self.before], fixed)
            self.slots = slots(program, instrs, [*at, self.before])
        self.fixed = fixed
        return before, same


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
        _forms.put(name, Form(program, instrs, len(first)), len(instrs))
        return compiled(program, program.donated)
    before, same = form.meet(program, instrs)
    if not form.slots:
        return compiled(program, program.donated)
    types = _types(program, instrs)
    lasting = {v for v, steady in enumerate(form.steady) if steady and v not in program.donated}
    parts = [(slot, *_planned(slot, program, instrs, types, lasting, before if all(same[slot.instrs]) else None, compiled)) for slot in form.slots]
    return Apart(program, parts)


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


def _types(program: Program, instrs: list[Instr]) -> dict[int, Any]:
    """The types of all values."""
    types: dict[int, Any] = dict(enumerate(program.inputs))
    for i in instrs:
        types.update(zip(i.results, i.outs))
    return types


def _planned(slot: Slot, program: Program, instrs: list[Instr], types: dict[int, Any], lasting: AbstractSet[int], same: list[Instr] | None,
             compiled: Compile) -> tuple[list[Window], Run]:
    """The windows of a part's values, and its plan. `types` are those of all values, `lasting` inputs stay from run to run, and `same`
    are instructions of a program in which the part's have the same types: of the last one, unless another thread was in between."""
    asked = ([types[v] for v in slot.needs], *_roles(slot, program, lasting))
    latest = slot.latest
    if latest is not None and latest[0] is same and latest[1] == asked:
        windows, run = latest[2:]
    else:
        piece = _piece(slot, program, instrs, types, lasting)
        windows, run = piece.windows, _compiled(piece, piece.key, instrs[slot.instrs], compiled)
    slot.latest = instrs, asked, windows, run
    return windows, run


def _compiled(piece: Piece, key: Any, instrs: list[Instr], compiled: Compile) -> Run:
    """The plan of a part, the same for all programs and places in them that it belongs to."""
    found = None if key is None else _parts.get(key)
    if found is None:
        found = compiled(piece.program(instrs), piece.changing)
        if key is not None:
            found = _parts.put(key, found)
    return found


def alone(program: Program, lasting: AbstractSet[int], compiled: Compile) -> tuple[list[Window], Run]:
    """The plan of a program that is part of a longer one and may overwrite nothing, and the windows of its inputs that it is given.
    `lasting` inputs stay from run to run."""
    program = drop_dead(program)
    slot = Slot(slice(None), [*range(len(program.inputs))], program.outputs, [], [], False)
    piece = _piece(slot, program, program.instrs, _types(program, program.instrs), lasting)
    return piece.windows, _compiled(piece, piece.key, program.instrs, compiled)


def _roles(slot: Slot, program: Program, lasting: AbstractSet[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Of the values that a part is given, those whose memory it may overwrite, and those that are others at each run."""
    spare = [v for v in slot.ending if slot.last and (v in program.donated or v >= len(program.inputs) and v in slot.gone)]
    return frozenset(spare), frozenset([v for v in slot.needs if v not in lasting])


@dataclass(slots=True)
class Piece:
    """A part as a program of its own. ``inputs`` are the types of what it is given, ``rows`` its instructions with operands by their
    numbers and views, ``changing`` the inputs that are others at each run, ``windows`` those of the values of the whole: a row of a matrix
    is given as such, so that all rows have one plan."""

    inputs: tuple[Any, ...]
    outputs: tuple[int, ...]
    donated: frozenset[int]
    changing: frozenset[int]
    rows: list[tuple[Any, ...]]
    windows: list[Window]

    @property
    def key(self) -> Any:
        """What its plan follows from, None where that has no name."""
        if any([row[1] is None for row in self.rows]):
            return None
        return self.inputs, self.outputs, self.donated, self.changing, *self.rows

    def program(self, instrs: list[Instr]) -> Program:
        """The program, from the instructions of the whole."""
        made = Program([*self.inputs], [], self.outputs, self.donated, len(self.inputs))
        for i, (_, _, _, *operands) in zip(instrs, self.rows):
            results = tuple([made.new() for _ in i.results])
            made.instrs.append(Instr(i.op, tuple([Operand(*o) for o in operands]), i.attrs, results, i.outs, i.line))
        return made


def _piece(slot: Slot, program: Program, instrs: list[Instr], types: dict[int, Any], lasting: AbstractSet[int]) -> Piece:
    """A part of a program whose values have these `types`; `lasting` inputs stay from run to run."""
    spare, changing = _roles(slot, program, lasting)
    read = windows_of(slot, instrs, types, spare)
    windows = [read.get(v) for v in slot.needs]
    inputs = tuple([spec(s.dtype, (s.numel if w is None else w[1] - w[0],)) if isinstance(s, Spec) else s
                    for s, w in zip([types[v] for v in slot.needs], windows)])
    number = {v: i for i, v in enumerate(slot.needs)}
    fresh = len(number)
    rows: list[tuple[Any, ...]] = []
    for i in instrs[slot.instrs]:
        operands = [(number[o.value], o.spec if (w := read.get(o.value)) is None else o.spec.at(o.spec.shape, o.spec.strides, o.spec.offset - w[0]))
                    for o in i.operands]
        rows.append((i.op, hashable(i.attrs), i.outs, *operands))
        for r in i.results:
            number[r] = fresh
            fresh += 1
    return Piece(inputs, tuple([number[v] for v in slot.made]), frozenset([number[v] for v in spare]),
                 frozenset([number[v] for v in changing]), rows, windows)


def windows_of(slot: Slot, instrs: list[Instr], types: dict[int, Any], spare: AbstractSet[int]) -> dict[int, tuple[int, int]]:
    """Which elements a part reads of those values that it reads in part."""
    needs = {v for v in slot.needs if v not in spare}
    found: dict[int, tuple[int, int]] = {}
    for i in instrs[slot.instrs]:
        for o in i.operands:
            v, s = o.value, o.spec
            if v not in needs or not isinstance(s, Spec):
                continue
            if not s.numel or s.numel == types[v].numel and s.plain or s.dtype is not types[v].dtype:
                needs.discard(v)
                found.pop(v, None)
            else:
                low, high = found.get(v, (s.offset, 0))
                found[v] = min(low, s.offset), max(high, s.extent())
    return found


class Apart:
    """A plan in parts; `outgrown` when it has run so often that making one plan of all costs no more."""

    __slots__ = ("parts", "outputs", "runs", "enough", "switches", "__weakref__")
    launcher = None  # how a plan runs while the program goes on (`rushlight.exec.realize`)

    def __init__(self, program: Program, parts: list[tuple[Slot, list[Window], Run]]) -> None:
        self.parts = [(run, (*zip(slot.needs, windows),), slot.made, (*slot.gone,)) for slot, windows, run in parts]
        self.outputs = program.outputs
        self.runs = 0
        two, more = AGAIN
        self.enough = two if len(parts) == 2 else max(more, (NEW + PLAN * len(program.instrs)) // (PART * len(parts)))
        self.switches = any([getattr(run, "switches", None) for *_, run in parts])  # whether plans keep something with their inputs

    @property
    def outgrown(self) -> bool:
        """Whether the next run is worth a plan of all parts."""
        return self.runs >= self.enough - 1

    def __call__(self, inputs: list[Any], cells: Sequence[Any] | None = None) -> tuple[Any, ...]:
        self.runs += 1
        values = dict(enumerate(inputs))
        for run, needs, results, gone in self.parts:
            given = [values[v] if w is None else values[v][w[0]:w[1]] for v, w in needs]
            try:
                if cells is not None and getattr(run, "switches", None):
                    made = run(given, [cells[v] if v < len(cells) and w is None else None for v, w in needs])
                else:
                    made = run(given)
            except Exception as e:
                lost = [needs[i][0] for i in getattr(e, "spoiled", ())]
                e.spoiled = [v for v in lost if v < len(inputs)]  # type: ignore[attr-defined]
                raise
            values.update(zip(results, made))
            for v in gone:
                del values[v]
            del given, made  # they refer to what is gone
        return tuple([values[v] for v in self.outputs])
