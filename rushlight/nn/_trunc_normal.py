"""Normal numbers within bounds, drawn in PyTorch's order."""

from __future__ import annotations

import math
import warnings
from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor, unwrap


def _cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def fill_trunc_normal(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None) -> Tensor:
    """Fills with numbers of N(mean, std²) that lie in [a, b], by rejection.

    Where the interval holds over 30 % of the distribution the proposals are normal, else uniform.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=3,
        )
    inside = _cdf((b - mean) / std) - _cdf((a - mean) / std)
    fill = _reject_normal if inside > 0.3 else _reject_uniform
    return tensor.copy_(fill(tensor, mean, std, a, b, generator))


def _reject_normal(tensor: Tensor, mean: Any, std: Any, a: Any, b: Any, generator: Any) -> Tensor:
    low, high = (rl.tensor(bound, dtype=tensor.dtype).item() for bound in (a, b))
    result = rl.empty_like(tensor).normal_(mean, std, generator=generator)
    while not _within(result, low, high):
        outside = (result < low) | (result > high)
        result = rl.where(outside, rl.empty_like(result).normal_(mean, std, generator=generator), result)
    return result


def _within(x: Tensor, low: float, high: float) -> bool:
    """Whether all numbers lie in [low, high], seen in memory: at ordinary bounds they do,
    and no kernel need be made to know it."""
    values = unwrap(x)
    return not values.size or bool(values.min() >= low and values.max() <= high)


def _reject_uniform(tensor: Tensor, mean: Any, std: Any, a: Any, b: Any, generator: Any) -> Tensor:
    mode = max(a, min(mean, b))
    log_peak = -0.5 * ((mode - mean) / std) ** 2

    def draw() -> tuple[Tensor, Tensor]:
        """Candidates, and where they are to be drawn again."""
        candidates = rl.empty_like(tensor).uniform_(a, b, generator=generator)
        log_density = ((candidates - mean) / std) ** 2 * -0.5 - log_peak
        return candidates, rl.empty_like(tensor).uniform_(generator=generator).log() > log_density

    result, pending = draw()
    while pending.any():
        candidates, again = draw()
        result = rl.where(pending, candidates, result)
        pending = pending & again
    return result
