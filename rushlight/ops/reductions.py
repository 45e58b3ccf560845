"""Reductions and scans. ``dims`` is a sorted tuple of non-negative dimensions,
never empty for a tensor with dimensions."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import HALF, bool_, int64
from rushlight.ops.movement import as_it_lies, turn_dim
from rushlight.ops.table import Op, Rule, Types, row

Dims = tuple[int, ...]


def reduced(shape: tuple[int, ...], dims: Dims, keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing dims."""
    if keepdim:
        return tuple([1 if d in dims else n for d, n in enumerate(shape)])
    return tuple([n for d, n in enumerate(shape) if d not in dims])


def same(x: Any, dims: Dims, keepdim: bool) -> Types:
    return ((x.dtype, reduced(x.shape, dims, keepdim)),)


def boolean(x: Any, dims: Dims, keepdim: bool) -> Types:
    return ((bool_, reduced(x.shape, dims, keepdim)),)


def position(x: Any, dims: Dims, keepdim: bool) -> Types:
    return ((int64, reduced(x.shape, dims, keepdim)),)


def with_position(x: Any, dim: int, keepdim: bool) -> Types:
    shape = reduced(x.shape, (dim,) if x.shape else (), keepdim)
    return (x.dtype, shape), (int64, shape)


def reduction(name: str, numpy: Rule | None, vjp: Rule | None = None, shape: Rule = same, **more: Any) -> Op:
    return row(name, "reduce", "x", shape, attrs="dims keepdim", numpy=numpy, vjp={"x": vjp} if vjp else None, **more)


def scan(name: str, vjp: Rule | None, outs: Rule | None = None) -> Op:
    return row(name, "reduce", "x", outs or (lambda x, dim: ((x.dtype, x.shape),)), attrs="dim",
               vjp={"x": vjp} if vjp else None)


SUM = reduction("sum", None, lambda F, g, x_spec, dims, keepdim: F.expand_reduced(g, x_spec.shape, dims, keepdim))
PROD = reduction("prod", lambda np, x, dims, keepdim: x.prod(axis=dims, keepdims=keepdim, dtype=x.dtype),
                 lambda F, g, x, out, dims, keepdim: F.prod_grad(g, x, out, dims, keepdim))
AMAX = reduction("amax", lambda np, x, dims, keepdim: x.max(axis=dims, keepdims=keepdim),
                 lambda F, g, x, out, dims, keepdim: F.extreme_grad(g, x, out, dims, keepdim))
AMIN = reduction("amin", lambda np, x, dims, keepdim: x.min(axis=dims, keepdims=keepdim),
                 lambda F, g, x, out, dims, keepdim: F.extreme_grad(g, x, out, dims, keepdim))
ANY = reduction("any", lambda np, x, dims, keepdim: x.any(axis=dims, keepdims=keepdim), shape=boolean)
ALL = reduction("all", lambda np, x, dims, keepdim: x.all(axis=dims, keepdims=keepdim), shape=boolean)
ARGMAX = reduction("argmax", None, shape=position, differentiable=False)
ARGMIN = reduction("argmin", None, shape=position, differentiable=False)
CUMSUM = scan("cumsum", lambda F, g, x_spec, dim: g if x_spec.shape[dim] == 1
              else F.flip(F.cumsum(F.flip(g, (dim,)), dim), (dim,)))
CUMPROD = scan("cumprod", lambda F, g, x, out, dim: F.cumprod_grad(g, x, out, dim))
LOGCUMSUMEXP = scan("logcumsumexp", lambda F, g, x, out, dim: F.logcumsumexp_grad(g, x, out, dim))
CUMMAX = row("cummax", "reduce", "x", lambda x, dim: ((x.dtype, x.shape), (int64, x.shape)), attrs="dim",
             vjp={"x": lambda F, g0, x, out1, dim: F.zeros_like(x).scatter_add(dim, out1, g0)})
CUMMIN = row("cummin", "reduce", "x", lambda x, dim: ((x.dtype, x.shape), (int64, x.shape)), attrs="dim",
             vjp={"x": lambda F, g0, x, out1, dim: F.zeros_like(x).scatter_add(dim, out1, g0)})
SORT = row("sort", "reduce", "x", lambda x, dim, descending: ((x.dtype, x.shape), (int64, x.shape)),
           attrs="dim descending", vjp={"x": lambda F, g0, out1, dim: F.zeros_like(g0).scatter(dim, out1, g0)},
           lies=as_it_lies, turn=turn_dim)


def selection(name: str, attrs: str, size: Rule) -> Op:
    """Values with their positions along one dimension: the gradient goes where the value came from."""
    def shape(x: Any, *values: Any) -> Types:
        out = size(x, *values)
        return (x.dtype, out), (int64, out)
    return row(name, "reduce", "x", shape, attrs=attrs,
               vjp={"x": lambda F, g0, x_spec, out1, dim, keepdim: F.select_grad(g0, x_spec, out1, dim, keepdim)})


TOPK = row("topk", "reduce", "x", lambda x, k, dim, largest, ordered: tuple(
    (t, x.shape[:dim] + (k,) + x.shape[dim + 1:] if x.shape else ()) for t in (x.dtype, int64)),
           attrs="k dim largest ordered",
    vjp={"x": lambda F, g0, x_spec, out1, dim: F.select_grad(g0, x_spec, out1, dim, True)})
KTHVALUE = selection("kthvalue", "k dim keepdim", lambda x, k, dim, keepdim: reduced(x.shape, (dim,), keepdim))
MEDIAN = selection("median", "dim keepdim", lambda x, dim, keepdim: reduced(x.shape, (dim,), keepdim))
NANMEDIAN = selection("nanmedian", "dim keepdim", lambda x, dim, keepdim: reduced(x.shape, (dim,), keepdim))
MODE = selection("mode", "dim keepdim", lambda x, dim, keepdim: reduced(x.shape, (dim,), keepdim))
MAX_DIM = selection("max_dim", "dim keepdim", lambda x, dim, keepdim: reduced(x.shape, (dim,), keepdim))
MIN_DIM = selection("min_dim", "dim keepdim", lambda x, dim, keepdim: reduced(x.shape, (dim,), keepdim))
WIDENED = HALF  # reductions of half precision accumulate in float32
