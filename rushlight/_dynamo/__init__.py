"""The names of PyTorch's tracer that programs touch (torch._dynamo); there is no tracer here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rushlight.compiler import (  # noqa: F401
    allow_in_graph, assume_constant_result, disable, is_compiling, list_backends, reset)

disallow_in_graph = graph_break_free = allow_in_graph


def optimize(backend: Any = "inductor", *, nopython: bool = False, dynamic: bool | None = None,
             **options: Any) -> Callable[[Any], Any]:
    """A decorator: `torch.compile` with that backend."""
    from rushlight.compiler import compile
    return compile(backend=backend, fullgraph=nopython, dynamic=dynamic, **options)  # type: ignore[no-any-return]


def mark_dynamic(t: Any, index: Any, **_: Any) -> None:
    """Nothing: plans for other sizes are built when they come."""


mark_static = maybe_mark_dynamic = mark_dynamic


def graph_break(msg: str = "") -> None:
    """Nothing: there are no traces to break."""


def __getattr__(name: str) -> Any:
    if name in ("config", "eval_frame", "exc", "utils"):
        return importlib.import_module(f"rushlight._dynamo.{name}")
    if name == "OptimizedModule":
        from rushlight._dynamo.eval_frame import OptimizedModule
        return OptimizedModule
    raise AttributeError(f"module 'rushlight._dynamo' has no attribute {name!r}; "
                         f"rushlight does not provide torch._dynamo.{name}")
