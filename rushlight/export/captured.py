"""What a capture gives: the graph, what it refers to, and the form of arguments and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rushlight.export.capture import Capture, CaptureError
from rushlight.export.modes import kept
from rushlight.export.names import through
from rushlight.fx.graph import Graph
from rushlight.fx.node import Node
from rushlight.nn import Module
from rushlight.tensor.core import Tensor
from rushlight.utils._pytree import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten


class Captured:
    """A program as a graph whose inputs are the leaves of the arguments that are tensors,
    and whose result is a tuple of leaves.

    ``attributes`` are the tensors that the graph reads by name: parameters, buffers and constants.
    """

    def __init__(
        self, capture: Capture, signature: inspect.Signature | None, in_tree: Any, leaves: list[Any], out_tree: Any
    ):
        self.graph: Graph = capture.graph
        self.root, self.constants, self.guards, self.aliased = (
            capture.root,
            capture.constants,
            capture.guards,
            capture.aliased,
        )
        self.signature, self.in_tree, self.leaves, self.out_tree = signature, in_tree, leaves, out_tree

    @classmethod
    def of(
        cls,
        graph: Graph,
        root: Any,
        constants: dict[str, Tensor],
        signature: Any,
        in_tree: Any,
        leaves: list[Any],
        out_tree: Any,
    ) -> Captured:
        """A captured program from its parts, as a file holds them."""
        self = cls.__new__(cls)
        self.graph, self.root, self.constants, self.guards, self.aliased = graph, root, constants, [], []
        self.signature, self.in_tree, self.leaves, self.out_tree = signature, in_tree, leaves, out_tree
        return self

    @property
    def placeholders(self) -> list[Node]:
        """The inputs."""
        return [n for n in self.graph.nodes if n.op == "placeholder"]

    @property
    def outputs(self) -> tuple[Any, ...]:
        """The results' nodes (or values)."""
        return next(tuple(n.args[0]) for n in reversed(self.graph.nodes) if n.op == "output")

    @property
    def attributes(self) -> dict[str, Tensor]:
        """The tensors that get_attr nodes read."""
        return {n.target: self.attribute(n.target) for n in self.graph.nodes if n.op == "get_attr"}

    def attribute(self, name: str) -> Any:
        """A parameter, buffer or constant by its name."""
        if name in self.constants:
            return self.constants[name]
        at: Any = self.root
        for part in name.split("."):
            at = getattr(at, part)
        return at

    def function(self) -> Callable[..., Any]:
        """The graph as a function of the program's own arguments, which reads the live parameters."""
        run = compiled(self.graph)
        look = _Look(self)

        def call(*args: Any, **kwargs: Any) -> Any:
            with kept():
                return tree_unflatten(list(run(look, *self.flat(args, kwargs))), self.out_tree)

        return call

    def flat(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """The tensors among the arguments, which must have the form of the example inputs. TypeError or RuntimeError
        where they have not."""
        return flat_inputs(self.signature, self.in_tree, self.leaves, args, kwargs)


def flat_inputs(
    signature: Any, in_tree: Any, leaves: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Tensor]:
    """The tensors among arguments of a known form; ``leaves`` holds the values
    that are no tensors, None for those that are."""
    given = bound(signature, args, kwargs)
    flat, tree = tree_flatten(given)
    if tree != in_tree:
        raise RuntimeError(f"the arguments have another structure than the example inputs: {tree} instead of {in_tree}")
    out = []
    for have, want in zip(flat, leaves):
        if isinstance(want, Placeholder):
            if not isinstance(have, Tensor):
                raise RuntimeError(
                    f"forward() Expected a value of type 'Tensor' for argument '{want.name}' but instead found type "
                    f"'{type(have).__name__}'."
                )
            out.append(have)
        elif type(have) is not type(want) or have != want:
            raise RuntimeError(
                f"the program was captured for the value {want!r} of an argument, "
                f"and cannot run with {have!r}; capture it again"
            )
    return out


class Placeholder:
    """Marks a leaf of the arguments that is a tensor."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class _Look:
    """What generated code calls ``self``: the program's module, with the graph's constants."""

    def __init__(self, captured: Captured):
        self._captured = captured

    def __getattr__(self, name: str) -> Any:
        constants = self._captured.constants
        return constants[name] if name in constants else getattr(self._captured.root, name)


def compiled(graph: Graph) -> Callable[..., Any]:
    """The graph's Python: a function of ``self`` and the inputs."""
    code = graph.python_code("self")
    space = dict(code.globals)
    exec(compile(code.src, "<captured graph>", "exec"), space)
    return space["forward"]  # type: ignore[no-any-return]


def bound(signature: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by their parameters' names."""
    if signature is None:
        return {"args": tuple(args), "kwargs": dict(kwargs)}
    return dict(signature.bind(*args, **kwargs).arguments)


def signature_of(program: Any) -> inspect.Signature | None:
    """The signature of a module's forward or of a function, None where it has none."""
    if "_program" in getattr(program, "__dict__", {}):  # an exported program takes what the exported module took
        return program._program._signature  # type: ignore[no-any-return]
    try:
        return inspect.signature(program.forward if isinstance(program, Module) else program)
    except (TypeError, ValueError):
        return None


def _name(path: Any) -> str:
    """The name of an argument's leaf: x, states_0, options_scale."""
    parts = [getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path]
    return "_".join(str(p) for p in parts) or keystr(path)


def capture(
    program: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    on_read: Callable[[str], Any] = lambda name: None,
    casts: bool = False,
) -> Captured:
    """Run a module or function on example arguments and give its graph; CaptureError where it does what a graph cannot
    hold. ``casts``: autocast that is on now is part of the program."""
    from rushlight.tensor.core import new_tensor

    signature = signature_of(program)
    given = bound(signature, args, kwargs or {})
    with_path, in_tree = tree_flatten_with_path(given)
    program = through().get(id(program), program)
    taker = Capture(program, on_read, casts)
    leaves, values = [], []
    for path, value in with_path:
        if isinstance(value, Tensor):
            node = taker.graph.placeholder(_name(path))
            if id(value) in taker._known:  # one tensor given twice has two inputs
                alike = new_tensor(value._storage, value._spec)
                alike._vc = value._vc
                value = alike
            taker.bind(value, node)
            values.append(value)
            leaves.append(Placeholder(node.name))
        else:
            values.append(value)
            leaves.append(value)
    positional, named = _call_form(signature, tree_unflatten(values, in_tree))
    with taker.watching():
        result = program(*positional, **named)
        flat, out_tree = tree_flatten(result)
        taker.finish(flat)
    return Captured(taker, signature, in_tree, leaves, out_tree)


def _call_form(signature: Any, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if signature is None:
        return given["args"], given["kwargs"]
    call = inspect.BoundArguments(signature, given)
    return call.args, call.kwargs


__all__ = ["Captured", "CaptureError", "Placeholder", "bound", "capture", "compiled", "flat_inputs", "signature_of"]
