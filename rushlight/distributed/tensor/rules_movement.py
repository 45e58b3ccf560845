"""Views, joining and cutting: labels follow their dimensions;
a cut dimension survives where its pieces stay consecutive."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dispatch import bound, rule
from rushlight.distributed.tensor.dtensor import DTensor, gradient_placements, make
from rushlight.distributed.tensor.labels import Labels, Plan, execute
from rushlight.distributed.tensor.layout import chunk
from rushlight.distributed.tensor.placement import Shard
from rushlight.distributed.tensor.rules_pointwise import caller
from rushlight.distributed.tensor.rules_reductions import dims_of

LINEAR = frozenset({0})


def moved(x: DTensor, labels: Labels, outs: list[Labels], call: Any) -> Any:
    """One operand, whose values only move."""
    return execute(Plan([x], [labels], outs, call, linear=LINEAR))


def _sizes(given: dict[str, Any], *names: str) -> tuple[int, ...]:
    """Sizes or dimensions that were given as several numbers or as one tuple."""
    for n in names:
        v = given.get(n)
        if v is not None and v != ():
            v = v[0] if n == names[0] and len(v) == 1 and isinstance(v[0], (tuple, list)) else v
            return tuple(int(i) for i in v)
    return ()


# --- dimensions in another order ----------------------------------------------------------------------------------
@rule("transpose", "swapaxes", "swapdims", "permute", "t", "movedim", "moveaxis", "unsqueeze", "squeeze", "adjoint")
def reordered(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same dimensions elsewhere."""
    x = args[0] if args else kwargs["input"]
    if not isinstance(x, DTensor):
        return NotImplemented
    if name == "squeeze":
        return _squeeze(func, args, kwargs)
    return moved(x, tuple(range(x.ndim)), [_order(name, x, bound(func, args, kwargs))], caller(func, args, kwargs))


def _order(name: str, x: DTensor, given: dict[str, Any]) -> Labels:
    """The labels of the result."""
    n = x.ndim
    order: list[Any] = list(range(n))
    if name in ("t", "adjoint"):
        if name == "t" and n > 2:
            raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
        return tuple(order[::-1]) if name == "t" else (*order[:-2], order[-1], order[-2])
    if name in ("transpose", "swapaxes", "swapdims"):
        a, b = (dims_of(v, n)[0] for v in [v for k, v in given.items() if k not in ("input", "self")][:2])
        if n:
            order[a], order[b] = order[b], order[a]
    elif name == "permute":
        order = list(dims_of(_sizes(given, "args", "dims"), n)) if n else []
    elif name in ("movedim", "moveaxis"):
        source, goal = dims_of(given["source"], n), dims_of(given["destination"], n)
        rest = [d for d in range(n) if d not in source]
        for s, g in sorted(zip(source, goal), key=lambda p: p[1]):
            rest.insert(g, s)
        order = rest
    elif name == "unsqueeze":
        d = given["dim"]
        if not -(n + 1) <= d <= n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-(n + 1)}, {n}], but got {d})")
        order.insert(d % (n + 1), None)
    return tuple(order)


def _squeeze(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Dimensions of size 1 go: those of the whole, not of a piece."""
    given = bound(func, args, kwargs)
    x = given["input"]
    gone = [d for d in dims_of(given.get("dim"), x.ndim) if x.shape[d] == 1] if x.ndim else []
    labels = tuple(None if d in gone else d for d in range(x.ndim))

    def call(local: list[Any], targets: Any) -> Any:
        t = local[0]
        return t.reshape([int(n) for d, n in enumerate(t.shape) if d not in gone])

    return moved(x, labels, [tuple(d for d in range(x.ndim) if d not in gone)], call)


# --- other shapes -------------------------------------------------------------------------------------------------
def groups_of(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The dimensions of two shapes of as many elements in groups of equal products, from left to right.

    >>> groups_of((2, 6, 5), (2, 2, 3, 5))
    [([0], [0]), ([1], [1, 2]), ([2], [3])]
    """
    out, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        a, b = [], []
        p = q = 1
        if i < len(old):
            a, p, i = [i], old[i], i + 1
        if j < len(new):
            b, q, j = [j], new[j], j + 1
        while p != q:
            if p < q:
                a, p, i = [*a, i], p * old[i], i + 1
            else:
                b, q, j = [*b, j], q * new[j], j + 1
        out.append((a, b))
    return out


def _product(numbers: Any) -> int:
    n = 1
    for i in numbers:
        n *= int(i)
    return n


def reshaped(x: DTensor, shape: tuple[int, ...]) -> Any:
    """x with the values in another shape."""
    total = _product(x.shape)
    if -1 in shape:
        rest = _product(n for n in shape if n != -1)
        if rest == 0 or total % rest:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {total}")
        shape = tuple(total // rest if n == -1 else n for n in shape)
    if _product(shape) != total:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {total}")
    old = tuple(int(n) for n in x.shape)
    inner: list[Any] = [None] * len(old)
    outer: list[Any] = [None] * len(shape)
    scale: dict[int, tuple[int, int]] = {}
    for a, b in groups_of(old, shape) if total else []:
        a, b = [d for d in a if old[d] != 1], [d for d in b if shape[d] != 1]
        if a and b and _stays(x, a[0], shape[b[0]]):
            inner[a[0]], outer[b[0]] = a[0], a[0]
            scale[b[0]] = old[a[0]], shape[b[0]]

    def call(local: list[Any], targets: Any) -> Any:
        here = [int(n) for n in shape]
        for d, (before, after) in scale.items():
            here[d] = int(local[0].shape[outer[d]]) * after // before
        return local[0].reshape(here)

    plan = Plan([x], [tuple(inner)], [tuple(outer)], call, linear=LINEAR)
    out = execute(plan)
    from rushlight.tensor.functions.shape import Size

    out._shape = Size(shape)  # a label's size is that of the operand's dimension
    return out


def _stays(x: DTensor, d: int, size: int) -> bool:
    """Whether a dimension of x and the first of those it becomes are cut at the same places."""
    cuts = [n for n, p in zip(x.device_mesh.shape, x.placements) if p == Shard(d)]
    if len(cuts) > 1:
        return int(x.shape[d]) == size
    for n in cuts:
        for i in range(n):
            low, high = chunk(int(x.shape[d]), n, i)
            low_, high_ = chunk(size, n, i)
            if low * size != low_ * int(x.shape[d]) or high * size != high_ * int(x.shape[d]):
                return False
    return True


@rule("view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "ravel")
def view(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same values in another shape."""
    given = bound(func, args, kwargs)
    x: Any = given.get("input", given.get("self"))
    shape = [int(n) for n in x.shape]
    if name in ("view_as", "reshape_as"):
        return reshaped(x, tuple(given["other"].shape))
    if name == "ravel":
        return reshaped(x, (-1,))
    if name == "flatten":
        a, b = (dims_of(given[k], x.ndim)[0] for k in ("start_dim", "end_dim"))
        if a > b:
            raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
        return reshaped(x, tuple([*shape[:a], _product(shape[a : b + 1]), *shape[b + 1 :]]))
    if name == "unflatten":
        d = dims_of(given["dim"], x.ndim)[0]
        parts = [int(n) for n in given["sizes"]]
        if -1 in parts:
            parts[parts.index(-1)] = shape[d] // max(1, _product(n for n in parts if n != -1))
        if _product(parts) != shape[d]:
            raise RuntimeError(
                f"unflatten: Provided sizes {list(given['sizes'])} don't multiply up to the size of dim {d} "
                f"({shape[d]}) in the input tensor"
            )
        return reshaped(x, tuple([*shape[:d], *parts, *shape[d + 1 :]]))
    first = args[1] if len(args) > 1 else None
    if given.get("dtype") is not None or type(first).__name__ == "DType":
        return NotImplemented
    return reshaped(x, _sizes(given, "args", "size", "shape"))


@rule("expand", "expand_as", "broadcast_to")
def expand(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Dimensions of size 1 repeated without a copy."""
    given = bound(func, args, kwargs)
    x = args[0]
    shape = (
        tuple(given["other"].shape)
        if name == "expand_as"
        else _sizes(given, "args" if "args" in given else "size", "size")
    )
    new = len(shape) - x.ndim
    grows = [d for d in range(x.ndim) if x.shape[d] == 1 and shape[new + d] not in (1, -1)]
    for d in range(x.ndim):
        if d not in grows and shape[new + d] not in (-1, int(x.shape[d])):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[new + d]}) must match the existing size "
                f"({int(x.shape[d])}) at non-singleton dimension "
                f"{new + d}.  Target sizes: {list(shape)}.  Tensor sizes: {list(x.shape)}"
            )
    labels = tuple(None if d in grows else d for d in range(x.ndim))
    goal = [int(n) if k < new or k - new in grows else -1 for k, n in enumerate(shape)]
    return moved(x, labels, [(None,) * new + labels], lambda local, targets: local[0].expand(goal))


# --- joining and cutting ------------------------------------------------------------------------------------------
@rule("cat", "concat", "concatenate", "stack")
def joined(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Several tensors along a dimension, which must be whole."""
    given = bound(func, args, kwargs)
    parts = list(given["tensors"])
    if not all(isinstance(p, DTensor) for p in parts) or len({p.ndim for p in parts}) != 1:
        return NotImplemented
    n = parts[0].ndim
    dim = given.get("axis") if given.get("axis") is not None else given["dim"]
    d = dim % (n + (name == "stack")) if -(n + 1) <= dim <= n else -1
    if d < 0 or name != "stack" and n == 0:
        return NotImplemented
    labels: list[Any] = list(range(n))
    if name == "stack":
        if len({tuple(p.shape) for p in parts}) != 1:
            return NotImplemented
        out = (*labels[:d], None, *labels[d:])
    else:
        labels[d] = None
        out = tuple(labels)
        if any(p.shape[k] != parts[0].shape[k] for p in parts for k in range(n) if k != d):
            return NotImplemented
    return execute(
        Plan(parts, [tuple(labels)] * len(parts), [out], lambda local, targets: func(local, d), together=True)
    )


@rule(
    "split",
    "chunk",
    "tensor_split",
    "unbind",
    "narrow",
    "select",
    "index_select",
    "repeat_interleave",
    "gather",
    "take_along_dim",
)
def along_one(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Parts of x along a dimension, which must be whole."""
    given = bound(func, args, kwargs)
    x = given.get("input", given.get("self"))
    dim = given.get("dim")
    if not isinstance(x, DTensor) or dim is None or x.ndim == 0:
        return NotImplemented
    d = dims_of(dim, x.ndim)[0]
    labels = tuple(None if k == d else k for k in range(x.ndim))
    out = labels[:d] + labels[d + 1 :] if name in ("unbind", "select") else labels
    others = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, DTensor)]
    if name in ("gather", "take_along_dim"):
        if (
            len(others) != 1
            or others[0].ndim != x.ndim
            or any(a != b for k, (a, b) in enumerate(zip(others[0].shape, x.shape)) if k != d)
        ):
            return NotImplemented
        return execute(Plan([x, *others], [labels, labels], [out], caller(func, args, kwargs), linear=LINEAR))
    n = int(x.shape[d])
    parts = {"unbind": n, "split": n + 1, "tensor_split": n + 1}.get(name, 1)
    if name == "chunk":
        parts = -(-n // max(1, -(-n // given["chunks"])))
    return execute(
        Plan(
            [x, *others],
            [labels, *[(None,) * o.ndim for o in others]],
            [out] * max(1, parts),
            caller(func, args, kwargs),
            linear=LINEAR,
        )
    )


@rule("__getitem__", "getitem")
def getitem(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Numbers, slices, None and …: dimensions that are not taken whole must be whole."""
    x, index = args[0], args[1]
    index = index if isinstance(index, tuple) else (index,)
    if not isinstance(x, DTensor) or not all(i is None or i is Ellipsis or type(i) in (int, slice) for i in index):
        return NotImplemented
    used = sum(i is not None and i is not Ellipsis for i in index)
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    at = next((k for k, i in enumerate(index) if i is Ellipsis), len(index))
    index = (*index[:at], *[slice(None)] * (x.ndim - used), *index[at + 1 :])
    labels: list[Any] = []
    out: list[Any] = []
    d = 0
    for i in index:
        if i is None:
            out.append(None)
            continue
        whole = isinstance(i, slice) and i == slice(None)
        labels.append(d if whole else None)
        if isinstance(i, slice):
            out.append(d if whole else None)
        d += 1
    return moved(x, tuple(labels), [tuple(out)], lambda local, targets: local[0][index])


@rule("repeat", "tile")
def repeat(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Dimensions that are repeated must be whole."""
    given = bound(func, args, kwargs)
    x = args[0]
    times = _sizes(given, "args" if "args" in given else "dims", "repeats")
    if not isinstance(x, DTensor) or len(times) < x.ndim:
        return NotImplemented
    new = len(times) - x.ndim
    labels = tuple(d if times[new + d] == 1 else None for d in range(x.ndim))
    return moved(x, labels, [(None,) * new + labels], lambda local, targets: local[0].repeat(*times))


@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor")
def fresh(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A new tensor of x's dtype: replicated, or cut like x where it has x's shape."""
    x = args[0]
    given = (
        _sizes({"a": args[1:2] if name == "new_full" else args[1:]}, "a")
        if name not in ("new_tensor",) and len(args) > 1
        else ()
    )
    if name in ("new_zeros", "new_ones", "new_full", "new_empty") and given == tuple(x.shape) and given:
        local = tuple(x._local_tensor.shape)
        return make(
            getattr(x._local_tensor, name)(local, *args[2:] if name == "new_full" else (), **kwargs),
            x.device_mesh,
            gradient_placements(x.placements),
            x.shape,
        )
    return NotImplemented
