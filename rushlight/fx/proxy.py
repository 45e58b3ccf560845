"""Proxy: a value that is not there yet; what is done with it becomes nodes."""

from __future__ import annotations

import operator
from typing import Any

from rushlight.fx.node import Node, map_aggregate

CONTROL = "symbolically traced variables cannot be used as inputs to control flow"


class TraceError(ValueError):
    """A program does something with a proxy that has no place in a graph."""


class Proxy:
    """Stands for the result of ``node`` while a program is traced."""

    def __init__(self, node: Node, tracer: Any = None):
        self.node, self.tracer = node, tracer if tracer is not None else GraphAppender(node.graph)

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Any:
        if k in ("node", "tracer") or (k.startswith("__") and k.endswith("__")):
            raise AttributeError(k)
        return Attribute(self, k)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Any:
        return iter(self.tracer.iter(self))

    def __bool__(self) -> bool:
        return bool(self.tracer.to_bool(self))

    def __len__(self) -> int:
        raise RuntimeError("'len' is not supported in symbolic tracing by default. "
                           "If you want this call to be recorded, please call torch.fx.wrap('len') at module scope")

    def __contains__(self, x: Any) -> bool:
        raise TraceError(CONTROL)

    def keys(self) -> Any:
        """The keys of a dictionary that is traced (for **proxy)."""
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, orig_method: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from rushlight.tensor.core import Tensor
        kwargs = kwargs or {}
        found: list[Proxy] = []
        map_aggregate((args, kwargs), lambda x: found.append(x) if isinstance(x, Proxy) else None)
        name = getattr(orig_method, "__name__", "")
        if getattr(Tensor, name, None) is orig_method and not _public(orig_method, name):
            return found[0].tracer.create_proxy("call_method", name, args, kwargs)
        return found[0].tracer.create_proxy("call_function", orig_method, args, kwargs)


def _public(f: Any, name: str) -> bool:
    import rushlight
    from rushlight.nn import functional
    return any(getattr(home, name, None) is f
               for home in (rushlight, functional, rushlight.linalg, rushlight.fft, rushlight.special))


class Attribute(Proxy):
    """An attribute of a proxy: a node only where it is used as a value; called, it is a method."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _operation(name: str, target: Any) -> None:
    def method(self: Proxy, *args: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, (self, *args), {})
    method.__name__ = f"__{name}__"
    setattr(Proxy, f"__{name}__", method)


def _reflected(name: str, target: Any) -> None:
    def method(self: Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", target, (other, self), {})
    method.__name__ = f"__r{name}__"
    setattr(Proxy, f"__r{name}__", method)


for _n in ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "lshift", "rshift", "xor", "matmul"):
    _operation(_n, getattr(operator, _n))
    _reflected(_n, getattr(operator, _n))
for _n in ("and", "or"):
    _operation(_n, getattr(operator, _n + "_"))
    _reflected(_n, getattr(operator, _n + "_"))
for _n in ("eq", "ne", "lt", "gt", "le", "ge", "getitem", "setitem", "neg", "pos", "invert"):
    _operation(_n, getattr(operator, _n))
setattr(Proxy, "__abs__", lambda self: self.tracer.create_proxy("call_function", abs, (self,), {}))
setattr(Proxy, "__hash__", object.__hash__)


class TracerBase:
    """What turns calls into nodes of ``graph``."""

    graph: Any
    check_mutable_operations = False

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None,
                    type_expr: Any = None) -> Node:
        """A node at the end."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)  # type: ignore[no-any-return]

    def proxy(self, node: Node) -> Proxy:
        """The proxy of a node."""
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None,
                     type_expr: Any = None, proxy_factory_fn: Any = None) -> Any:
        """A node with these operands (proxies become nodes), and its proxy."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return self.proxy(node) if proxy_factory_fn is None else proxy_factory_fn(node)

    def create_arg(self, a: Any) -> Any:
        """A value as an operand; NotImplementedError for what graphs cannot hold."""
        return map_aggregate(a, self._leaf)

    def _leaf(self, x: Any) -> Any:
        if isinstance(x, Proxy):
            return x.node
        from rushlight.ir.dtype import DType
        from rushlight.tensor.core import Tensor
        from rushlight.tensor.device import device
        from rushlight.tensor.formats import layout, memory_format
        plain = (str, int, float, bool, complex, bytes, DType, device, layout, memory_format, Node, Tensor, range)
        if x is None or x is ... or isinstance(x, plain) or callable(x):
            return x
        raise NotImplementedError(f"argument of type: {type(x)}")

    def to_bool(self, obj: Proxy) -> bool:
        """TraceError: which way a program goes must not depend on proxies."""
        raise TraceError(CONTROL)

    def iter(self, obj: Proxy) -> Any:
        """The elements, where the caller unpacks a known number of them (``a, b = proxy``); TraceError elsewhere."""
        import dis
        import inspect
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        if frame is not None:
            code = [i for i in dis.get_instructions(frame.f_code) if i.offset >= frame.f_lasti][:1]
            if code and code[0].opname == "UNPACK_SEQUENCE":
                return (obj[i] for i in range(code[0].argval))  # type: ignore[index]
        raise TraceError("Proxy object cannot be iterated. This can be attempted when the Proxy is "
                         "used in a loop or as a *args or **kwargs function argument.")

    def keys(self, obj: Proxy) -> Any:
        """What `proxy.keys()` gives: an attribute, as any other."""
        return Attribute(obj, "keys")()


class GraphAppender(TracerBase):
    """Adds to a graph that exists."""

    def __init__(self, graph: Any):
        self.graph = graph
