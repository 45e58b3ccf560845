"""Subscripts: ``x[…]`` and ``x[…] = y``."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from rushlight.exec.numpy.indexing import positions
from rushlight.ir.dtype import DType, bool_, int64
from rushlight.ir.spec import Spec, iteration_order
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, assign, check_in_place, check_overlap, relaid, unwrap, view, wrap
from rushlight.tensor.functions.checked import check_value, checked
from rushlight.tensor.functions.common import cast, scalar_name
from rushlight.tensor.functions.shape import broadcast_shapes, expand, reshape
from rushlight.tensor.functions.splitting import select_view, strided_part
from rushlight.tensor.known import check_index
from rushlight.tensor.state import state

INT_TYPES = (int, np.integer)
PLAIN = frozenset((int, slice, type(None), type(Ellipsis)))  # parts of a subscript that are what they seem
OUT_OF_BOUNDS = "index {{bad}} is out of bounds for dimension {} with size {{size}}"


def getitem(self: Tensor, index: Any) -> Tensor:
    """self[index] with PyTorch's rules: a view for numbers, slices, None and …; a copy for tensors and lists."""
    cls = index.__class__
    if cls is int and self._spec.shape:
        return _at(self, 0, index)
    if cls is tuple and 0 < len(index) <= len(self._spec.shape) and all([p.__class__ is int for p in index]):
        return _at_numbers(self, index)
    basic, advanced = parse(self, index)
    if not advanced:
        return basic
    return gather_at(basic, advanced)


def _at(t: Tensor, dim: int, i: int, source: int = 0) -> Tensor:
    """One index of a dimension, which goes away; ``source`` is its number in what the program subscripts."""
    n = t._spec.shape[dim]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {source} with size {n}")
    return select_view(t, dim, i % n)


def _at_numbers(t: Tensor, index: tuple[int, ...]) -> Tensor:
    """One index of each of the first dimensions: one view, or one after the other where they leave a history."""
    if state.grad and (t._base is not None or t._rg) or t._storage.batched:
        for source, i in enumerate(index):
            t = _at(t, 0, i, source)
        return t
    s = t._spec
    shape, strides, offset = s.shape, s.strides, s.offset
    for d, i in enumerate(index):
        n = shape[d]
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of bounds for dimension {d} with size {n}")
        offset += i % n * strides[d]
    to = s.at(shape[len(index):], strides[len(index):], offset)
    return view(t, to, "SelectBackward0", None)


VALID = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices"


def normalize(index: Any) -> list[Any]:
    """The parts of a subscript, with sequences as tensors."""
    parts = list(index) if isinstance(index, tuple) else [index]
    out: list[Any] = []
    for p in parts:
        if p.__class__ in PLAIN:
            pass
        elif isinstance(p, (list, tuple, range)):
            p = _sequence(p)
        elif isinstance(p, np.ndarray):
            p = wrap(np.array(p))
        elif isinstance(p, (bool, np.bool_)):
            p = wrap(np.array(bool(p)))
        elif isinstance(p, np.integer):
            p = int(p)
        elif isinstance(p, Tensor) and _is_number(p):
            p = int(p.item())  # a 0-d tensor counts as the number that it holds
        elif isinstance(p, Tensor) and p._spec.dtype.kind not in "biu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        elif isinstance(p, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(p).__name__}'. {VALID[0].upper()}{VALID[1:]}")
        elif not isinstance(p, (int, slice, Tensor)) and p is not None and p is not Ellipsis:
            if hasattr(p, "__index__"):
                p = int(p.__index__())
            else:
                raise IndexError(f"{VALID} (got {type(p).__name__})")
        out.append(p)
    return out


def _is_number(t: Tensor) -> bool:
    """Whether a tensor counts as the integer in it: of no dimensions, not in vmap; uint8 is a mask of old programs."""
    spec = t._spec
    return not spec.shape and spec.dtype.kind in "iu" and spec.dtype.name != "uint8" and state.level is None


def _sequence(p: Any) -> Tensor:
    from rushlight.tensor.creation import tensor
    values = list(p)
    if not values:
        return wrap(np.zeros(0, np.int64))
    return tensor([v.item() if isinstance(v, Tensor) and not v._spec.shape else v for v in values])


def _indexed_dims(p: Any) -> int:
    if p.__class__ is int or p.__class__ is slice:
        return 1
    if p is None or p is Ellipsis or (isinstance(p, Tensor) and p._spec.dtype is bool_ and not p._spec.shape):
        return 0
    if isinstance(p, Tensor) and p._spec.dtype.name in ("bool", "uint8"):
        return len(p._spec.shape)
    return 1


def parse(t: Tensor, index: Any, alias: bool = True) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """The view that numbers, slices and None give, and the index tensors
    with the dimension of that view each belongs to.

    Where all of t is meant, the view is t itself or, with `alias`, another tensor on its memory.
    """
    parts = normalize(index)
    used = sum([_indexed_dims(p) for p in parts])
    ndim = len(t._spec.shape)
    if used > ndim:
        if ndim == 0 and len(parts) == 1 and isinstance(parts[0], int):
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
        if ndim == 0 and len(parts) == 1 and isinstance(parts[0], slice):
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    out = t
    dim = source = 0
    advanced: list[tuple[int, Tensor]] = []
    for p in parts:
        if p is None:
            out = out.unsqueeze(dim)
            dim += 1
        elif p is Ellipsis:  # several skip as many dimensions each, as in PyTorch
            dim += ndim - used
            source += ndim - used
        elif dim >= len(out._spec.shape) and _indexed_dims(p):  # behind them: PyTorch passes over slices
            if isinstance(p, slice):
                dim += 1
                continue
            raise IndexError(f"Dimension out of range (expected to be in range of [{-len(out._spec.shape)}, {len(out._spec.shape) - 1}], but got {dim}): "
                             "the index has several ellipses (...), and each skips all dimensions that are not indexed")
        elif isinstance(p, slice):
            out = _slice(out, dim, p)
            dim += 1
            source += 1
        elif isinstance(p, int):
            out = _at(out, dim, p, source)
            source += 1
        elif p._spec.dtype.name in ("bool", "uint8"):
            out, dim, source = _mask(out, p, dim, source, advanced)
        else:
            advanced.append((dim, p))
            dim += 1
            source += 1
    if out is t and alias:
        if index.__class__ is slice:
            out = strided_part(t, 0, 0, t._spec.shape[0], 1)
        else:
            out = view(t, t._spec, "AliasBackward0", lambda g: g)
    return out, advanced


def _slice(t: Tensor, dim: int, s: slice) -> Tensor:
    if s.start is None and s.stop is None and s.step is None:
        return t
    start, stop, step = (int(v.item()) if isinstance(v, Tensor) else v for v in (s.start, s.stop, s.step))
    n = t._spec.shape[dim]
    a, b, c = slice(start, stop, step).indices(n)
    if c <= 0:
        raise ValueError("step must be greater than zero")
    if a == 0 and b == n and c == 1:
        return t
    return strided_part(t, dim, a, max(0, -(-(b - a) // c)), c)


def _mask(out: Tensor, mask: Tensor, dim: int, source: int,
          advanced: list[tuple[int, Tensor]]) -> tuple[Tensor, int, int]:
    """A boolean index: as many index tensors as it has dimensions (a new dimension for a 0-d one)."""
    shape = mask._spec.shape
    if not shape:
        out = out.unsqueeze(dim)
        advanced.append((dim, wrap(np.zeros(1 if bool(mask) else 0, np.int64))))
        return out, dim + 1, source
    for i, n in enumerate(shape):
        if out._spec.shape[dim + i] != n:
            raise IndexError(f"The shape of the mask {list(shape)} at index {i} does not match the shape "
                             f"of the indexed tensor {list(out._spec.shape)} at index {dim + i}")
    for where in positions(unwrap(mask)):
        advanced.append((dim, wrap(where)))
        dim += 1
    return out, dim, source + len(shape)


def gather_at(t: Tensor, advanced: list[tuple[int, Tensor]]) -> Tensor:
    """Advanced indexing of a view."""
    dims, indices = _checked(t, advanced)
    out = apply(TABLE["index"], (t, *indices), (dims,))
    if t._spec.plain and 1 not in t._spec.shape and all(i._spec.plain for i in indices):
        return out
    order = _index_order(t._spec, dims, indices, out._spec.shape)
    return out if order is None else relaid(out, order)


def _index_order(s: Spec, dims: tuple[int, ...], indices: tuple[Tensor, ...], shape: tuple[int, ...]) -> Any:
    """The memory order of an indexed result: the reader walks the memory of
    what is indexed, then that of the indices."""
    common = broadcast_shapes(*[i._spec.shape for i in indices])
    at = dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0
    kept = [st for d, st in enumerate(s.strides) if d not in dims]
    after = len(kept) - at
    size = prod(common)
    lead = [size if n == 1 else 0 for n in shape[:at]]
    rest = [1 if n == 1 else 0 for n in shape[len(shape) - after:]]
    reads = [s.at(shape, (*kept[:at], *[0] * len(common), *kept[at:]))]
    for i in indices:
        wide = i._spec.expand(tuple(common))
        assert wide is not None
        reads.append(wide.at(shape, (*lead, *wide.strides, *rest)))
    return iteration_order(shape, reads)


def _checked(t: Tensor, advanced: list[tuple[int, Tensor]]) -> tuple[tuple[int, ...], tuple[Tensor, ...]]:
    """Dimensions and indices of a subscript; IndexError for a value that is known and out of bounds."""
    for d, i in advanced:
        n = t._spec.shape[d]
        check_index(i, n, OUT_OF_BOUNDS.format(d), low=-n)
    return tuple(d for d, _ in advanced), tuple(i if i._spec.dtype is int64 else cast(i, int64) for _, i in advanced)


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """self[index] = value, in place."""
    if not isinstance(value, Tensor):
        value = _scalar(value, self)
    if isinstance(index, bool):  # all of it, or nothing
        if index:
            store(self.unsqueeze(0), value)
        return
    target, advanced = parse(self, index, alias=False)
    if not advanced:
        store(target, value)
        return
    check_in_place(target, value)
    dims, indices = _checked(target, advanced)
    shape = TABLE["index"].shape(target._spec, *[i._spec for i in indices], dims)[0][1]
    if value._spec.dtype is not target._spec.dtype and not (value._spec.numel == 1 and one_mask(index)):
        raise types_differ(target, value)
    d = target._spec.dtype
    if value._spec.dtype is not d:
        check_value(value, d)
        value = converted(value, d)
    check_overlap(target, (value,), expanded=True, same=True)
    assign(target, apply(TABLE["index_put"], (target, fitted(value, shape), *indices), (dims, False)), take=True)


def one_mask(index: Any) -> bool:
    """Whether a subscript picks elements by one mask alone: then a single value of any type may be stored."""
    picks = [p for p in (index if isinstance(index, tuple) else (index,))
             if isinstance(p, (Tensor, list, np.ndarray, bool))]
    if len(picks) != 1 or _sequence_type(picks[0]) not in ("bool", "uint8"):
        return False
    mask = picks[0]
    return bool(mask._spec.shape if isinstance(mask, Tensor) else np.shape(mask))


def _sequence_type(p: Any) -> str:
    return ("bool" if isinstance(p, bool) else
            str(p.dtype).removeprefix("torch.") if hasattr(p, "dtype") else _sequence(p)._spec.dtype.name)


def types_differ(target: Tensor, value: Tensor) -> RuntimeError:
    return RuntimeError(f"Index put requires the source and destination dtypes match, got {scalar_name(target.dtype)} "
                        f"for the destination and {scalar_name(value.dtype)} for the source.")


def fitted(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A value broadcast to an indexed shape, leading ones dropped."""
    have = value._spec.shape
    while len(have) > len(shape) and have and have[0] == 1:
        value = reshape(value, have[1:])
        have = value._spec.shape
    if value._spec.expand(shape) is None:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(have)} cannot be "
                           f"broadcast to indexing result of shape {list(shape)}")
    return expand(value, shape)


def _scalar(value: Any, like: Tensor) -> Tensor:
    from rushlight.tensor.creation import array_of
    if isinstance(value, (bool, int, float, complex)):
        return apply(TABLE["full"], (checked(value, like._spec.dtype, rounded=True),), ((), like._spec.dtype))
    return wrap(array_of(value))


def store(target: Tensor, value: Tensor) -> None:
    """Write a value through a view, broadcasting it."""
    shape, have = target._spec.shape, value._spec.shape
    while len(have) > len(shape) and have and have[0] == 1:
        value = reshape(value, have[1:])
        have = value._spec.shape
    if value._spec.expand(shape) is None:
        raise RuntimeError(f"The expanded size of the tensor ({shape[-1] if shape else 1}) must match the "
                           f"existing size ({have[-1]}) at non-singleton dimension {len(shape) - 1}.  "
                           f"Target sizes: {list(shape)}.  Tensor sizes: {list(have)}")
    check_overlap(target, ())
    if value._base is not None and have != shape:
        value = expand(value, shape)  # which asks for the history of a view, whatever the type of the target
    assign(target, value, severs=True)


def converted(value: Tensor, dtype: DType) -> Tensor:
    """A value that fits, in another type."""
    if value._spec.dtype.is_complex and not dtype.is_complex and dtype.kind != "b":
        value = value.real
    return cast(value, dtype)
