"""Functions composed of others: block matrices, covariance, differences, copies of views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.ir.dtype import bool_
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, unwrap, wrap, zeros
from rushlight.tensor.functions import joining, shape as shapes, splitting
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import cast, give, is_float, scalar_name, to_float, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.precision import with_gradient
from rushlight.tensor.functions.reduction import result
from rushlight.tensor.promotion import result_type
from rushlight.tensor.samples import sample_by_sample


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices on the diagonal of a larger one."""
    parts = []
    for i, t in enumerate(tensors):
        if len(t._spec.shape) > 2:
            raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                               f"Input {i} has {len(t._spec.shape)} dimensions")
        parts.append(joining.atleast_2d(t))
    dtype = result_type(*parts)
    width = sum(p._spec.shape[1] for p in parts)
    rows, at = [], 0
    for p in parts:
        n = p._spec.shape[1]
        rows.append(apply(TABLE["constant_pad"], (cast(p, dtype), False if dtype.kind == "b" else 0),
                          (((0, 0), (at, width - at - n)),)))
        at += n
    return joining.cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of vectors, one row each."""
    for t in tensors:
        if len(t._spec.shape) != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._spec.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = joining.meshgrid(*tensors, indexing="ij")
    return joining.stack([g.reshape(-1) for g in grids], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector."""
    import itertools
    if len(input._spec.shape) != 1:
        raise RuntimeError("Expect a 1D vector, but got shape " + str(list(input._spec.shape)))
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input[:0]
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    index = np.array(list(pick(range(input._spec.shape[0]), r)), np.int64).reshape(-1, r)
    return input[wrap(index)]


def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
        aweights: Tensor | None = None) -> Tensor:
    """The covariance matrix of the rows (variables) over the columns (observations)."""
    if len(input._spec.shape) > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an "
                           f"input with {len(input._spec.shape)} dimensions")
    x = joining.atleast_2d(to_float(input))
    n = x._spec.shape[1]
    w = None
    for name, part in (("fweights", fweights), ("aweights", aweights)):
        if part is not None:
            if part.ndim > 1:
                raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but "
                                   f"got {name} with {part.ndim} dimensions")
            if part.numel() != n:
                raise RuntimeError(f"cov(): expected {name} to have the same numel as there are "
                                   f"observations in the input but got {part.numel()} != {n}")
            kinds, kind = ("iu", "integral") if name == "fweights" else ("f", "floating point")
            if part.dtype.kind not in kinds:
                raise RuntimeError(f"cov(): expected {name} to have {kind} dtype but got {name} "
                                   f"with {scalar_name(part.dtype)} dtype")
            if part.numel() and bool((part < 0).any()):
                raise RuntimeError(f"cov(): {name} cannot be negative")
            w = part if w is None else w * part
    if w is None:
        mean = x.mean(1, keepdim=True) if n else x.sum(1, keepdim=True)
        norm: Any = max(n - correction, 0)
        d = x - mean
        scaled = d
    else:
        total = w.sum()
        mean = (x * w).sum(1, keepdim=True) / total
        if aweights is None or correction == 0:
            norm = total - correction
        else:
            part = w * aweights
            norm = total - correction * part.sum() / total
        norm = norm.clamp(min=0)
        d = x - mean
        scaled = d * w
    out = (scaled @ d.transpose(0, 1).conj()) / norm
    return out.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The correlation matrix of the rows."""
    if len(input._spec.shape) > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got "
                           f"an input with {len(input._spec.shape)} dimensions")
    c = cov(input)
    if not c._spec.shape:
        return c / c
    s = c.diagonal().real.sqrt() if c._spec.dtype.is_complex else c.diagonal().sqrt()
    out = c / s.unsqueeze(1) / s.unsqueeze(0)
    return out.clamp(-1, 1) if not out._spec.dtype.is_complex else out


def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *,
         out: Any = None) -> Tensor:
    """The n-th differences of neighbours along dim."""
    if not input._spec.shape:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    d = wrap_dim(dim, len(input._spec.shape))
    parts = [t for t in (prepend, input, append) if t is not None]
    x = joining.cat(parts, d) if len(parts) > 1 else input
    for _ in range(min(n, x._spec.shape[d])):
        m = x._spec.shape[d]
        a, b = x.narrow(d, 1, m - 1), x.narrow(d, 0, m - 1)
        x = a ^ b if x._spec.dtype.kind == "b" else a - b
    return give(out, x if n else x.clone())


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along dim by the trapezoidal rule."""
    return _trapezoids(y, x, dx, dim).sum(dim)


trapz = trapezoid


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The running integral along dim by the trapezoidal rule."""
    return _trapezoids(y, x, dx, dim).cumsum(dim)


def _trapezoids(y: Tensor, x: Tensor | None, dx: Any, dim: int) -> Tensor:
    d = wrap_dim(dim, len(y._spec.shape))
    n = y._spec.shape[d]
    if n == 0:
        return to_float(y) if x is not None or dx is not None else y
    pair = y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)
    if x is None:
        return pair * ((1 if dx is None else dx) / 2)
    if len(x._spec.shape) == 1 and len(y._spec.shape) > 1:
        if x._spec.shape[0] != n:
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        x = x.reshape([-1 if i == d else 1 for i in range(len(y._spec.shape))])
    e = d - len(y._spec.shape)
    m = x._spec.shape[e]
    return pair * (x.narrow(e, 1, m - 1) - x.narrow(e, 0, m - 1)) / 2


def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Numerical gradients along dimensions by second-order differences."""
    ndim = len(input._spec.shape)
    dims = list(range(ndim)) if dim is None else [wrap_dim(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {next(d for d in dims if dims.count(d) > 1)} appears "
                           "multiple times in the list of dims")
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError("torch.gradient expected spacing to be unspecified, a scalar, "
                           f"or a list of length equal to 'self.dim() = {ndim}', but got a list of length {len(steps)}")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    return tuple(_gradient_along(input, d, s, edge_order) for d, s in zip(dims, steps))


def _gradient_along(x: Tensor, d: int, spacing: Any, edge_order: int) -> Tensor:
    n = x._spec.shape[d]
    if n < edge_order + 1:
        raise RuntimeError("torch.gradient expected each dimension size to be at least "
                           f"edge_order+1 (size {n} at dimension {d})")
    part = lambda a, k: x.narrow(d, a, k)
    if isinstance(spacing, Tensor) and spacing._spec.shape:
        view = [-1 if i == d else 1 for i in range(len(x._spec.shape))]
        h = spacing[1:] - spacing[:-1]
        a, b = h[:-1].reshape(view), h[1:].reshape(view)
        first, last = h[0], h[-1]
        inner = (part(2, n - 2) * a * a - part(0, n - 2) * b * b
                 + part(1, n - 2) * (b * b - a * a)) / (a * b * (a + b)) if n > 2 else None
    else:
        first = last = spacing
        inner = (part(2, n - 2) - part(0, n - 2)) / (2 * spacing) if n > 2 else None
    if edge_order == 1 or n < 3:
        left, right = (part(1, 1) - part(0, 1)) / first, (part(n - 1, 1) - part(n - 2, 1)) / last
    else:
        left = _edge(x, d, (0, 1, 2), spacing, 1)
        right = _edge(x, d, (n - 1, n - 2, n - 3), spacing, -1)
    return joining.cat([p for p in (left, inner, right) if p is not None], d)


def _edge(x: Tensor, d: int, at: tuple[int, int, int], spacing: Any, sign: int) -> Tensor:
    """The second-order one-sided difference at an edge; steps away from it have a sign."""
    f0, f1, f2 = (x.narrow(d, i, 1) for i in at)
    if isinstance(spacing, Tensor) and spacing._spec.shape:
        h1, h2 = spacing[at[1]] - spacing[at[0]], spacing[at[2]] - spacing[at[1]]
    else:
        h1 = h2 = sign * spacing
    return (-f0 * (2 * h1 + h2) / (h1 * (h1 + h2)) + f1 * (h1 + h2) / (h1 * h2) - f2 * h1 / (h2 * (h1 + h2)))


def mvlgamma(input: Tensor, p: int, *, out: Any = None) -> Tensor:
    """The multivariate log-gamma function with p dimensions."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = to_float(input)
    total: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        total = (x - j / 2).lgamma() + total
    return give(out, total)


@sample_by_sample
def _exponent(x: Tensor) -> Tensor:
    return wrap(np.frexp(unwrap(x).astype(np.float64))[1].astype(np.int32))


def frexp(input: Tensor, *, out: Any = None) -> Any:
    """Mantissa in [0.5, 1) and exponent: input = mantissa * 2 ** exponent."""
    if not is_float(input):
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    exponent = _exponent(input.detach())
    return give(out, result("frexp",
                            "mantissa exponent")(input / cast(2.0 ** cast(exponent, input._spec.dtype),
                                                              input._spec.dtype), exponent))


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Tensor:
    """Slices along dim whose p-norm is over maxnorm scaled down to it."""
    from rushlight.tensor.functions.norms import vector_norm
    if len(input._spec.shape) < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {len(input._spec.shape)} dimensions")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    d = wrap_dim(dim, len(input._spec.shape))
    norms = vector_norm(input, p, [i for i in range(len(input._spec.shape)) if i != d], True)
    return give(out, input * where(norms > maxnorm, maxnorm / (norms + 1e-7), 1))


def fill(input: Tensor, value: Any) -> Tensor:
    """`value`, a number or a 0-d tensor, in the shape and dtype of input, whose gradient is 0.

    RuntimeError for a value tensor with dimensions.

    >>> import rushlight as rl
    >>> rl.fill(rl.zeros(2), 3)
    tensor([3., 3.])
    """
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError("fill only supports 0-dimension value tensor but got tensor "
                               f"with {len(value._spec.shape)} dimensions.")
        value = cast(value, input._spec.dtype)
    else:
        value = checked(value, input._spec.dtype)
    compute = lambda: where(apply(TABLE["full"], (True,), (input._spec.shape, bool_)), value, input)
    if not isinstance(value, Tensor):
        return with_gradient("FillBackward0", (input,), compute, lambda g: (zeros(g._spec),))
    return with_gradient("FillBackward0", (input, value), compute, lambda g: (zeros(g._spec), g.sum()))


def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    return (-input).softmax(dim, dtype)


def _copy_of(name: str, like: Any = None) -> Any:
    function = like or getattr(splitting if name in splitting.__all__ else shapes, name)

    def copied(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        got = function(*args, **kwargs)
        return give(out, tuple(g.clone() for g in got) if isinstance(got, tuple) else got.clone())
    copied.__wrapped__ = function  # type: ignore[attr-defined]  # its signature
    copied.__name__ = copied.__qualname__ = name + "_copy"
    copied.__doc__ = f"`{name}` with memory of its own."
    return copied


(as_strided_copy, expand_copy, permute_copy, transpose_copy, t_copy, squeeze_copy, unsqueeze_copy, unbind_copy,
 unfold_copy, diagonal_copy, select_copy, split_with_sizes_copy, view_as_real_copy,
 view_as_complex_copy) = (_copy_of(n) for n in (
     "as_strided", "expand", "permute", "transpose", "t", "squeeze", "unsqueeze", "unbind", "unfold", "diagonal",
     "select", "split_with_sizes",
     "view_as_real", "view_as_complex"))


def narrow_copy(input: Tensor, dim: int, start: int, length: int, *, out: Any = None) -> Tensor:
    """`narrow` with memory of its own."""
    return give(out, input.narrow(dim, start, length).clone())


def view_copy(input: Tensor, size: Any = None, dtype: Any = None, *, out: Any = None) -> Tensor:
    """`view` with memory of its own."""
    return give(out, input.view(size if dtype is None else dtype).clone())


def slice_copy(input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1, *,
               out: Any = None) -> Tensor:
    """A slice with memory of its own."""
    d = wrap_dim(dim, len(input._spec.shape))
    return give(out, input[(slice(None),) * d + (slice(start, end, step),)].clone())


def alias_copy(input: Tensor, *, out: Any = None) -> Tensor:
    """A copy."""
    return give(out, input.clone())


detach_copy = alias_copy
unsafe_chunk, unsafe_split_with_sizes = splitting.chunk, splitting.split_with_sizes


def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`.

    >>> import rushlight as rl
    >>> rl.unsafe_split(rl.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    """
    return splitting.split(input, split_size, dim)


split_copy = _copy_of("split", unsafe_split)


def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """Constant values around the last dimensions; negative widths cut off."""
    pads = list(pad)
    ndim = len(input._spec.shape)
    if len(pads) % 2 or len(pads) > 2 * ndim:
        raise RuntimeError("Length of pad must be even and at most twice the number of dimensions; "
                           f"got {len(pads)} for {ndim} dimensions")
    widths = [(0, 0)] * (ndim - len(pads) // 2) + [(pads[2 * i], pads[2 * i + 1])
                                                   for i in range(len(pads) // 2 - 1, -1, -1)]
    for n, (a, b) in zip(input._spec.shape, widths):
        if n + a + b < 0:
            raise RuntimeError(f"The input size {n}, plus negative padding {a} and {b} resulted in a negative "
                               "output size, which is invalid. Check dimension sizes and padding.")
    return apply(TABLE["constant_pad"], (input, checked(value, input._spec.dtype)), (tuple(widths),))


__all__ = [n for n, v in list(globals().items())
           if getattr(v, "__module__", None) in (__name__, shapes.__name__, splitting.__name__)
           and not n.startswith("_")
           and n != "Size"]
take_numpy_names(globals(), __all__)
