"""Outputs of layers within a network: the names of the operations of its graph,
and the network that gives some of their results."""

from __future__ import annotations

import math
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from rushlight import fx, nn
from rushlight.vision import ops

SEPARATELY = ("When choosing nodes for feature extraction, "
              "you may need to specify output nodes for train and eval mode separately.")
WITHIN = "NOTE: The nodes obtained by tracing the model in {} mode are a subsequence of those obtained in {} mode. "
DIFFERENT = "The nodes obtained by tracing the model in train mode are different to those obtained in eval mode. "


class LeafModuleAwareTracer(fx.Tracer):
    """A tracer that leaves modules of the types ``leaf_modules`` as calls."""

    def __init__(self, *args: Any, leaf_modules: Any = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaf_modules = leaf_modules

    def is_leaf_module(self, m: nn.Module, module_qualname: str) -> bool:
        """Whether a submodule stays a call."""
        return isinstance(m, tuple(self.leaf_modules)) or super().is_leaf_module(m, module_qualname)


class NodePathTracer(LeafModuleAwareTracer):
    """Keeps in ``node_to_qualname`` where in the hierarchy of modules each node comes from.

    A node is called by the path of its module, and by what it does unless it is the call of that module;
    what comes again gets ``_1``, ``_2``, … behind its name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current_module_qualname = ""
        self.node_to_qualname: dict[Any, str] = OrderedDict()
        self._times: dict[str, int] = {}

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """As of the base, and within it the present module is known."""
        before = self.current_module_qualname
        self.current_module_qualname = self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.current_module_qualname = before

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None,
                     type_expr: Any = None, *_: Any) -> Any:
        """As of the base; the node gets its name."""
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
        self.node_to_qualname[proxy.node] = self._get_node_qualname(self.current_module_qualname, proxy.node)
        return proxy

    def _get_node_qualname(self, module_qualname: str, node: Any) -> str:
        parts = [module_qualname] if module_qualname else []
        name = ".".join(parts if node.op == "call_module" else [*parts, str(node)])
        name = re.sub(r"(?<=.)_[0-9]+$", "", name)
        times = self._times[name] = self._times.get(name, -1) + 1
        return f"{name}_{times}" if times else name


def _contains(x: list[str], y: list[str]) -> bool:
    """Whether y is x with some elements left out."""
    rest = iter(x)
    return all(any(a == b for a in rest) for b in y)


def _warn_graph_differences(train: list[str], evaluation: list[str]) -> None:
    if train == evaluation:
        return
    if _contains(train, evaluation):
        text = WITHIN.format("eval", "train")
    elif _contains(evaluation, train):
        text = WITHIN.format("train", "eval")
    else:
        text = DIFFERENT
    warnings.warn(text + SEPARATELY, stacklevel=3)


def _tracer(kwargs: dict[str, Any] | None) -> NodePathTracer:
    """A tracer with the caller's settings, for which all operations of `rushlight.vision.ops` are leaves too."""
    kwargs = dict(kwargs or {})
    modules = [kind for kind in vars(ops).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    kwargs["autowrap_modules"] = (*kwargs.get("autowrap_modules", ()), math, ops)
    kwargs["leaf_modules"] = [*kwargs.get("leaf_modules", ()), *modules]
    return NodePathTracer(**kwargs)


def _modes(model: nn.Module) -> Iterator[str]:
    """train, then eval, with the model in that mode; at last it is again as it was."""
    before = [(module, module.training) for module in model.modules()]
    try:
        for mode in ("train", "eval"):
            model.train(mode == "train")
            yield mode
    finally:
        for module, training in before:
            module.training = training


def get_graph_node_names(model: nn.Module, tracer_kwargs: dict[str, Any] | None = None,
                         suppress_diff_warning: bool = False,
                         concrete_args: dict[str, Any] | None = None) -> tuple[list[str], list[str]]:
    """The names of the operations of a network, in their order: in train mode, and in eval mode.

    Args:
        tracer_kwargs: arguments of the tracer: leaf_modules, autowrap_functions, autowrap_modules.
        suppress_diff_warning: do not warn where the two lists differ.
        concrete_args: values of arguments that steer the program.

    >>> get_graph_node_names(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))[0]
    ['input', '0', '1']
    """
    names = []
    for _ in _modes(model):
        tracer = _tracer(tracer_kwargs)
        tracer.trace(model, concrete_args=concrete_args)
        names.append(list(tracer.node_to_qualname.values()))
    if not suppress_diff_warning:
        _warn_graph_differences(*names)
    return names[0], names[1]


class DualGraphModule(fx.GraphModule):
    """A graph for train mode and one for eval mode; ``train()`` and ``eval()`` change between them."""

    def __init__(self, root: nn.Module, train_graph: Any, eval_graph: Any, class_name: str = "GraphModule") -> None:
        both = fx.Graph()  # what either graph uses
        for node in chain(train_graph.nodes, eval_graph.nodes):
            if node.op in ("get_attr", "call_module"):
                both.create_node(node.op, node.target)
        super().__init__(root, both, class_name)
        self.train_graph, self.eval_graph = train_graph, eval_graph
        self.training = True
        self.graph = train_graph

    def train(self, mode: bool = True) -> DualGraphModule:
        """Change to the graph of a mode."""
        if mode != self.training:
            self.graph = self.train_graph if mode else self.eval_graph
        return super().train(mode)

    def __deepcopy__(self, memo: Any) -> DualGraphModule:
        import copy
        fresh = nn.Module()
        fresh.__dict__.update({key: copy.deepcopy(value, memo)
                               for key, value in self.__dict__.items() if not key.endswith("graph")})
        done = DualGraphModule(fresh, copy.deepcopy(self.train_graph), copy.deepcopy(self.eval_graph),
                               type(self).__name__)
        memo[id(self)] = done
        return done.train(self.training)


def _wanted(nodes: Any) -> dict[str, str]:
    """Names of nodes to names of results."""
    pairs = nodes.items() if isinstance(nodes, dict) else zip(nodes, nodes)
    return {str(key): str(value) for key, value in pairs}


def _choices(both: Any, train: Any, evaluation: Any) -> dict[str, dict[str, str]]:
    """What to give in each mode, from the arguments of `create_feature_extractor`."""
    if both is None and train is None and evaluation is None:
        raise ValueError("Either `return_nodes` or `train_return_nodes` and "
                         "`eval_return_nodes` together, should be specified")
    if (train is None) != (evaluation is None):
        raise ValueError("If any of `train_return_nodes` and `eval_return_nodes` are "
                         "specified, then both should be specified")
    if both is not None and train is not None:
        raise ValueError("If `train_return_nodes` and `eval_return_nodes` are specified, then both should be specified "
                         "and `return_nodes` left out")
    return {"train": _wanted(both if train is None else train),
            "eval": _wanted(both if evaluation is None else evaluation)}


def _check_present(wanted: dict[str, str], names: list[str]) -> None:
    for query in wanted:
        if not any(name == query or name.startswith(query + ".") for name in names):
            import difflib
            near = difflib.get_close_matches(query, names, 3)
            raise ValueError(f"node: '{query}' is not present in model. Hint: "
                             "use `get_graph_node_names` to make sure the `return_nodes` you specified are present. "
                             "It may even be that you need to specify `train_return_nodes` and `eval_return_nodes` "
                             f"separately.{' Similar names: ' + ', '.join(near) if near else ''}")


def _cut(graph: Any, tracer: NodePathTracer, wanted: dict[str, str]) -> None:
    """Let the graph give a dictionary of the last node under each wanted name, and drop what these do not need."""
    for node in [node for node in graph.nodes if node.op == "output"]:
        graph.erase_node(node)
    nodes, left, found = list(graph.nodes), dict(wanted), {}
    for node in reversed(nodes):
        name = tracer.node_to_qualname.get(node)
        query = None if name is None else next((q for q in left if name == q or name.startswith(q + ".")), None)
        if query is not None:
            found[left.pop(query)] = node
    with graph.inserting_after(nodes[-1]):
        graph.output(dict(reversed(found.items())))
    graph.eliminate_dead_code()


def create_feature_extractor(model: nn.Module, return_nodes: Any = None, train_return_nodes: Any = None,
                             eval_return_nodes: Any = None, tracer_kwargs: dict[str, Any] | None = None,
                             suppress_diff_warning: bool = False,
                             concrete_args: dict[str, Any] | None = None) -> fx.GraphModule:
    """A network that shares the model's layers and gives a dictionary of results
    from within, computing no more than these need.

    Args:
        return_nodes: names of nodes or of modules (then their last operation),
            or a dictionary from them to names of results.
        train_return_nodes, eval_return_nodes: in its place, where the modes have different graphs.
        tracer_kwargs: arguments of the tracer: leaf_modules, autowrap_functions, autowrap_modules.
        suppress_diff_warning: do not warn where the graphs of the modes differ.
        concrete_args: values of arguments that steer the program.

    ValueError for a name that is not there.

    >>> import rushlight as rl
    >>> net = create_feature_extractor(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), {"1": "hidden"})
    >>> {name: tuple(value.shape) for name, value in net(rl.zeros(5, 2)).items()}
    {'hidden': (5, 3)}
    """
    choices = _choices(return_nodes, train_return_nodes, eval_return_nodes)
    graphs, names = {}, []
    training = model.training
    for mode in _modes(model):
        tracer = _tracer(tracer_kwargs)
        graphs[mode] = tracer.trace(model, concrete_args=concrete_args)
        names.append(list(tracer.node_to_qualname.values()))
        _check_present(choices[mode], names[-1])
        _cut(graphs[mode], tracer, choices[mode])
    if not suppress_diff_warning:
        _warn_graph_differences(*names)
    return DualGraphModule(model, graphs["train"], graphs["eval"], type(model).__name__).train(training)
