"""Samples as flat lists: dictionaries, lists and tuples taken apart and put together again."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

Rebuild = Callable[[list[Any]], Any]


def flatten(sample: Any) -> tuple[list[Any], Rebuild]:
    """(the leaves, a function that puts such a list of leaves together as the sample was).

    >>> leaves, rebuild = flatten((1, {"a": [2, 3]}))
    >>> leaves, rebuild([4, 5, 6])
    ([1, 2, 3], (4, {'a': [5, 6]}))
    """
    leaves: list[Any] = []
    shape = _take(sample, leaves)
    return leaves, lambda values: _build(shape, iter(values))


def _take(sample: Any, leaves: list[Any]) -> Any:
    kind = type(sample)
    if kind in (dict, OrderedDict, defaultdict):
        return sample, list(sample), [_take(value, leaves) for value in sample.values()]
    if kind in (list, tuple) or (isinstance(sample, tuple) and hasattr(sample, "_fields")):
        return sample, None, [_take(value, leaves) for value in sample]
    leaves.append(sample)
    return None


def _build(shape: Any, values: Any) -> Any:
    if shape is None:
        return next(values)
    like, keys, parts = shape
    made = [_build(part, values) for part in parts]
    if keys is not None:
        pairs = zip(keys, made)
        return defaultdict(like.default_factory, pairs) if isinstance(like, defaultdict) else type(like)(pairs)
    return type(like)(*made) if hasattr(like, "_fields") else type(like)(made)
