"""Quantization by tracing: a network as it is, without stubs or FloatFunctional in it.

`prepare_fx` traces the model, fuses convolution, batch norm and relu, and puts observers behind everything that can run
on integers; `convert_fx` puts quantized layers there, and goes from float to integers and back only at the borders.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight import fx, nn
from rushlight.ao import kernels
from rushlight.ao.nn import intrinsic as nni
from rushlight.ao.nn import quantized as nnq
from rushlight.ao.quantization import quantization_mappings as maps
from rushlight.ao.quantization.custom import refuse
from rushlight.ao.quantization.fuse_modules import fuse_known_modules
from rushlight.ao.quantization.qconfig_mapping import QConfigMapping
from rushlight.nn import functional as F

RELU = (nn.ReLU, F.relu, rl.relu, "relu", "relu_")
ADD = (operator.add, operator.iadd, rl.add, "add", "add_")
MUL = (operator.mul, operator.imul, rl.mul, "mul", "mul_")
CAT = (rl.cat,)
# what keeps the scale of its input: on integers the same call
KEEPS = (nn.MaxPool2d, nn.MaxPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity, nn.Dropout,
         nn.Dropout2d, nn.ReLU, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.relu, rl.relu, rl.flatten,
         rl.transpose, rl.permute, rl.squeeze, rl.unsqueeze, "flatten", "view", "reshape", "permute", "transpose",
         "contiguous", "mean", "relu", "relu_", "squeeze", "unsqueeze")
ASKS = ("size", "dim", "numel", getattr)  # questions that need no numbers
LAYERS = tuple(k for k in maps.DEFAULT_STATIC_QUANT_MODULE_MAPPINGS
               if k not in (nn.Dropout, nn.Embedding, nnq.FloatFunctional))


class _Traced:
    """A traced model with its qconfigs while it is rewritten."""

    def __init__(self, model: Any, mapping: QConfigMapping):
        self.model, self.mapping = model, mapping
        self.modules = dict(model.named_modules(remove_duplicate=False))

    def what(self, node: Any) -> Any:
        """A module's class, a function or a method's name."""
        return type(self.modules[node.target]) if node.op == "call_module" else node.target

    def config(self, node: Any) -> Any:
        """The qconfig of a node."""
        name = node.target if node.op == "call_module" else node.name
        return self.mapping.of(name, self.what(node)) if node.op.startswith("call") else None

    def kind(self, node: Any) -> str | None:
        """layer, add, mul or cat: what has a scale of its own; keeps: what has its input's; None: what stays float."""
        if not node.op.startswith("call") or self.config(node) is None:
            return None
        what = self.what(node)
        tensors = [a for a in node.args if isinstance(a, fx.Node)]
        if node.op == "call_module" and what in LAYERS:
            return "layer"
        if what in ADD and len(tensors) == 2:
            return "add"
        if what in MUL and len(tensors) == 2:
            return "mul"
        if what in CAT:
            return "cat"
        return "keeps" if what in KEEPS else None


def _mapping(given: Any) -> QConfigMapping:
    return given if isinstance(given, QConfigMapping) else QConfigMapping.from_dict(given)


# --- fusing ---------------------------------------------------------------------------------------------------------
FUSES = [kinds for n in (1, 2, 3) for c, b in ((getattr(nn, f"Conv{n}d"), getattr(nn, f"BatchNorm{n}d")),)
         for kinds in ((c, b, RELU), (c, b), (c, RELU))]
FUSES += [(nn.Linear, RELU)]


def _matches(traced: _Traced, node: Any, wanted: Any) -> bool:
    if not node.op.startswith("call"):
        return False
    what = traced.what(node)
    return what in wanted if isinstance(wanted, tuple) else what is wanted


def _chain(traced: _Traced, node: Any, pattern: Any) -> list[Any] | None:
    """The nodes from this one on that match, each read by the next alone."""
    found = [node]
    if not _matches(traced, node, pattern[0]):
        return None
    for wanted in pattern[1:]:
        users = list(found[-1].users)
        if len(users) != 1 or not _matches(traced, users[0], wanted):
            return None
        found.append(users[0])
    return found


def fuse_fx(model: Any, fuse_custom_config: Any = None, is_qat: bool = False) -> Any:
    """A traced model with convolution, batch norm and relu fused. In eval mode unless it is for training."""
    refuse("fuse_fx", fuse_custom_config=fuse_custom_config)
    if not is_qat and model.training:
        raise AssertionError("fuse_fx only works on models in eval mode")
    traced = _Traced(fx.symbolic_trace(model), QConfigMapping())
    traced.model.train(model.training)
    _fuse(traced, is_qat)
    return traced.model


def _fuse(traced: _Traced, qat: bool) -> None:
    graph = traced.model.graph
    used: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            used[node.target] = used.get(node.target, 0) + 1
    gone: set[Any] = set()
    for node in list(graph.nodes):
        if node in gone or node.op != "call_module" or used.get(node.target) != 1:
            continue
        chain = next((c for p in FUSES if (c := _chain(traced, node, p)) is not None), None)
        if chain is None:
            continue
        parts = [traced.modules[n.target] if n.op == "call_module" and traced.what(n) not in RELU else
                 nn.ReLU() for n in chain]
        for p in parts:
            p.train(parts[0].training)
        fused = fuse_known_modules(parts, qat)[0]
        _put(traced, node.target, fused)
        chain[-1].replace_all_uses_with(node)
        for extra in reversed(chain[1:]):
            graph.erase_node(extra)
            gone.add(extra)
    traced.model.delete_all_unused_submodules()
    traced.model.recompile()


def _put(traced: _Traced, name: str, module: Any) -> None:
    traced.model.add_submodule(name, module)
    traced.modules = dict(traced.model.named_modules(remove_duplicate=False))


# --- preparing --------------------------------------------------------------------------------------------------------
def prepare_fx(model: Any, qconfig_mapping: Any, example_inputs: Any = None, prepare_custom_config: Any = None,
               _equalization_config: Any = None, backend_config: Any = None) -> Any:
    """The traced and fused model with observers, for data to run through; the model itself stays as it is.

    ``qconfig_mapping`` is a QConfigMapping (`get_default_qconfig_mapping()`). AssertionError in training mode.

    >>> import rushlight as rl
    >>> from rushlight.ao.quantization.qconfig_mapping import get_default_qconfig_mapping
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval()
    >>> x = rl.ones(1, 1, 4, 4)
    >>> ready = prepare_fx(net, get_default_qconfig_mapping(), (x,))
    >>> _ = ready(x)
    >>> convert_fx(ready)(x).shape
    torch.Size([1, 2, 2, 2])
    """
    refuse("prepare_fx", prepare_custom_config=prepare_custom_config, backend_config=backend_config, _equalization_config=_equalization_config)
    if model.training:
        raise AssertionError("prepare_fx only works for models in eval mode")
    return _prepare(model, _mapping(qconfig_mapping), False)


def prepare_qat_fx(model: Any, qconfig_mapping: Any, example_inputs: Any = None, prepare_custom_config: Any = None,
                   backend_config: Any = None) -> Any:
    """`prepare_fx` for training: fake quantization behind layers and before
    their weights. AssertionError in eval mode."""
    refuse("prepare_qat_fx", prepare_custom_config=prepare_custom_config, backend_config=backend_config)
    if not model.training:
        raise AssertionError("prepare_qat_fx only works for models in train mode")
    return _prepare(model, _mapping(qconfig_mapping), True)


def _prepare(model: Any, mapping: QConfigMapping, qat: bool) -> Any:
    traced = _Traced(fx.symbolic_trace(copy.deepcopy(model)), mapping)
    traced.model.train(model.training)
    _fuse(traced, qat)
    if qat:
        for node in traced.model.graph.nodes:
            target = maps.DEFAULT_QAT_MODULE_MAPPINGS.get(traced.what(node)) if node.op == "call_module" else None
            if target is not None and traced.config(node) is not None:
                traced.modules[node.target].qconfig = traced.config(node)
                _put(traced, node.target, target.from_float(traced.modules[node.target]))
    graph = traced.model.graph
    observed: dict[Any, Any] = {}
    for node in list(graph.nodes):
        kind = traced.kind(node)
        if kind is None:
            continue
        if kind == "keeps":
            if node.args and isinstance(node.args[0], fx.Node) and node.args[0] in observed:
                observed[node] = None
            continue
        for source in node.all_input_nodes:
            if source not in observed and source.op != "get_attr":
                observed[source] = _insert(traced, source, traced.config(node))
        end = _with_relu(traced, node)
        observed[node] = observed[end] = _insert(traced, end, traced.config(node))
    graph.lint()
    traced.model.recompile()
    traced.model._qconfig_mapping = mapping
    return traced.model


def _with_relu(traced: _Traced, node: Any) -> Any:
    """The node, or the relu that alone reads a sum and is computed with it."""
    users = list(node.users)
    if traced.kind(node) == "add" and len(users) == 1 and _matches(traced, users[0], RELU):
        return users[0]
    return node


def _insert(traced: _Traced, node: Any, config: Any) -> Any:
    """An observer of a node's result, which all readers go through."""
    graph = traced.model.graph
    stem = "activation_post_process"
    count = sum(1 for n in graph.nodes if n.op == "call_module" and str(n.target).startswith(stem))
    name = f"{stem}_{count}"
    traced.model.add_submodule(name, config.activation())
    traced.modules[name] = getattr(traced.model, name)
    with graph.inserting_after(node):
        made = graph.call_module(name, (node,))
    node.replace_all_uses_with(made)
    made.args = (node,)
    return made


# --- converting
# ---------------------------------------------------------------------------------------------------------
class _Sum(nn.Module):
    """A sum, product or concatenation with the scale that was observed."""

    def __init__(self, kind: str, relu: bool, scale: float, zero: int):
        super().__init__()
        self.kind, self.relu = kind, relu
        self.of = nnq.QFunctional()
        self.of.scale, self.of.zero_point = scale, zero

    def forward(self, *operands: Any) -> Any:
        if self.kind == "cat":
            return self.of.cat(*operands)
        name = "add_relu" if self.relu else self.kind
        return getattr(self.of, name)(*operands)

    def extra_repr(self) -> str:
        return f"{self.kind}{'_relu' * self.relu}"


def _is_observer(traced: _Traced, node: Any) -> bool:
    return bool(node.op == "call_module" and str(node.target).startswith("activation_post_process_"))


def convert_fx(graph_module: Any, convert_custom_config: Any = None, _remove_qconfig: bool = True,
               qconfig_mapping: Any = None, backend_config: Any = None) -> Any:
    """The quantized model of a prepared one that has seen data. Which layers it is was said when it was prepared."""
    refuse("convert_fx", convert_custom_config=convert_custom_config, qconfig_mapping=qconfig_mapping, backend_config=backend_config)
    model = copy.deepcopy(graph_module)
    model.eval()
    traced = _Traced(model, getattr(graph_module, "_qconfig_mapping", QConfigMapping()))
    graph = model.graph
    whole: set[Any] = set()  # nodes whose results are quantized
    floats: dict[Any, Any] = {}  # their float forms
    integers: dict[Any, Any] = {}
    number = iter(range(1 << 30))

    def new(prefix: str, module: Any) -> str:
        name = f"{prefix}_{next(number)}"
        _put(traced, name, module)
        return name

    def as_float(node: Any, before: Any) -> Any:
        if node not in whole:
            return node
        if node not in floats:
            with graph.inserting_after(node):
                floats[node] = graph.call_method("dequantize", (node,))
        return floats[node]

    def as_integers(node: Any) -> Any:
        return integers.get(node, node)

    for node in list(graph.nodes):
        kind = traced.kind(node)
        if _is_observer(traced, node):
            _converted_observer(traced, node, whole, integers, new)
            continue
        if kind in ("layer", "add", "mul", "cat") and all(as_integers(n) in whole for n in node.all_input_nodes):
            node.args = fx.node.map_arg(node.args, as_integers)
            observer = next(n for n in _with_relu(traced, node).users if _is_observer(traced, n))
            _to_integers(traced, node, kind, traced.modules[observer.target], new)
            whole.add(node)
        elif kind == "keeps" and node.all_input_nodes and as_integers(node.all_input_nodes[0]) in whole:
            node.args = fx.node.map_arg(node.args, as_integers)
            whole.add(node)
        elif node.target not in ASKS:
            node.args = fx.node.map_arg(node.args, lambda n, at=node: as_float(n, at))
            node.kwargs = fx.node.map_arg(node.kwargs, lambda n, at=node: as_float(n, at))
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op.startswith("call"):
            graph.erase_node(node)
    graph.lint()
    model.delete_all_unused_submodules()
    model.recompile()
    return model


def _converted_observer(traced: _Traced, node: Any, whole: set[Any], integers: dict[Any, Any],
                        new: Callable[[str, Any], str]) -> None:
    """An observer of a quantized result goes away; of a float one it becomes the way to integers."""
    source = node.args[0]
    observer = traced.modules[node.target]
    if source in whole or source in integers:
        node.replace_all_uses_with(source)
        return
    scale, zero = observer.calculate_qparams()
    graph = traced.model.graph
    with graph.inserting_after(node):
        made = graph.call_module(new("quantize", nnq.Quantize(float(scale), int(zero), observer.dtype)), (source,))
    node.replace_all_uses_with(source)
    integers[source] = made
    whole.add(made)


def _to_integers(traced: _Traced, node: Any, kind: str, observer: Any, new: Callable[[str, Any], str]) -> None:
    """Put the quantized layer or sum in the place of a float one."""
    if kind == "layer":
        module = traced.modules[node.target]
        module.activation_post_process = observer
        module.qconfig = traced.config(node)
        _put(traced, node.target, maps.DEFAULT_STATIC_QUANT_MODULE_MAPPINGS[type(module)].from_float(module))
        return
    scale, zero = observer.calculate_qparams()
    end = _with_relu(traced, node)
    node.target, node.op = new(kind, _Sum(kind, end is not node, float(scale), int(zero))), "call_module"
    if end is not node:
        end.replace_all_uses_with(node)
    node.kwargs = {k: v for k, v in node.kwargs.items() if k == "dim"}
    if node.kwargs:
        node.args, node.kwargs = (*node.args, *node.kwargs.values()), {}


__all__ = ["convert_fx", "fuse_fx", "kernels", "nni", "prepare_fx", "prepare_qat_fx"]
