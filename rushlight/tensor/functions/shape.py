"""Views, joins and other changes of shape. Views record nothing."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.ir.dtype import DType
from rushlight.ir.spec import Spec, channels_last_order, iteration_order, spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, owned, spread_into, view
from rushlight.tensor.functions.common import lying_as, shape_of, wrap_dim, wrap_dims
from rushlight.tensor.functions.histories import say_first
from rushlight.tensor.functions.numpy_names import take_numpy_names


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
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                               "unspecified dimension size -1 can be any value and is ambiguous")
        if rest <= 0 or numel % rest:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}. "
                               f"The other dimensions hold {rest} elements, of which {numel} is no multiple.")
        shape = tuple([numel // rest if n == -1 else n for n in shape])
    if any(n < 0 for n in shape):
        bad = next(n for n in shape if n < 0)
        raise RuntimeError(f"invalid shape dimension {bad}")
    if prod(shape) != numel:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}. "
                           f"It would hold {prod(shape)} elements; one size may be -1, which is worked out.")
    return shape


def reshape(input: Tensor, *args: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape: a view where that is possible, else a copy. One size may be -1."""
    s = input._spec
    new = wildcard(shape_of(*args) if shape is None else shape_of(shape), s.numel)
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
            raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one "
                               "dimension spans across two contiguous subspaces). Use .reshape(...) instead. "
                               f"The sizes are {list(s.shape)}, the strides {list(s.strides)}, wanted is {list(new)}.")
        if len(_seen_views) > 10_000:
            _seen_views.clear()
        if all([type(n) is int for n in shape]):
            _seen_views[s, shape] = to
    return _reshaped(self, to, s.shape)


_seen_views: dict[tuple[Spec, tuple[int, ...]], Spec] = {}  # by the type of a tensor and the shape asked for


def view_dtype(t: Tensor, dtype: Any) -> Tensor:
    """The bytes of a tensor read as another dtype."""
    s = t._spec
    if dtype is s.dtype:  # another tensor on the same memory, without history, as for any other dtype
        return view(t, s, "ViewDtypeBackward0", None, differentiable=False)
    old, new = s.dtype.itemsize, dtype.itemsize
    if old == new:
        to = spec(dtype, s.shape, s.strides, s.offset)
    elif not s.shape:
        raise RuntimeError(f"self.dim() cannot be 0 to view {s.dtype} as {dtype} (different element sizes)")
    elif s.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 to view {s.dtype} as {dtype} (different "
                           f"element sizes), but got {s.strides[-1]}")
    elif old > new:
        k = old // new
        to = spec(dtype, (*s.shape[:-1], s.shape[-1] * k), (*[n * k for n in s.strides[:-1]], 1), s.offset * k)
    else:
        k = new // old
        if s.shape[-1] % k or s.offset % k or any(n % k for n in s.strides[:-1]):
            raise RuntimeError(f"self.size(-1) must be divisible by {k} to view {s.dtype} as {dtype} "
                               f"(different element sizes), but got {s.shape[-1]}")
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
        raise RuntimeError("view_as_complex is only supported for floating point tensors, "
                           f"but got a tensor of scalar type: {s.dtype.name}")
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
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does "
                           "not match the length of the desired ordering of dimensions i.e. "
                           f"input.dim() = {ndim} is not equal to len(dims) = {len(order)}")
    try:
        order = tuple([wrap_dim(d, ndim) for d in order])
    except IndexError:
        say_first((input,))
        raise
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    inverse = [0] * ndim
    for i, d in enumerate(order):
        inverse[d] = i
    return view(input, input._spec.permute(order), "PermuteBackward0", lambda g: permute(g, tuple(inverse)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    ndim = len(input._spec.shape)
    try:
        a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    except IndexError:
        say_first((input,))
        raise
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
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. "
                           f"Got {len(input._spec.shape)}-D tensor.")
    return transpose(input, -2, -1).conj()


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the others in order."""
    ndim = len(input._spec.shape)
    src = [source] if isinstance(source, int) else list(source)
    dst = [destination] if isinstance(destination, int) else list(destination)
    if len(src) != len(dst):
        raise RuntimeError("movedim: Invalid source or destination dims: "
                           f"source ({src} dims) should contain the same number of dims as destination ({dst} dims)")
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
        gone = [d for d in ((wrap_dim(dim, ndim),) if isinstance(dim, int) else (wrap_dims(dim, ndim) if dim else ()))
                if ndim and s.shape[d] == 1]
    kept = [d for d in range(ndim) if d not in gone]
    to = s.at(tuple([s.shape[d] for d in kept]), tuple([s.strides[d] for d in kept]))
    old = s.shape
    return view(input, to, "SqueezeBackward0", (lambda g: reshape(g, old)) if gone else lambda g: g)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A dimension of size 1 inserted at position dim.

    A view. IndexError for a position beyond the dimensions.

    >>> import rushlight as rl
    >>> rl.unsqueeze(rl.zeros(2, 3), 1).shape
    torch.Size([2, 1, 3])
    """
    s = input._spec
    n = len(s.shape) + 1
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    d = dim % n
    step = s.strides[d] * s.shape[d] if d < len(s.shape) else 1
    to = s.at((*s.shape[:d], 1, *s.shape[d:]), (*s.strides[:d], step, *s.strides[d:]))
    return view(input, to, "UnsqueezeBackward0", lambda g: squeeze(g, d))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim … end_dim as one.

    A view where the memory allows it. IndexError for dimensions that are not there, RuntimeError where start
    lies behind end.

    >>> import rushlight as rl
    >>> rl.flatten(rl.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    shape = input._spec.shape
    a, b = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if not shape:
        return reshape(input, (1,))
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return input if a == b else reshape(input, (*shape[:a], prod(shape[a:b + 1]), *shape[b + 1:]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    if not input._spec.numel:
        return reshape(input, (0,))
    return reshape(input.contiguous(), (-1,))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension split into several."""
    d = wrap_dim(dim, len(input._spec.shape))
    sizes = shape_of(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not input._spec.shape:
        raise RuntimeError(f"Dimension specified as {dim} but tensor has no dimensions")
    n = input._spec.shape[d]
    try:
        sizes = wildcard(sizes, n)
    except RuntimeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the "
                           f"size of dim {d} ({n}) in the input tensor") from None
    return reshape(input, (*input._spec.shape[:d], *sizes, *input._spec.shape[d + 1:]))


def expand(input: Tensor, *args: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size."""
    want = shape_of(size) if size is not None else shape_of(*args)
    s = input._spec
    lead = len(want) - len(s.shape)
    if lead < 0:
        raise RuntimeError(f"expand({_type_text(input)}{{{list(s.shape)}}}, size={list(want)}): "
                           f"the number of sizes provided ({len(want)}) must be greater or equal to "
                           f"the number of dimensions in the tensor ({len(s.shape)})")
    for i, n in enumerate(want):
        if n == -1 and i < lead:
            raise RuntimeError("The expanded size of the tensor (-1) isn't allowed in a "
                               f"leading, non-existing dimension {i}")
    full = tuple([s.shape[i - lead] if n == -1 else n for i, n in enumerate(want)])
    to = s.expand(full)
    if to is None:
        bad = max(i for i in range(lead, len(full)) if s.shape[i - lead] not in (1, full[i]))
        raise RuntimeError(f"The expanded size of the tensor ({full[bad]}) must match the existing "
                           f"size ({s.shape[bad - lead]}) at non-singleton dimension {bad}.  "
                           f"Target sizes: {list(want)}.  Tensor sizes: {list(s.shape)}")
    if lead and s.shape and 1 in full[:lead]:  # a new dimension of one element steps over what lies behind it
        strides = list(to.strides)
        for d in range(lead - 1, -1, -1):
            if full[d] == 1:
                strides[d] = full[d + 1] * strides[d + 1] if d + 1 < len(full) else 1
        to = to.at(full, tuple(strides))
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
        raise RuntimeError("as_strided: Negative strides are not supported at the "
                           f"moment, got strides: {list(strides)}")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"as_strided: negative size in {list(shape)}")
    if offset < 0:
        raise RuntimeError("Tensor: invalid storage offset " + str(offset))
    to = spec(s.dtype, shape, strides, offset)
    room = input._storage.size * input._storage.dtype.itemsize
    if to.numel and to.extent() * s.dtype.itemsize > room:
        raise RuntimeError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, "
                           f"and itemsize {s.dtype.itemsize} requiring a storage size of "
                           f"{to.extent() * s.dtype.itemsize} are out of bounds for storage of size {room}")
    return view(input, to, "AsStridedBackward0", spread_into(to, s))


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


def as_images(out: Tensor, *images: Tensor, follow: bool = True) -> Tensor:
    """The result of an operation on images, dense: with channels last where the strides of one of them suggest it, unless PyTorch
    has a kernel for the ordinary order alone (``follow`` is False).

    Never memory of these images: they can be written to, and the result stays.

    >>> import rushlight as rl
    >>> x = rl.zeros(1, 2, 3, 3).contiguous(memory_format=rl.channels_last)
    >>> rl.nn.functional.max_pool2d(x, 2, 1).stride()
    (8, 1, 4, 2)
    """
    order, shared, lying = None, False, out._spec
    for x in images:
        if follow and order is None and not x._spec.ordinary:
            order = channels_last_order(x._spec)
        shared |= x._storage is out._storage
    if order is None:
        lies = lying.contiguous
    else:
        lies = lying.permute(order).contiguous and channels_last_order(lying) == order  # also where one pixel is all
    if lies and not shared:
        return out
    return apply(TABLE["reorder"], (out,), (tuple(range(len(lying.shape))) if order is None else order,))


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


__all__ = ["Size", "reshape", "view_as_real", "view_as_complex", "permute", "transpose", "swapdims", "swapaxes", "t",
           "adjoint", "movedim", "moveaxis", "squeeze", "unsqueeze", "flatten", "ravel", "unflatten", "expand",
           "broadcast_to", "expand_as", "as_strided", "contiguous", "clone", "broadcast_shapes"]
take_numpy_names(globals(), __all__)
