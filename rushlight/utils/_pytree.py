"""Nests of containers as leaves and a structure (torch.utils._pytree)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rushlight.func.tree import LEAF, Structure, flatten, register, unflatten
from rushlight.func.tree import spread as _spread

TreeSpec = Structure
PyTree = Any
Context = Any


class LeafSpec(Structure):
    """The structure of a leaf: calling it makes one."""

    def __new__(cls) -> Any:
        return LEAF


class SequenceKey(NamedTuple):
    """A place in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class MappingKey(NamedTuple):
    """A place in a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """A field of a named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves, and the structure for `tree_unflatten`.

    >>> tree_flatten({"a": 1, "b": (2, [3])})[0]
    [1, 2, 3]
    """
    return flatten(tree, is_leaf)


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The nest of that structure; ValueError where the number of leaves differs."""
    if not isinstance(treespec, Structure):
        raise TypeError("tree_unflatten(leaves, treespec): "
                        f"Expected `treespec` to be instance of TreeSpec but got item of type {type(treespec)}.")
    given = list(leaves)
    if len(given) != treespec.leaves():
        raise ValueError(f"treespec.unflatten(leaves): `leaves` has length {len(given)} but the spec "
                         f"refers to a pytree that holds {treespec.leaves()} items ({treespec}).")
    return unflatten(given, treespec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves."""
    return flatten(tree, is_leaf)[0]


tree_iter = tree_leaves


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The structure."""
    return flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The nest of func(leaf, *leaves of the rests); ValueError where their structures differ.

    >>> tree_map(lambda x, y: x + y, {"a": [1, 2]}, {"a": [10, 20]})
    {'a': [11, 22]}
    """
    leaves, structure = flatten(tree, is_leaf)
    columns = [leaves]
    for rest in rests:
        found, other = flatten(rest, is_leaf)
        if other != structure:
            raise ValueError(f"Node type mismatch; expected {structure}, but got {other}.")
        columns.append(found)
    return unflatten([func(*xs) for xs in zip(*columns)], structure)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Call func on each leaf; the nest as it was."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _is_one(kind: Any) -> Callable[[Any], bool]:
    return kind if callable(kind) and not isinstance(kind, type) else lambda x: isinstance(x, kind)


def tree_map_only(type_or_types_or_pred: Any, func: Callable[[Any], Any], tree: Any,
                  is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The nest with func applied to leaves of a type (or of a tuple of types, or for which a function says yes)."""
    one = _is_one(type_or_types_or_pred)
    return tree_map(lambda x: func(x) if one(x) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for some leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(type_or_types: Any, pred: Callable[[Any], bool], tree: Any,
                  is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for all leaves of a type."""
    one = _is_one(type_or_types)
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if one(x))


def tree_any_only(type_or_types: Any, pred: Callable[[Any], bool], tree: Any,
                  is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for some leaf of a type."""
    one = _is_one(type_or_types)
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if one(x))


def _broadcast_to_and_flatten(tree: Any, treespec: TreeSpec,
                              is_leaf: Callable[[Any], bool] | None = None) -> list[Any] | None:
    """One value per leaf of the structure; None where the tree is no prefix of it."""
    return _spread(tree, treespec)


def register_pytree_node(cls: type, flatten_fn: Callable[[Any], tuple[list[Any], Any]],
                         unflatten_fn: Callable[[Any, Any], Any], *, serialized_type_name: str | None = None,
                         to_dumpable_context: Any = None, from_dumpable_context: Any = None,
                         flatten_with_keys_fn: Any = None) -> None:
    """Let a class be a container: flatten_fn(x) gives (children, context),
    unflatten_fn(children, context) the object again.

    ValueError for a class that is one already. The other arguments serve
    PyTorch's export only and are kept with the class.
    """
    extra = {"serialized_type_name": serialized_type_name, "to_dumpable_context": to_dumpable_context,
             "from_dumpable_context": from_dumpable_context,
             "flatten_with_keys_fn": flatten_with_keys_fn}
    register(cls, flatten_fn, unflatten_fn, extra)


_register_pytree_node = register_pytree_node


def tree_flatten_with_path(
        tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[tuple[tuple[Any, ...], Any]], TreeSpec]:
    """Pairs of (path of keys, leaf), and the structure."""
    pairs: list[tuple[tuple[Any, ...], Any]] = []

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        leaves, structure = flatten(node, lambda x: x is not node or (is_leaf is not None and is_leaf(x)))
        if structure.kind is None:
            pairs.append((path, node))
            return
        for key, child in zip(_keys(node, len(leaves)), leaves):
            walk(child, (*path, key))
    walk(tree, ())
    return pairs, tree_structure(tree, is_leaf)


def _keys(node: Any, count: int) -> list[Any]:
    if isinstance(node, dict):
        return [MappingKey(k) for k in node]
    if hasattr(node, "_fields"):
        return [GetAttrKey(k) for k in node._fields]
    return [SequenceKey(i) for i in range(count)]


def tree_map_with_path(func: Callable[..., Any], tree: Any, *rests: Any,
                       is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`tree_map` whose function gets the path of each leaf first."""
    pairs, structure = tree_flatten_with_path(tree, is_leaf)
    others = [tree_leaves(r, is_leaf) for r in rests]
    return unflatten([func(path, leaf, *(o[i] for o in others)) for i, (path, leaf) in enumerate(pairs)], structure)


def keystr(kp: tuple[Any, ...]) -> str:
    """A path as text.

    >>> keystr(tree_flatten_with_path({"a": [1]})[0][0][0])
    "['a'][0]"
    """
    return "".join(map(str, kp))
