"""One graph node per optimizer step: the update rules of all parameters recorded as one region."""

from __future__ import annotations

from typing import Any

from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor

_rules: dict[tuple[Any, int, int, int], Any] = {}


def update(rule: Any, tensors: list[list[Tensor]], grads: list[Tensor], numbers: tuple[float, ...], flags: tuple[Any, ...]) -> None:
    """Apply ``rule(p, *state, g, *numbers, *flags) -> (p, *state)`` to every parameter in place.

    `tensors` holds the parameters, then each kind of state, as lists of equal length. Numbers are run-time values.
    """
    if grads and hasattr(grads[0], "_local_tensor"):  # sharded parameters are updated piece by piece
        tensors, grads = [[getattr(t, "_local_tensor", t) for t in group] for group in tensors], [getattr(g, "_local_tensor", g) for g in grads]
    kinds, count = len(tensors), len(grads)
    key = (rule, kinds, count, len(numbers))
    joint = _rules.get(key)
    if joint is None:
        joint = _rules[key] = _joint(rule, kinds, count, len(numbers))
    coarse.region(rule.__name__, joint, numbers, [t for group in tensors for t in group], grads, flags)


def _joint(rule: Any, kinds: int, count: int, numbers: int) -> Any:
    """The rule over all parameters at once, in the argument order of a region."""
    def joint(F: Any, *args: Any) -> list[Any]:  # noqa: N803
        values = args[:numbers]
        rest = args[numbers:]
        groups = [rest[k * count:(k + 1) * count] for k in range(kinds + 1)]
        flags = rest[(kinds + 1) * count:]
        results = [rule(*[groups[k][i] for k in range(kinds)], groups[kinds][i], *values, *flags) for i in range(count)]
        return [results[i][k] for k in range(kinds) for i in range(count)]
    return joint
