"""Functions that look at numbers at once, inside vmap: there a tensor stands for a batch of samples and has no numbers.

What `rushlight.func` offers for that is a method of the running level, which storages know; nothing is imported here.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import numpy as np

from rushlight.tensor.core import Tensor, unwrap

F = TypeVar("F")


def tensors_among(nest: Any) -> list[Tensor]:
    """The tensors of nested lists, tuples and dictionaries."""
    if isinstance(nest, Tensor):
        return [nest]
    if isinstance(nest, dict):
        nest = nest.values()
    return [t for x in nest for t in tensors_among(x)] if isinstance(nest, (list, tuple, type({}.values()))) else []


def level_of(*values: Any) -> Any:
    """The innermost vmap over whose samples these values run, None outside of one."""
    found = [t._storage.cell.level
             for t in tensors_among(values) if t._storage.batched and hasattr(t._storage.cell, "level")]
    return max(found, key=lambda level: level.depth, default=None)


def sample_by_sample(function: F) -> F:
    """The function runs on numbers and has no gradient: inside vmap once for each sample."""
    @functools.wraps(function)  # type: ignore[arg-type]
    def call(*args: Any, **kwargs: Any) -> Any:
        level = level_of(args, kwargs)
        return function(*args, **kwargs) if level is None else level.each(call, args, kwargs)  # type: ignore[operator]
    return call  # type: ignore[return-value]


def numbers(t: Tensor) -> np.ndarray:
    """The numbers of a tensor; inside vmap those of all samples, with a dimension in front for each level."""
    level = level_of(t)
    while level is not None:
        t = level.lowered(t)
        level = level_of(t)
    return unwrap(t.detach())
