"""The tape: what an operation left behind for its backward pass."""

from __future__ import annotations

import itertools
import re
import weakref
from typing import Any

sequence = itertools.count()
FREED = ("freed",)
TWICE = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already "
         "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
         "Specify retain_graph=True if you need to backward through the graph a second time "
         "or if you need to access saved tensors after calling backward.")


class GradFn:
    """A node of the backward graph. ``edges`` holds (node, output number)
    per input, or None where no gradient flows."""

    __slots__ = ("edges", "seq", "specs", "hooks", "pre_hooks", "retain", "line", "metadata_", "__weakref__")

    def __init__(self, edges: tuple[Any, ...], specs: tuple[Any, ...]):
        self.edges = edges
        self.specs = specs
        self.seq = next(sequence)
        self.hooks: dict[int, Any] | None = None
        self.pre_hooks: dict[int, Any] | None = None
        self.retain: dict[int, Any] | None = None
        self.line: str | None = None

    def name(self) -> str:
        """PyTorch's name of the node, for example ``AddBackward0``."""
        return type(self).__name__

    @property
    def metadata(self) -> dict[str, Any]:
        try:
            return self.metadata_  # type: ignore[has-type, no-any-return]
        except AttributeError:
            self.metadata_: dict[str, Any] = {}
            return self.metadata_

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return tuple((e[0], e[1]) if e else (None, 0) for e in self.edges)

    def backward(self, grads: list[Any]) -> Any:
        """The gradients of the inputs, None where there is none."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of what was saved."""

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Call hook(grad_inputs, grad_outputs) after this node has run."""
        if self.hooks is None:
            self.hooks = {}
        return RemovableHandle.holding(self.hooks, hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """Call hook(grad_outputs) before this node runs."""
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return RemovableHandle.holding(self.pre_hooks, hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class Undefined(GradFn):
    """Stands for the node of an operation that PyTorch does not differentiate: going back through it is an error."""

    __slots__ = ("operation",)

    def __init__(self, operation: str, node: GradFn):
        super().__init__(node.edges, node.specs)
        self.operation = operation

    def name(self) -> str:
        return "NotImplemented"

    def backward(self, grads: list[Any]) -> Any:
        raise RuntimeError(f"derivative for aten::{self.operation} is not implemented")


class RemovableHandle:
    """Takes a hook out of its dictionary again; usable as a context manager."""

    next_id = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        # nothing refers weakly to a plain dict
        self.hooks_dict_ref = (lambda: hooks_dict) if type(hooks_dict) is dict else weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        self.extra = extra_dict if isinstance(extra_dict, list) else ([extra_dict] if extra_dict is not None else [])

    @classmethod
    def holding(cls, hooks_dict: Any, hook: Any) -> RemovableHandle:
        """Put a hook into its dictionary; its handle."""
        handle = cls(hooks_dict)
        hooks_dict[handle.id] = hook
        return handle

    def remove(self) -> None:
        """Take the hook out; doing it twice is harmless."""
        hooks = self.hooks_dict_ref()
        if hooks is not None:
            hooks.pop(self.id, None)
        for extra in self.extra:
            extra.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def changed_unseen(t: Any) -> bool:
    """Whether t stands in for a tensor of another type that may have been written unseen: through `.data`, or by
    others who hold its memory."""
    of, cell = t.__dict__.get("_of", (None, None))
    return of is not None and (of._storage.home is not None or of._storage.cell is not cell)


def as_it_is_now(t: Any) -> Any:
    """t, converted anew where it stands in for a tensor that may have been written unseen."""
    return t.__dict__["_of"][0].to(t.dtype) if changed_unseen(t) else t


def detached_since(saved: Saved) -> int | None:
    """The place in the sequence of nodes at which the saved operand was detached in place, None if it was not."""
    t = saved.tensor
    if saved.counter is not t._storage:  # it may stand in for one of another type
        t = t.__dict__.get("_of", (t,))[0]
    return t.__dict__.get("_detached") if t._grad_fn is None else None


def as_it_was(saved: Saved) -> Any:
    """The tensor with the values that it had, at its place in the graph."""
    from rushlight.tensor.core import new_tensor
    from rushlight.tensor.storage import Storage
    whole = saved.tensor._storage if saved.output < 0 else saved.storage
    # a memory that shows the value still owns it: another would take it along when it goes
    shown = whole if whole.cell is saved.cell else getattr(saved, "spare", None) or Storage(saved.cell, whole.size, whole.dtype)
    t = new_tensor(shown, saved.spec)
    edge = saved.edge
    if edge is not None and edge[0].edges:
        t._grad_fn, t._out, t._rg = *edge, True
    return t


class Saved:
    """A tensor kept for backward, with the version that it had. Outputs are kept without their node: no cycle."""

    __slots__ = ("tensor", "storage", "spec", "counter", "version", "output", "hooks", "packed", "edge",
                 "cell", "spare",  # what the memory held, where writing to it is no error, and a storage that shows it since a write
                 "__weakref__")

    def __init__(self, tensor: Any, output: int = -1):
        self.counter = counter = tensor._vc
        self.version = counter.version
        self.output = output
        self.spec = tensor._spec
        if saved_hooks:
            self.hooks = saved_hooks[-1]
            self._pack(tensor)
            return
        self.hooks = None
        if output >= 0:
            self.storage = tensor._storage
        else:
            self.tensor = tensor

    def unpack(self, node: Any) -> Any:
        """The tensor; RuntimeError if it was written to since it was saved."""
        if self.hooks is not None:
            return self._unpack_packed(node)
        if self.counter.version != self.version:
            old = getattr(self, "cell", None)
            if old is not None and (old.node is not None or old.buffer is not None):  # else nobody has it any more
                return as_it_was(self)
            raise RuntimeError("one of the variables needed for gradient computation has been modified by an inplace "
                               f"operation: [{type_name(self.spec.dtype)} {list(self.spec.shape)}]{self._origin(node)} "
                               f"is at version {self.counter.version}; expected version {self.version} instead. "
                               "Hint: enable anomaly detection to find the operation that failed to compute "
                               "its gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
                               + (f" The operation that saved it was recorded at {node.line}." if node.line else ""))
        if self.output < 0:
            t = self.tensor
            since = detached_since(self)
            if since is not None and node.seq < since:
                raise RuntimeError("Trying to use a saved tensor that has been detached in-place, i.e. with .detach_()."
                                   "This is not supported, please use out-of-place `.detach()` instead"
                                   + (f". The operation that saved it was recorded at {node.line}." if node.line else ""))
            return t if self.counter is t._storage else as_it_is_now(t)
        return node.make_output(self)

    def register_hooks(self, pack_hook: Any, unpack_hook: Any) -> None:
        """Pack a tensor that is saved already: RuntimeError where it has hooks."""
        if self.hooks is not None:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set. "
                               "Hint: only one pair of hooks is allowed at a time.")
        from rushlight.tensor.core import new_tensor
        tensor = self.tensor if self.output < 0 else new_tensor(self.storage, self.spec)
        self.hooks = (pack_hook, unpack_hook)
        self._pack(tensor)
        self.tensor = self.storage = None

    def _pack(self, tensor: Any) -> None:
        """Hand the tensor to the pack hook; only its place in the graph is kept."""
        from rushlight.tensor.core import gradient_edge
        self.edge = gradient_edge(tensor) if self.output < 0 and tensor.requires_grad else None
        before = tensor._vc.version
        outer, saved_hooks[:] = saved_hooks[:], []  # what the hook computes is saved as it is
        try:
            self.packed = self.hooks[0](tensor.detach() if self.output >= 0 else tensor)
        finally:
            saved_hooks[:] = outer
        self.counter = None  # what is packed is not watched, and its memory may go
        if tensor._vc.version != before:
            raise RuntimeError("A saved tensor pack hook is modifying its input in place. "
                               "Tensors provided as input to pack hook can not be modified by in-place "
                               "operations as this can lead to unexpected side-effects. Please open an issue "
                               "if you need to perform in-place operations on the input to a pack hook.")

    def _unpack_packed(self, node: Any) -> Any:
        """What the unpack hook returns, at the saved tensor's place in the graph."""
        from rushlight.tensor.core import Tensor, new_tensor
        got = self.hooks[1](self.packed)
        if not isinstance(got, Tensor):
            raise TypeError("Output of saved tensor unpack_hook expected to be a Tensor "
                            f"but got result of type {type(got).__name__}")
        t = new_tensor(got._storage, got._spec)
        t._vc = got._vc
        if self.output >= 0:
            if node.specs[self.output].dtype.kind in "fc":
                t._grad_fn, t._out, t._rg = node, self.output, True
        elif self.edge is not None:
            t._rg = True
            if self.edge[0].edges:
                t._grad_fn, t._out = self.edge
            else:  # a leaf: its accumulator stands for it
                t._acc = weakref.ref(self.edge[0])
        return t

    def _origin(self, node: Any) -> str:
        """Words for the operation that made the tensor, nothing for a leaf."""
        fn = node if self.output >= 0 else self.tensor._grad_fn
        if fn is None:
            return ""
        return f", which is output {max(self.output, 0)} of {re.sub('Backward[0-9]*$', '', str(fn.name()))},"


saved_hooks: list[tuple[Any, Any]] = []
hooks_disabled: list[str | None] = []  # why hooks may not be entered now
TYPE_NAMES = {"float32": "FloatTensor", "float64": "DoubleTensor", "float16": "HalfTensor",
              "bfloat16": "BFloat16Tensor",
              "uint8": "ByteTensor", "int8": "CharTensor", "int16": "ShortTensor", "int32": "IntTensor",
              "int64": "LongTensor",
              "bool": "BoolTensor", "complex64": "ComplexFloatTensor", "complex128": "ComplexDoubleTensor"}


def type_name(dtype: Any) -> str:
    """PyTorch's old name of a tensor type: ``torch.FloatTensor``."""
    return "torch." + TYPE_NAMES.get(dtype.name, dtype.name)


Node = GradFn


def __getattr__(name: str) -> Any:
    """The rest of torch.autograd.graph: `rushlight.autograd.graph_tools`."""
    from rushlight.autograd import graph_tools
    if name in graph_tools.__all__:
        return getattr(graph_tools, name)
    raise AttributeError(f"module 'rushlight.autograd.graph' has no attribute {name!r}; "
                         f"rushlight does not provide torch.autograd.graph.{name}")
