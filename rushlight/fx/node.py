"""Node: one operation of a graph."""

from __future__ import annotations

import builtins
import operator
import types
from collections.abc import Callable
from typing import Any

OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root")
_side_effects: set[Any] = set()


def has_side_effect(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Say that calls of a function must stay although nobody uses their result."""
    _side_effects.add(fn)
    return fn


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """The nest with fn applied to its nodes."""
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """The nest of tuples, lists, dictionaries and slices with fn applied to its leaves."""
    if isinstance(a, tuple):
        new = tuple(map_aggregate(x, fn) for x in a)
        return type(a)(*new) if hasattr(a, "_fields") else new
    if isinstance(a, list):
        return [map_aggregate(x, fn) for x in a]
    if isinstance(a, dict):
        return {k: map_aggregate(v, fn) for k, v in a.items()}
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def qualified_name(f: Any) -> str:
    """Where a program finds a function: ``torch.relu``, ``operator.add``."""
    if getattr(builtins, getattr(f, "__name__", ""), None) is f:
        return str(f.__name__)
    if isinstance(f, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        return f"torch.Tensor.{f.__name__}"
    name = getattr(f, "__name__", repr(f))
    module = getattr(f, "__module__", "") or ""
    if module in ("_operator", "operator"):
        return f"operator.{name}"
    if module.startswith("rushlight"):
        import rushlight
        from rushlight.nn import functional
        for home, title in ((rushlight, "torch"), (functional, "torch.nn.functional"),
                            (rushlight.linalg, "torch.linalg"), (rushlight.fft, "torch.fft")):
            if getattr(home, name, None) is f:
                return f"{title}.{name}"
    return f"{module}.{name}"


class Node:
    """An operation: ``op`` (placeholder, get_attr, call_function, call_module, call_method, output), ``target``,
    ``args`` and ``kwargs``.

    ``users`` are the nodes that read its result; ``meta`` is a dictionary for passes.
    """

    def __init__(self, graph: Any, name: str, op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any],
                 return_type: Any = None):
        if op not in OPS:
            raise AssertionError(f"op '{op}' is not one of {OPS}")
        if op == "call_function":
            if not callable(target):
                raise ValueError(f"Node [graph = {graph}, "
                                 f"name = '{name}'] target {target} has type {type(target)} but a Callable is expected")
        elif not isinstance(target, str):
            raise ValueError(f"Node [graph = {graph}, "
                             f"name = '{name}'] target {target} has type {type(target)} but a str is expected")
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self.users: dict[Node, None] = {}
        self._input_nodes: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._erased = False
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._set(args, kwargs)

    # --- operands -------------------------------------------------------------------------------------------------
    def _set(self, args: Any, kwargs: Any) -> None:
        for old in self._input_nodes:
            old.users.pop(self, None)
        self._args, self._kwargs = map_aggregate(tuple(args), lambda x: x), map_aggregate(dict(kwargs), lambda x: x)
        self._input_nodes = {}
        map_arg((self._args, self._kwargs), lambda n: self._input_nodes.setdefault(n))
        for new in self._input_nodes:
            new.users.setdefault(self)

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional operands: nodes, or values of Python; assign to change them."""
        return self._args

    @args.setter
    def args(self, a: tuple[Any, ...]) -> None:
        self._set(a, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword operands; assign to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Any]) -> None:
        self._set(self._args, k)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes that are read, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Change one positional operand."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Put one more positional operand before idx."""
        args = list(self._args)
        args.insert(idx, arg)
        self.args = tuple(args)

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Change one keyword operand."""
        self.kwargs = {**self._kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Read new_input wherever old_input was read."""
        swap = lambda n: new_input if n is old_input else n
        self._set(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True, *,
                              propagate_meta: bool = False) -> list[Node]:
        """Let the users (those for which delete_user_cb says yes) read another node. Returns them."""
        if propagate_meta:
            if replace_with.meta:
                raise AssertionError("Called node.replace_all_uses_with(replace_with, propagate_meta=True), "
                                     "but replace_with already has .meta keys")
            replace_with.meta.update(self.meta)
        changed = [u for u in list(self.users) if delete_user_cb(u)]
        for u in changed:
            u.replace_input_with(self, replace_with)
        return changed

    # --- place ----------------------------------------------------------------------------------------------------
    @property
    def next(self) -> Node:
        """The node behind this one."""
        return self.graph._neighbour(self, 1)  # type: ignore[no-any-return]

    @property
    def prev(self) -> Node:
        """The node before this one."""
        return self.graph._neighbour(self, -1)  # type: ignore[no-any-return]

    def prepend(self, x: Node) -> None:
        """Move x before this node."""
        self.graph._move(x, self, 0)

    def append(self, x: Node) -> None:
        """Move x behind this node."""
        self.graph._move(x, self, 1)

    # --- facts ----------------------------------------------------------------------------------------------------
    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether the node must stay although nobody uses it: inputs,
        outputs, writes in place, what has side effects."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            return (self.target in _side_effects or self.target is operator.setitem
                    or str(getattr(self.target, "__name__", "")).endswith("_"))
        if self.op == "call_method":
            return self.target.endswith("_") and not self.target.endswith("__")
        return False

    def format_node(self, placeholder_names: Any = None, maybe_return_typename: Any = None) -> str | None:
        """The node as a line of text."""
        def shown(x: Any) -> str:
            return repr(map_arg(x, lambda n: _Name("%" + n.name)))
        if self.op == "placeholder":
            default = f"(default={self.args[0]!r})" if self.args else ""
            return f"%{self.name} : [num_users={len(self.users)}] = placeholder[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"%{self.name} : [num_users={len(self.users)}] = get_attr[target={self.target}]"
        if self.op == "output":
            return f"return {map_arg(self.args[0], lambda n: _Name(n.name))!r}"
        target = self.target if isinstance(self.target, str) else qualified_name(self.target)
        return (f"%{self.name} : [num_users={len(self.users)}] = {self.op}[target={target}](args = {shown(self.args)}, "
                f"kwargs = {shown(self.kwargs)})")

    def __repr__(self) -> str:
        return self.name


class _Name:
    """Text that prints without quotes."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text
