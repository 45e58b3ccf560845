"""Nested tuples, lists and dictionaries as a flat list of leaves and a structure."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any


class Structure:
    """The shape of a nest: a node kind with its children, or a leaf (``kind`` None). Prints as PyTorch-like text."""

    __slots__ = ("kind", "context", "children")

    def __init__(self, kind: Any, context: Any, children: tuple[Structure, ...]):
        self.kind, self.context, self.children = kind, context, children

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and (self.kind, self.context,
                                                 self.children) == (other.kind, other.context, other.children)

    def __hash__(self) -> int:
        return hash((self.kind, len(self.children)))

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        return f"{self.kind.__name__}({', '.join(map(repr, self.children))})"

    @property
    def num_leaves(self) -> int:
        """How many leaves the nest has."""
        return self.leaves()

    def is_leaf(self) -> bool:
        """Whether this is the structure of a leaf."""
        return self.kind is None

    def leaves(self) -> int:
        """How many leaves the nest has."""
        return 1 if self.kind is None else sum(c.leaves() for c in self.children)


LEAF = Structure(None, None, ())
_registered: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any], Any]] = {}
BUILT_IN = (dict, OrderedDict, defaultdict, tuple, list, deque)


def register(kind: type, take_apart: Callable[[Any], Any], put_together: Callable[[Any, Any], Any],
             extra: Any = None) -> None:
    """Let a class be a container; ValueError where it is one."""
    if kind in _registered or kind in BUILT_IN:
        raise ValueError(f"{kind} is already registered as pytree node.")
    _registered[kind] = (take_apart, put_together, extra)


def _open(nest: Any) -> tuple[Any, list[Any]] | None:
    """The context and children of a container, None for a leaf."""
    kind = type(nest)
    if kind in _registered:
        children, context = _registered[kind][0](nest)
        return context, list(children)
    if kind in (dict, OrderedDict):
        return tuple(nest), list(nest.values())
    if kind is defaultdict:
        return (nest.default_factory, tuple(nest)), list(nest.values())
    if kind in (tuple, list):
        return None, list(nest)
    if kind is deque:
        return nest.maxlen, list(nest)
    if isinstance(nest, tuple) and (hasattr(nest, "_fields") or hasattr(nest, "n_fields")):
        return kind, list(nest)
    return None


def _close(structure: Structure, children: list[Any]) -> Any:
    kind, context = structure.kind, structure.context
    if kind in _registered:
        return _registered[kind][1](children, context)
    if kind in (dict, OrderedDict):
        return kind(zip(context, children))
    if kind is defaultdict:
        return defaultdict(context[0], zip(context[1], children))
    if kind is deque:
        return deque(children, context)
    if kind in (tuple, list):
        return kind(children)
    return kind(*children) if hasattr(kind, "_fields") else kind(children)


def flatten(nest: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure that `unflatten` needs.

    >>> flatten({"a": 1, "b": [2, (3,)]})
    ([1, 2, 3], dict(*, list(*, tuple(*))))
    """
    opened = None if is_leaf is not None and is_leaf(nest) else _open(nest)
    if opened is None:
        return [nest], LEAF
    context, children = opened
    leaves: list[Any] = []
    structures = []
    for child in children:
        found, structure = flatten(child, is_leaf)
        leaves += found
        structures.append(structure)
    return leaves, Structure(type(nest), context, tuple(structures))


def unflatten(leaves: list[Any], structure: Structure) -> Any:
    """The nest of that structure.

    >>> unflatten([1, 2], flatten((0, [0]))[1])
    (1, [2])
    """
    it = iter(leaves)

    def build(s: Structure) -> Any:
        return next(it) if s.kind is None else _close(s, [build(c) for c in s.children])
    return build(structure)


def map_leaves(f: Callable[[Any], Any], nest: Any) -> Any:
    """The nest with f applied to each leaf."""
    leaves, structure = flatten(nest)
    return unflatten([f(x) for x in leaves], structure)


def spread(prefix: Any, structure: Structure) -> list[Any] | None:
    """One value of ``prefix`` per leaf: a leaf of the prefix stands for
    everything below it. None where they do not fit.

    >>> spread((0, None), flatten(({"x": 1, "y": 2}, 3))[1])
    [0, 0, None]
    """
    opened = _open(prefix)
    if opened is None:
        return [prefix] * structure.leaves()
    context, children = opened
    if structure.kind is None or len(children) != len(structure.children):
        return None
    sequences = (tuple, list)
    if structure.kind is not type(prefix) and not (structure.kind in sequences and type(prefix) in sequences):
        return None
    if structure.kind in (dict, OrderedDict):
        if set(context) != set(structure.context):
            return None
        children = [prefix[k] for k in structure.context]
    out: list[Any] = []
    for child, below in zip(children, structure.children):
        found = spread(child, below)
        if found is None:
            return None
        out += found
    return out
