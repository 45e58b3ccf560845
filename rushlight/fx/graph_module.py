"""GraphModule: a module whose forward is made from a graph."""

from __future__ import annotations

import copy
import linecache
from typing import Any

from rushlight.fx.graph import Graph
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import Tensor

_numbers = iter(range(1 << 62))


def _install(to: Any, target: str, value: Any) -> None:
    """Put a value at a dotted name, making plain modules on the way."""
    *path, last = target.split(".")
    for part in path:
        if not isinstance(getattr(to, part, None), Module):
            to.add_module(part, Module())
        to = getattr(to, part)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to.register_buffer(last, value)
    else:
        setattr(to, last, value)


def _find(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return module


class GraphModule(Module):
    """A module with the submodules and parameters of ``root`` (a module, or a dictionary of names) that ``graph`` uses;
    forward is the graph's Python.

    Assign to ``graph``, or change it and call recompile(). ``code`` is the source.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        base = next(k for k in cls.__mro__ if not getattr(k, "_made_for_one", False))
        return object.__new__(type("GraphModuleImpl", (base,), {"_made_for_one": True}))

    def __init__(self, root: Any, graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        if isinstance(root, Module):
            self.training = getattr(root, "training", self.training)
        for n in graph.nodes:
            if n.op not in ("call_module", "get_attr"):
                continue
            if isinstance(root, Module):
                value = _find(root, n.target)
            elif n.target in root:
                value = root[n.target]
            else:
                raise RuntimeError(f"Node {n} referenced target {n.target} but that "
                                   "target was not provided in ``root``!")
            _install(self, n.target, value)
        self.graph = graph

    @property
    def graph(self) -> Graph:
        """The graph; after changing it call recompile()."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    def recompile(self) -> Any:
        """Make forward anew from the graph; returns the PythonCode."""
        code = self._graph.python_code("self")
        name = f"<eval_with_key>.{next(_numbers)}"
        linecache.cache[name] = (len(code.src), None, code.src.splitlines(True), name)
        space = dict(code.globals)
        exec(compile(code.src, name, "exec"), space)
        self._code = code.src
        type(self).forward = space["forward"]
        return code

    @property
    def code(self) -> str:
        """The Python source of forward."""
        return self._code

    def print_readable(self, print_output: bool = True, **_: Any) -> str:
        """The class with its forward as text, printed unless told not to."""
        body = "".join(f"    {line}\n" for line in self._code.splitlines())
        text = f"class {type(self).__name__}(torch.nn.Module):\n{body}"
        if print_output:
            print(text)
        return text

    # --- submodules -----------------------------------------------------------------------------------------------
    def add_submodule(self, target: str, m: Module) -> bool:
        """Put a module at a dotted name; False where something on the way is no module."""
        *path, last = target.split(".")
        at: Any = self
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, Module())
            at = getattr(at, part)
            if not isinstance(at, Module):
                return False
        at.add_module(last, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Take a module out; False where there is none of that name."""
        *path, last = target.split(".")
        at: Any = self
        for part in path:
            at = getattr(at, part, None)
        if not isinstance(getattr(at, last, None), Module):
            return False
        delattr(at, last)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Take out the modules that the graph does not use."""
        used: set[str] = set()
        for n in self.graph.nodes:
            if n.op in ("call_module", "get_attr"):
                parts = n.target.split(".")
                used.update(".".join(parts[:i + 1]) for i in range(len(parts)))
                if n.op == "call_module":
                    used.update(f"{n.target}.{name}" for name, _ in _find(self, n.target).named_modules() if name)
        for name in [name for name, _ in self.named_modules() if name]:
            if name not in used:
                self.delete_submodule(name)

    # --- copies ---------------------------------------------------------------------------------------------------
    def __deepcopy__(self, memo: Any) -> GraphModule:
        plain = Module()
        for k, v in self.__dict__.items():
            if k not in ("_graph", "_code"):
                plain.__dict__[k] = copy.deepcopy(v, memo)
        out = GraphModule(plain, copy.deepcopy(self._graph), type(self).__name__)
        out.training = self.training
        return out

    __copy__ = lambda self: GraphModule(self, self.graph, type(self).__name__)

    def __reduce__(self) -> Any:
        plain = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        return _rebuild, (plain, self._code, type(self).__name__)

    def __str__(self) -> str:
        return f"{super().__str__()}\n\n\n\n{self._code}"


def _rebuild(fields: dict[str, Any], source: str, name: str) -> GraphModule:
    """A module from a pickle: its source is traced again."""
    from rushlight.fx.tracer import Tracer

    class Keep(Tracer):
        def is_leaf_module(self, m: Module, qualname: str) -> bool:
            return True
    import operator

    import rushlight
    space: dict[str, Any] = {"torch": rushlight, "inf": float("inf"), "nan": float("nan"), "operator": operator}
    exec(source, space)
    plain = type("Plain", (Module,), {"forward": space["forward"]})()
    plain.__dict__.update(fields)
    return GraphModule(plain, Keep().trace(plain), name)
