"""Capture: runs a program on real tensors and writes its calls of torch's functions down as an fx graph.

Every public function and method passes the __torch_function__ protocol, so the graph holds what the program called
(`conv2d`, `batch_norm`, `view`), in order, with sizes that were read as nodes of their own. What the functions do
inside is not looked at. Nothing is computed unless the program reads a value: tensors are lazy.
"""

from __future__ import annotations

import contextlib
import operator
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.export.modes import Modes, is_needed
from rushlight.export.names import redirect, target
from rushlight.export.numbers import Traced, plain, traced
from rushlight.fx.graph import Graph
from rushlight.fx.node import Node, map_aggregate
from rushlight.nn import Module
from rushlight.overrides import TorchFunctionMode
from rushlight.tensor.core import Tensor
from rushlight.tensor.storage import Storage

OPERATORS = {
    "__getitem__": operator.getitem,
    "__setitem__": operator.setitem,
    "__floordiv__": operator.floordiv,
    "__mod__": operator.mod,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__xor__": operator.xor,
    "__invert__": operator.invert,
    "__lshift__": operator.lshift,
    "__rshift__": operator.rshift,
}
SWAPPED = {
    f"__r{n}__": getattr(operator, n)
    for n in ("sub", "truediv", "matmul", "pow", "floordiv", "mod", "lshift", "rshift")
}
SWAPPED.update({"__rand__": operator.and_, "__ror__": operator.or_, "__rxor__": operator.xor})
READS = (
    "__bool__",
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__contains__",
    "tolist",
    "numpy",
    "__array__",
    "equal",
    "allclose",
    "is_nonzero",
    "__format__",
)
SILENT = ("__repr__", "__hash__", "__deepcopy__", "__reduce_ex__", "__reversed__")


class CaptureError(RuntimeError):
    """A program does something that a graph cannot hold."""


class Facts:
    """Shape and dtype of a captured value."""

    __slots__ = ("shape", "dtype", "requires_grad")

    def __init__(self, t: Tensor):
        self.shape, self.dtype, self.requires_grad = tuple(t._spec.shape), t._spec.dtype, bool(t._rg)

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class _Foreign(Exception):
    """An operand that a graph cannot hold."""


def tensors_in(nest: Any) -> Iterator[Tensor]:
    """The tensors of a nest."""
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for x in nest:
            yield from tensors_in(x)
    elif isinstance(nest, dict):
        yield from tensors_in(tuple(nest.values()))


class Capture(TorchFunctionMode):
    """The mode under which a program runs; ``graph`` is filled meanwhile.

    ``on_read(text)`` is called where the program turns a tensor into a value of Python.
    """

    def __init__(self, program: Any, on_read: Callable[[str], Any], casts: bool = False):
        owner = getattr(program, "__self__", None)
        root = program if isinstance(program, Module) else owner if isinstance(owner, Module) else None
        self.program, self.graph, self.root, self.on_read = program, Graph(), root, on_read
        self.modes = Modes(self.graph, casts)
        self.constants: dict[str, Tensor] = {}
        self.done = False
        self.guards: list[Any] = []
        self.aliased: list[tuple[Node, str]] = []  # reads of a tensor after its memory was written through another one
        self.path: list[tuple[str, str]] = []  # the modules that run, outermost first: (name, class)
        self._known: dict[int, list[Any]] = {}  # id of a tensor -> [weak reference, node, version]
        self._born: Any = weakref.WeakSet()
        self._fixed: Any = weakref.WeakSet()  # storages made by the program without operands of the graph
        self._attributes: dict[int, tuple[str, Tensor]] = {}
        self._sizes: dict[tuple[Node, int], Node] = {}
        self._start: Node | None = None  # the last of the nodes that read parameters, behind the inputs
        if root is not None:
            self._names = {id(m): n for n, m in root.named_modules()}
            for name, t in (
                *root.named_parameters(remove_duplicate=False),
                *root.named_buffers(remove_duplicate=False),
            ):
                self._attributes.setdefault(id(t), (name, t))
        else:
            self._names = {}

    # --- values and their nodes -----------------------------------------------------------------------------------
    def bind(self, t: Tensor, node: Node) -> None:
        """From now on t is the result of node."""
        node.meta["val"] = Facts(t)
        self._known[id(t)] = [weakref.ref(t), node, t._vc.version]

    def node_of(self, t: Tensor) -> Node:
        """The node whose result a tensor is: an operation, an input, a parameter or a constant."""
        entry = self._known.get(id(t))
        if entry is not None and entry[0]() is t:
            if entry[2] != t._vc.version:
                self.aliased.append((entry[1], self.where()))
            return entry[1]  # type: ignore[no-any-return]
        return self._attribute(t)

    def _attribute(self, t: Tensor) -> Node:
        found = self._attributes.get(id(t))
        if found is None:
            if t._storage in self._born and t._storage not in self._fixed:
                raise CaptureError(
                    f"a tensor of shape {list(t._spec.shape)} was computed by code that the tracer does not see"
                    f"{self.where(' in ')}; compute it with functions of torch, "
                    "called by names that were looked up after torch.fx was imported"
                )
            found = self._attributes[id(t)] = f"_tensor_constant{len(self.constants)}", t
            self.constants[found[0]] = t
        node = self._at_start(found[0])
        self.bind(t, node)
        return node

    def _at_start(self, name: str) -> Node:
        """A get_attr node behind the inputs, so that it stands before every reader."""
        if self._start is None:
            self._start = next((n for n in reversed(self.graph.nodes) if n.op == "placeholder"), None)
        with self.graph.inserting_after(self._start) if self._start is not None else self.graph.inserting_before(None):
            self._start = self.graph.get_attr(name)
        return self._start

    def where(self, before: str = "") -> str:
        """The module that runs: ``layer1.0.conv1 (Conv2d)``."""
        return f"{before}{self.path[-1][0] or 'the model'} ({self.path[-1][1]})" if self.path else ""

    def operands(self, nest: Any) -> Any:
        """Arguments as a graph holds them."""
        return map_aggregate(nest, self._leaf)

    def _leaf(self, x: Any) -> Any:
        from rushlight.ir.dtype import DType
        from rushlight.tensor.device import device
        from rushlight.tensor.formats import layout, memory_format

        if isinstance(x, Tensor):
            return self.node_of(x)
        if isinstance(x, Traced):
            return x.node
        if (
            x is None
            or x is ...
            or isinstance(x, (str, int, float, bool, complex, DType, device, layout, memory_format))
        ):
            return x
        if isinstance(x, range):
            return list(x)
        if hasattr(x, "item") and getattr(x, "ndim", None) == 0:  # a number of NumPy
            return x.item()
        raise _Foreign(type(x).__name__)

    # --- calls ----------------------------------------------------------------------------------------------------
    def __torch_function__(
        self, func: Any, kinds: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        kind, name = target(func)
        given, named = map_aggregate((args, kwargs), plain)
        if kind == "property":
            return self._property(func, name, args[0])
        if name in SIZES and kind == "method":
            return self._size(name, args, kwargs, func(*given, **named))
        if name == "item" and kind == "method":
            node = self.node_of(args[0])
            return traced(func(*given), self, lambda: self.graph.call_method("item", (node,)))
        if name in READS:
            self.on_read(name)
            return func(*given, **named)
        if name in SILENT:
            return func(*given, **named)
        if name == "__iter__":
            return iter(args[0].unbind(0))
        return self._call(kind, name, func, args, kwargs, given, named)

    def _property(self, func: Any, name: str, t: Tensor) -> Any:
        value = func(t)
        if name == "shape":
            return self._size("size", (t,), {}, value)
        if isinstance(value, Tensor):
            self.modes.follow()
            self._result(self.graph.call_function(getattr, (self.node_of(t), name)), value)
        return value

    def _size(self, name: str, args: Any, kwargs: Any, value: Any) -> Any:
        t = args[0]
        dim = (args[1] if len(args) > 1 else kwargs.get("dim")) if name == "size" else None
        if isinstance(value, tuple):
            return type(value)([self._one_size(t, d, n) for d, n in enumerate(value)])
        if name == "size" and dim is not None:
            return self._one_size(t, dim % len(t._spec.shape), value)
        if name == "__len__":
            return self._one_size(t, 0, value)
        node = self.node_of(t)
        return traced(value, self, lambda: self.graph.call_method("numel", (node,)))

    def _one_size(self, t: Tensor, d: int, n: int) -> Any:
        """The size of dimension d, which is n, as a number that knows where it came from."""
        node = self.node_of(t)

        def make() -> Node:
            if (node, d) not in self._sizes:
                self._sizes[(node, d)] = self.graph.call_method("size", (node, d))
            return self._sizes[(node, d)]

        return traced(n, self, make)

    def _call(self, kind: str, name: str, func: Any, args: Any, kwargs: Any, given: Any, named: Any) -> Any:
        tensors = [(t, t._vc.version) for t in tensors_in((args, kwargs))]
        try:
            inputs, options = self.operands(args), self.operands(kwargs)
        except _Foreign as e:
            if tensors:
                raise CaptureError(
                    f"{name}: an operand of type {e} has no place in a graph{self.where('; it is called in ')}"
                ) from None
            value = func(*given, **named)
            for t in tensors_in(value):
                self._fixed.add(t._storage)
            return value
        self.modes.follow()
        value = func(*given, **named)
        node = self._node(kind, name, func, inputs, options)
        node.meta["path"] = self.where()
        node.meta["nn_module_stack"] = {n: (n, k) for n, k in self.path}
        changed = [t for t, version in tensors if t._vc.version != version]
        if changed:
            node.meta["mutates"] = [self._known[id(t)][1] for t in changed]
            for t in changed:
                self._known[id(t)][2] = t._vc.version
        self._result(node, value)
        return value

    def _node(self, kind: str, name: str, func: Any, inputs: Any, options: Any) -> Node:
        if kind == "method" and name in OPERATORS:
            return self.graph.call_function(OPERATORS[name], inputs)
        if kind == "method" and name in SWAPPED:
            return self.graph.call_function(SWAPPED[name], inputs[::-1])
        if kind == "method":
            return self.graph.call_method(name, inputs, options)
        return self.graph.call_function(func, inputs, options)

    def _result(self, node: Node, value: Any) -> None:
        if isinstance(value, Tensor):
            self.bind(value, node)
        elif isinstance(value, (tuple, list)):
            for i, part in enumerate(value):
                if isinstance(part, (Tensor, tuple, list)):
                    self._result(self.graph.call_function(operator.getitem, (node, i)), part)

    # --- running --------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """In the block: which module runs, and which storages are made, is known, and calls come to this object."""
        call, make, capture = Module.__call__, Storage.__init__, self

        def module_call(mod: Module, *args: Any, **kwargs: Any) -> Any:
            name = capture._names.get(id(mod), capture.path[-1][0] if capture.path else "")
            capture.path.append((name, type(mod).__name__))
            try:
                return call(mod, *args, **kwargs)
            finally:
                capture.path.pop()

        def storage_made(storage: Storage, *args: Any) -> None:
            make(storage, *args)
            capture._born.add(storage)

        put_back = redirect(self.root, self.program)
        Module.__call__, Storage.__init__ = module_call, storage_made  # type: ignore[method-assign]
        RUNNING.append(self)
        try:
            with self:
                yield
        finally:
            RUNNING.remove(self)
            self.done = True
            Module.__call__, Storage.__init__ = call, make  # type: ignore[method-assign]
            put_back()

    def finish(self, leaves: list[Any]) -> None:
        """The results, and what they do not need goes away."""

        def leaf(x: Any) -> Any:
            try:
                return self._leaf(x)
            except _Foreign:
                raise CaptureError(
                    "Only tensors, lists, tuples of tensors, or dictionary of tensors can be output from traced "
                    "functions, got a value of "
                    f"type {type(x).__name__}"
                ) from None

        results = tuple(leaf(x) for x in leaves)
        self.modes.close()
        self.graph.output(results)
        for n in reversed(self.graph.nodes):
            if not is_needed(n):
                self.graph.erase_node(n)


RUNNING: list[Capture] = []  # the captures that are at work
SIZES = ("size", "numel", "nelement", "__len__")
