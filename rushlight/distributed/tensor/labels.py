"""The one sharding rule: dimensions of operands and results carry labels,
and whatever shares a label may be cut together.

``matmul`` is m k, k n -> m n; a softmax over the last dimension is a b _ -> a b _, where _ (None) must be whole.
For each dimension of the mesh the cheapest of these is taken: cut a label that an operand is cut by already, pass
terms of a sum through a linear operation, or have the operands whole. A label that the result lacks is contracted:
its pieces give terms of a sum (or maximum, …).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from rushlight.distributed.tensor.dtensor import DTensor, make
from rushlight.distributed.tensor.move import LINEAR, SumGradient
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard

Label = Any  # an int or str, None for a dimension that must be whole
Labels = tuple[Label, ...]
R = Replicate()


@dataclasses.dataclass
class Plan:
    """An operation on DTensors: ``call(locals, targets)`` on local tensors gives one
    local result or several, labelled by ``outs``."""

    operands: list[DTensor]
    labels: list[Labels]
    outs: list[Labels]
    call: Callable[[list[Any], list[tuple[Placement, ...]]], Any]
    contract: dict[Label, str] = dataclasses.field(default_factory=dict)  # label -> how its pieces combine
    linear: frozenset[int] = frozenset()  # operands in each of which alone the operation is linear
    together: bool = False  # whether it is linear in all operands at once
    in_place: bool = False  # whether operand 0 is written to and returned


def execute(plan: Plan) -> Any:
    """Choose, redistribute the operands, run on the pieces, wrap the results."""
    mesh = common_mesh(plan.operands)
    sizes = _extents(plan)
    labels = [
        tuple(None if x is not None and op.shape[k] != sizes[x] else x for k, x in enumerate(row))
        for op, row in zip(plan.operands, plan.labels)
    ]
    gradients = _recorded() and any(op.requires_grad for op in plan.operands)
    chosen = [_choose(plan, labels, d, gradients) for d in range(mesh.ndim)]
    local, targets = [], []
    for i, op in enumerate(plan.operands):
        goal = tuple(c.operands[i] for c in chosen)
        t = op.placed(goal)
        if t.requires_grad and gradients:
            for d, c in enumerate(chosen):
                if c.split and c.operands[i] == R:
                    t = SumGradient.apply(t, mesh.get_group(d))
        local.append(t)
        targets.append(goal)
    found = plan.call(local, targets)
    if plan.in_place:
        return plan.operands[0]
    results = list(found) if isinstance(found, (tuple, list)) else [found]
    wrapped = []
    for k, (t, row) in enumerate(zip(results, plan.outs)):
        shape = tuple(int(t.shape[j]) if x is None else sizes[x] for j, x in enumerate(row))
        wrapped.append(make(t, mesh, tuple(c.outs[k] for c in chosen), shape))
    if not isinstance(found, (tuple, list)):
        return wrapped[0]
    return type(found)(*wrapped) if hasattr(found, "_fields") else type(found)(wrapped)


def common_mesh(operands: list[DTensor]) -> Any:
    """The mesh of all operands; RuntimeError where they differ."""
    mesh = operands[0].device_mesh
    for op in operands[1:]:
        if op.device_mesh != mesh:
            raise RuntimeError(
                f"cannot compute with DTensors of different meshes: {mesh} and {op.device_mesh}; "
                "redistribute or use full_tensor()"
            )
    return mesh


def _recorded() -> bool:
    from rushlight.tensor.state import state

    return state.grad


def _extents(plan: Plan) -> dict[Label, int]:
    """The size of each label: of the operands' dimensions the one that is not 1."""
    sizes: dict[Label, int] = {}
    for op, row in zip(plan.operands, plan.labels):
        for n, x in zip(op.shape, row):
            if x is not None:
                sizes[x] = int(n) if sizes.get(x, 1) == 1 else sizes[x]
    return sizes


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a dimension of the mesh does: placements of operands and results;
    ``split``: whether ranks compute different parts."""

    operands: tuple[Placement, ...]
    outs: tuple[Placement, ...]
    split: bool


def _choose(plan: Plan, labels: list[Labels], d: int, gradients: bool) -> Choice:
    """The cheapest legal choice for dimension d of the mesh."""
    now = tuple(op.placements[d] for op in plan.operands)
    numel = tuple(functools.reduce(lambda a, b: a * b, op.shape, 1) for op in plan.operands)
    return _cheapest(
        now,
        numel,
        tuple(labels),
        tuple(plan.outs),
        tuple(plan.contract.items()),
        plan.linear,
        plan.together,
        plan.in_place,
        gradients,
    )


@functools.lru_cache(10_000)
def _cheapest(
    now: tuple[Placement, ...],
    numel: tuple[int, ...],
    labels: tuple[Labels, ...],
    outs: tuple[Labels, ...],
    contract: tuple[tuple[Label, str], ...],
    linear: frozenset[int],
    together: bool,
    in_place: bool,
    gradients: bool,
) -> Choice:
    options = list(_options(now, labels, outs, dict(contract), linear, together, gradients))
    if in_place:
        options = [c for c in options if c.operands[0] == now[0] and c.outs[0] == now[0]]
        if not options:
            raise RuntimeError(
                "in-place operations that require placement changes are not supported: the tensor is placed as "
                f"{now[0]!r}, the operands "
                f"as {list(now)}; use the operation that returns a new tensor, or redistribute first"
            )
    best: Choice = min(options, key=lambda c: sum(_cost(old, new, n) for old, new, n in zip(now, c.operands, numel)))
    return best


def _options(
    now: tuple[Placement, ...],
    labels: tuple[Labels, ...],
    outs: tuple[Labels, ...],
    contract: dict[Label, str],
    linear: frozenset[int],
    together: bool,
    gradients: bool,
) -> Any:
    """All legal choices; the first is taken where costs are equal."""
    cut = dict.fromkeys(row[p.dim] for p, row in zip(now, labels) if isinstance(p, Shard) and row[p.dim] is not None)
    free = [x for x in cut if x not in contract]
    for x in (*free, *(x for x in cut if x in contract)):
        how = contract.get(x)
        if how is not None and how not in LINEAR and gradients:
            continue
        yield Choice(
            tuple(Shard(row.index(x)) if x in row else R for row in labels),
            tuple(Partial(how) if how is not None else Shard(row.index(x)) if x in row else R for row in outs),
            True,
        )
    for i, p in enumerate(now):
        if not isinstance(p, Partial) or p.reduce_op not in LINEAR:
            continue
        if together:
            yield Choice((p,) * len(now), (p,) * len(outs), False)
        elif i in linear:
            yield Choice(tuple(p if j == i else R for j in range(len(now))), (p,) * len(outs), True)
    yield Choice((R,) * len(now), (R,) * len(outs), False)


def _cost(old: Placement, new: Placement, n: int) -> float:
    """About how many values move."""
    if old == new or isinstance(old, Replicate):
        return 0
    if isinstance(old, Partial):
        return 2 * n if not isinstance(new, Shard) else n
    return 3 * n if isinstance(new, Partial) else n
