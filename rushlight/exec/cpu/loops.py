"""From a group to kernels: dimensions ordered, collapsed and cut into units; operands as accesses with strides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from rushlight.exec import order
from rushlight.exec.cpu.cells import COUNTING, EXPENSIVE
from rushlight.exec.cpu.groups import CHUNK, LEAST_UNITS, Group, chunks, is_reduction, operand_dtype
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.kernel import JOINED, PAIRED, STRIDED, TWICE, Access, Kernel, Loop, Place, Ref, Statement
from rushlight.exec.cpu.scalars import FORMS, HALF
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec
from rushlight.passes.recent import Recent

SHORT = 8  # vectors along fewer elements than this are mostly empty
MOST_PATTERNS = 2048  # of groups whose loops are kept


@dataclass(slots=True)
class Pattern:
    """The loops of all groups of one form, and the bytes of each memory that lies between them."""

    loops: list[Loop]
    between: list[int]


class Draft:
    """Collects the accesses and statements of a group."""

    def __init__(self, group: Group, outputs: set[int], position: dict[int, int]):
        self.g = group
        self.outputs = outputs
        self.position = position  # of values among those of a step
        self.accesses: list[tuple[str, str, str]] = []  # dtype, use, level
        self.places: list[Place | None] = []
        self.found: dict[tuple[object, ...], int] = {}
        self.real = [d for d in group.kept if group.shape[d] != 1]
        self.numbers: dict[int, int] = {}
        self.kinds: list[str] = []
        self.body: list[Statement] = []
        self.statement: dict[int, int] = {}  # value -> statement
        self.ready: dict[int, int] = {}  # value -> first phase that can read it

    def read(self, o: Operand, level: str) -> Ref:
        """The reference for an operand."""
        if not isinstance(o.spec, Spec):
            if o.value not in self.numbers:
                self.numbers[o.value] = len(self.numbers)
                self.kinds.append("float" if getattr(o.spec, "kind", "float") == "float" else "int")
            return "n", self.numbers[o.value]
        if o.value in self.statement:
            return "t", self.statement[o.value]
        strides = full_strides(o.spec) if level == "full" else self._row(o.spec)
        key = (o.value, o.spec.offset, o.spec.dtype, level, *strides.items())
        if key not in self.found:
            self.found[key] = self._access(o.spec.dtype.name, "in", level, Place(self.position[o.value], o.spec.offset, strides, o.spec.dtype.itemsize))
        return "a", self.found[key]

    def write(self, value: int, s: Spec, level: str) -> int:
        """The access that receives a result."""
        strides = full_strides(s) if level == "full" else self._row(s)
        dtype, joined = s.dtype, s.dtype.is_complex
        if joined:
            dtype, strides = dtype.to_real(), {d: 2 * stride for d, stride in strides.items()}
        return self._access(dtype.name, "out", level, Place(self.position[value], 0, strides, dtype.itemsize, joined=joined))

    def _access(self, dtype: str, use: str, level: str, place: Place | None) -> int:
        self.accesses.append((dtype, use, level))
        self.places.append(place)
        return len(self.places) - 1

    def _row(self, s: Spec) -> dict[int, int]:
        """Strides of a row value over the kept dimensions; its own shape may have lost dimensions of size 1."""
        own = [stride for n, stride in zip(s.shape, s.strides) if n != 1]
        return {d: stride for d, stride in zip(self.real, own) if stride}

    def statements(self) -> None:
        """The body."""
        for instr in self.g.instrs:
            self._add(instr)
        self._reloads()

    def _add(self, instr: Instr) -> None:
        result, out = instr.results[0], instr.outs[0]
        level = "row" if self.g.levels[result] == "row" else "full"
        reduces = is_reduction(instr)
        inner = "full" if level == "full" or reduces else "row"
        refs: tuple[Ref, ...]
        if instr.op.name == "pick":
            refs = (self.read(instr.operands[0], "full"), self.read(instr.operands[1], "row"))
        else:
            refs = tuple([self.read(o, inner) for o in instr.operands])
        phase = 0
        for o in instr.operands:
            phase = max(phase, self.ready.get(o.value, 0))
        store = (self.write(result, out, "vec" if self.g.mode == "col" and reduces else level),) if result in self.outputs else ()
        self.statement[result] = len(self.body)
        self.ready[result] = phase + 1 if reduces else phase
        name = "quick_tanh" if instr.op.name == "tanh" and out.numel > order.FEW else instr.op.name
        self.body.append(Statement(name, refs, operand_dtype(instr), out.dtype.to_real().name if out.dtype.is_complex else out.dtype.name, level, phase,
                                   store, reduces))

    def _reloads(self) -> None:
        """Values of earlier phases that are dear to compute are read again from where they were stored, or kept in scratch, which
        has room for one run of vectors."""
        if not any([s.phase for s in self.body]):
            return
        runs = [d for d in self.g.reduced or () if self.g.shape[d] != 1 and d not in self.g.merged]
        one_run = len(runs) <= 1 and not any([s.name in COUNTING for s in self.body])
        for j, s in enumerate(self.body):
            if s.level != "full" or not any(("t", j) in t.refs and t.phase > s.phase and t.level == "full" or
                                            ("t", j) in t.refs and t.reduces and t.phase > s.phase for t in self.body):
                continue
            if s.store:
                self.body[j] = s._replace(reload=s.store[0])
            elif s.name in EXPENSIVE and one_run:
                access = self._access(s.dtype, "scratch", "full", None)
                self.body[j] = s._replace(store=(access,), reload=access)


@lru_cache(4096)
def full_strides(s: Spec) -> dict[int, int]:
    """The strides of an operand over the whole domain, by dimension, where they matter. To be read only."""
    return {d: stride for d, (n, stride) in enumerate(zip(s.shape, s.strides)) if n != 1 and stride}


_patterns: Recent[Pattern] = Recent(MOST_PATTERNS)


def loops_of(group: Group, outputs: set[int], new_value: Callable[[int], int]) -> tuple[list[Loop], list[int]]:
    """The kernels of a group, and the values that they use: one kernel, or more where its reductions are cut into chunks that
    others add up."""
    key, position = _form(group, outputs)
    form = _patterns.get(key)
    if form is None:
        form = _patterns.put(key, _made(group, outputs, position.copy()))
    return form.loops, [*position, *[new_value(size) for size in form.between]]


def _form(group: Group, outputs: set[int]) -> tuple[tuple[object, ...], dict[int, int]]:
    """What the loops of a group follow from, with the positions of its values in the order in which it meets them."""
    position: dict[int, int] = {}
    place = position.setdefault
    key: list[object] = [group.shape, group.mode, group.reduced, group.merged, group.cut]
    for i in group.instrs:
        result = i.results[0]
        for o in i.operands:
            key += (place(o.value, len(position)), o.spec)
        key += (i.op, i.outs[0], place(result, len(position)), group.levels[result], result in outputs)
    return tuple(key), position


def _made(group: Group, outputs: set[int], position: dict[int, int]) -> Pattern:
    draft = Draft(group, outputs, position)
    draft.statements()
    fixed = any(s.name == "pick" or s.name in COUNTING for s in draft.body)
    twice = not fixed and _writes_twice(group, draft)
    outer, mid, vector = (draft.real[:-2], [], draft.real[-2]) if twice else _dimensions(group, draft)
    shape = dict(enumerate(group.shape))
    dims = _Dims(shape, [d for d in outer if shape[d] != 1], [d for d in mid if shape[d] != 1], vector, draft.places, group, twice)
    dims.collapse(group.mode, fixed)
    between: list[int] = []

    def room(size: int) -> int:
        between.append(size)
        return len(position) + len(between) - 1
    return Pattern(_finish(group, draft, dims, room), between)


def _writes_twice(group: Group, draft: Draft) -> bool:
    """Whether each element goes to two adjacent places: the last dimension, of size 2, then needs no loop."""
    if group.mode != "map" or len(draft.real) < 2 or group.shape[draft.real[-1]] != 2:
        return False
    before, last = draft.real[-2:]
    steps = [(use, p.strides.get(last, 0), p.strides.get(before, 0)) for (_, use, _), p in zip(draft.accesses, draft.places) if p is not None]
    return all([step == 0 if use == "in" else (step, above) == (1, 2) for use, step, above in steps])


def _dimensions(group: Group, draft: Draft) -> tuple[list[int], list[int], int]:
    """Outer, middle and vector dimension of a group."""
    rank, kept, reduced = len(group.shape), list(group.kept), list(group.reduced or ())
    if not rank:
        return [], [], -1
    if group.mode == "row":
        real = [d for d in reduced if group.shape[d] != 1] or reduced[-1:]
        return kept, real[:-1], real[-1] if real else -1
    choices = [d for d in kept if group.shape[d] != 1]
    if not choices:
        return [], reduced, kept[-1] if kept else -1
    vector = choices[-1]
    if any(s.name in COUNTING for s in draft.body):
        vector = kept[-1]  # positions count along the last dimension, of whatever size
    elif group.mode == "map":
        vector = max(choices, key=lambda d: (sum(_weight(p, a, d) for p, a in zip(draft.places, draft.accesses)) * min(group.shape[d], SHORT), d))
    return [d for d in kept if d != vector], reduced, vector


def _weight(place: Place | None, access: tuple[str, str, str], d: int) -> int:
    """How much an access wants a dimension to be the vectors'."""
    if place is None or not place.strides:
        return 0
    stride = place.strides.get(d, 0) // (2 if place.joined else 1)
    return (3 if access[1] == "out" else 2) if stride == 1 else 1 if stride == 0 else 0


@dataclass(slots=True)
class _Dims:
    """The loops' dimensions while they are collapsed: neighbours become one where every access steps through them evenly."""

    shape: dict[int, int]
    outer: list[int]
    mid: list[int]
    vector: int
    places: list[Place | None]
    group: Group
    twice: bool

    def collapse(self, mode: str, fixed: bool) -> None:
        self._merge_all(self.outer)
        self._merge_all(self.mid)
        if fixed or self.vector < 0:
            return
        before = self.mid if mode == "row" else self.outer if mode == "map" or not self.mid else []
        while before and self._even(before[-1], self.vector):
            self._merge(before, len(before) - 1, self.vector)

    def _merge_all(self, dims: list[int]) -> None:
        at = len(dims) - 2
        while at >= 0:
            if self._even(dims[at], dims[at + 1]):
                self._merge(dims, at, dims[at + 1])
            at -= 1

    def _even(self, a: int, b: int) -> bool:
        """Whether stepping through a is stepping on through b."""
        if a in (self.group.reduced or ()):
            return b in (self.group.reduced or ()) and a in self.group.merged
        return all(p is None or p.strides.get(a, 0) == p.strides.get(b, 0) * self.shape[b] for p in self.places)

    def _merge(self, dims: list[int], at: int, into: int) -> None:
        self.shape[into] *= self.shape[dims[at]]
        del dims[at]


def _finish(group: Group, draft: Draft, dims: _Dims, room: Callable[[int], int]) -> list[Loop]:
    """Lanes, chunks, and the argument layout."""
    outer, mid = tuple([dims.shape[d] for d in dims.outer]), tuple([dims.shape[d] for d in dims.mid])
    size = dims.shape[dims.vector] if dims.vector >= 0 else 1
    chunk_of, chunk, count = group.cut
    if group.mode == "map" and prod(outer) < LEAST_UNITS:
        chunk_of, chunk, count = chunks("vector", size, CHUNK)
    accesses = []
    for (dtype, use, level), place in zip(draft.accesses, draft.places):
        accesses.append(Access(dtype, use, level, 1 if place is None else 0 if level == "row" else _step(place, use, dims)))
    body = draft.body
    second: list[Loop] = []
    if count > 1 and group.mode != "map":
        body, second = _partials(draft, accesses, room, prod(outer) * (size if group.mode == "col" else 1), count)
    kernel = Kernel(group.mode, len(outer), len(mid), chunk_of, vector_bytes() // 4, tuple(accesses), tuple(draft.kinds), tuple(body))
    slots = tuple([_slots(a, p, dims, outer, size, group.mode) for a, p in zip(accesses, draft.places)])
    work = prod(outer) * prod(mid) * size * max(1, len(body))
    numbers = tuple([draft.position[v] for v in draft.numbers])
    return [Loop(kernel, outer, mid, size, chunk, count, tuple(draft.places), slots, numbers, work), *second]


def _step(place: Place, use: str, dims: _Dims) -> int:
    """How an access steps along the vectors' dimension."""
    stride = place.strides.get(dims.vector, 0)
    if stride in (0, 1):
        return stride
    if place.joined:
        return JOINED if stride == 2 else STRIDED
    if use == "out" and dims.twice:
        return TWICE
    return PAIRED if stride == 2 and use == "in" and place.itemsize in (4, 8) else STRIDED


def _slots(a: Access, place: Place | None, dims: _Dims, outer: tuple[int, ...], size: int, mode: str) -> tuple[int, ...]:
    """The slots after the address."""
    if place is None:  # whole vectors
        lanes = vector_bytes() // 4
        return (-(-size // lanes) * lanes * FORMS[a.dtype][3],)
    if place.partial:
        strides = [prod(outer[i + 1:]) * (size if mode == "col" else 1) for i in range(len(outer))]
        return (*strides, prod(outer) * (size if mode == "col" else 1))
    out = [*[place.strides.get(d, 0) for d in dims.outer], 0]
    if a.level == "full":
        out += [place.strides.get(d, 0) for d in dims.mid]
    if a.step == STRIDED:
        out.append(place.strides[dims.vector])
    return tuple(out)


def _partials(draft: Draft, accesses: list[Access], room: Callable[[int], int], count: int,
              chunks: int) -> tuple[list[Statement], list[Loop]]:
    """Reductions write one partial result per chunk, and a loop per reduction combines them in order."""
    body, second = list(draft.body), []
    for j, s in enumerate(body):
        if not s.reduces:
            continue
        dtype = "float32" if s.dtype in HALF else s.dtype
        size = FORMS[dtype][3]
        part = room(count * chunks * size)
        access, place = s.store[0], draft.places[s.store[0]]
        assert place is not None
        second.append(_combine(s.name, part, place.value, dtype, s.dtype, count, chunks))
        accesses[access] = Access(dtype, "out", accesses[access].level, accesses[access].step)
        draft.places[access] = Place(part, 0, {}, size, partial=True)
        if accesses[access].level == "vec":
            accesses[access] = accesses[access]._replace(step=1)
        body[j] = s._replace(dtype=dtype)
    return body, second


def _combine(name: str, part: int, value: int, dtype: str, final: str, count: int, chunks: int) -> Loop:
    """out[i] = part[0, i] + part[1, i] + …"""
    body = (Statement(name, (("a", 0),), dtype, dtype, "row", 0, (1,), True),)
    accesses = (Access(dtype, "in", "full", 1), Access(final, "out", "vec", 1))
    kernel = Kernel("col", 0, 1, "none", vector_bytes() // 4, accesses, (), body)
    places = Place(part, 0, {0: count, 1: 1}, FORMS[dtype][3]), Place(value, 0, {1: 1}, FORMS[final][3])
    return Loop(kernel, (), (chunks,), count, 0, 1, places, ((0, count), (0,)), (), count * chunks)
