"""Transforms applied to a whole batch at once.

A transform takes part by a rule in RULES, keyed by its exact type: a subclass may do anything, so it has none. A rule
returns exactly, bit for bit, what the transform would give sample by sample, or None where it cannot.
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
