"""ExportedProgram: a captured module with its state, apart from the class that defined it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from rushlight.export.capture import Facts
from rushlight.export.captured import Placeholder, flat_inputs
from rushlight.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    SymIntArgument,
    TensorArgument,
)
from rushlight.export.modes import is_needed, kept
from rushlight.fx.graph import Graph
from rushlight.fx.graph_module import GraphModule
from rushlight.fx.node import Node
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import Tensor
from rushlight.utils._pytree import tree_unflatten

KINDS = {"PARAMETER": "p", "BUFFER": "b", "CONSTANT_TENSOR": "c"}


class ValueRanges:
    """The numbers from ``lower`` to ``upper`` (None: without end)."""

    def __init__(self, lower: int, upper: int | None):
        self.lower, self.upper = lower, upper

    def __contains__(self, n: int) -> bool:
        return self.lower <= n and (self.upper is None or n <= self.upper)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValueRanges) and (self.lower, self.upper) == (other.lower, other.upper)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"VR[{self.lower}, {'int_oo' if self.upper is None else self.upper}]"


class ExportedProgram:
    """A graph whose inputs are parameters, buffers, constants and the tensors among the arguments, in that order.

    ``module()`` gives a module that can be called; ``state_dict`` holds
    parameters and buffers, ``constants`` other tensors;
    ``range_constraints`` are the sizes that may change with their bounds.
    """

    def __init__(
        self,
        graph: Graph,
        signature: ExportGraphSignature,
        state: dict[str, Tensor],
        constants: dict[str, Tensor],
        form: tuple[Any, Any, list[Any], Any],
        ranges: dict[str, ValueRanges],
        example_inputs: Any,
    ):
        self.graph_signature, self.state_dict, self.constants, self.range_constraints = (
            signature,
            state,
            constants,
            ranges,
        )
        self._signature, self._in_tree, self._leaves, self._out_tree = form
        self.example_inputs = example_inputs
        self.graph_module = GraphModule(Module(), graph)

    # --- facts ----------------------------------------------------------------------------------------------------
    @property
    def graph(self) -> Graph:
        """The graph."""
        return self.graph_module.graph

    @property
    def tensor_constants(self) -> dict[str, Tensor]:
        """The tensors that are not in the state_dict."""
        return self.constants

    @property
    def dialect(self) -> str:
        """What kind of operations the graph holds: those that the program called."""
        return "TORCH"

    @property
    def call_spec(self) -> tuple[Any, Any]:
        """The structures of arguments and results."""
        return self._in_tree, self._out_tree

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters by name."""
        for name in self.graph_signature.parameters:
            yield name, self.state_dict[name]  # type: ignore[misc]

    def parameters(self) -> Iterator[Parameter]:
        """The parameters."""
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Buffers by name."""
        for name in self.graph_signature.buffers:
            yield name, self.state_dict[name] if name in self.state_dict else self.constants[name]

    def buffers(self) -> Iterator[Tensor]:
        """The buffers."""
        return (b for _, b in self.named_buffers())

    # --- running --------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Unable to call ExportedProgram directly. You should use `exported_program.module()` instead."
        )

    def module(self, check_guards: bool = True) -> ExportedModule:
        """A module with the parameters under their own names, which takes the arguments that the program took."""
        graph, seen = Graph(), {}
        held = {s.arg.name: s.target for s in self.graph_signature.input_specs if s.kind is not InputKind.USER_INPUT}
        for n in self.graph.nodes:  # inputs first
            if n.op == "placeholder" and n.name not in held:
                seen[n] = graph.node_copy(n)
        for n in self.graph.nodes:
            if n.name in held and n.op == "placeholder":
                seen[n] = graph.create_node("get_attr", held[n.name], name=n.name)
        graph.output(graph.graph_copy(self.graph, seen))
        return ExportedModule(self, graph, check_guards)

    def run_decompositions(
        self, decomp_table: Any = None, decompose_custom_triton_ops: bool = False
    ) -> ExportedProgram:
        """A copy: the graph's operations are those of the public API, and stay. NotImplementedError for graphs that
        write in place, and for tables."""
        if decomp_table:
            raise NotImplementedError(
                "run_decompositions: rushlight's graphs hold calls of public functions, which no table of ATen "
                "operations takes apart"
            )
        writes = [n.name for n in self.graph.nodes if n.meta.get("mutates")]
        if writes:
            raise NotImplementedError(
                f"run_decompositions: the graph writes in place ({', '.join(writes)}); "
                "rushlight does not make such graphs functional"
            )
        return copy.copy(self)

    def check(self, flat: list[Tensor]) -> None:
        """AssertionError where sizes of inputs are not those that the program was
        captured for, or lie outside their bounds."""
        inputs = [n for n in self.graph.nodes if n.op == "placeholder" and n.name in self._names]
        found: dict[str, tuple[int, str]] = {}
        for n, t in zip(inputs, flat):
            sizes = n.meta.get("sizes", n.meta["val"].shape)
            if len(sizes) != t.dim():
                raise AssertionError(f"Guard failed: {n.name}.dim() == {len(sizes)}")
            if t.dtype is not n.meta["val"].dtype:
                raise AssertionError(f"Guard failed: {n.name}.dtype == {n.meta['val'].dtype}")
            for d, (want, have) in enumerate(zip(sizes, t.shape)):
                _guard(f"{n.name}.size()[{d}]", want, have, self.range_constraints, found)

    @property
    def _names(self) -> set[Any]:
        return set(self.graph_signature.user_inputs[i] for i in range(len(self.graph_signature.user_inputs)))

    def __str__(self) -> str:
        code = "".join(f"    {line}\n" for line in self.graph_module.code.strip().splitlines())
        return (
            "ExportedProgram:\n    class GraphModule(torch.nn.Module):\n    "
            f"{code.replace(chr(10), chr(10) + '    ').rstrip()}\n\n"
            f"Graph signature: {self.graph_signature}\nRange constraints: {self.range_constraints}\n"
        )

    __repr__ = __str__


def _guard(what: str, want: Any, have: int, ranges: dict[str, ValueRanges], found: dict[str, tuple[int, str]]) -> None:
    if not isinstance(want, str):
        if want != have:
            raise AssertionError(f"Guard failed: {what} == {want}")
        return
    bounds = ranges.get(want)
    if bounds is not None and have < bounds.lower:
        raise AssertionError(f"Guard failed: {what} >= {bounds.lower}")
    if bounds is not None and bounds.upper is not None and have > bounds.upper:
        raise AssertionError(f"Guard failed: {what} <= {bounds.upper}")
    if found.setdefault(want, (have, what))[0] != have:
        raise AssertionError(f"Guard failed: {what} == {found[want][1]}")


class ExportedModule(GraphModule):
    """The module of an exported program: its parameters can be trained and saved, its graph changed."""

    def __init__(self, program: ExportedProgram, graph: Graph, check_guards: bool):
        root: dict[str, Any] = {}
        for s in program.graph_signature.input_specs:
            if s.target is not None:
                root[s.target] = (
                    program.state_dict[s.target] if s.target in program.state_dict else program.constants[s.target]
                )
        super().__init__(root, graph)
        for s in program.graph_signature.input_specs:
            if s.target is not None and (s.kind is InputKind.CONSTANT_TENSOR or s.persistent is False):
                *path, last = s.target.split(".")
                at: Any = self
                for part in path:
                    at = getattr(at, part)
                if last in at._buffers:
                    at._non_persistent_buffers_set.add(last)
        self.__dict__["_program"], self.__dict__["_check"] = program, check_guards

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program = self._program
        try:
            flat = flat_inputs(program._signature, program._in_tree, program._leaves, args, kwargs)
        except TypeError as e:
            raise ValueError(
                f"Trying to flatten user inputs with exported input tree spec: \n{program._in_tree}\nbut {e}"
            ) from None
        except RuntimeError as e:
            raise ValueError(
                f"Trying to flatten user inputs with exported input tree spec: \n{program._in_tree}\n{e}"
            ) from None
        if self._check:
            program.check(flat)
        with kept():
            return tree_unflatten(list(super().__call__(*flat)), program._out_tree)

    def train(self, mode: bool = True) -> Any:
        """NotImplementedError: what a mode changes was fixed when the program was captured."""
        raise NotImplementedError("Calling train() is not supported yet.")

    def eval(self) -> Any:
        """NotImplementedError, as for train."""
        raise NotImplementedError("Calling eval() is not supported yet.")

    __reduce__ = Module.__reduce__


def lift(captured: Any, ranges: dict[str, ValueRanges], example_inputs: Any) -> ExportedProgram:
    """The exported program of a capture: its parameters become inputs, numbers that cannot change become constants."""
    root = captured.root
    parameters = dict(root.named_parameters(remove_duplicate=False)) if root is not None else {}
    buffers = dict(root.named_buffers(remove_duplicate=False)) if root is not None else {}
    state = root.state_dict(keep_vars=True) if root is not None else {}
    graph, seen, specs, constants = Graph(), {}, [], {}
    reads = [n for n in captured.graph.nodes if n.op == "get_attr"]
    for kind, homes in (
        (InputKind.PARAMETER, parameters),
        (InputKind.BUFFER, buffers),
        (InputKind.CONSTANT_TENSOR, captured.constants),
    ):
        for n in reads:
            if n.target in homes:
                made = seen[n] = graph.placeholder(f"{KINDS[kind.name]}_{n.target.replace('.', '_')}")
                made.meta = dict(n.meta)
                persistent = n.target in state if kind is InputKind.BUFFER else None
                specs.append(InputSpec(kind, TensorArgument(made.name), n.target, persistent))
                if n.target not in state:
                    constants[n.target] = homes[n.target]
    fixed = _copy(captured.graph, graph, seen)
    names = {old.name: new.name for old, new in seen.items() if old.op == "placeholder"}
    leaves: list[Any] = []
    for leaf in captured.leaves:
        name = names[leaf.name] if isinstance(leaf, Placeholder) else "arg"
        specs.append(
            InputSpec(
                InputKind.USER_INPUT,
                TensorArgument(name) if isinstance(leaf, Placeholder) else ConstantArgument(name, leaf),
            )
        )
        leaves.append(Placeholder(name) if isinstance(leaf, Placeholder) else leaf)
    results = [OutputSpec(OutputKind.USER_OUTPUT, _argument(x)) for x in fixed]
    kept = {k: v for k, v in state.items()}
    form = (captured.signature, captured.in_tree, leaves, captured.out_tree)
    return ExportedProgram(graph, ExportGraphSignature(specs, results), kept, constants, form, ranges, example_inputs)


def _argument(x: Any) -> Any:
    if not isinstance(x, Node):
        return ConstantArgument("", x)
    return (
        TensorArgument(x.name)
        if isinstance(x.meta.get("val"), Facts) or x.meta.get("val") is None
        else SymIntArgument(x.name)
    )


def _copy(old: Graph, new: Graph, seen: dict[Node, Node]) -> tuple[Any, ...]:
    """The nodes of one graph in another, but for numbers that are known; the results."""
    known: dict[Node, Any] = {}
    for n in old.nodes:
        if n in seen:
            continue
        value = n.meta.get("val")
        if isinstance(value, (int, float)) and not n.meta.get("dynamic"):
            known[n] = value
        elif n.op == "output":
            results = tuple([known[x] if x in known else seen[x] if isinstance(x, Node) else x for x in n.args[0]])
            new.output(results)
        else:
            seen[n] = new.node_copy(n, lambda m: known[m] if m in known else seen[m])
            if "mutates" in n.meta:
                seen[n].meta["mutates"] = [seen[m] for m in n.meta["mutates"]]
    for n in reversed(new.nodes):
        if not is_needed(n):
            new.erase_node(n)
    return results


__all__ = ["ExportedModule", "ExportedProgram", "ValueRanges", "lift"]
