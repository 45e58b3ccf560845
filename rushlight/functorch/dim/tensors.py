"""Tensors some of whose dimensions have names: what they are, and how operations run on them.

A named tensor is an ordinary tensor whose first dimensions belong to `Dim` objects; what code sees is the rest, the
positional dimensions. An operation runs as under `vmap` over all dims of its operands at once: each dim is one level
(`rushlight.func.batching`), so every operation that vmap maps works, and dims match by identity, never by position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from rushlight.func.batching import Level, at_level, batched, physical
from rushlight.tensor.core import Tensor as Plain
from rushlight.tensor.state import state


class Named:
    """What `Tensor` and `Dim` share: the methods of a tensor, on the positional dimensions."""

    dims: Any
    data: Any

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        return call(func, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        found = getattr(Plain, name)
        if name.startswith("__"):
            raise AttributeError(name)
        if isinstance(found, property):
            return run(lambda x: getattr(x, name), (self,), {})
        if not callable(found):
            return found

        def method(*args: Any, **kwargs: Any) -> Any:
            return call(found, (self, *args), kwargs)
        method.__name__, method.__doc__ = name, found.__doc__
        return method

    @property
    def ndim(self) -> int:
        """The number of positional dimensions."""
        return int(self.data.ndim) - len(self.dims)

    def dim(self) -> int:
        """The number of positional dimensions."""
        return self.ndim

    def order(self, *dims: Any) -> Any:
        """The tensor with these dims (Dims, numbers, lists of Dims; a tuple becomes one dimension)
        as its first positional dimensions.

        An ordinary tensor once no named dim is left. ValueError for a dim that it does not have.
        """
        from rushlight.functorch.dim.rearrange import order
        return order(self, *dims)

    def index(self, dims: Any, indices: Any) -> Any:
        """The tensor with each of these dims (Dims or numbers; a tuple is flattened
        first) indexed by what stands in `indices`."""
        from rushlight.functorch.dim.indexing import index
        return index(self, dims, indices)

    def expand(self, *args: Any) -> Any:
        """The tensor repeated along new Dims; with numbers, along its positional dimensions. DimensionBindError for a
        Dim that it has."""
        from rushlight.functorch.dim.rearrange import expand
        return expand(self, *args)

    def __getitem__(self, index: Any) -> Any:
        from rushlight.functorch.dim.indexing import getitem
        return getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        from rushlight.functorch.dim.indexing import setitem
        setitem(self, index, value)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.unbind(0))

    __hash__ = object.__hash__


def _operator(name: str) -> Callable[..., Any]:
    def method(self: Named, *args: Any) -> Any:
        return call(getattr(Plain, name), (self, *args), {})
    method.__name__ = name
    return method


for _name in """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul and rand
    or ror xor rxor lshift rshift iadd isub imul itruediv eq ne lt le gt ge neg pos abs invert bool float int
    """.split():
    setattr(Named, f"__{_name}__", _operator(f"__{_name}__"))


class Tensor(Named):
    """A tensor with named dims, the result of binding them: ``x[i, j]``.
    ``dims`` are its Dims, ``shape`` the positional rest."""

    def __init__(self, data: Plain, dims: tuple[Any, ...], factors: tuple[Any, ...] = ()) -> None:
        self.data = data  # the dims first
        self.dims = dims
        self.factors = factors  # of a product: its sum is a contraction, which never makes the product

    def __repr__(self) -> str:
        return f"{self.data}\nwith dims={(*self.dims, *range(self.ndim))} sizes={tuple(self.data.shape)}"


def wrapped(data: Plain, dims: Any) -> Any:
    """A tensor whose first dimensions are these Dims; an ordinary one where there are none."""
    return Tensor(data, tuple(dims)) if dims else data


def parts(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """The ordinary tensor behind an operand, and the Dims of its first dimensions."""
    return (x.data, tuple(x.dims)) if isinstance(x, Named) else (x, ())


def mapped(f: Callable[[Any], Any], nest: Any) -> Any:
    """A nest of tuples, lists and dictionaries with f applied to its leaves."""
    if type(nest) in (tuple, list):
        return type(nest)([mapped(f, x) for x in nest])
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*[mapped(f, x) for x in nest])
    if isinstance(nest, dict):
        return {k: mapped(f, v) for k, v in nest.items()}
    return f(nest)


def call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation of torch on operands with named dims."""
    from rushlight.functorch.dim.special import special
    taken = special(func, args, kwargs)
    return run(func, args, kwargs) if taken is NotImplemented else taken


def union(nest: Any) -> list[Any]:
    """The Dims of all operands, each once, in order of appearance."""
    found: list[Any] = []

    def visit(x: Any) -> Any:
        if isinstance(x, Named):
            found.extend(d for d in x.dims if all(d is not f for f in found))
    mapped(visit, nest)
    return found


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of the positional dimensions, mapped over all named ones."""
    dims = union((args, kwargs))
    with ExitStack() as stack:
        levels = [stack.enter_context(Level(d.size, "different")) for d in dims]
        given: list[tuple[Named, Plain, Any]] = []

        def inside(x: Any) -> Any:
            if not isinstance(x, Named):
                return x
            data = aligned(x, dims)
            for d, level in zip(dims, levels):
                if any(d is own for own in x.dims):
                    state.level = level.outer
                    data = batched(data, level)
            state.level = levels[-1]
            given.append((x, data, data._storage.cell))
            return data
        args, kwargs = mapped(inside, (args, kwargs))
        result = func(*args, **kwargs)

        def outside(r: Any) -> Any:
            if not isinstance(r, Plain):
                return r
            same = next((x for x, data, _ in given if data is r), None)
            return same if same is not None else unwrapped(r, dims, levels)
        changed = [(x, unwrapped(data, dims, levels)) for x, data, cell in given if data._storage.cell is not cell]
        out = mapped(outside, result)
        state.level = levels[-1] if levels else state.level
        given.clear()
    for x, new in changed:  # an operation in place
        x.data.copy_(new.data)
    return out


def unwrapped(r: Plain, dims: list[Any], levels: list[Level]) -> Any:
    """A result as a named tensor of the Dims along which it varies."""
    found: list[Any] = []
    for d, level in reversed(list(zip(dims, levels))):
        state.level = level.outer
        if at_level(r, level):
            r = physical(r, level)
            found.insert(0, d)
    return wrapped(r, found)


def aligned(x: Named, dims: list[Any]) -> Plain:
    """The data of an operand with its Dims in their order in `dims`."""
    own = [d for d in dims if any(d is o for o in x.dims)]
    places = [next(k for k, o in enumerate(x.dims) if o is d) for d in own]
    data = x.data
    return data.permute(*places, *range(len(places), data.ndim)) if places != sorted(places) else data
