"""Moving dimensions: between names and positions, new ones, tensors stacked, split and put one after the other."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.functorch.dim.names import Dim, DimensionBindError, DimList, dims
from rushlight.functorch.dim.tensors import Named, aligned, parts, run, union, wrapped
from rushlight.tensor.core import Tensor as Plain
from rushlight.tensor.functions import joining


def order(x: Any, *wanted: Any) -> Any:
    """See `Named.order`."""
    if not isinstance(x, Named):
        raise ValueError("First argument must be a Tensor or Dim object")
    data, own = parts(x)
    ndim = data.ndim - len(own)
    left = list(range(data.ndim))
    groups: list[list[int]] = []
    for w in wanted:
        for group in [[d] for d in w] if isinstance(w, DimList) else [_group(w)]:
            groups.append([_take(d, own, ndim, left) for d in group])
    named = [p for p in left if p < len(own)]
    rest = [p for p in left if p >= len(own)]
    sizes = data.shape
    moved = data.permute(*named, *[p for g in groups for p in g], *rest)
    new = [*[sizes[p] for p in named], *[prod(sizes[p] for p in g) for g in groups], *[sizes[p] for p in rest]]
    return wrapped(moved if list(moved.shape) == new else moved.reshape(new), [own[p] for p in named])


def _group(w: Any) -> list[Any]:
    if isinstance(w, (Dim, int)):
        return [w]
    if not hasattr(w, "__iter__"):
        raise ValueError("expected a Dim, List[Dim], or Sequence[Dim]")
    return list(w)


def _take(d: Any, own: tuple[Any, ...], ndim: int, left: list[int]) -> int:
    """The dimension of the data that d names, each once."""
    if isinstance(d, Dim):
        place = next((k for k, o in enumerate(own) if o is d), -1)
    elif isinstance(d, int):
        place = len(own) + (d + ndim if d < 0 else d)
    else:
        raise ValueError("expected a Dim or int")
    if place not in left:
        raise ValueError(f"tensor does not contain dim {d} or it was specified twice" if isinstance(d, Dim) else
                         f"tensor has {ndim} positional dimensions, but {d} specified, or it was specified twice")
    left.remove(place)
    return place


def expand(x: Any, *args: Any) -> Any:
    """See `Named.expand`."""
    if not args or not all(isinstance(a, Dim) for a in args):
        return run(Plain.expand, (x, *args), {})
    data, own = parts(x)
    for k, d in enumerate(args):
        if any(d is o for o in (*own, *args[:k])):
            raise DimensionBindError(f"expanding dimension {d} already exists in tensor with dims")
    return wrapped(data.expand(*[d.size for d in args], *data.shape), (*args, *own))


def stack(tensors: Any, new_dim: Any, dim: Any = 0) -> Any:
    """Tensors along a new Dim, whose size becomes their number. ``dim`` must exist in them where it is not 0."""
    if not tensors:
        raise ValueError("stack expects a non-empty sequence of tensors")
    if not isinstance(new_dim, Dim):
        return run(joining.stack, (tensors, new_dim), {})
    named = union(list(tensors))
    if isinstance(dim, Dim) and all(dim is not d for d in named):
        raise TypeError(f"Dimension {dim} does not exist in inputs")
    new_dim.size = len(tensors)
    rank = max(t.ndim if not isinstance(t, Dim) else 0 for t in tensors)
    return wrapped(joining.stack([_full(t, named, rank) for t in tensors]), (new_dim, *named))


def _full(t: Any, named: list[Any], rank: int) -> Plain:
    """The data of a tensor with all these Dims, expanded along those that
    it lacks, and `rank` positional dimensions."""
    if not isinstance(t, Named):
        return t.expand(*[d.size for d in named], *t.shape)
    data = aligned(t, named)
    has = [any(d is o for o in t.dims) for d in named]
    positional = data.shape[sum(has):]
    for k, present in enumerate(has):
        if not present:
            data = data.unsqueeze(k)
    return data.expand(*[d.size for d in named], *positional)


def cat(tensors: Any, dim: Any, new_dim: Any) -> Any:
    """Tensors one after the other along their dimension `dim`, which is called new_dim in the result."""
    n = dims(1)
    return stack(tensors, n, dim).index([n, dim], new_dim)


def split(tensor: Any, split_size_or_sections: Any, dim: Any = None) -> Any:
    """A tensor in pieces along `dim`; sections that are Dims are bound to the sizes of the pieces, what is unbound
    shares the rest.

    TypeError where Dims and numbers are mixed, and where the sizes do not add up.
    """
    sections = split_size_or_sections
    bound = [isinstance(s, Dim) for s in sections] if not isinstance(sections, int) else [False]
    if not any(bound):
        if isinstance(dim, Dim):
            raise TypeError("when dim is specified as a Dim object, split sizes must also be dimensions.")
        return run(Plain.split, (tensor, sections), {"dim": 0 if dim is None else dim})
    if not all(bound):
        raise TypeError("split list must be ints or dims but got a mix")
    data, own = parts(tensor)
    ndim = data.ndim - len(own)
    if not isinstance(dim, Dim) and not ndim:
        raise TypeError("split expects at least a 1-dimension tensor")
    try:
        place = _take(0 if dim is None else dim, own, ndim, list(range(data.ndim)))
    except ValueError:
        raise TypeError(f"tensor does not contain dimension {0 if dim is None else dim}") from None
    sizes = _sizes(list(sections), data.shape[place])
    pieces = data.split(sizes, place)
    out = []
    for piece, section in zip(pieces, sections):
        if place < len(own):
            out.append(wrapped(piece, (*own[:place], section, *own[place + 1:])))
        else:
            out.append(wrapped(piece.movedim(place, len(own)), (*own, section)))
    return tuple(out)


def _sizes(sections: list[Dim], size: int) -> list[int]:
    """The sizes of sections, after the unbound ones have shared what the others leave."""
    known = sum(s.size for s in sections if s.is_bound)
    unbound = [s for s in sections if not s.is_bound]
    if unbound and known > size:
        raise TypeError(f"sizes of target dimensions add up to more ({known}) than source dim ({size})")
    if not unbound and known != size:
        raise TypeError(f"sum of sizes of target dimensions ({known}) do not match the source dim ({size})")
    rest = size - known
    each = -(-rest // len(unbound)) if unbound else 0
    for s in unbound:
        s.size = min(each, rest)
        rest -= s.size
    return [s.size for s in sections]
