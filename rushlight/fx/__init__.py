"""Programs as graphs that programs can rewrite (torch.fx): symbolic tracing, graphs, modules made from them.

Importing it switches the __torch_function__ protocol on, through which tracing sees calls of torch's functions.
"""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.fx.graph import CodeGen, Graph, PythonCode
from rushlight.fx.graph_module import GraphModule
from rushlight.fx.interpreter import Interpreter, Transformer
from rushlight.fx.node import Node, has_side_effect, map_arg
from rushlight.fx.proxy import Proxy, TraceError
from rushlight.fx.rewriter import Match, replace_pattern
from rushlight.fx.tracer import Tracer, symbolic_trace, wrap
from rushlight.tensor import protocol

protocol.switch_on()


def __getattr__(name: str) -> Any:
    homes = {"subgraph_rewriter": "rewriter", "_symbolic_trace": "tracer"}
    if name in homes or name in ("node", "graph", "graph_module", "proxy", "interpreter", "passes"):
        return importlib.import_module(f"rushlight.fx.{homes.get(name, name)}")
    raise AttributeError(f"module 'rushlight.fx' has no attribute {name!r}; rushlight does not provide torch.fx.{name}")


__all__ = ["CodeGen", "Graph", "GraphModule", "Interpreter", "Match", "Node", "Proxy", "PythonCode", "TraceError",
           "Tracer", "Transformer",
           "has_side_effect", "map_arg", "replace_pattern", "symbolic_trace", "wrap"]
