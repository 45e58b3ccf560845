"""Parts of a tensor: one of them, or all."""

from __future__ import annotations

from typing import Any

from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, owned, sync_view, view
from rushlight.tensor.functions.common import wrap_dim
from rushlight.tensor.functions.histories import history_first, say_first
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.shape import reshape
from rushlight.tensor.state import state


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Index `index` of dimension dim, which goes away."""
    if input._base is not None and state.grad:
        sync_view(input)  # what is wrong with its history is said first
    s = input._spec
    if not s.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(s.shape))
    i = int(index)
    n = s.shape[d]
    if not -n <= i < n:
        raise IndexError(f"select(): index {i} out of range for tensor of size {list(s.shape)} at dimension {d}")
    return select_view(input, d, i % n)


def select_view(t: Tensor, d: int, i: int, origin: Any = None) -> Tensor:
    """One index of a dimension, both not negative."""
    s = t._spec
    return view(t, s.select(d, i), origin or "SelectBackward0",
                part_gradient(s.shape, lambda whole: whole.select(d, i)), origin=origin)


def part_gradient(shape: tuple[int, ...], cut: Any) -> Any:
    """The gradient of a view that shows part of a tensor: zeros of its shape with g in the part's place."""
    def back(g: Tensor) -> Tensor:
        whole = spec(g._spec.dtype, shape)
        flat = apply(TABLE["unview"], (g,), (whole.numel, cut(whole)))
        return owned(reshape(flat, shape))
    return back


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Elements start … start + length - 1 of one dimension."""
    s = input._spec
    if not s.shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(s.shape))
    if isinstance(start, Tensor) and (start._spec.shape or start._spec.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start = int(start)
    n = s.shape[d]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    if start < 0:
        start += n
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return strided_part(input, d, start, length, 1)


def strided_part(t: Tensor, d: int, start: int, length: int, step: int, title: str = "SliceBackward0",
                 origin: Any = None) -> Tensor:
    """A slice of one dimension, with checked numbers."""
    s = t._spec
    return view(t, s.narrow(d, start, length, step), title,
                part_gradient(s.shape, lambda whole: whole.narrow(d, start, length, step)), origin=origin)


@history_first
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions as a last dimension."""
    s = input._spec
    a, b = wrap_dim(dim1, len(s.shape)), wrap_dim(dim2, len(s.shape))
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")

    def cut(w: Any) -> Any:
        n = max(0, min(w.shape[a], w.shape[b] - offset) if offset >= 0 else min(w.shape[a] + offset, w.shape[b]))
        start = w.offset + ((offset * w.strides[b] if offset >= 0 else -offset * w.strides[a]) if n else 0)
        kept = [d for d in range(len(w.shape)) if d not in (a, b)]
        return w.at((*[w.shape[d] for d in kept], n),
                    (*[w.strides[d] for d in kept], w.strides[a] + w.strides[b]), start)
    return view(input, cut(s), "DiagonalBackward0", part_gradient(s.shape, cut))


@history_first
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along a dimension, as a new last dimension."""
    s = self._spec
    d = wrap_dim(dimension, len(s.shape))
    length = s.shape[d] if s.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {length} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")

    def cut(w: Any) -> Any:
        if not w.shape:
            return w.at((size,), (1,))
        n = (length - size) // step + 1
        return w.at((*w.shape[:d], n, *w.shape[d + 1:], size),
                    (*w.strides[:d], w.strides[d] * step, *w.strides[d + 1:], w.strides[d]))
    return view(self, cut(s), "UnfoldBackward0", part_gradient(s.shape, cut))


@history_first
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts of one dimension: of one size, or of the given sizes."""
    s = tensor._spec
    if not s.shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, len(s.shape))
    n = s.shape[d]
    if isinstance(split_size_or_sections, (list, tuple)):
        sizes = [int(v) for v in split_size_or_sections]
        if any(v < 0 for v in sizes):
            raise RuntimeError("split_with_sizes expects split_sizes have only non-negative "
                               f"entries, but got split_sizes={sizes}")
        if sum(sizes) != n:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {n} (input "
                               f"tensor's size at dimension {d}), but got split_sizes={sizes}")
    else:
        size = int(split_size_or_sections)
        if size < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
        if size == 0 and n:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        sizes = [min(size, n - i) for i in range(0, n, size)] if n else [0]
    return _parts(tensor, d, sizes, "SplitBackward0")


def _parts(t: Tensor, d: int, sizes: list[int], origin: Any = None) -> tuple[Tensor, ...]:
    """Consecutive parts of one dimension."""
    out, at = [], 0
    for v in sizes:
        out.append(strided_part(t, d, at, v, 1, origin or "SliceBackward0", origin))
        at += v
    return tuple(out)


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts of the given sizes."""
    return split(input, list(split_sizes), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` consecutive parts of equal size, the last perhaps smaller."""
    if not input._spec.shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = wrap_dim(dim, len(input._spec.shape))
    n = input._spec.shape[d]
    return split(input, -(-n // chunks) if n else 0, d) if n else split(input, [0] * chunks, d)


def _cuts(name: str, parts: Any, indices: Any, sections: Any, at: Any = None) -> Any:
    """Where to split: the one of the arguments that is given, an integer for a
    number of parts. TypeError for none or several."""
    given = [v for v in (parts, indices, sections, at) if v is not None]
    right = (indices is None or isinstance(indices, (list, tuple))) and (sections is None
                                                                         or isinstance(sections, int)) \
        and (at is None or isinstance(at, Tensor)) and (parts is None or isinstance(parts, (list, tuple))
                                                        or hasattr(parts, "__index__"))
    if len(given) != 1 or not right:
        forms = "(Tensor input, int sections), (Tensor input, tuple of ints indices)"
        if name == "tensor_split":
            forms += ", (Tensor input, Tensor tensor_indices_or_sections)"
        raise TypeError(f"{name}() received an invalid combination of arguments - got "
                        f"{tuple(type(v).__name__ for v in given)}, but expected one of: {forms}")
    return given[0] if isinstance(given[0], (list, tuple, int, Tensor)) else given[0].__index__()  # a number of NumPy


def tensor_split(input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None,
                 sections: Any = None, tensor_indices_or_sections: Any = None) -> tuple[Tensor, ...]:
    """Parts split at indices, or into a number of parts of nearly equal size; exactly one of the arguments says where.

    >>> import rushlight as rl
    >>> tensor_split(rl.arange(3), sections=2)
    (tensor([0, 1]), tensor([2]))
    """
    indices_or_sections = _cuts("tensor_split", indices_or_sections, indices, sections, tensor_indices_or_sections)
    if not input._spec.shape:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, "
                           f"but got a tensor with {len(input._spec.shape)} dims")
    d = wrap_dim(dim, len(input._spec.shape))
    n = input._spec.shape[d]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        sizes = [n // k + (i < n % k) for i in range(k)]
        return _parts(input, d, sizes)
    cuts = [min(max(i + n if i < 0 else i, 0), n) for i in indices_or_sections]
    edges = [0, *cuts, n]
    return tuple([strided_part(input, d, a, max(0, b - a), 1) for a, b in zip(edges, edges[1:])])


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """A view of each index of one dimension."""
    if not input._spec.shape:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    d = wrap_dim(dim, len(input._spec.shape))
    if not input._spec.shape[d]:
        say_first((input,))  # no part asks for the history
    return tuple([select_view(input, d, i, "UnbindBackward0") for i in range(input._spec.shape[d])])


def hsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by columns, at indices or into a number of equal parts."""
    parts = _cuts("hsplit", sections, indices, None)
    if len(input._spec.shape) < 1:
        raise RuntimeError("torch.hsplit requires a tensor with at least 1 dimension, "
                           "but got a tensor with 0 dimensions!")
    return _exact_split("hsplit", input, parts, 0 if len(input._spec.shape) == 1 else 1)


def vsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by rows, at indices or into a number of equal parts."""
    parts = _cuts("vsplit", sections, indices, None)
    if len(input._spec.shape) < 2:
        raise RuntimeError("torch.vsplit requires a tensor with at least 2 dimension, "
                           f"but got a tensor with {len(input._spec.shape)} dimensions!")
    return _exact_split("vsplit", input, parts, 0)


def dsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by depth, at indices or into a number of equal parts."""
    parts = _cuts("dsplit", sections, indices, None)
    if len(input._spec.shape) < 3:
        raise RuntimeError("torch.dsplit requires a tensor with at least 3 dimension, "
                           f"but got a tensor with {len(input._spec.shape)} dimensions!")
    return _exact_split("dsplit", input, parts, 2)


def _exact_split(name: str, t: Tensor, parts: Any, dim: int) -> tuple[Tensor, ...]:
    if isinstance(parts, int) and (parts <= 0 or t._spec.shape[dim] % parts):
        raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the size of the "
                           f"dimension {t._spec.shape[dim]} is not divisible by the split_size {parts}!")
    return tensor_split(t, parts, dim)


__all__ = ["select", "narrow", "diagonal", "unfold", "split", "split_with_sizes", "chunk", "tensor_split", "unbind",
           "hsplit", "vsplit", "dsplit"]
take_numpy_names(globals(), __all__)
