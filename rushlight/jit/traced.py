"""Traced modules and functions: they run the graph that was captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rushlight.jit.scripted import RecursiveScriptModule, ScriptFunction, ScriptModule
from rushlight.nn import Module

if TYPE_CHECKING:  # importing it switches the __torch_function__ protocol on
    from rushlight.export.captured import Captured


class Traced:
    """Methods by name, each a captured graph."""

    def __init__(self, methods: dict[str, Captured]):
        self.methods = methods
        self.calls: dict[str, Callable[..., Any]] = {name: c.function() for name, c in methods.items()}

    def code(self, name: str = "forward") -> str:
        """The Python of a method's graph."""
        return str(self.methods[name].graph.python_code("self").src)


class _Shown:
    """What can be seen of a traced function or module."""

    _traced: Traced

    @property
    def graph(self) -> Any:
        """The graph of forward."""
        return self._traced.methods["forward"].graph

    @property
    def code(self) -> str:
        """The graph's Python."""
        return self._traced.code()


class TracedFunction(_Shown, ScriptFunction):
    """A function as its graph."""

    def __init__(self, function: Any, captured: Captured):
        super().__init__(function)
        self._traced = Traced({"forward": captured})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _called(self._traced, "forward", self.__name__, args, kwargs)


class TopLevelTracedModule(_Shown, RecursiveScriptModule):
    """A module whose traced methods run their graphs, on the module's own parameters."""

    def __init__(self, module: Module, traced: Traced):
        super().__init__(module)
        object.__setattr__(self, "_traced", traced)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The graph's result."""
        return _called(self._traced, "forward", "forward", args, kwargs)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "forward":
            traced = object.__getattribute__(self, "__dict__").get("_traced")
            if traced is not None and name in traced.methods:
                return lambda *args, **kwargs: _called(traced, name, name, args, kwargs)
        return super().__getattribute__(name)


class LoadedModule(ScriptModule):
    """A module from a file: its parameters and submodules under their names; the methods are graphs or checked source.

    ``original_name`` is the name of the class that it was.
    """

    def __init__(self, original_name: str):
        super().__init__()
        self.__dict__["_original_name"] = original_name

    @property
    def original_name(self) -> str:
        """The name of the class that was saved."""
        return str(self.__dict__["_original_name"])

    def _get_name(self) -> str:
        return "RecursiveScriptModule"

    def extra_repr(self) -> str:
        return f"original_name={self.original_name}"

    @property
    def code(self) -> str:
        """The Python of forward."""
        traced = self.__dict__.get("_traced")
        return traced.code() if traced is not None else str(self.__dict__.get("_sources", {}).get("forward", ""))

    @property
    def graph(self) -> Any:
        """The graph of forward; AttributeError for a scripted module, which has source (`code`) instead."""
        traced = self.__dict__.get("_traced")
        if traced is None:
            raise AttributeError("graph: a scripted module has no graph; see code")
        return traced.methods["forward"].graph

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the saved module did."""
        return self._invoke("forward", args, kwargs)

    def _invoke(self, name: str, args: Any, kwargs: Any) -> Any:
        traced = self.__dict__.get("_traced")
        if traced is not None:
            return _called(traced, name, name, args, kwargs)
        methods = self.__dict__.get("_methods") or {}
        if name not in methods:
            raise NotImplementedError(
                f"{self.original_name} was a submodule of a traced module: "
                f"its {name} is part of the whole module's graph"
            )
        return methods[name](self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        have = self.__dict__
        if (have.get("_traced") is not None and name in have["_traced"].methods) or name in (
            have.get("_methods") or ()
        ):
            return lambda *args, **kwargs: self._invoke(name, args, kwargs)
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(self._modules)


class LoadedFunction(LoadedModule):
    """A function from a file."""


def _called(traced: Traced, name: str, shown: str, args: Any, kwargs: Any) -> Any:
    try:
        return traced.calls[name](*args, **kwargs)
    except TypeError as e:
        signature = traced.methods[name].signature
        if signature is None:
            raise
        try:
            signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise RuntimeError(f"{shown}() {problem}. Declaration: {shown}{signature}") from None
        raise e


__all__ = ["LoadedFunction", "LoadedModule", "TopLevelTracedModule", "Traced", "TracedFunction"]
