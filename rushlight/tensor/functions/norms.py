"""Norms and distances."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, keeps
from rushlight.tensor.functions.common import cast, give, is_float, wrap_dims
from rushlight.tensor.functions.histories import history_first
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.precision import wide, with_gradient
from rushlight.tensor.functions.reduction import _long_name, reduce, sum


@history_first
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None,
         dtype: DType | None = None) -> Tensor:
    """The p-norm over dim (all dimensions where None); "fro" is p = 2, "nuc" the sum of singular values."""
    x = input if dtype is None else cast(input, dtype)
    if not is_float(x):
        raise RuntimeError("linalg.vector_norm: "
                           f"Expected a floating point or complex tensor as input. Got {_long_name(x.dtype)}")
    if p == "nuc":
        from rushlight.tensor.functions import linalg
        return give(out, linalg.matrix_norm(x, "nuc", tuple(dim) if dim is not None else (-2, -1), keepdim))
    if p in ("fro", None, 2) and not x._storage.batched:
        return give(out, _two_norm(x, dim, keepdim))
    value = vector_norm(wide(x), 2.0 if p in ("fro", None) else float(p), dim, keepdim)
    return give(out, keeps(cast(value, x._spec.dtype.to_real()), x, result=True))


def _two_norm(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """The 2-norm, whose gradient PyTorch rounds after every step."""
    from rushlight.tensor.functions.pointwise import where
    from rushlight.tensor.functions.rules import expand_reduced
    dims, shape = wrap_dims(dim, len(x._spec.shape)), x._spec.shape

    def rule(g: Tensor, x: Tensor, value: Tensor) -> tuple[Tensor]:
        g, value = (expand_reduced(t, shape, dims, keepdim) for t in (g, value))
        return (g * where(value == 0, 0, x / value),)
    return with_gradient("LinalgVectorNormBackward0", (x,),
                         lambda: cast(vector_norm(wide(x), 2.0, dim, keepdim), x._spec.dtype.to_real()),
                         rule, (x,), result=True)


def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
                out: Any = None) -> Tensor:
    """(sum |x| ** ord) ** (1 / ord); inf, -inf and 0 as usual."""
    from rushlight.tensor.functions.pointwise import where
    if not is_float(x) and dtype is None:
        raise RuntimeError("linalg.vector_norm: "
                           f"Expected a floating point or complex tensor as input. Got {_long_name(x.dtype)}")
    x = x if dtype is None else cast(x, dtype)
    if isinstance(ord, str):
        raise TypeError(f"linalg.vector_norm(): argument 'ord' must be Number, not str ({ord!r})")
    dims = wrap_dims(dim, len(x._spec.shape))
    if ord == 2:
        square = x * x if not x._spec.dtype.is_complex else (x * x.conj()).real
        return give(out, norm_root(apply(TABLE["sum"], (square,), (dims, bool(keepdim)))))
    a = x.abs()
    if ord < 0 or ord == float("inf"):
        _need_elements(x, ord, dims, dim is None)
    if ord == float("inf"):
        return give(out, reduce("amax", a, dims, keepdim) if dims else a)
    if ord == float("-inf"):
        return give(out, reduce("amin", a, dims, keepdim) if dims else a)
    if ord == 0:
        return give(out, sum(indicator(a), dims, keepdim))
    if ord == 1:
        return give(out, apply(TABLE["sum"], (a,), (dims, bool(keepdim))))
    if x._rg and ord < 0:  # one zero makes the norm 0, with the gradient 0
        zero = (a == 0).any(dims, True) if dims else a == 0
        rest = apply(TABLE["sum"], (where(zero, 1, a) ** ord,), (dims, True)) ** (1.0 / ord)
        found = where(zero, 0, rest)
        return give(out, found if keepdim or not dims
                    else found.reshape([n for d, n in enumerate(a._spec.shape) if d not in dims]))
    if x._rg:  # the gradient of a zero, and of a zero norm, is 0
        power = lambda v, p: where(v == 0, 0, where(v == 0, 1, v) ** p)
        return give(out, power(apply(TABLE["sum"], (power(a, ord),), (dims, bool(keepdim))), 1.0 / ord))
    return give(out, apply(TABLE["sum"], (a ** ord,), (dims, bool(keepdim))) ** (1.0 / ord))


def _need_elements(x: Tensor, ord: float, dims: tuple[int, ...], whole: bool) -> None:
    """RuntimeError where a norm that is an extremum, or falls, is over no elements."""
    empty = [d for d in dims if not x._spec.shape[d]]
    if empty:
        where = "an empty tensor because the" if whole else f"the dimension {empty[0]}because this dimension is empty and the"
        raise RuntimeError(f"linalg.vector_norm cannot compute the {ord:g} norm on {where} operation does not have an identity")


def indicator(x: Tensor) -> Tensor:
    """1 where x is not 0, in the type of x, with the gradient 0."""
    from rushlight.tensor.functions.pointwise import where
    return where(x != x, 1, x.sign())


def norm_root(square: Tensor) -> Tensor:
    """sqrt whose gradient at 0 is 0, as PyTorch's norms have it."""
    if not square._rg:
        return square.sqrt()
    from rushlight.tensor.functions.pointwise import where
    zero = square == 0
    return where(zero, square, where(zero, 1, square).sqrt())


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return norm(input - other, p)


__all__ = ["norm", "dist"]
take_numpy_names(globals(), (*__all__, "vector_norm"))
