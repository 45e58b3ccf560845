"""Reductions over the elements where the mask is True; a result to which nothing contributes is the reduction's
identity, or NaN.

Each fills the other elements with what leaves the result unchanged and calls the ordinary reduction.
"""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType, int64
from rushlight.masked.masking import INF, filled, highest, lowest, not_floating, prepared
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import norms, ordering, reduction as plain
from rushlight.tensor.functions.common import cast, to_float, wrap_dim, wrap_dims

DOC = """{text}

    ``input``, ``mask`` (True: counts; broadcast to the input; None: all count); ``dim``: {dims}; ``dtype``: the type
    in which it is computed. IndexError for a mask of more dimensions or a wrong dim.

    >>> import rushlight as rl
    >>> rl.masked.{name}(rl.tensor([1., 2., 4.]), {arguments}mask=rl.tensor([True, True, False]))
    tensor({value})
    """


def documented(text: str, value: str, arguments: str = "",
               dims: str = "one or several dimensions, all by default") -> Any:
    """Gives a function its docstring of the common form."""
    def decorate(f: Any) -> Any:
        f.__doc__ = DOC.format(text=text, value=value, arguments=arguments, dims=dims, name=f.__name__)
        return f
    return decorate


def _accumulated(input: Tensor, dtype: DType | None) -> Tensor:
    return cast(input, dtype or (int64 if input.dtype.kind in "biu" else input.dtype))


@documented("The sum.", "3.")
def sum(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
        mask: Tensor | None = None) -> Tensor:
    m = prepared("sum", input, mask)
    return plain.sum(filled(_accumulated(input, dtype), m, 0), dim, keepdim)


@documented("The product.", "2.")
def prod(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
         mask: Tensor | None = None) -> Tensor:
    m = prepared("prod", input, mask)
    x = filled(_accumulated(input, dtype), m, 1)
    return plain.prod(x, wrap_dims(dim, x.ndim), keepdim)


@documented("The running sum along dim; masked elements add 0.", "[1., 3., 3.]", "0, ", "a dimension")
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    m = prepared("cumsum", input, mask)
    kind = dtype or input.dtype
    return plain.cumsum(filled(cast(input, kind), m, 0), dim, dtype=kind)


@documented("The running product along dim; masked elements count as 1.", "[1., 2., 2.]", "0, ", "a dimension")
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    m = prepared("cumprod", input, mask)
    kind = dtype or input.dtype
    return plain.cumprod(filled(cast(input, kind), m, 1), dim, dtype=kind)


@documented("The largest element; equal ones share the gradient.", "2.")
def amax(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
         mask: Tensor | None = None) -> Tensor:
    m = prepared("amax", input, mask)
    x = cast(input, dtype or input.dtype)
    return plain.amax(x if m is None else filled(x, m, lowest("amax", x.dtype)), () if dim is None else dim, keepdim)


@documented("The smallest element; equal ones share the gradient.", "1.")
def amin(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
         mask: Tensor | None = None) -> Tensor:
    m = prepared("amin", input, mask)
    x = cast(input, dtype or input.dtype)
    return plain.amin(x if m is None else filled(x, m, highest("amin", x.dtype)), () if dim is None else dim, keepdim)


@documented("Where the largest element stands, in the input's dtype.", "1.", "0, ",
            "a dimension, the flat tensor by default")
def argmax(input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: DType | None = None,
           mask: Tensor | None = None) -> Tensor:
    m = prepared("argmax", input, mask)
    kind = dtype or input.dtype
    place = plain.argmax(input if m is None else filled(input, m, lowest("argmax", input.dtype)), dim, bool(keepdim))
    return cast(place, kind)


@documented("Where the smallest element stands, in the input's dtype.", "0.", "0, ",
            "a dimension, the flat tensor by default")
def argmin(input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: DType | None = None,
           mask: Tensor | None = None) -> Tensor:
    m = prepared("argmin", input, mask)
    kind = dtype or input.dtype
    place = plain.argmin(input if m is None else filled(input, m, highest("argmin", input.dtype)), dim, bool(keepdim))
    return cast(place, kind)


def _count(x: Tensor, mask: Tensor | None, dims: tuple[int, ...], keepdim: bool) -> Any:
    """How many elements count."""
    return plain.count(x, dims) if mask is None else plain.sum(mask, dims, keepdim)


@documented("The mean; NaN where nothing counts.", "1.5000")
def mean(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
         mask: Tensor | None = None) -> Tensor:
    m = prepared("mean", input, mask)
    kind = dtype or input.dtype
    if kind.kind not in "fc":
        raise not_floating("mean", kind)
    x = cast(input, kind)
    dims = wrap_dims(dim, x.ndim)
    if m is None:
        return plain.mean(x, dims, keepdim)
    return plain.sum(filled(x, m, 0), dims, keepdim) / _count(x, m, dims, keepdim)


@documented("The lower median; NaN where nothing counts.", "1.", "0, ", "a dimension, the last by default")
def median(input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: DType | None = None,
           mask: Tensor | None = None) -> Tensor:
    m = prepared("median", input, mask)
    kind = dtype or input.dtype
    x = to_float(cast(input, kind))
    middle = ordering.nanmedian(filled(x, m, float("nan")), wrap_dim(dim, x.ndim), keepdim).values
    if kind.kind == "f":
        return middle
    if bool(plain.any(middle != middle)):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return cast(middle, kind)


@documented("(Σ |x|^ord)^(1/ord); ±inf and 0 as usual.", "2.2361")
def norm(input: Tensor, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
         mask: Tensor | None = None) -> Tensor:
    m = prepared("norm", input, mask)
    x = cast(input, dtype or input.dtype)
    order = 2.0 if ord is None else ord
    return norms.vector_norm(filled(x, m, INF if order == -INF else 0), order, dim, keepdim)


def _spread(name: str, input: Tensor, dim: Any, keepdim: bool, unbiased: bool | None, correction: Any,
            dtype: DType | None, mask: Tensor | None) -> Tensor:
    """The variance."""
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    less = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    m = prepared(name, input, mask)
    x = to_float(input if dtype is None else cast(input, dtype))
    dims = wrap_dims(dim, x.ndim)
    if m is None:
        return cast(plain.var(x, dims, correction=less, keepdim=keepdim), x.dtype)  # of complex numbers too
    middle = plain.sum(filled(x, m, 0), dims, True) / _count(x, m, dims, True)
    d = x - middle
    square = d * d.conj()
    free = (_count(x, m, dims, keepdim) - less).clamp(min=0)
    return plain.sum(filled(square, m, 0), dims, keepdim) / free


@documented("The variance: squared differences from the mean over count - correction.", "0.5000")
def var(input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: Any = None, keepdim: bool = False,
        dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    return _spread("var", input, dim, keepdim, unbiased, correction, dtype, mask)


@documented("The standard deviation: the root of the variance.", "0.7071")
def std(input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: Any = None, keepdim: bool = False,
        dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    return _spread("std", input, dim, keepdim, unbiased, correction, dtype, mask).sqrt()


@documented("log Σ exp(x), computed without overflow.", "2.3133", "0, ")
def logsumexp(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: DType | None = None,
              mask: Tensor | None = None) -> Tensor:
    m = prepared("logsumexp", input, mask)
    x = cast(input, dtype or input.dtype)
    total = plain.logsumexp(x if m is None else filled(x, m, lowest("logsumexp", x.dtype)),
                            wrap_dims(dim, x.ndim), keepdim)
    return cast(total, x.dtype)  # PyTorch keeps an integer type too
