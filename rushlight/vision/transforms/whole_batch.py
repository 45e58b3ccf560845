"""Transforms applied to a whole batch at once.

A transform takes part by a rule in RULES, keyed by its exact type: a subclass may do anything, so it has none. A rule
returns exactly, bit for bit, what the transform would give sample by sample, or None where it cannot. Transforms that
decide by
chance have two functions in DRAWN: one draws what is decided for a sample, one applies the decisions of all samples at
once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Samples of one shape: pictures (B, H, W) or (B, H, W, C) as PIL has them, or values of tensors (B, ...)."""

    values: np.ndarray
    pictures: bool


Rule = Callable[[Any, Batch], "Batch | None"]
RULES: dict[type, Rule] = {}
Size = tuple[int, int]


class Drawn(NamedTuple):
    """``draw(transform, size)``: a sample's decision; ``change(transform, batch, decisions)``; ``size(transform,
    size)`` afterwards.

    ``fits(transform, size)`` says beforehand whether the rule can do it.
    """

    draw: Callable[[Any, Size], Any]
    change: Callable[[Any, Batch, list[Any]], Batch]
    size: Callable[[Any, Size], Size] = lambda transform, size: size
    fits: Callable[[Any, Size], bool] = lambda transform, size: True


DRAWN: dict[type, Drawn] = {}
HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def rule(kind: type) -> Callable[[Rule], Rule]:
    """Registers the rule of a transform."""
    def register(function: Rule) -> Rule:
        RULES[kind] = function
        return function
    return register


def apply(transform: Any, batch: Batch) -> Batch | None:
    """The transformed batch, or None where the transform has to be called for each sample."""
    found = RULES.get(type(transform))
    if found is None or any(getattr(transform, name, None) for name in HOOKS) or "forward" in vars(transform):
        return None
    return found(transform, batch)


def apply_by_chance(transform: Any, batch: Batch, parts: Callable[[Any], list[Any]],
                    before: Callable[[int], None] | None) -> Batch | None:
    """`apply`, with decisions by chance in the order in which samples one by one would draw them.

    ``parts(transform)`` takes a chain apart; ``before(i)`` is called ahead of every sample but the first.
    """
    steps = parts(transform)
    if not any(type(step) in DRAWN for step in steps):
        return apply(transform, batch)
    if any(type(step) not in RULES and type(step) not in DRAWN for step in steps) or any(map(_own_way, steps)):
        return None
    size: Size = (int(batch.values.shape[1]), int(batch.values.shape[2]))
    chance: list[tuple[Any, Size]] = []
    for step in steps:
        rule_of = DRAWN.get(type(step))
        if rule_of is not None:
            if not rule_of.fits(step, size):
                return None
            chance.append((step, size))
            size = rule_of.size(step, size)
    from rushlight import rng
    state = rng.current().get_state()
    decisions: list[list[Any]] = [[] for _ in chance]
    for i in range(len(batch.values)):
        if i and before is not None:
            before(i)
        for made, (step, seen) in zip(decisions, chance):
            made.append(DRAWN[type(step)].draw(step, seen))
    left = iter(decisions)
    result: Batch | None = batch
    for step in steps:
        assert result is not None
        result = DRAWN[type(step)].change(step, result,
                                          next(left)) if type(step) in DRAWN else RULES[type(step)](step, result)
        if result is None:
            rng.current().set_state(state)
            return None
    return result


def _own_way(transform: Any) -> bool:
    """Whether somebody has changed what this very transform does."""
    return any(getattr(transform, name, None)
               for name in HOOKS) or bool({"forward", "get_params",
                                           "apply_to"} & set(getattr(transform, "__dict__", ())))
