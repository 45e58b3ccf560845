"""Finds by which keys a tensor is reached: ``['model']['layer.weight']``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_PATHS = 4


def paths_to(root: Any, wanted: set[int]) -> list[str]:
    """Key paths of the objects with these ids, breadth first, a few at most."""
    found: list[str] = []
    seen = {id(root)}
    level: list[tuple[Any, str]] = [(root, "")]
    while level and len(found) < MOST_PATHS:
        below: list[tuple[Any, str]] = []
        for value, path in level:
            if id(value) in wanted:
                found.append(path)
            for child, step in children(value):
                if id(child) not in seen or id(child) in wanted:
                    seen.add(id(child))
                    below.append((child, path + step if len(path) < 500 else path))
        level = below
    return found[:MOST_PATHS]


def children(value: Any) -> Iterator[tuple[Any, str]]:
    """What a container or object holds, with the text that reaches it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield item, f"[{key!r:.120}]" if type(key) in (str, int) else f"[a {type(key).__name__}]"
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield item, f"[{i}]"
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
        for key, item in value.__dict__.items():
            yield item, f".{key}"
