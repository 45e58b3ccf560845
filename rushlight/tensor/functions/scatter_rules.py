"""Gradients of scatters, which the table calls by name through ``F``."""

from __future__ import annotations

from typing import Any

from rushlight.ir.spec import Spec
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import cast
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.rules import zeros_of


def select_grad(g: Tensor, x: Spec, positions: Tensor, dim: int, keepdim: bool) -> Tensor:
    """The gradient of a selection along dim: to where the values came from."""
    if not keepdim:
        g, positions = g.unsqueeze(dim), positions.unsqueeze(dim)
    return zeros_of(x, g).scatter_add(dim, positions, g)


def scatter_source_grad(g: Tensor, index: Tensor, dim: int, src: Spec) -> Tensor:
    """The gradient of what was scattered, in the (perhaps larger) shape of the source."""
    part = g.gather(dim, index)
    if part._spec.shape == src.shape:
        return part
    out = zeros_of(src, g)
    out[tuple(slice(0, n) for n in part._spec.shape)] = part
    return out


def scatter_reduce_grad(g: Tensor, x: Tensor, index: Tensor, src: Tensor, out: Tensor, dim: int,
                        reduce: str, include_self: bool) -> tuple[Any, Any]:
    """The gradients of scatter_reduce for its input and its source."""
    picked = g.gather(dim, index)
    if reduce == "sum":
        dx, ds = g, picked
    elif reduce == "mean":
        ones = zeros_of(x._spec, g) + (1 if include_self else 0)
        count = ones.scatter_add(dim, index, zeros_of(src._spec, g) + 1).clamp(min=1)
        dx, ds = g / count, picked / count.gather(dim, index)
    elif reduce == "prod":
        return _scatter_prod_grad(g, x, index, src, out, dim, include_self)
    else:
        value = out.gather(dim, index)
        own = cast(x == out, g._spec.dtype)
        if not include_self:
            own = own.scatter(dim, index, 0)
        hit = cast(src[tuple(slice(0, n) for n in index._spec.shape)] == value, g._spec.dtype)
        count = own.scatter_add(dim, index, hit)
        share = g / where(count == 0, 1, count)
        dx, ds = own * share, hit * share.gather(dim, index)
    if not include_self:
        dx = dx.scatter(dim, index, 0)
    return dx, _grown(ds, src)


def _grown(part: Tensor, src: Tensor) -> Tensor:
    if part._spec.shape == src._spec.shape:
        return part
    out = zeros_of(src._spec, part)
    out[tuple(slice(0, n) for n in part._spec.shape)] = part
    return out


def _scatter_prod_grad(g: Tensor, x: Tensor, index: Tensor, src: Tensor, out: Tensor,
                       dim: int, include_self: bool) -> tuple[Any, Any]:
    part = src[tuple(slice(0, n) for n in index._spec.shape)]
    zero = part == 0
    count = zeros_of(x._spec, g).scatter_add(dim, index, cast(zero, g._spec.dtype))
    base = x if include_self else x * 0 + 1
    without = base.scatter_reduce(dim, index, where(zero, 1, part), "prod")
    if not include_self:
        untouched = zeros_of(x._spec, g).scatter(dim, index, 1) == 0
        dx = where(untouched, g, 0)
    else:
        others = (x * 0 + 1).scatter_reduce(dim, index, part, "prod")
        dx = g * others
    nz = count.gather(dim, index)
    w = without.gather(dim, index)
    full = out.gather(dim, index)
    alone = where(zero, where(nz == 1, w, 0), full / where(zero, 1, part))
    return dx, _grown(g.gather(dim, index) * alone, src)
