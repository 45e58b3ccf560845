"""Where a program is cut, so that its parts are programs that other plans have planned already.

Two things make parts that are alike. The layers of a network repeat: cut between them, one plan serves all. And of a program
whose sizes change, many operations keep theirs: a language model that keeps its keys and values computes the same for each
token but for attention. What is planned anew then is one repetition, or its changing operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from rushlight.ir.program import Instr
from rushlight.ir.spec import Spec

PLAN, NEW, PART = 70, 300, 60  # µs: about what planning costs for each operation and each plan, and running a part
WORTH = 1500  # µs of planning saved from which on a program is cut
SHORTEST, LONGEST = 6, 40  # operations of a part
LARGE = 1 << 40
NEAR = 24  # operations that see each other, where parts are looked for
STRETCHES = 3, 6, 12  # of operations that keep their sizes, which are tried
# their layouts, or the steps that they become, follow from what is beside them, and with that the order of sums
WHOLE = ("conv", "qconv", "qadd", "max_pool", "avg_pool")
Token = tuple[Any, ...]
Row = tuple[Sequence[int], Sequence[tuple[int, bool]]]  # the values that an operation reads, and those that it makes: whether these are memory


def cuts(instrs: Sequence[Instr], fixed: Sequence[bool]) -> list[int]:
    """Positions at which the instructions of a program are cut; none where that gains little. The sizes of `fixed` ones have
    always been the same."""
    if not divisible(instrs):
        return []
    tokens: list[Token] = [(i.op, f, len(i.operands), len(i.results)) for i, f in zip(instrs, fixed)]
    rows = [row(i) for i in instrs]
    crossing = _crossing(rows)
    repeated = seams(rows)
    settled = [_transitions(fixed, crossing, least) for least in STRETCHES]
    ways = [repeated, *settled, *[sorted({*repeated, *at}) for at in settled]]
    found = min(ways, key=lambda at: _cost(tokens, fixed, at))
    return found if _cost(tokens, fixed, []) - _cost(tokens, fixed, found) >= WORTH else []


def divisible(instrs: Sequence[Instr]) -> bool:
    """Whether the numbers stay the same however these instructions are cut."""
    return not any([i.op.name.startswith(WHOLE) for i in instrs])


def _cost(tokens: Sequence[Token], fixed: Sequence[bool], at: Sequence[int]) -> int:
    """About how long the parts take beside their arithmetic, in µs, when sizes are new."""
    parts = [slice(a, b) for a, b in pairwise((0, *at, len(tokens)))]
    planned = {tuple(tokens[p]) for p in parts if not all(fixed[p])}
    return sum([NEW + PLAN * len(p) for p in planned]) + PART * len(parts)


def row(instr: Instr) -> Row:
    """What an instruction reads and makes."""
    return [o.value for o in instr.operands], [(r, isinstance(s, Spec)) for r, s in zip(instr.results, instr.outs)]


def _crossing(rows: Sequence[Row], near: int | None = None) -> list[int | None]:
    """How many values lie between what is before each position and what is from there on, of those that are read at most `near`
    operations later; None where a number does, which no part can hand on."""
    change, numbers = [0] * (len(rows) + 1), [0] * (len(rows) + 1)
    made: dict[int, tuple[int, bool]] = {}
    last: dict[int, int] = {}
    for at, (reads, makes) in enumerate(rows):
        for value in reads:
            found = made.get(value)
            if found is not None and (near is None or at - found[0] <= near or not found[1]):
                last[value] = at
        made.update([(value, (at, memory)) for value, memory in makes])
    for value, end in last.items():
        begin, memory = made[value]
        for counts in (change,) if memory else (change, numbers):
            counts[begin + 1] += 1
            counts[end + 1] -= 1
    return [None if n else c for c, n in zip(accumulate(change), accumulate(numbers))]


def seams(rows: Sequence[Row]) -> list[int]:
    """Positions across which fewer values go than across their neighbours. What makes a position good lies near it, so that
    repetitions are cut at the same places, however many there are and whatever comes before them."""
    crossing = [LARGE if c is None else c for c in _crossing(rows, NEAR)]
    count = len(rows)
    found = [at for at in range(SHORTEST, count - SHORTEST)
             if crossing[at] < min(crossing[at - SHORTEST:at]) and crossing[at] <= min(crossing[at + 1:at + SHORTEST + 1])]
    short: list[int] = []  # repetitions that are too short for such positions
    for begin, end in pairwise((0, *found, count)):
        while end - begin > LONGEST:
            begin = min(range(begin + SHORTEST, begin + LONGEST), key=lambda at: (crossing[at], at))
            short += [begin] if crossing[begin] < LARGE and end - begin >= SHORTEST else []
    return sorted([*found, *short])


def _transitions(fixed: Sequence[bool], crossing: Sequence[int | None], least: int) -> list[int]:
    """Cuts around so many operations and more that keep their sizes."""
    found = [at for at in range(1, len(fixed)) if fixed[at] is not fixed[at - 1] and crossing[at] is not None]
    kept = [at for a, b in pairwise((0, *found, len(fixed))) if fixed[a] and b - a >= least for at in (a, b)]
    return sorted({at for at in kept if 0 < at < len(fixed)})
