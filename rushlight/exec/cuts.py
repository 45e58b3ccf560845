"""Where a program is cut, so that its parts are programs that other plans have planned already.

Two things make parts that are alike. The layers of a network repeat: cut between them, one plan serves all. And of a program
whose sizes change, many operations keep theirs: a language model that keeps its keys and values computes the same for each
token but for attention. What is planned anew then is one repetition, or its changing operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from rushlight.ir.program import Instr
from rushlight.ir.spec import Spec

PLAN, NEW, PART = 70, 300, 60  # µs: about what planning costs for each operation and each plan, and running a part
WORTH = 1500  # µs of planning saved from which on a program is cut
FEWEST = 4  # operations of a repetition
STRETCHES = 3, 6, 12  # of operations that keep their sizes, likewise
PERIODS = 12  # that are tried, the most frequent distances between equal operations
# their layouts, or the steps that they become, follow from what is beside them, and with that the order of sums
WHOLE = ("conv", "qconv", "qadd", "max_pool", "avg_pool")
Token = tuple[Any, ...]


def cuts(instrs: Sequence[Instr], inputs: int, fixed: Sequence[bool]) -> list[int]:
    """Positions at which instructions of a program with so many `inputs` are cut; none where that gains little. The sizes of `fixed`
    ones have always been the same."""
    if len(instrs) < 2 * FEWEST or any([i.op.name.startswith(WHOLE) for i in instrs]):
        return []
    tokens: list[Token] = [(i.op, f, len(i.operands), len(i.results)) for i, f in zip(instrs, fixed)]
    crossing = _crossing(instrs, inputs)
    repeated = _repeats(tokens, crossing, 0, len(tokens))
    settled = [_transitions(fixed, crossing, least) for least in STRETCHES]
    ways = [repeated, *settled, *[sorted({*repeated, *at}) for at in settled]]
    found = min(ways, key=lambda at: _cost(tokens, fixed, at))
    return found if _cost(tokens, fixed, []) - _cost(tokens, fixed, found) >= WORTH else []


def _cost(tokens: Sequence[Token], fixed: Sequence[bool], at: Sequence[int]) -> int:
    """About how long the parts take beside their arithmetic, in µs, when sizes are new."""
    parts = [slice(a, b) for a, b in pairwise((0, *at, len(tokens)))]
    planned = {tuple(tokens[p]) for p in parts if not all(fixed[p])}
    return sum([NEW + PLAN * len(p) for p in planned]) + PART * len(parts)


def _crossing(instrs: Sequence[Instr], inputs: int) -> list[int | None]:
    """How many values lie between what is before each position and what is from there on; None where a number does, which no part
    can hand on."""
    change, numbers = [0] * (len(instrs) + 1), [0] * (len(instrs) + 1)
    made: dict[int, tuple[int, bool]] = {}
    last: dict[int, int] = {}
    for at, instr in enumerate(instrs):
        last.update([(o.value, at) for o in instr.operands if o.value >= inputs])
        made.update([(r, (at, isinstance(s, Spec))) for r, s in zip(instr.results, instr.outs)])
    for value, end in last.items():
        begin, memory = made[value]
        for counts in (change,) if memory else (change, numbers):
            counts[begin + 1] += 1
            counts[end + 1] -= 1
    return [None if n else c for c, n in zip(accumulate(change), accumulate(numbers))]


def _repeats(tokens: Sequence[Token], crossing: Sequence[int | None], begin: int, end: int) -> list[int]:
    """Cuts around the repetitions of the longest repeated stretch, and of those before and behind it."""
    best: tuple[int, int, int] | None = None  # operations saved, the first of the stretch, its period
    until = 0
    for period in _periods(tokens[begin:end]):
        at = begin
        while at < end - period:
            if tokens[at] != tokens[at + period]:
                at += 1
                continue
            first = at
            while at < end - period and tokens[at] == tokens[at + period]:
                at += 1
            saved = ((at - first) // period) * period
            if saved and (best is None or saved > best[0]):
                best, until = (saved, first, period), at + period
    if best is None:
        return []
    _, first, period = best
    found = min((list(range(first + turn, until + 1, period)) for turn in range(min(period, until - first - 2 * period + 1))),
                key=lambda at: (-len(at), sum([_weight(crossing[x]) for x in at])))
    inner = [x for x in found if begin < x < end and crossing[x] is not None]
    return [*_repeats(tokens, crossing, begin, found[0]), *inner, *_repeats(tokens, crossing, found[-1], end)]


def _weight(crossing: int | None) -> int:
    return 1_000_000 if crossing is None else crossing


def _periods(tokens: Sequence[Token]) -> list[int]:
    """The most frequent distances between operations and the next that are like them."""
    seen: dict[Token, int] = {}
    distances: Counter[int] = Counter()
    for at, token in enumerate(tokens):
        if token in seen and at - seen[token] >= FEWEST:
            distances[at - seen[token]] += 1
        seen[token] = at
    found = [d for d, _ in distances.most_common(PERIODS)]
    return sorted({m * d for d in found for m in (1, 2, 3)} | _longer(tokens))


def _longer(tokens: Sequence[Token]) -> set[int]:
    """Distances between those operations that come least often, of those that come again: what is frequent within a repetition
    hides its length."""
    count = Counter(tokens)
    rare = min([n for n in count.values() if n > 1], default=0)
    places: dict[Token, list[int]] = {}
    for at, token in enumerate(tokens):
        if count[token] == rare:
            places.setdefault(token, []).append(at)
    found = Counter([b - a for at in places.values() for a, b in pairwise(at)])
    return {d for d, _ in found.most_common(PERIODS) if d >= FEWEST}


def _transitions(fixed: Sequence[bool], crossing: Sequence[int | None], least: int) -> list[int]:
    """Cuts around so many operations and more that keep their sizes."""
    found = [at for at in range(1, len(fixed)) if fixed[at] is not fixed[at - 1] and crossing[at] is not None]
    kept = [at for a, b in pairwise((0, *found, len(fixed))) if fixed[a] and b - a >= least for at in (a, b)]
    return sorted({at for at in kept if 0 < at < len(fixed)})
