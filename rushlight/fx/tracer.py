"""Tracer: runs a program on proxies."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.fx.graph import Graph
from rushlight.fx.graph_module import GraphModule
from rushlight.fx.node import map_aggregate
from rushlight.fx.proxy import Proxy, TracerBase
from rushlight.leaf_functions import LEAVES
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import Tensor

_wrapped = LEAVES  # functions that stay calls: (globals, name)


def wrap(fn_or_name: str | Callable[..., Any]) -> Any:
    """At module scope, ``wrap("name")`` or ``@wrap``: calls of this function on proxies become one node, instead of
    being traced through."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    frame: Any = inspect.currentframe()
    frame = frame.f_back
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__code__.co_name
    _wrapped.append((frame.f_globals, name))
    return fn_or_name


def _leaf(original: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or a node where an operand is a proxy."""
    def call(*args: Any, **kwargs: Any) -> Any:
        found: list[Proxy] = []
        map_aggregate((args, kwargs), lambda x: found.append(x) if isinstance(x, Proxy) else None)
        if found:
            return found[0].tracer.create_proxy("call_function", original, args, kwargs)
        return original(*args, **kwargs)
    call.__name__ = getattr(original, "__name__", "call")
    call._original = original  # type: ignore[attr-defined]
    return call


class Tracer(TracerBase):
    """Traces modules and functions. Override is_leaf_module to say which submodules stay calls.

    Functions of ``autowrap_modules`` and ``autowrap_functions`` stay calls on proxies. ``param_shapes_constant``:
    shapes of parameters are numbers anyway here.
    """

    def __init__(self, autowrap_modules: tuple[Any, ...] = (math,), autowrap_functions: tuple[Any, ...] = (),
                 param_shapes_constant: bool = False):
        self.autowrap_modules, self.autowrap_functions = autowrap_modules, autowrap_functions
        self.param_shapes_constant = param_shapes_constant
        self.root: Any = None

    # --- what may be overridden -----------------------------------------------------------------------------------
    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a submodule stays a call: those of torch.nn do, but containers."""
        from rushlight.nn import Sequential
        return type(m).__module__.startswith(("rushlight.nn", "torch.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The name of a submodule; NameError where it is none."""
        for name, m in self.root.named_modules():
            if m is mod:
                return str(name)
        raise NameError("module is not installed as a submodule")

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call of a submodule becomes: a node for a leaf, else its own forward is traced."""
        name = self.path_of_module(m)
        if self.is_leaf_module(m, name):
            return self.create_proxy("call_module", name, args, kwargs)
        return forward(*args, **kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool,
                             concrete_args: dict[str, Any] | None = None) -> tuple[Any, list[Any], dict[str, Any]]:
        """The function, and proxies (or given values) for its arguments."""
        target = root_fn
        parameters = list(inspect.signature(root_fn).parameters.values())
        args: list[Any] = [self.root] if is_module else []
        kwargs: dict[str, Any] = {}
        for p in parameters[1 if is_module else 0:]:
            given = concrete_args is not None and p.name in concrete_args
            star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
            default = () if p.default is p.empty or star else (p.default,)
            proxy = self.create_proxy("placeholder", star + p.name,
                                      (concrete_args[p.name],) if given and concrete_args else default, {}, name=p.name)
            value = concrete_args[p.name] if given and concrete_args else proxy
            if star == "**":
                kwargs[p.name] = value
            elif star == "*":
                args.append(value)
            elif p.kind is p.KEYWORD_ONLY:
                kwargs[p.name] = value
            else:
                args.append(value)
        return target, args, kwargs

    # --- tracing --------------------------------------------------------------------------------------------------
    def _leaf(self, x: Any) -> Any:
        if isinstance(x, Tensor) and self.root is not None:
            for name, t in (*self.root.named_parameters(remove_duplicate=False),
                            *self.root.named_buffers(remove_duplicate=False)):
                if t is x:
                    return self.create_node("get_attr", name, (), {})
            return self._constant(x)
        return super()._leaf(x)

    def _constant(self, x: Tensor) -> Any:
        """A tensor of the program's own becomes an attribute of the module."""
        name = next((n for n, t in self.constants.items() if t is x), None)
        if name is None:
            i = 0
            while hasattr(self.root, f"_tensor_constant{i}") or f"_tensor_constant{i}" in self.constants:
                i += 1
            name = f"_tensor_constant{i}"
            self.constants[name] = x
            setattr(self.root, name, x)
        return self.create_node("get_attr", name, (), {})

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's forward, or of a function. ``concrete_args`` are values for some arguments, which may
        then steer the program."""
        from rushlight.tensor import protocol
        protocol.switch_on()
        is_module = isinstance(root, Module)
        self.root = root if is_module else Module()
        self.constants: dict[str, Tensor] = {}
        function = type(root).forward if is_module else root
        self.graph = Graph(tracer_cls=type(self))
        with self._patched():
            function, args, kwargs = self.create_args_for_root(function, is_module, concrete_args)
            result = self._call(function, args, kwargs)
            self.create_node("output", "output", (self.create_arg(result),), {})
        return self.graph

    def _call(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call with proxies for *args and **kwargs in their places."""
        kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
        if not any(k in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD) for k in kinds.values()):
            return function(*args, **kwargs)
        code = function.__code__
        flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
        extra = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
        names = code.co_varnames
        count, only = code.co_argcount, code.co_kwonlyargcount
        # *args and **kwargs become ordinary parameters of a copy, which can hold a proxy each
        plain = code.replace(co_flags=flags, co_argcount=count, co_kwonlyargcount=only + extra)
        copy = type(function)(plain, function.__globals__, function.__name__, function.__defaults__,
                              function.__closure__)
        copy.__kwdefaults__ = function.__kwdefaults__
        stars = names[count + only:count + only + extra]
        named = {**{n: a for n, a in zip([n
                                          for n, k in kinds.items() if k is not inspect.Parameter.VAR_KEYWORD
                                          and n not in kwargs], args)}, **kwargs}
        positional = [named.pop(n) for n in names[:count]]
        return copy(*positional, **{n: named[n] for n in (*names[count:count + only], *stars)})

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """While tracing, calls of modules come here, and wrapped functions stay calls."""
        tracer, call, changed = self, Module.__call__, []
        look_up, seen = Module.__getattr__, {}

        def module_getattr(mod: Module, name: str) -> Any:
            value = look_up(mod, name)
            if not isinstance(value, Parameter):
                return value
            if id(value) not in seen:
                path = next((n for n, p in tracer.root.named_parameters() if p is value), None)
                if path is None:
                    return value
                seen[id(value)] = tracer.create_proxy("get_attr", path, (), {})
            return seen[id(value)]

        def module_call(mod: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(mod, lambda *a, **k: call(mod, *a, **k), args, kwargs)
        spaces = [(g, n) for g, n in _wrapped]
        spaces += [(vars(m), n) for m in self.autowrap_modules
                   for n, f in vars(m).items() if not n.startswith("_") and callable(f)]
        wanted = {id(f) for f in self.autowrap_functions}
        spaces += [(vars(m), n) for m in list(sys.modules.values()) if wanted and hasattr(m, "__dict__")
                   for n, f in list(vars(m).items()) if id(f) in wanted]
        import builtins
        Module.__call__, Module.__getattr__ = module_call, module_getattr
        try:
            for space, name in spaces:
                have = name in space
                original = space[name] if have else getattr(builtins, name)
                if not hasattr(original, "_original"):
                    changed.append((space, name, have, original))
                    space[name] = _leaf(original)
            yield
        finally:
            Module.__call__, Module.__getattr__ = call, look_up
            for space, name, have, original in changed[::-1]:
                if have:
                    space[name] = original
                else:
                    del space[name]


def symbolic_trace(root: Any, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """A module or function as a GraphModule, whose graph can be looked at and rewritten.

    TraceError where the program's way depends on values.

    >>> import rushlight as rl
    >>> traced = symbolic_trace(lambda x: rl.relu(x) + 1)
    >>> print(traced.code.strip())
    def forward(self, x):
        relu = torch.relu(x)
        add = relu + 1
        return add
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    return GraphModule(tracer.root, graph, type(root).__name__ if isinstance(root, Module) else root.__name__)


__all__ = ["Parameter", "Tracer", "symbolic_trace", "wrap"]
