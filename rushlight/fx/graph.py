"""Graph: nodes in order, and the Python that they stand for."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import keyword
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.fx.node import Node, _Name, map_aggregate, map_arg, qualified_name

INFIX = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
         operator.mod: "%", operator.pow: "**",
         operator.matmul: "@", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
         operator.eq: "==", operator.ne: "!=",
         operator.and_: "&", operator.or_: "|", operator.xor: "^", operator.lshift: "<<", operator.rshift: ">>"}
PREFIX = {operator.neg: "-", operator.pos: "+", operator.invert: "~"}


@dataclasses.dataclass
class PythonCode:
    """Source of a function ``forward``, and the names that it needs."""

    src: str
    globals: dict[str, Any]


class CodeGen:
    """Writes the Python of a graph."""

    def source(self, graph: Graph, root: str) -> PythonCode:
        """The function ``forward(self, …)``; root is the name of the module in it."""
        space = _Space()
        parameters, body = [root], []
        for n in graph.nodes:
            if n.op == "placeholder":
                default = f" = {space.text(n.args[0])}" if n.args else ""
                parameters.append(str(n.target) + default)
                stars = len(str(n.target)) - len(str(n.target).lstrip("*"))
                if str(n.target)[stars:] != n.name:
                    body.append(f"{n.name} = {str(n.target)[stars:]}")
            elif n.op == "output":
                body.append(f"return {space.text(n.args[0])}")
            else:
                body.append(self.line(n, root, space))
        lines = body or ["pass"]
        return PythonCode(f"def forward({', '.join(parameters)}):\n" + "".join(f"    {line}\n" for line in lines),
                          space.names)

    def line(self, n: Node, root: str, space: _Space) -> str:
        """The assignment of one node; what is not read again is let go."""
        end = "".join(f"  # {n.meta['note']}" for _ in range("note" in n.meta))
        if n.op == "get_attr":
            return f"{n.name} = {_dotted(root, n.target)}{end}"
        args = [space.text(a) for a in n.args]
        named = [f"{k} = {space.text(v)}" for k, v in n.kwargs.items()]
        if n.op == "call_module":
            return f"{n.name} = {_dotted(root, n.target)}({', '.join(args + named)}){end}"
        if n.op == "call_method":
            return f"{n.name} = {args[0]}.{n.target}({', '.join(args[1:] + named)}){end}"
        if n.target in INFIX and len(args) == 2 and not named:
            return f"{n.name} = {args[0]} {INFIX[n.target]} {args[1]}{end}"
        if n.target in PREFIX and len(args) == 1:
            return f"{n.name} = {PREFIX[n.target]}{args[0]}{end}"
        if n.target is operator.getitem and len(args) == 2:
            return f"{n.name} = {args[0]}[{args[1]}]{end}"
        if n.target is getattr and len(n.args) == 2 and isinstance(n.args[1], str) and n.args[1].isidentifier():
            return f"{n.name} = {args[0]}.{n.args[1]}{end}"
        return f"{n.name} = {space.function(n.target)}({', '.join(args + named)}){end}"


def _dotted(root: str, target: str) -> str:
    out = root
    for part in target.split("."):
        out = f"{out}.{part}" if part.isidentifier() and not keyword.iskeyword(part) else f'getattr({out}, "{part}")'
    return out


class _Space:
    """The global names of generated code."""

    def __init__(self) -> None:
        import rushlight
        self.names: dict[str, Any] = {"torch": rushlight, "inf": float("inf"), "nan": float("nan"),
                                      "operator": operator}

    def function(self, f: Any) -> str:
        """A name under which the code finds a function."""
        path = qualified_name(f)
        if path.startswith(("torch.", "operator.")) or "." not in path:
            import functools as ft
            with contextlib.suppress(AttributeError, KeyError):
                head, *rest = path.split(".")
                start = self.names[head] if head in self.names else getattr(builtins, head)
                if ft.reduce(getattr, rest, start) is f:
                    return path
        base = re.sub(r"\W", "_", path)
        name, i = base, 1
        while name in self.names and self.names[name] is not f:
            name, i = f"{base}_{i}", i + 1
        self.names[name] = f
        return name

    def text(self, x: Any) -> str:
        """A value as Python."""
        from rushlight.ir.dtype import DType
        from rushlight.tensor.device import device
        if isinstance(x, Node):
            return x.name
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return f"{self.function(type(x))}({', '.join(map(self.text, x))})"
        if isinstance(x, tuple):
            return f"({', '.join(map(self.text, x))}{',' if len(x) == 1 else ''})"
        if isinstance(x, list):
            return f"[{', '.join(map(self.text, x))}]"
        if isinstance(x, dict):
            return "{" + ", ".join(f"{k!r}: {self.text(v)}" for k, v in x.items()) + "}"
        if isinstance(x, slice):
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        if isinstance(x, DType):
            return f"torch.{x.name}"
        if isinstance(x, device):
            return f"torch.device({str(x)!r})"
        if x is None or x is ... or isinstance(x, (bool, int, float, complex, str, bytes)):
            return "..." if x is ... else repr(x)
        return self.function(x)


class _NodeList:
    """The nodes in order, seen while the graph changes."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def __len__(self) -> int:
        return len(self.graph._list)

    def __iter__(self) -> Iterator[Node]:
        n = self.graph._list[0] if self.graph._list else None
        done: set[int] = set()
        while n is not None:
            if not n._erased:
                yield n
            done.add(id(n))
            n = self.graph._following(n, done)

    def __reversed__(self) -> Iterator[Node]:
        for n in list(self.graph._list)[::-1]:
            if not n._erased:
                yield n


class Graph:
    """Nodes in the order in which they run; new ones go to the insertion point (the end,
    or see inserting_before and inserting_after)."""

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None, tracer_extras: Any = None):
        self._list: list[Node] = []
        self._names: dict[str, int] = {}  # names in use, with the last number given to each stem
        self._point: tuple[Node, int] | None = None
        self._codegen = CodeGen()
        self.owning_module, self._tracer_cls, self._tracer_extras = owning_module, tracer_cls, tracer_extras

    # --- order ----------------------------------------------------------------------------------------------------
    @property
    def nodes(self) -> _NodeList:
        """The nodes in order; they may be changed and erased while iterating."""
        return _NodeList(self)

    def _following(self, n: Node, done: set[int]) -> Node | None:
        if n._erased:
            at = n.__dict__.get("_was", 0)
        else:
            at = self._list.index(n) + 1
        while at < len(self._list) and id(self._list[at]) in done:
            at += 1
        return self._list[at] if at < len(self._list) else None

    def _neighbour(self, n: Node, step: int) -> Node:
        at = self._list.index(n) + step
        if not 0 <= at < len(self._list):
            return Node(self, "", "root", "", (), {})
        return self._list[at]

    def _move(self, x: Node, beside: Node, behind: int) -> None:
        if x is beside:
            return
        if x.graph is not self:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if x in self._list:
            self._list.remove(x)
        self._list.insert(self._list.index(beside) + behind, x)

    @contextlib.contextmanager
    def _inserting(self, n: Node | None, behind: int) -> Iterator[None]:
        if n is not None and n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        before, self._point = self._point, None if n is None else (n, behind)
        try:
            yield
        finally:
            self._point = before

    def inserting_before(self, n: Node | None = None) -> Any:
        """In the block, new nodes go before n (the first node for None)."""
        return self._inserting(n if n is not None else self._list[0] if self._list else None, 0)

    def inserting_after(self, n: Node | None = None) -> Any:
        """In the block, new nodes go behind n (the last node for None)."""
        return self._inserting(n, 1)

    # --- making nodes ---------------------------------------------------------------------------------------------
    def _name(self, candidate: str) -> str:
        base = re.sub(r"\W", "_", candidate).strip() or "_"
        base = "_" + base if base[0].isdigit() else base
        if base not in self._names and not keyword.iskeyword(base) and not hasattr(builtins, base) and base not in (
                "torch", "inf", "nan", "operator", "self"):
            self._names[base] = 0
            return base
        stem = re.sub(r"_\d+$", "", base)
        number = self._names.get(stem, 0)
        while True:
            number += 1
            name = f"{stem}_{number}"
            if name not in self._names:
                self._names[stem], self._names[name] = number, 0
                return name

    def create_node(self, op: str, target: Any, args: tuple[Any, ...] | None = None,
                    kwargs: dict[str, Any] | None = None, name: str | None = None, type_expr: Any = None) -> Node:
        """A node at the insertion point; its name is made from the target, and unique."""
        if name is None:
            name = target if isinstance(target, str) else getattr(target, "__name__", "fn")
            name = name.lstrip("*")
            if op != "placeholder":
                name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace(".", "_")).lower()
        n = Node(self, self._name(name), op, target, args or (), kwargs or {}, type_expr)
        if self._point is None:
            self._list.append(n)
        else:
            beside, behind = self._point
            self._list.insert(self._list.index(beside) + behind, n)
            if behind:
                self._point = (n, 1)
        return n

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = None) -> Node:
        """An input."""
        return self.create_node("placeholder", name, () if default_value is None else (default_value,),
                                type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """A parameter or buffer of the module."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None) -> Node:
        """A call of a submodule by its name."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function: Callable[..., Any], args: Any = None, kwargs: Any = None,
                      type_expr: Any = None, name: str | None = None) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def call_method(self, method_name: str, args: Any = None, kwargs: Any = None, type_expr: Any = None) -> Node:
        """A call of a method of the first operand."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """The result."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda x: x) -> Node:
        """A copy of another graph's node, with its operands mapped."""
        n = self.create_node(node.op, node.target, map_arg(node.args, arg_transform),
                             map_arg(node.kwargs, arg_transform), node.name, node.type)
        n.meta = dict(node.meta)
        return n

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """All of another graph's nodes, but for its output, whose operand is returned; val_map is filled, nodes in it
        are not copied."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                out = map_arg(node.args[0], lambda n: val_map[n])
                return (out, node) if return_output_node else out
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    # --- changing and checking ------------------------------------------------------------------------------------
    def erase_node(self, to_erase: Node) -> None:
        """Take out a node that nobody uses; RuntimeError where somebody does."""
        if to_erase.users:
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} "
                               f"users in the graph: {to_erase.users}!")
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            return
        to_erase._was = self._list.index(to_erase)  # type: ignore[attr-defined]
        self._list.remove(to_erase)
        to_erase._erased = True
        to_erase._set((), {})

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Take out nodes that nobody uses and that have no side effects; whether there were any."""
        self.lint()
        changed = False
        for n in reversed(self.nodes):
            if not n.users and not (is_impure_node or Node.is_impure)(n):
                self.erase_node(n)
                changed = True
        return changed

    def lint(self) -> None:
        """RuntimeError where the graph is not well formed: operands that come later,
        names used twice, targets that the module lacks."""
        seen: set[Node] = set()
        names: set[str] = set()
        for n in self.nodes:
            if n.graph is not self:
                raise RuntimeError(f"Node '{n}' does not belong to this Graph!")
            for a in n.all_input_nodes:
                if a.graph is not self:
                    raise RuntimeError(f"Argument '{a}' of Node '{n}' does not belong to this Graph, "
                                       "but was used as an argument! If you are copying nodes from another graph, "
                                       "make sure to use ``arg_transform`` on node_copy() to remap values")
                if a not in seen:
                    raise RuntimeError(f"Argument '{a}' of Node '{n}' was used before it has been defined! Please "
                                       f"check that Nodes in the graph are topologically ordered\n{self}")
            if n.name in names:
                raise RuntimeError(f"Node redefined name {n.name}!")
            seen.add(n)
            names.add(n.name)
            if self.owning_module is not None and n.op in ("call_module", "get_attr"):
                self._look_up(n)

    def _look_up(self, n: Node) -> None:
        at = self.owning_module
        for part in n.target.split("."):
            if not hasattr(at, part):
                raise RuntimeError(f"Node {n} target {n.target} references nonexistent attribute {part} of {n.target}")
            at = getattr(at, part)

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind (and target)."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    def output_node(self) -> Node:
        """The output."""
        return next(n for n in reversed(self.nodes) if n.op == "output")

    # --- text -----------------------------------------------------------------------------------------------------
    def python_code(self, root_module: str = "self", *, verbose: bool = False, **_: Any) -> PythonCode:
        """The graph as a Python function, and the names that it needs."""
        return self._codegen.source(self, root_module)

    def print_tabular(self) -> None:
        """Print the nodes as a table."""
        rows = [["opcode", "name", "target", "args", "kwargs"],
                *[[n.op, n.name, str(n.target) if isinstance(n.target, str) else repr(n.target), repr(n.args),
                   repr(n.kwargs)] for n in self.nodes]]
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        rows.insert(1, ["-" * w for w in widths])
        print("\n".join("  ".join(t.ljust(w) for t, w in zip(r, widths)).rstrip() for r in rows))

    def __str__(self) -> str:
        return "graph():" + "".join(f"\n    {n.format_node()}" for n in self.nodes)

    def __deepcopy__(self, memo: Any = None) -> Graph:
        g = Graph(tracer_cls=self._tracer_cls)
        val_map: dict[Node, Node] = {}
        out = g.graph_copy(self, val_map)
        if any(n.op == "output" for n in self.nodes):
            g.output(out).meta = dict(self.output_node().meta)
        return g


__all__ = ["CodeGen", "Graph", "PythonCode", "_Name", "map_aggregate"]
