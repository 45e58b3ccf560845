"""FakeTensorMode: programs run on shapes and dtypes only.

Recording an operation computes no number here anyway: under the mode the pending graph forgets every node at once,
and a storage that was made has no memory. What is left of a program are its shapes, dtypes, histories and errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rushlight.export.names import target
from rushlight.ir.graph import Cell, Graph
from rushlight.nn.parameter import Parameter
from rushlight.overrides import TorchFunctionMode
from rushlight.tensor.core import Tensor, TensorMeta, new_tensor
from rushlight.tensor.device import CPU, device
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage


class UnsupportedFakeTensorException(RuntimeError):
    """A tensor has no fake form."""


class UnsupportedOperatorException(RuntimeError):
    """An operation has no fake form."""


class DynamicOutputShapeException(RuntimeError):
    """The shape of a result depends on values."""

    def __init__(self, func: Any):
        super().__init__(func)
        self.func = func


class DataDependentOutputException(RuntimeError):
    """A program reads values that are not there."""

    def __init__(self, func: Any):
        super().__init__(func)
        self.func = func


class _Sink(list):  # type: ignore[type-arg]
    """A list that stays empty."""

    def append(self, node: Any) -> None:
        pass


class Forgetting(Graph):
    """A pending graph that keeps no node."""

    __slots__ = ()
    nodes = property(lambda self: _Sink(), lambda self, value: None)
    bytes = property(lambda self: 0, lambda self, value: None)


class FakeStorage(Storage):
    """A storage without memory."""

    __slots__ = ()

    def memory(self) -> Any:
        """DataDependentOutputException: there are no values."""
        raise DataDependentOutputException(
            "aten._local_scalar_dense.default: the values of a FakeTensor do not exist, only its shape and dtype"
        )

    def share(self) -> Any:
        """RuntimeError: there is nothing to share."""
        raise RuntimeError(".numpy() is not supported for tensor subclasses. A FakeTensor has no values.")

    def replace(self, cell: Cell) -> None:
        """Writes in place leave nothing behind."""
        self.cell = cell


class _FakeMeta(TensorMeta):
    def __instancecheck__(cls, x: Any) -> bool:
        return (
            type.__instancecheck__(cls, x)
            or isinstance(x, Tensor)
            and isinstance(x.__dict__.get("_storage"), FakeStorage)
        )


class FakeTensor(Tensor, metaclass=_FakeMeta):
    """A tensor of which shape and dtype exist; so are parameters made under the mode (isinstance says so)."""

    _fake_mode: Any = None
    _fake_device = CPU

    @property
    def fake_mode(self) -> Any:
        """The mode under which it was made."""
        return self._fake_mode

    @property
    def device(self) -> Any:
        return self._fake_device

    @property
    def fake_device(self) -> Any:
        """The device that it stands for."""
        return self._fake_device

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Parameter({_text(self)})" if isinstance(self, Parameter) else _text(self)

    __str__ = __repr__

    def __deepcopy__(self, memo: Any) -> Any:
        return self._fake_mode.from_tensor(self)

    @classmethod
    def __torch_function__(
        cls, func: Any, kinds: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        mode = next(t._fake_mode for t in _tensors((args, kwargs or {})) if getattr(t, "_fake_mode", None) is not None)
        with mode:
            return mode.run(func, args, kwargs or {})


class FakeParameter(Parameter):
    """A parameter without memory."""

    _fake_mode: Any = None
    _fake_device = CPU
    device = FakeTensor.device
    fake_mode = FakeTensor.fake_mode
    __torch_function__ = classmethod(FakeTensor.__torch_function__.__func__)  # type: ignore[attr-defined]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Parameter({_text(self)})"

    def __deepcopy__(self, memo: Any) -> Any:
        return memo.setdefault(id(self), self._fake_mode.from_tensor(self))


def _text(t: Any) -> str:
    from rushlight.tensor.settings import get_default_dtype

    parts = [f"size=({', '.join(map(str, t._spec.shape))}{',' if len(t._spec.shape) == 1 else ''})"]
    if t._fake_device.type != "cpu":
        parts.append(f"device='{t._fake_device}'")
    if t._spec.dtype is not get_default_dtype():
        parts.append(f"dtype={t._spec.dtype}")
    if t._grad_fn is not None:
        parts.append(f"grad_fn=<{t._grad_fn.name()}>")
    elif t._rg:
        parts.append("requires_grad=True")
    return f"FakeTensor(..., {', '.join(parts)})"


def _tensors(nest: Any) -> Iterator[Any]:
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for x in nest:
            yield from _tensors(x)
    elif isinstance(nest, dict):
        yield from _tensors(list(nest.values()))


# --- what would draw numbers only makes tensors, or leaves them -----------------------------------------------------
DRAWN_IN_PLACE = frozenset("uniform_ normal_ random_ bernoulli_ exponential_ log_normal_ cauchy_ geometric_".split())
DYNAMIC = frozenset("nonzero masked_select unique unique_consecutive argwhere bincount __getitem__ where".split())


def _zeros(*size: Any, **options: Any) -> Any:
    import rushlight as rl

    options.pop("generator", None)
    return rl.zeros(*size, **options)


def _zeros_like(x: Any, *_: Any, **options: Any) -> Any:
    import rushlight as rl

    return rl.zeros_like(x, **{k: v for k, v in options.items() if k in ("dtype", "requires_grad")})


def _integers(*args: Any, size: Any = None, dtype: Any = None, **_: Any) -> Any:
    import rushlight as rl

    shape = size if size is not None else next(a for a in args if isinstance(a, (tuple, list)))
    return rl.zeros(shape, dtype=dtype or rl.int64)


def _normal(mean: Any, std: Any = 1.0, size: Any = None, **_: Any) -> Any:
    import rushlight as rl

    return rl.zeros(size) if size is not None else rl.zeros_like(mean if isinstance(mean, Tensor) else std)


def _permutation(n: int, *, dtype: Any = None, **_: Any) -> Any:
    import rushlight as rl

    return rl.zeros(n, dtype=dtype or rl.int64)


def _drawn(x: Any, num_samples: int, *_: Any, **__: Any) -> Any:
    import rushlight as rl

    return rl.zeros((*x.shape[:-1], num_samples), dtype=rl.int64)


INSTEAD: dict[str, Any] = {
    "empty": _zeros,
    "rand": _zeros,
    "randn": _zeros,
    "rand_like": _zeros_like,
    "randn_like": _zeros_like,
    "empty_like": _zeros_like,
    "randint_like": _zeros_like,
    "bernoulli": _zeros_like,
    "poisson": _zeros_like,
    "randint": _integers,
    "normal": _normal,
    "randperm": _permutation,
    "multinomial": _drawn,
}
MAKES = frozenset(
    """empty rand randn zeros ones full arange eye linspace tensor as_tensor randint randperm
    empty_strided from_numpy scalar_tensor""".split()
)


class FakeTensorMode(TorchFunctionMode):
    """In the block, tensors and modules are made without memory, and operations give shapes and dtypes.

    Real tensors are refused (AssertionError) unless ``allow_non_fake_inputs``; `from_tensor` gives the fake form of
    one. Reading values raises DataDependentOutputException, shapes that depend on values DynamicOutputShapeException.

    >>> import rushlight as rl
    >>> with FakeTensorMode():
    ...     layer = rl.nn.Linear(100_000, 1_000_000)
    ...     out = layer(rl.randn(8, 100_000))
    >>> out.shape, isinstance(layer.weight, FakeTensor)
    (torch.Size([8, 1000000]), True)
    """

    def __init__(
        self,
        *,
        allow_fallback_kernels: bool = True,
        allow_non_fake_inputs: bool = False,
        shape_env: Any = None,
        static_shapes: bool | None = None,
        export: bool = False,
    ):
        if shape_env is not None:
            raise NotImplementedError(
                "FakeTensorMode(shape_env=...): sizes are numbers here; "
                "torch.export.export finds dynamic sizes by itself"
            )
        self.allow_fallback_kernels, self.allow_non_fake_inputs, self.shape_env, self.static_shapes = (
            allow_fallback_kernels,
            allow_non_fake_inputs,
            None,
            static_shapes,
        )
        self.graph = Forgetting()
        self._before: list[Any] = []
        self._given: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> FakeTensorMode:
        self._before.append((state.graph, state.lines, Storage.__init__))
        make = Storage.__init__

        def made(storage: Any, cell: Cell, *rest: Any) -> None:
            make(storage, cell, *rest)
            if cell.node is not None and isinstance(state.graph, Forgetting) and type(storage) is Storage:
                storage.__class__ = FakeStorage

        state.graph, state.lines = self.graph, True  # with lines, backward passes are walked, not copied from templates
        Storage.__init__ = made  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        state.graph, state.lines, Storage.__init__ = self._before.pop()  # type: ignore[method-assign]

    def __torch_function__(
        self, func: Any, kinds: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.run(func, args, kwargs or {})

    # --- one call -------------------------------------------------------------------------------------------------
    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function's result without values."""
        from rushlight.tensor import protocol

        kind, name = target(func)
        given = list(_tensors((args, kwargs)))
        for t in given:
            self._admit(t, name)
        with protocol.without_subclasses():
            if kind == "method" and name in DRAWN_IN_PLACE:
                return args[0]
            where, args, kwargs = self._place(name, given, args, kwargs)
            if name in ("numpy", "__array__"):
                raise RuntimeError(".numpy() is not supported for tensor subclasses. A FakeTensor has no values.")
            try:
                out = INSTEAD.get(name, func)(*args, **kwargs) if kind != "property" else func(*args)
            except DataDependentOutputException as e:
                if name in DYNAMIC:
                    raise DynamicOutputShapeException(
                        f"aten.{name.strip('_')}.default: the shape of its result depends on values, which a "
                        "FakeTensor has not"
                    ) from None
                raise e
        if name == "to" and out is args[0] and where != getattr(out, "_fake_device", CPU):
            out = self._elsewhere(out)
        for t in _tensors(out):
            self._fake(t, where)
        return out

    def _elsewhere(self, t: Any) -> Any:
        """Another tensor of the same values, for another device."""
        from rushlight.tensor import protocol

        with protocol.without_subclasses():
            return t.clone()

    def _admit(self, t: Any, name: str) -> None:
        storage = t._storage
        if isinstance(storage, FakeStorage):
            if type(t) in (Tensor, Parameter):
                self._fake(t, getattr(t, "_fake_device", CPU))
        elif storage.cell.node is not None and isinstance(storage.cell.node.graph, Forgetting):
            self._fake(t, CPU)
        elif not self.allow_non_fake_inputs and name not in ("__repr__", "__get__", "as_tensor", "tensor", "detach"):
            raise AssertionError(
                "Please convert all Tensors to FakeTensors first or instantiate FakeTensorMode with "
                f"'allow_non_fake_inputs'. Found in aten.{name}, a real "
                f"tensor of shape {list(t._spec.shape)}"
            )

    def _place(self, name: str, given: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The device that the results stand for, and the arguments without it."""
        where = next((t._fake_device for t in given if getattr(t, "_fake_device", CPU).type != "cpu"), CPU)
        if "device" in kwargs and (name in MAKES or name == "to" or name.startswith("new_") or name.endswith("_like")):
            kwargs = dict(kwargs)
            asked = kwargs.pop("device")
            where = where if asked is None else device(asked)
        if name == "to" and len(args) > 1 and isinstance(args[1], (str, device, int)):
            where, args = device(args[1]), (args[0], *args[2:])
            if len(args) == 1 and not kwargs:
                kwargs = {"dtype": args[0].dtype}
        return where, args, kwargs

    def _fake(self, t: Any, where: Any) -> None:
        """Take a tensor's memory away."""
        if type(t._storage) is Storage:
            t._storage.cell = Cell(None, 0)
            t._storage.__class__ = FakeStorage
        if type(t) is Tensor:
            t.__class__ = FakeTensor
        elif type(t) is Parameter:
            t.__class__ = FakeParameter
        if isinstance(t, (FakeTensor, FakeParameter)) and "_fake_mode" not in t.__dict__:
            t.__dict__["_fake_mode"] = self
            t.__dict__["_fake_device"] = where

    def from_tensor(
        self, tensor: Tensor, *, static_shapes: bool | None = None, source: Any = None, symbolic_context: Any = None
    ) -> Any:
        """The fake form of a tensor: the same for the same tensor."""
        import weakref

        known = self._given.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        s = tensor._spec
        storage = Storage(Cell(None, 0), s.extent() if s.extent() > s.numel else s.numel, s.dtype)
        out = new_tensor(storage, s)
        if isinstance(tensor, Parameter):
            out.__class__ = Parameter
        out._rg = tensor._rg and tensor._grad_fn is None
        self._fake(out, getattr(tensor, "_fake_device", CPU))
        self._given[id(tensor)] = (weakref.ref(tensor), out)
        return out


def is_fake(x: Any) -> bool:
    """Whether a tensor has no memory.

    >>> import rushlight as rl
    >>> is_fake(rl.ones(1))
    False
    """
    return isinstance(x, FakeTensor)


def unset_fake_temporarily() -> Any:
    """A block without the fake modes that are on."""
    import contextlib

    from rushlight.tensor import protocol

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        modes, graph = list(protocol.local.modes), state.graph
        protocol.local.modes[:] = [m for m in modes if not isinstance(m, FakeTensorMode)]
        outermost = next((m for m in modes if isinstance(m, FakeTensorMode)), None)
        if outermost is not None:
            state.graph = outermost._before[0][0]
        try:
            yield
        finally:
            protocol.local.modes[:], state.graph = modes, graph

    return block()


__all__ = [
    "DataDependentOutputException",
    "DynamicOutputShapeException",
    "FakeTensor",
    "FakeTensorMode",
    "UnsupportedFakeTensorException",
    "UnsupportedOperatorException",
    "is_fake",
    "unset_fake_temporarily",
]
