"""Views, joins and other changes of shape. Views record nothing."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.ir.dtype import DType
from rushlight.ir.spec import Spec, iteration_order, spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, owned, spread_into, sync_view, view
from rushlight.tensor.functions.common import cast, give, lying_as, need_tensor, shape_of, wrap_dim, wrap_dims
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.promotion import result_type
from rushlight.tensor.state import state


class Size(tuple):
    """The sizes of a tensor's dimensions: a tuple with ``numel()``."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __getitem__(self, i: Any) -> Any:
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got

    def __mul__(self, n: Any) -> Size:
        return Size(tuple(self) * n)

    def __reduce__(self) -> Any:
        return Size, (tuple(self),)


def wildcard(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A shape with its -1 worked out. RuntimeError where the elements do not fit."""
    if -1 in shape:
        if shape.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        rest = prod(n for n in shape if n != -1)
        if rest == 0 and numel == 0:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be any "
                               "value and is ambiguous")
        if rest <= 0 or numel % rest:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}. The other dimensions hold {rest} elements, of which "
                               f"{numel} is no multiple.")
        shape = tuple([numel // rest if n == -1 else n for n in shape])
    if any(n < 0 for n in shape):
        bad = next(n for n in shape if n < 0)
        raise RuntimeError(f"invalid shape dimension {bad}")
    if prod(shape) != numel:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}. It would hold {prod(shape)} elements; one size may be -1, "
                           "which is worked out.")
    return shape


def reshape(input: Tensor, *args: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape: a view where that is possible, else a copy. One size may be -1."""
    s = input._spec
    new = wildcard(shape_of(*args) if shape is None else shape_of(shape), s.numel)
    if new == s.shape:
        return view_as_is(input)
    to = s.reshape(new)
    if to is None:
        copy = apply(TABLE["copy"], (input,))
        return owned(_reshaped(copy, copy._spec.reshape(new), s.shape))
    return _reshaped(input, to, s.shape)


def view_as_is(t: Tensor) -> Tensor:
    return view(t, t._spec, "ViewBackward0", lambda g: g)


def within(t: Tensor, *shape: int) -> Tensor:
    """t in another shape (its own where none is given), inside an operation whose gradient for t is nobody's view."""
    s = t._spec
    to = s.reshape(wildcard(shape, s.numel)) if shape else s
    if to is None:
        return reshape(t, shape)
    return view(t, to, "ViewBackward0", lambda g: owned(reshape(g, s.shape) if shape else g))


def _reshaped(t: Tensor, to: Any, old: tuple[int, ...]) -> Tensor:
    return view(t, to, "ViewBackward0", lambda g: reshape(g, old))


def view_method(self: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """The same memory in another shape, or as another dtype. RuntimeError where that takes a copy."""
    if dtype is None and len(shape) == 1 and isinstance(shape[0], DType):
        dtype = shape[0]
    if dtype is not None:
        return view_dtype(self, dtype)
    s = self._spec
    try:
        to = _seen_views.get((s, shape))
    except TypeError:  # a list among the sizes
        to = None
    if to is None:
        new = wildcard(shape_of(*shape), s.numel)
        to = s.reshape(new)
        if to is None:
            raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous "
                               f"subspaces). Use .reshape(...) instead. The sizes are {list(s.shape)}, the strides {list(s.strides)}, wanted is {list(new)}.")
        if len(_seen_views) > 10_000:
            _seen_views.clear()
        if all([type(n) is int for n in shape]):
            _seen_views[s, shape] = to
    return _reshaped(self, to, s.shape)


_seen_views: dict[tuple[Spec, tuple[int, ...]], Spec] = {}  # by the type of a tensor and the shape asked for


def view_dtype(t: Tensor, dtype: Any) -> Tensor:
    """The bytes of a tensor read as another dtype."""
    s = t._spec
    if dtype is s.dtype:
        return t
    old, new = s.dtype.itemsize, dtype.itemsize
    if old == new:
        to = spec(dtype, s.shape, s.strides, s.offset)
    elif not s.shape:
        raise RuntimeError(f"self.dim() cannot be 0 to view {s.dtype} as {dtype} (different element sizes)")
    elif s.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 to view {s.dtype} as {dtype} (different element sizes), but got {s.strides[-1]}")
    elif old > new:
        k = old // new
        to = spec(dtype, (*s.shape[:-1], s.shape[-1] * k), (*[n * k for n in s.strides[:-1]], 1), s.offset * k)
    else:
        k = new // old
        if s.shape[-1] % k or s.offset % k or any(n % k for n in s.strides[:-1]):
            raise RuntimeError(f"self.size(-1) must be divisible by {k} to view {s.dtype} as {dtype} (different element sizes), but got {s.shape[-1]}")
        to = spec(dtype, (*s.shape[:-1], s.shape[-1] // k), (*[n // k for n in s.strides[:-1]], 1), s.offset // k)
    return view(t, to, "ViewDtypeBackward0", None, differentiable=False)


def view_as_real(input: Tensor) -> Tensor:
    """Complex numbers as a last dimension of (real, imaginary), on the same memory."""
    if not input._spec.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    s = input._spec
    to = spec(s.dtype.to_real(), (*s.shape, 2), (*[n * 2 for n in s.strides], 1), s.offset * 2)
    return view(input, to, "ViewAsRealBackward0", lambda g: view_as_complex(g.contiguous()))


def view_as_complex(input: Tensor) -> Tensor:
    """A last dimension of (real, imaginary) as complex numbers, on the same memory."""
    s = input._spec
    if s.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"view_as_complex is only supported for floating point tensors, but got a tensor of scalar type: {s.dtype.name}")
    if not s.shape:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if s.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if s.strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(st % 2 for n, st in zip(s.shape[:-1], s.strides) if n != 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if s.offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    to = spec(s.dtype.to_complex(), s.shape[:-1], tuple(n // 2 for n in s.strides[:-1]), s.offset // 2)
    return view(input, to, "ViewAsComplexBackward0", lambda g: view_as_real(g))


def permute(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The dimensions in another order."""
    ndim = len(input._spec.shape)
    order = shape_of(dims) if dims is not None else shape_of(*args)
    if len(order) != ndim:
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of "
                           f"dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(order)}")
    order = tuple([wrap_dim(d, ndim) for d in order])
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    inverse = [0] * ndim
    for i, d in enumerate(order):
        inverse[d] = i
    return view(input, input._spec.permute(order), "PermuteBackward0", lambda g: permute(g, tuple(inverse)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    ndim = len(input._spec.shape)
    a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    if not ndim:
        return view_as_is(input)
    order = list(range(ndim))
    order[a], order[b] = b, a
    return view(input, input._spec.permute(tuple(order)), "TransposeBackward0", lambda g: transpose(g, a, b))


swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under NumPy's name.

    >>> import rushlight as rl
    >>> rl.swapaxes(rl.zeros(2, 3), 0, 1).shape
    torch.Size([3, 2])
    """
    return transpose(input, axis0, axis1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers themselves."""
    if len(input._spec.shape) > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {len(input._spec.shape)}D")
    if len(input._spec.shape) < 2:
        return view_as_is(input)
    return view(input, input._spec.permute((1, 0)), "TBackward0", t)


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    if len(input._spec.shape) < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {len(input._spec.shape)}-D tensor.")
    return transpose(input, -2, -1).conj()


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the others in order."""
    ndim = len(input._spec.shape)
    src = [source] if isinstance(source, int) else list(source)
    dst = [destination] if isinstance(destination, int) else list(destination)
    if len(src) != len(dst):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({src} dims) should contain the same number of dims as destination "
                           f"({dst} dims)")
    src, dst = [wrap_dim(d, ndim) for d in src], [wrap_dim(d, ndim) for d in dst]
    if len(set(src)) != len(src):
        raise RuntimeError(f"movedim: repeated dim in `source` ({src})")
    if len(set(dst)) != len(dst):
        raise RuntimeError(f"movedim: repeated dim in `destination` ({dst})")
    rest = iter([d for d in range(ndim) if d not in src])
    at = dict(zip(dst, src))
    return permute(input, tuple([at[d] if d in at else next(rest) for d in range(ndim)])) if ndim else view_as_is(input)


moveaxis = movedim


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without dimensions of size 1: all of them, or those given."""
    s = input._spec
    ndim = len(s.shape)
    if dim is None:
        gone = [d for d in range(ndim) if s.shape[d] == 1]
    else:
        gone = [d for d in ((wrap_dim(dim, ndim),) if isinstance(dim, int) else (wrap_dims(dim, ndim) if dim else ())) if ndim and s.shape[d] == 1]
    kept = [d for d in range(ndim) if d not in gone]
    to = s.at(tuple([s.shape[d] for d in kept]), tuple([s.strides[d] for d in kept]))
    old = s.shape
    return view(input, to, "SqueezeBackward0", (lambda g: reshape(g, old)) if gone else lambda g: g)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A dimension of size 1 inserted at position dim."""
    s = input._spec
    n = len(s.shape) + 1
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    d = dim % n
    step = s.strides[d] * s.shape[d] if d < len(s.shape) else 1
    to = s.at((*s.shape[:d], 1, *s.shape[d:]), (*s.strides[:d], step, *s.strides[d:]))
    return view(input, to, "UnsqueezeBackward0", lambda g: squeeze(g, d))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim … end_dim as one."""
    shape = input._spec.shape
    a, b = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if not shape:
        return reshape(input, (1,))
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return input if a == b else reshape(input, (*shape[:a], prod(shape[a:b + 1]), *shape[b + 1:]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return reshape(input, (-1,)) if input._spec.numel else reshape(input, (0,))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension split into several."""
    d = wrap_dim(dim, len(input._spec.shape))
    sizes = shape_of(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    n = input._spec.shape[d]
    try:
        sizes = wildcard(sizes, n)
    except RuntimeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({n}) in the input tensor") from None
    return reshape(input, (*input._spec.shape[:d], *sizes, *input._spec.shape[d + 1:]))


def expand(input: Tensor, *args: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size."""
    want = shape_of(size) if size is not None else shape_of(*args)
    s = input._spec
    lead = len(want) - len(s.shape)
    if lead < 0:
        raise RuntimeError(f"expand({_type_text(input)}{{{list(s.shape)}}}, size={list(want)}): the number of sizes provided ({len(want)}) must be "
                           f"greater or equal to the number of dimensions in the tensor ({len(s.shape)})")
    for i, n in enumerate(want):
        if n == -1 and i < lead:
            raise RuntimeError(f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}")
    full = tuple([s.shape[i - lead] if n == -1 else n for i, n in enumerate(want)])
    to = s.expand(full)
    if to is None:
        bad = max(i for i in range(lead, len(full)) if s.shape[i - lead] not in (1, full[i]))
        raise RuntimeError(f"The expanded size of the tensor ({full[bad]}) must match the existing size ({s.shape[bad - lead]}) at non-singleton "
                           f"dimension {bad}.  Target sizes: {list(want)}.  Tensor sizes: {list(s.shape)}")
    old = s.shape
    return view(input, to, "ExpandBackward0", lambda g: sum_to(g, old))


def _type_text(t: Tensor) -> str:
    from rushlight.autograd.graph import type_name
    return type_name(t.dtype)


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """input expanded to size."""
    return expand(input, size)


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """self expanded to the shape of other."""
    return expand(self, other._spec.shape)


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """g summed over the dimensions along which a tensor of `shape` was broadcast."""
    have = g._spec.shape
    if have == shape:
        return g
    if not shape:
        return apply(TABLE["sum"], (g,), (tuple(range(len(have))), False))
    lead = len(have) - len(shape)
    dims = tuple([d for d in range(len(have)) if d < lead or (shape[d - lead] == 1 and have[d] != 1)])
    if dims:
        g = apply(TABLE["sum"], (g,), (dims, True))
    return reshape(g, shape) if lead else g


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The memory of input with any shape, strides and offset. RuntimeError beyond the storage."""
    shape, strides = shape_of(size), shape_of(stride)
    s = input._spec
    offset = s.offset if storage_offset is None else storage_offset
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(n < 0 for n in strides):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(strides)}")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"as_strided: negative size in {list(shape)}")
    if offset < 0:
        raise RuntimeError("Tensor: invalid storage offset " + str(offset))
    to = spec(s.dtype, shape, strides, offset)
    room = input._storage.size * input._storage.dtype.itemsize
    if to.numel and to.extent() * s.dtype.itemsize > room:
        raise RuntimeError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, and itemsize {s.dtype.itemsize} "
                           f"requiring a storage size of {to.extent() * s.dtype.itemsize} are out of bounds for storage of size {room}")
    return view(input, to, "AsStridedBackward0", spread_into(to, s))


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
    return _select(input, d, i % n)


def _select(t: Tensor, d: int, i: int, origin: Any = None) -> Tensor:
    s = t._spec
    return view(t, s.select(d, i), origin or "SelectBackward0", part_gradient(s.shape, lambda whole: whole.select(d, i)), origin=origin)


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


def strided_part(t: Tensor, d: int, start: int, length: int, step: int, title: str = "SliceBackward0", origin: Any = None) -> Tensor:
    """A slice of one dimension, with checked numbers."""
    s = t._spec
    return view(t, s.narrow(d, start, length, step), title, part_gradient(s.shape, lambda whole: whole.narrow(d, start, length, step)), origin=origin)


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
        return w.at((*[w.shape[d] for d in kept], n), (*[w.strides[d] for d in kept], w.strides[a] + w.strides[b]), start)
    return view(input, cut(s), "DiagonalBackward0", part_gradient(s.shape, cut))


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
        return w.at((*w.shape[:d], n, *w.shape[d + 1:], size), (*w.strides[:d], w.strides[d] * step, *w.strides[d + 1:], w.strides[d]))
    return view(self, cut(s), "UnfoldBackward0", part_gradient(s.shape, cut))


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """self if its memory is in the wanted order, else a copy in that order."""
    order = getattr(memory_format, "order", None)
    if order is None:
        return self if self._spec.contiguous else apply(TABLE["copy"], (self,))
    return in_order(self, memory_format)


def in_order(t: Tensor, memory_format: Any, copy: bool = False) -> Tensor:
    """t in channels-last order (itself where it has it already)."""
    ndim = len(t._spec.shape)
    if ndim != memory_format.ndim:
        raise RuntimeError(f"required rank {memory_format.ndim} tensor to use {memory_format.name} format")
    order = memory_format.order
    if not copy and t._spec.permute(order).contiguous:
        return t
    return apply(TABLE["reorder"], (t,), (order,))


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own; dense strides are kept."""
    if memory_format is not None and getattr(memory_format, "order", None) is not None:
        return in_order(input, memory_format, copy=True)
    s = input._spec
    if not s.contiguous and (memory_format is None or memory_format.name == "preserve_format"):
        order = iteration_order(s.shape, [s])
        if order is not None:
            return lying_as(apply(TABLE["reorder"], (input,), (order,)), s)
    return lying_as(apply(TABLE["copy"], (input,)), s) if memory_format is None else apply(TABLE["copy"], (input,))


def cat(tensors: Any, dim: Any = 0, *, out: Any = None) -> Tensor:
    """Tensors joined along a dimension; the other sizes must agree.

    >>> import rushlight as rl
    >>> rl.cat([rl.ones(1, 2), rl.zeros(1, 2)])
    tensor([[1., 1.],
            [0., 0.]])
    """
    parts = list(tensors)
    if not parts:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, p in enumerate(parts):
        if not isinstance(p, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(p).__name__}")
    dtype = result_type(*parts)
    # an empty vector joins with anything, as it always did
    whole = parts if all(len(p._spec.shape) == 1 for p in parts) else [p for p in parts if p._spec.shape != (0,)] or parts[:1]
    first = whole[0]._spec.shape
    if any(not p._spec.shape for p in parts):
        at = next(i for i, p in enumerate(parts) if not p._spec.shape)
        raise RuntimeError(f"zero-dimensional tensor (at position {at}) cannot be concatenated")
    filled = next((p._spec.shape for p in whole if p._spec.shape != (0,)), None)
    d = wrap_dim(dim, len(filled)) if filled is not None else 0  # of empty vectors alone the dimension does not matter
    for i, p in enumerate(whole):
        shape = p._spec.shape
        if len(shape) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}. Tensor {i} has shape {list(shape)}, the first {list(first)}; "
                               "unsqueeze adds a dimension.")
        if shape[:d] + shape[d + 1:] != first[:d] + first[d + 1:]:
            raise RuntimeError(f"Sizes of tensors must match except in dimension {d}. Expected size "
                               f"{next(a for k, (a, b) in enumerate(zip(first, shape)) if k != d and a != b)} but got size "
                               f"{next(b for k, (a, b) in enumerate(zip(first, shape)) if k != d and a != b)} for tensor number {i} in the list. "
                               f"The shapes are {[list(q._spec.shape) for q in parts]}: only their dimension {d} may differ; dim= chooses another.")
    return give(out, apply(TABLE["cat"], tuple([cast(p, dtype) for p in whole]), (d,)))


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    parts = list(tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = parts[0]._spec.shape
    for i, p in enumerate(parts):
        if p._spec.shape != first:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(p._spec.shape)} at entry {i}. "
                               "Pad or crop them to one shape, or join them along a dimension that they have with torch.cat.")
    d = wrap_dim(dim, len(first) + 1)
    if d == len(first):
        return cat([unsqueeze(p, d) for p in parts], d, out=out)
    return give(out, owned(reshape(cat(parts, d), (*first[:d], len(parts), *first[d:]))))


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
            raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}")
        if sum(sizes) != n:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {d}), but got "
                               f"split_sizes={sizes}")
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
    """Where to split: the one of the arguments that is given, an integer for a number of parts. TypeError for none or several."""
    given = [v for v in (parts, indices, sections, at) if v is not None]
    right = (indices is None or isinstance(indices, (list, tuple))) and (sections is None or isinstance(sections, int)) \
        and (at is None or isinstance(at, Tensor)) and (parts is None or isinstance(parts, (list, tuple)) or hasattr(parts, "__index__"))
    if len(given) != 1 or not right:
        forms = "(Tensor input, int sections), (Tensor input, tuple of ints indices)" + (", (Tensor input, Tensor tensor_indices_or_sections)" * (name == "tensor_split"))
        raise TypeError(f"{name}() received an invalid combination of arguments - got {tuple(type(v).__name__ for v in given)}, but expected one of: {forms}")
    return given[0] if isinstance(given[0], (list, tuple, int, Tensor)) else given[0].__index__()  # a number of NumPy


def tensor_split(input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None,
                 tensor_indices_or_sections: Any = None) -> tuple[Tensor, ...]:
    """Parts split at indices, or into a number of parts of nearly equal size; exactly one of the arguments says where.

    >>> import rushlight as rl
    >>> tensor_split(rl.arange(3), sections=2)
    (tensor([0, 1]), tensor([2]))
    """
    indices_or_sections = _cuts("tensor_split", indices_or_sections, indices, sections, tensor_indices_or_sections)
    if not input._spec.shape:
        raise RuntimeError(f"tensor_split expected at least a 1-dimensional tensor, but got a tensor with {len(input._spec.shape)} dims")
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
    return tuple([_select(input, d, i, "UnbindBackward0") for i in range(input._spec.shape[d])])


def repeat(self: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The tensor copied side by side `repeats` times along each dimension."""
    times = shape_of(repeats) if repeats is not None else shape_of(*args)
    shape = self._spec.shape
    if len(times) < len(shape):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {list(times)}")
    shape = (1,) * (len(times) - len(shape)) + shape
    spread = [v for pair in zip((1,) * len(shape), shape) for v in pair]
    full = [v for pair in zip(times, shape) for v in pair]
    return owned(apply(TABLE["copy"], (expand(within(self, *spread), full),)).reshape([a * b for a, b in zip(times, shape)]))


def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """`repeat` with missing leading repeats taken as 1."""
    times = shape_of(dims) if dims is not None else shape_of(*args)
    return repeat(input, (1,) * (len(input._spec.shape) - len(times)) + times)


def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The order of elements reversed along dimensions."""
    given = shape_of(dims) if dims is not None else shape_of(*args)
    d = wrap_dims(given, len(input._spec.shape)) if given else ()
    return apply(TABLE["flip"], (input,), (d,)) if d else clone(input)


def fliplr(input: Tensor) -> Tensor:
    """Columns reversed."""
    if len(input._spec.shape) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Rows reversed."""
    if len(input._spec.shape) < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements shifted along dimensions, those pushed out coming back at the other end."""
    sh = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    ds = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not sh:
        raise RuntimeError("`shifts` required")
    if not input._spec.numel:
        return clone(input)
    if not ds and len(sh) == 1:
        return owned(apply(TABLE["roll"], (within(input, -1),), (sh, (0,))).reshape(input._spec.shape))
    if len(sh) != len(ds):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(sh)}, dims:{len(ds)}")
    if not input._spec.shape:
        raise IndexError(f"Dimension specified as {ds[0]} but tensor has no dimensions")
    dims = tuple(wrap_dim(d, len(input._spec.shape)) for d in ds)
    if len(dims) == 1 and sh[0] % input._spec.shape[dims[0]] == 0:
        return apply(TABLE["copy"], (input,))
    return apply(TABLE["roll"], (input,), (sh, dims))


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by k quarter turns in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    ndim = len(input._spec.shape)
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    a, b = wrap_dim(dims[0], ndim), wrap_dim(dims[1], ndim)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return clone(input)
    if k == 2:
        return flip(input, a, b)
    return flip(transpose(input, a, b), a if k == 1 else b)


def ensure_dims(n: int) -> Any:
    def atleast(*tensors: Any) -> Any:
        many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        done = [_atleast(x, n) for x in many]
        return done[0] if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)) else tuple(done)
    atleast.__name__ = f"atleast_{n}d"
    return atleast


def _atleast(x: Tensor, n: int) -> Tensor:
    need_tensor("atleast", 1, "tensors", x)
    shape = x._spec.shape
    if len(shape) >= n:
        return x
    new = {1: lambda: (1,), 2: lambda: (1, shape[0] if shape else 1),
           3: lambda: (1, 1, 1) if not shape else (1, shape[0], 1) if len(shape) == 1 else (*shape, 1)}[n]()
    return reshape(x, new)


atleast_1d, atleast_2d, atleast_3d = (ensure_dims(n) for n in (1, 2, 3))


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined side by side."""
    parts = [atleast_1d(p) for p in tensors]
    return cat(parts, 0 if len(parts[0]._spec.shape) == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined below each other."""
    return cat([atleast_2d(p) for p in tensors], 0, out=out)


row_stack = vstack


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined behind each other."""
    return cat([atleast_3d(p) for p in tensors], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Vectors and numbers as columns, joined side by side."""
    return cat([reshape(p, (p._spec.numel, 1)) if len(p._spec.shape) < 2 else p for p in tensors], 1, out=out)


def hsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by columns, at indices or into a number of equal parts."""
    parts = _cuts("hsplit", sections, indices, None)
    if len(input._spec.shape) < 1:
        raise RuntimeError("torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with 0 dimensions!")
    return _exact_split("hsplit", input, parts, 0 if len(input._spec.shape) == 1 else 1)


def vsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by rows, at indices or into a number of equal parts."""
    parts = _cuts("vsplit", sections, indices, None)
    if len(input._spec.shape) < 2:
        raise RuntimeError(f"torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with {len(input._spec.shape)} dimensions!")
    return _exact_split("vsplit", input, parts, 0)


def dsplit(input: Tensor, sections: Any = None, *, indices: Any = None) -> tuple[Tensor, ...]:
    """Split by depth, at indices or into a number of equal parts."""
    parts = _cuts("dsplit", sections, indices, None)
    if len(input._spec.shape) < 3:
        raise RuntimeError(f"torch.dsplit requires a tensor with at least 3 dimension, but got a tensor with {len(input._spec.shape)} dimensions!")
    return _exact_split("dsplit", input, parts, 2)


def _exact_split(name: str, t: Tensor, parts: Any, dim: int) -> tuple[Tensor, ...]:
    if isinstance(parts, int) and (parts <= 0 or t._spec.shape[dim] % parts):
        raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {t._spec.shape[dim]} is not "
                           f"divisible by the split_size {parts}!")
    return tensor_split(t, parts, dim)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*[x._spec.shape for x in many])
    return tuple([expand(x, shape) for x in many])


def broadcast_shapes(*shapes: Any) -> Size:
    """The common shape of several."""
    from rushlight.ir.spec import broadcast
    from rushlight.ops.pointwise import shape_error
    out: tuple[int, ...] = ()
    for s in shapes:
        s = (s,) if isinstance(s, int) else tuple(s)
        if any(n < 0 for n in s):
            raise RuntimeError(f"Trying to create tensor with negative dimension ({min(s)}): ({min(s)})")
        joined = broadcast(out, s)
        if joined is None:
            raise shape_error(out, s)
        out = joined
    return Size(out)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of the grid that vectors span."""
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not many:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for p in many:
        if len(p._spec.shape) > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(p._spec.shape)}")
    if any(p.dtype is not many[0].dtype for p in many):
        raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    flat = [reshape(p, (-1,)) if p._spec.numel else reshape(p, (0,)) for p in many]
    swap = indexing == "xy" and len(flat) >= 2
    if swap:
        flat[0], flat[1] = flat[1], flat[0]
    shape = tuple(p._spec.shape[0] for p in flat)
    grids = [expand(reshape(p, tuple(shape[i] if i == k else 1 for i in range(len(shape)))), shape) for k, p in enumerate(flat)]
    if swap:
        grids = [grids[1], grids[0], *grids[2:]]
    return tuple(grids)


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each element (or index of dim) repeated; `repeats` is a number or one number per element."""
    import numpy as np

    from rushlight.tensor.core import unwrap, wrap
    if repeats is None:
        counts = unwrap(input)
        return wrap(np.repeat(np.arange(counts.size), counts).astype(counts.dtype))
    x = ravel(input) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, len(x._spec.shape))
    if not x._spec.shape:
        x = reshape(x, (1,))
    counts = unwrap(repeats.detach()) if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype.kind == "f":
        raise RuntimeError("repeats has to be Long or Int tensor")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    if counts.size not in (1, x._spec.shape[d]) or counts.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor" if counts.ndim > 1 else "repeats must have the same size as input along dim, but got "
                           f"repeats.size(0) = {counts.size} and input.size({d}) = {x._spec.shape[d]}")
    where = np.repeat(np.arange(x._spec.shape[d]), counts if counts.ndim and counts.size > 1 else int(counts.reshape(-1)[0]))
    return x.index_select(d, wrap(where))


__all__ = [n for n, v in list(globals().items()) if getattr(v, "__module__", None) == __name__ and not n.startswith("_") and n not in (
    "view_as_is", "view_method", "view_dtype", "part_gradient", "strided_part", "in_order", "ensure_dims", "sum_to", "wildcard", "within")]
take_numpy_names(globals(), __all__)
