"""Interpreter: runs a graph node by node; Transformer: makes a new graph that way."""

from __future__ import annotations

from typing import Any

from rushlight.fx.graph import Graph
from rushlight.fx.graph_module import GraphModule, _find
from rushlight.fx.node import Node, map_arg
from rushlight.fx.proxy import Proxy
from rushlight.fx.tracer import Tracer


class Interpreter:
    """Runs a GraphModule; override call_function and the like to do something else at each node.

    >>> import rushlight as rl
    >>> Interpreter(rl.fx.symbolic_trace(lambda x: x + 1)).run(rl.ones(1))
    tensor([2.])
    """

    def __init__(self, module: Any, garbage_collect_values: bool = True, graph: Graph | None = None):
        self.module, self.graph = module, graph if graph is not None else module.graph
        self.submodules = dict(module.named_modules())
        self.garbage_collect_values = garbage_collect_values
        self.env: dict[Node, Any] = {}
        self.user_to_last_uses: dict[Node, list[Node]] = {}
        if garbage_collect_values:
            seen: set[Node] = set()
            for n in reversed(self.graph.nodes):
                for a in n.all_input_nodes:
                    if a not in seen:
                        seen.add(a)
                        self.user_to_last_uses.setdefault(n, []).append(a)

    def run(self, *args: Any, initial_env: dict[Node, Any] | None = None, enable_io_processing: bool = True) -> Any:
        """The graph's result for these inputs."""
        self.env = dict(initial_env or {})
        self.args_iter = iter(args)
        for n in self.graph.nodes:
            if n in self.env:
                continue
            self.env[n] = self.run_node(n)
            if n.op == "output":
                return self.env[n]
            for old in self.user_to_last_uses.get(n, ()):
                self.env.pop(old, None)
        return None

    def run_node(self, n: Node) -> Any:
        """The result of one node."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The next input, or its default."""
        if target.startswith("*"):
            return list(self.args_iter)
        try:
            return next(self.args_iter)
        except StopIteration:
            if args:
                return args[0]
            raise RuntimeError(f"Expected positional argument for parameter {target}, "
                               "but one was not passed in!") from None

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A parameter or buffer."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A function's result."""
        return target(*args, **kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A method's result."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A submodule's result."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of the graph."""
        return args[0]

    def fetch_attr(self, target: str) -> Any:
        """What the module has at a dotted name."""
        return _find(self.module, target)

    def fetch_args_kwargs_from_env(self, n: Node) -> Any:
        """A node's operands as values."""
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args: Any, n: Node) -> Any:
        """A nest with nodes replaced by their values."""
        def value(a: Node) -> Any:
            if a not in self.env:
                raise RuntimeError(f"Node {n} referenced nonexistent value {a}! Run "
                                   "Graph.lint() to diagnose such issues")
            return self.env[a]
        return map_arg(args, value)


class Transformer(Interpreter):
    """Makes a new GraphModule by running a graph on proxies; override call_function and the like to change it."""

    def __init__(self, module: Any):
        super().__init__(module)
        self.new_graph = Graph()

        class Keep(Tracer):
            def is_leaf_module(self, m: Any, qualname: str) -> bool:
                return True
        self.tracer = Keep()
        self.tracer.graph, self.tracer.root, self.tracer.constants = self.new_graph, module, {}

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Proxy:
        return Proxy(self.new_graph.placeholder(target, default_value=args[0] if args else None), self.tracer)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("get_attr", target, args, kwargs)  # type: ignore[no-any-return]

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The new module."""
        result = super().run(enable_io_processing=False)
        self.new_graph.output(self.tracer.create_arg(result))
        return GraphModule(self.module, self.new_graph, type(self.module).__name__)
