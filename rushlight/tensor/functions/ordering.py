"""Elements in order, and those at a place of it."""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.functions.common import give, lying_as, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.precision import with_gradient
from rushlight.tensor.functions.reduction import RETURN_TYPES, _nonempty, argextreme
from rushlight.tensor.functions.shape import within


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None) -> Any:
    """The elements in order along dim, and where they stood. Always stable.

    A named tuple of values and int64 indices of the input's shape.

    >>> import rushlight as rl
    >>> rl.sort(rl.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    d = wrap_dim(dim, len(input._spec.shape))
    if not input._spec.shape:
        return RETURN_TYPES["sort"](input.clone(), argextreme("argmax", input, None, False) * 0)
    return give(out, RETURN_TYPES["sort"](*[lying_as(t, input._spec)
                                            for t in apply(TABLE["sort"], (input,), (d, bool(descending)))]))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *,
            out: Any = None) -> Tensor:
    """The positions that put the elements in order."""
    return give(out, sort(input, dim, descending).indices)


def msort(input: Tensor, *, out: Any = None) -> Tensor:
    """Sorted along the first dimension."""
    return give(out, sort(input, 0).values if input._spec.shape else input.clone())


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """The k largest (or smallest) elements along dim, and where they stand.

    A named tuple of values and int64 indices with k at ``dim``. RuntimeError for k beyond the dimension's size.

    >>> import rushlight as rl
    >>> rl.topk(rl.tensor([1, 5, 3]), 2).values
    tensor([5, 3])
    """
    d = wrap_dim(dim, len(input._spec.shape))
    n = input._spec.shape[d] if input._spec.shape else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"selected index k out of range: k is {k}, the dimension has {n} elements")
    x = input if input._spec.shape else input.reshape(1)
    v, i = apply(TABLE["topk"], (x,), (int(k), d, bool(largest), bool(sorted)))
    return give(out, RETURN_TYPES["topk"](v, i) if input._spec.shape
                else RETURN_TYPES["topk"](v.reshape(()), i.reshape(())))


def _selected(name: str, input: Tensor, attrs: tuple[Any, ...], dim: int, keepdim: bool) -> Any:
    x = input if input._spec.shape else input.reshape(1)
    d = wrap_dim(dim, len(input._spec.shape))
    if name != "mode" or x._spec.shape[d] == 0:
        _nonempty(name, x, (d,))
    v, i = apply(TABLE[name], (x,), (*attrs, d, bool(keepdim)))
    if not input._spec.shape:
        v, i = v.reshape(()), i.reshape(())
    return RETURN_TYPES[name](v, i)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The k-th smallest element along dim (from 1), and where it stands."""
    d = wrap_dim(dim, len(input._spec.shape))
    if not 1 <= k <= (input._spec.shape[d] if input._spec.shape else 1):
        raise RuntimeError("selected number k out of range for dimension " + str(d))
    return give(out, _selected("kthvalue", input, (int(k),), dim, keepdim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower median; NaN wherever one occurs."""
    if dim is None:
        return give(out, _of_all("median", input))
    return give(out, _selected("median", input, (), dim, keepdim))


def _of_all(name: str, x: Tensor) -> Tensor:
    """The median of all elements; those equal to it share its gradient."""
    if not x._spec.numel:
        return x.sum() * float("nan")  # type: ignore[no-any-return]

    def selected(x: Tensor) -> Tensor:
        return _selected(name, within(x, -1), (), 0, False).values  # type: ignore[no-any-return]

    def shared(g: Tensor, x: Tensor, value: Tensor) -> tuple[Tensor]:
        hit = (x == value) | (x != x) & (value != value)
        return (where(hit, g / hit.sum(), 0),)  # type: ignore[attr-defined]
    if x._storage.batched:
        return selected(x)
    return with_gradient(f"{name.capitalize()}Backward0", (x,), lambda: selected(x), shared, (x,), result=True)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower median of what is not NaN."""
    if dim is None:
        return give(out, _of_all("nanmedian", input))
    return give(out, _selected("nanmedian", input, (), dim, keepdim))


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along dim, the smallest of several, and where it stands."""
    return give(out, _selected("mode", input, (), dim, keepdim))


__all__ = ["sort", "argsort", "msort", "topk", "kthvalue", "median", "nanmedian", "mode"]
take_numpy_names(globals(), __all__)
