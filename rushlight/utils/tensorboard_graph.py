"""A model's graph as TensorBoard's Graphs page shows it: what the model calls on example inputs, nested as its modules are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tensorboardX.proto.attr_value_pb2 import AttrValue
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.versions_pb2 import VersionDef

from rushlight.export.captured import Captured, capture
from rushlight.export.modes import GRADIENTS, drop
from rushlight.fx.node import Node
from rushlight.nn import Module

PRODUCER = 22  # the version that PyTorch writes
BOUNDARY = "IO Node"  # the kind of inputs and outputs


def graph_of(model: Any, inputs: Any) -> Captured:
    """What a module in evaluation mode, or a function, calls on example inputs (one tensor or a tuple).

    RuntimeError where a graph cannot hold what it does.
    """
    from rushlight.tensor.core import Tensor
    args = () if inputs is None else (inputs,) if isinstance(inputs, (Tensor, dict)) else tuple(inputs)
    with _evaluating(model):
        captured = capture(model, args)
    drop(captured.graph, GRADIENTS)  # where gradients are on is nothing to look at
    return captured


def graph_def(captured: Captured, title: str) -> GraphDef:
    """The graph as a message: every node under the path of its module, ``Net/Sequential[layers]/Linear[0]/linear``."""
    names = {n: f"{_scope(n, captured, title)}/{str(n.target).rpartition('.')[2] if n.op == 'get_attr' else n.name}" for n in captured.graph.nodes}
    nodes = [_node_def(n, names) for n in captured.graph.nodes if n.op != "output"]
    for i, value in enumerate(captured.outputs):
        if isinstance(value, Node):
            nodes.append(NodeDef(name=f"output/output.{i + 1}", op=BOUNDARY, input=[names[value]], attr=_shape_of(value)))
    return GraphDef(node=nodes, versions=VersionDef(producer=PRODUCER))


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode, then each module as it was."""
    training = [(m, m.training) for m in model.modules()] if isinstance(model, Module) else []
    for module, _ in training:
        module.training = False
    try:
        yield
    finally:
        for module, was in training:
            module.training = was


def _scope(n: Node, captured: Captured, title: str) -> str:
    """The path under which a node is shown."""
    if n.op == "placeholder":
        return "input"
    if n.op == "get_attr":
        return "/".join([title, *_owners(str(n.target), captured.root)])
    parts, before = [title], ""
    for name, kind in n.meta.get("nn_module_stack", {}).values():
        if name:
            parts.append(f"{kind}[{name.removeprefix(before + '.')}]")
        before = name
    return "/".join(parts)


def _owners(attribute: str, root: Any) -> list[str]:
    """The modules that hold a parameter."""
    parts, module = [], root
    for name in attribute.split(".")[:-1]:
        module = getattr(module, name, None)
        parts.append(f"{type(module).__name__}[{name}]")
    return parts


def _node_def(n: Node, names: dict[Node, str]) -> NodeDef:
    if n.op == "placeholder":
        return NodeDef(name=names[n], op=BOUNDARY, attr=_shape_of(n))
    if n.op == "get_attr":
        return NodeDef(name=names[n], op="Parameter", attr=_shape_of(n))
    kind = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", str(n.target))
    attributes = _shape_of(n)
    constants = [repr(x) for x in n.args if not isinstance(x, Node)] + [f"{k}={x!r}" for k, x in n.kwargs.items() if not isinstance(x, Node)]
    if constants:
        attributes["attr"] = AttrValue(s=f"{{{', '.join(constants)}}}".encode())
    return NodeDef(name=names[n], op=f"aten::{kind}", input=[names[x] for x in n.all_input_nodes], attr=attributes)


def _shape_of(n: Node) -> dict[str, AttrValue]:
    """The size of a node's value, where it is a tensor."""
    shape = getattr(n.meta.get("val"), "shape", None)
    if shape is None:
        return {}
    dims = TensorShapeProto(dim=[TensorShapeProto.Dim(size=int(d)) for d in shape])
    return {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[dims]))}
