"""How a tensor reads its memory: dtype, shape, strides and offset, as one interned object, and the algebra of views."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from rushlight.ir.dtype import DType

Shape = tuple[int, ...]


class Spec:
    """A typed view of flat memory, in elements. Equal specs are the same object, so they hash by identity.

    Make them with `spec`. ``plain`` means contiguous from offset 0.
    """

    __slots__ = ("dtype", "shape", "strides", "offset", "numel", "contiguous", "plain", "ordinary")

    def __init__(self, dtype: DType, shape: Shape, strides: Shape, offset: int):
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.numel = prod(shape)
        self.contiguous = is_contiguous(shape, strides)
        self.plain = self.contiguous and offset == 0
        self.ordinary = self.contiguous and strides == contiguous_strides(shape)  # single elements as well

    def __repr__(self) -> str:
        dims = ",".join(map(str, self.shape))
        text = f"{self.dtype.short}[{dims}]"
        if not self.plain:
            text += f"({','.join(map(str, self.strides))}+{self.offset})"
        return text

    def at(self, shape: Shape, strides: Shape, offset: int | None = None) -> Spec:
        """The same memory seen with another geometry."""
        return spec(self.dtype, shape, strides, self.offset if offset is None else offset)

    def permute(self, dims: tuple[int, ...]) -> Spec:
        """Dimensions in another order (non-negative numbers)."""
        shape, strides = self.shape, self.strides
        return self.at(tuple([shape[d] for d in dims]), tuple([strides[d] for d in dims]))

    def expand(self, shape: Shape) -> Spec | None:
        """Broadcast to shape with stride 0, or None where that is impossible."""
        if shape == self.shape:
            return self
        lead = len(shape) - len(self.shape)
        if lead < 0:
            return None
        strides = [0] * lead
        for want, have, stride in zip(shape[lead:], self.shape, self.strides):
            if want == have:
                strides.append(stride)
            elif have == 1:
                strides.append(0)
            else:
                return None
        return self.at(shape, tuple(strides))

    def reshape(self, shape: Shape) -> Spec | None:
        """Another shape of as many elements, or None where that takes a copy."""
        if self.ordinary:
            return self.at(shape, contiguous_strides(shape))
        strides = view_strides(self.shape, self.strides, shape)
        return None if strides is None else self.at(shape, strides)

    def narrow(self, dim: int, start: int, length: int, step: int = 1) -> Spec:
        """Elements start, start+step, … of one dimension."""
        shape, strides = self.shape, self.strides
        return self.at((*shape[:dim], length, *shape[dim + 1:]),
                       (*strides[:dim], strides[dim] * step, *strides[dim + 1:]), self.offset + start * strides[dim])

    def select(self, dim: int, index: int) -> Spec:
        """One index of one dimension, which goes away."""
        shape, strides = self.shape, self.strides
        return self.at(shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:],
                       self.offset + index * strides[dim])

    def extent(self) -> int:
        """One past the largest element index that the view touches."""
        if self.numel == 0:
            return 0
        return self.offset + 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides))


_specs: dict[tuple[object, ...], Spec] = {}
_LIMIT = 200_000


def spec(dtype: DType, shape: Shape, strides: Shape | None = None, offset: int = 0) -> Spec:
    """The one Spec of that geometry; strides default to contiguous."""
    key = (dtype, shape, strides, offset)
    found = _specs.get(key)
    if found is None:
        if len(_specs) > _LIMIT:
            _specs.clear()
        if strides is None:
            found = spec(dtype, shape, contiguous_strides(shape), offset)
        else:
            found = Spec(dtype, shape, strides, offset)
        found = _specs.setdefault(key, found)
    return found


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides; a dimension of size 0 counts as 1, as in PyTorch.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n if n > 1 else 1
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n == 0:
            return True
        if n != 1:
            if s != step:
                return 0 in shape
            step *= n
    return True


def dense_order(shape: Shape, strides: Shape) -> tuple[int, ...] | None:
    """The dimensions from outermost to innermost in memory if they cover a dense block, else None.

    >>> dense_order((3, 2), (1, 3))
    (1, 0)
    """
    order = tuple(sorted(range(len(shape)), key=lambda d: (-strides[d], -shape[d], d)))
    step = 1
    for d in reversed(order):
        if shape[d] == 1:
            continue
        if strides[d] != step:
            return None
        step *= shape[d]
    return order


def iteration_order(shape: Shape, operands: list[Spec]) -> tuple[int, ...] | None:
    """The order of dimensions, outermost first, in which an elementwise
    operation walks its operands; its result lies in it.

    Operands are broadcast to `shape`. The first operand that tells two dimensions apart decides, as in PyTorch's
    TensorIterator. None stands for the ordinary order.

    >>> from rushlight.ir.dtype import float32
    >>> iteration_order((3, 2), [spec(float32, (3, 2), (1, 3))])
    (1, 0)
    """
    order = list(range(len(shape)))[::-1]  # innermost first
    for i in range(1, len(order)):
        here = i
        for before in range(i - 1, -1, -1):
            verdict = _walks_after(shape, operands, order[before], order[here])
            if verdict > 0:
                order[before], order[here] = order[here], order[before]
                here = before
            elif verdict < 0:
                break
    order.reverse()
    return None if order == list(range(len(shape))) else tuple(order)


@lru_cache(4096)
def elementwise_strides(shape: Shape, operands: tuple[Spec, ...], numbers: bool = False) -> Shape:
    """The strides of what an elementwise operation makes of operands that
    broadcast to `shape`; those of single elements too.

    PyTorch's rule: operands of one shape that all are contiguous, channels-last,
    or dense with the same strides hand that on.
    Else the result is dense in the order in which the operands are walked. `numbers` that are operands have no
    dimensions, so that beside them no two operands have one shape.

    >>> from rushlight.ir.dtype import float32
    >>> one = spec(float32, (1, 3), (1, 1))
    >>> elementwise_strides((1, 3), (one,)), elementwise_strides((1, 3), (one,), numbers=True)
    ((3, 1), (1, 1))
    """
    if all([s.shape == shape for s in operands]) and not (numbers and shape):
        if all([s.contiguous for s in operands]):
            return contiguous_strides(shape)
        if len(shape) == 4 and all([s.permute(CHANNELS_LAST).contiguous for s in operands]):
            return dense_strides(shape, CHANNELS_LAST)
        strides = operands[0].strides
        if all([s.strides == strides for s in operands]) and dense_order(shape, strides) is not None:
            return strides
    order = iteration_order(shape, [wide for s in operands if (wide := s.expand(shape)) is not None])
    return contiguous_strides(shape) if order is None else dense_strides(shape, order)


def dense_strides(shape: Shape, order: tuple[int, ...]) -> Shape:
    """The strides of a dense block whose dimensions lie in this order, outermost first.

    >>> dense_strides((2, 3), (1, 0))
    (1, 2)
    """
    within = contiguous_strides(tuple([shape[d] for d in order]))
    return tuple([within[order.index(d)] for d in range(len(shape))])


CHANNELS_LAST = (0, 2, 3, 1)


def channels_last_order(s: Spec) -> tuple[int, ...] | None:
    """The channels-last order of dimensions if the strides of images or
    volumes suggest it, by PyTorch's rule; else None.

    >>> from rushlight.ir.dtype import float32
    >>> channels_last_order(spec(float32, (2, 3, 4, 5), (60, 1, 15, 3)))
    (0, 2, 3, 1)
    """
    n = len(s.shape)
    if n not in (4, 5) or s.strides[1] == 0:
        return None
    low = 0
    for d in (1, *range(n - 1, 1, -1), 0):
        if s.shape[d] == 0 or s.strides[d] < low or (d == 0 and low == s.strides[1]):
            return None
        low = s.strides[d] * max(1, s.shape[d])
    return (0, *range(2, n), 1)


def _walks_after(shape: Shape, operands: list[Spec], a: int, b: int) -> int:
    """1 if dimension a belongs outside of b, -1 if inside, 0 if no operand tells."""
    for s in operands:
        p, q = s.strides[a], s.strides[b]
        if s.shape[a] != shape[a] or s.shape[b] != shape[b] or p == 0 or q == 0:
            continue
        if p != q:
            return 1 if p > q else -1
        if shape[a] > shape[b]:
            return 1
    return 0


def view_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """The strides with which `new` reads the same elements in the same order, or None where no strides can.

    Dimensions that lie behind each other without gaps form a block; each block is cut into new dimensions by itself.
    """
    if prod(shape) == 0:
        return contiguous_strides(new)
    if not shape:
        return (1,) * len(new)
    out = [0] * len(new)
    at = len(new) - 1
    step = strides[-1]
    have = want = 1  # elements of the block, and of the new dimensions that were cut from it
    for d in reversed(range(len(shape))):
        have *= shape[d]
        if d and (shape[d - 1] == 1 or strides[d - 1] == have * step):
            continue
        while at >= 0 and (want < have or new[at] == 1):
            out[at] = want * step
            want *= new[at]
            at -= 1
        if want != have:
            return None
        step, have, want = strides[d - 1], 1, 1
    return tuple(out) if at < 0 else None


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """The common shape of two operands by NumPy's rule, or None.

    >>> broadcast((4, 1), (3,))
    (4, 3)
    """
    if a == b:
        return a
    if len(a) < len(b):
        a = (1,) * (len(b) - len(a)) + a
    elif len(b) < len(a):
        b = (1,) * (len(a) - len(b)) + b
    out = []
    for m, n in zip(a, b):
        if m == n or n == 1:
            out.append(m)
        elif m == 1:
            out.append(n)
        else:
            return None
    return tuple(out)
