"""Subscripts with Dims: ``x[i, j]`` names dimensions, ``x[i, idx]`` gathers,
``x[(i, j)]`` splits a dimension in two."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from rushlight.functorch.dim.names import Dim, DimensionBindError, DimList
from rushlight.functorch.dim.tensors import Named, aligned, parts, union, wrapped
from rushlight.tensor.core import Tensor as Plain

POSITIONAL = None  # the tag of a dimension without a name


class Selection(NamedTuple):
    """A view of the memory, the ordinary subscript that remains (None: nothing does), and the dimensions of the result:
    Dims or POSITIONAL."""

    view: Plain
    subscript: tuple[Any, ...] | None
    tags: list[Any]


def getitem(x: Any, index: Any) -> Any:
    """x[index]."""
    if not isinstance(x, Named) and not _mentions_dims(index):
        return Plain.__getitem__(x, index)
    return _read(select(x, _items(x, index), {}))


def setitem(x: Any, index: Any, value: Any) -> None:
    """x[index] = value. DimensionBindError for a Dim of the value that the left side lacks."""
    if not isinstance(x, Named) and not isinstance(value, Named) and not _mentions_dims(index):
        Plain.__setitem__(x, index, value)
        return
    view, subscript, tags = select(x, _items(x, index), {})
    new = _laid_out(value, tags) if isinstance(value, (Named, Plain)) else value
    if subscript is not None:
        view[subscript] = new
    elif isinstance(new, Plain):
        view.copy_(new)
    else:
        view.fill_(new)


def index(x: Any, dims: Any, indices: Any) -> Any:
    """x with each of `dims` indexed by what stands beside it in `indices`.
    TypeError for a dim that x lacks, or unequal lengths.

    >>> import rushlight as rl
    >>> from rushlight.functorch.dim import dims
    >>> i = dims()
    >>> rl.arange(6).view(2, 3).index(1, i).sum(i)
    tensor([ 3, 12])
    """
    several = isinstance(dims, (tuple, list)) and isinstance(indices, (tuple, list))
    if several and len(dims) != len(indices):
        raise TypeError(f"dims ({len(dims)}) and indices ({len(indices)}) must have the same length")
    keys, values = (list(dims), list(indices)) if several else ([dims], [indices])
    data, own = parts(x)
    tags: list[Any] = [*own, *range(data.ndim - len(own))]
    found: dict[int, Any] = {}
    for k, key in enumerate(keys):
        group = list(key) if isinstance(key, (tuple, list)) else [key]
        if not group:
            raise TypeError("expected a dimension, but got none")
        for g in group:
            if not isinstance(g, (Dim, int)):
                raise TypeError(f"expected a dimension specifyer but found {g!r}")
        places = [_tag_place(tags, g, data.ndim - len(own)) for g in group]
        if len(places) > 1:
            data, tags = _flattened(data, tags, places)
        keys[k] = tags[_tag_place(tags, group[0], 10**9 if isinstance(group[0], Dim) else x.ndim)]
    own_left = [t for t in tags if isinstance(t, Dim)]
    for key, value in zip(keys, values):
        found[next(k for k, t in enumerate(tags) if t is key or not isinstance(t, Dim) and not isinstance(key, Dim)
                   and t == key)] = value
    first = [k for k, t in enumerate(tags) if isinstance(t, Dim)]
    place = [*first, *[k for k in range(len(tags)) if k not in first]]
    whole = wrapped(data.permute(*place), own_left)
    return _read(select(whole, [], {place.index(k): v for k, v in found.items()}))


def _tag_place(tags: list[Any], d: Any, ndim: int) -> int:
    if isinstance(d, int) and d < 0:
        d += ndim
    for k, t in enumerate(tags):
        if t is d or isinstance(d, int) and not isinstance(t, Dim) and t == d:
            return k
    raise TypeError(f"dimension {d!r} not in tensor" + (f" of {ndim} dimensions" if isinstance(d, int) else ""))


def _flattened(data: Plain, tags: list[Any], places: list[int]) -> tuple[Plain, list[Any]]:
    """Some dimensions as one, in the place and with the tag of the first of them."""
    rest = [k for k in range(data.ndim) if k not in places]
    at = sum(k < places[0] for k in rest)
    moved = data.permute(*rest[:at], *places, *rest[at:])
    shape = [data.shape[k] for k in rest]
    return moved.reshape([*shape[:at], prod(data.shape[k] for k in places),
                          *shape[at:]]), [*[tags[k] for k in rest[:at]], tags[places[0]], *[tags[k] for k in rest[at:]]]


def _mentions_dims(index: Any) -> bool:
    items = index if isinstance(index, (tuple, list)) else (index,)
    return any(isinstance(i, (Named, DimList)) or isinstance(i, (tuple, list)) and i
               and all(isinstance(d, Dim) for d in i) for i in items)


def _items(x: Any, index: Any) -> list[Any]:
    """The subscript as one entry per positional dimension (and None for new ones):
    lists of Dims and `...` written out."""
    sequence = isinstance(index, tuple) or isinstance(index, list) and any(
        i is None or i is ... or isinstance(i, (slice, Named, Plain, DimList)) or hasattr(i, "__iter__") for i in index)
    items = list(index) if sequence else [index]
    open_ended = [k for k, i in enumerate(items) if i is ... or isinstance(i, DimList) and not i.is_bound]
    if len(open_ended) > 1:
        raise DimensionBindError("at most one ... or unbound dimension list can exist in indexing list "
                                 f"but found 2 at offsets {open_ended[0]} and {open_ended[1]}")
    used = sum(len(i) if isinstance(i, DimList) and i.is_bound else 1
               for k, i in enumerate(items) if i is not None and k not in open_ended)
    data, own = parts(x)
    ndim = data.ndim - len(own)
    if used > ndim:
        raise ValueError(f"at least {used} indices were supplied but the tensor only has {ndim} dimensions")
    out: list[Any] = []
    for i in items:
        if isinstance(i, DimList):
            i.bind_len(ndim - used if not i.is_bound else len(i))
            out += i
        else:
            out += [slice(None)] * (ndim - used) if i is ... else [i]
    return out


def select(x: Any, items: list[Any], keyed: dict[int, Any]) -> Selection:
    """What a subscript picks. `keyed` says what indexes a dimension of the data; other positional dimensions take
    `items` in turn."""
    data, own = parts(x)
    entries: list[Any] = []  # one per dimension of the view
    axis = 0
    todo = list(items)
    for place in range(data.ndim):
        named = place < len(own)
        while not named and todo and todo[0] is None:
            todo.pop(0)
            data = data.unsqueeze(axis)
            entries.append(slice(None))
            axis += 1
        value = keyed[place] if place in keyed else own[place] if named else todo.pop(0) if todo else slice(None)
        pack = _pack(value)
        if pack is not None:
            _bind(pack, data.shape[axis])
            data = data.unflatten(axis, [d.size for d in pack]) if len(pack) != 1 else data
            entries += pack
            axis += len(pack)
            continue
        if isinstance(value, Dim) and not value.is_bound:
            value.size = data.shape[axis]
        entries.append(_as_index(value))
        axis += 1
    for _ in todo:  # None at the end
        data = data.unsqueeze(axis)
        entries.append(slice(None))
        axis += 1
    return _resolved(data, entries)


def _pack(value: Any) -> list[Dim] | None:
    if isinstance(value, (tuple, list)) and value and all(isinstance(d, Dim) for d in value):
        return list(value)
    return None


def _bind(pack: list[Dim], size: int) -> None:
    """Bind the Dims into which a dimension is split; one of them may follow from the others."""
    unbound = [d for d in pack if not d.is_bound]
    if len(unbound) > 1:
        raise DimensionBindError(f"cannot infer the sizes of two dimensions at once {unbound[0]!r} and {unbound[1]!r}")
    known = prod(d.size for d in pack if d.is_bound)
    if unbound:
        if known == 0 or size % known:
            sizes = tuple(d.size if d.is_bound else "?" for d in pack)
            raise DimensionBindError(f"inferred dimension does not evenly fit into larger dimension: {size} vs {sizes}")
        unbound[0].size = size // known
    elif known != size:
        raise DimensionBindError(f"Dimension sizes to do not match ({size} != {known}) when "
                                 f"matching dimension pack {tuple(pack)}")


def _as_index(value: Any) -> Any:
    """An entry of a subscript; lists of numbers and masks become tensors of positions."""
    if isinstance(value, list):
        from rushlight.tensor.creation import tensor
        value = tensor(value)
    if isinstance(value, Plain) and str(value.dtype) == "torch.bool":
        if value.ndim != 1:
            raise IndexError(f"a mask beside Dims indexes one dimension, but it has {value.ndim}. "
                             "Use mask.nonzero() to index several.")
        return value.nonzero().squeeze(1)
    return value


def _resolved(view: Plain, entries: list[Any]) -> Selection:
    """Tells which Dims stay dimensions of the view and which must be gathered:
    those that are used twice, or by an index tensor."""
    uses = [d for e in entries for d in (parts(e)[1] if isinstance(e, Named) else ())]
    tags: list[Any] = []
    gathers: list[tuple[int, Any]] = []
    at: int | None = None
    subscript: list[Any] = []
    for k, e in enumerate(entries):
        if isinstance(e, Dim) and sum(d is e for d in uses) == 1:
            e.size = view.shape[k]  # an error where it has another
            subscript.append(slice(None))
            tags.append(e)
        elif isinstance(e, (Named, Plain)):
            at = len(tags) if at is None or at == len(tags) else 0
            gathers.append((k, e))
            subscript.append(None)
        else:
            subscript.append(e)
            if not isinstance(e, int):
                tags.append(POSITIONAL)
    if gathers:
        dims = union([e for _, e in gathers])
        rank = max(_rank(e) for _, e in gathers)
        for k, e in gathers:
            subscript[k] = _laid_out(e, [*dims, *[POSITIONAL] * rank])
        assert at is not None
        tags[at:at] = [*dims, *[POSITIONAL] * rank]
    plain = all(isinstance(e, slice) and e == slice(None) for e in subscript)
    return Selection(view, None if plain else tuple(subscript), tags)


def _rank(x: Any) -> int:
    data, own = parts(x)
    return int(data.ndim) - len(own)


def _read(selection: Selection) -> Any:
    """The selected elements as a named tensor."""
    view, subscript, tags = selection
    data = view if subscript is None else view[subscript]
    named = [k for k, t in enumerate(tags) if t is not POSITIONAL]
    places = [*named, *[k for k, t in enumerate(tags) if t is POSITIONAL]]
    return wrapped(data.permute(*places) if places != sorted(places) else data, [tags[k] for k in named])


def _laid_out(value: Any, tags: list[Any]) -> Plain:
    """A tensor with its dimensions as the tags say (size 1 where it lacks one), so that it broadcasts."""
    data, own = parts(value)
    order = [t for t in tags if t is not POSITIONAL]
    for d in own:
        if all(d is not t for t in order):
            raise DimensionBindError(f"rhs of setitem contains dimension {d!r} which is not in "
                                     f"the dimension on the left ({tuple(order)!r})")
    if isinstance(value, Named):
        data = aligned(value, order)
    kept = [t for t in order if any(t is d for d in own)]
    positional = list(data.shape[len(kept):])
    slots = sum(t is POSITIONAL for t in tags)
    while len(positional) > slots and positional[0] == 1:  # leading ones are dropped, as in any assignment
        data, positional = data.squeeze(len(kept)), positional[1:]
    left = [len(kept) + k for k in range(len(positional))]
    missing = slots - len(positional)
    places: list[int | None] = []
    names = iter(range(len(kept)))
    seen = 0
    for t in tags:
        if t is not POSITIONAL:
            places.append(next(names) if any(t is d for d in own) else None)
        else:
            places.append(left[seen - missing] if seen >= missing else None)
            seen += 1
    moved = data.permute(*[p for p in places if p is not None])
    for k, p in enumerate(places):
        if p is None:
            moved = moved.unsqueeze(k)
    return moved
