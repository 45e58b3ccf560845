"""Rules of reductions, scans, sorting."""

from __future__ import annotations

import math
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, NoRule, rule


def listed(dim: Any) -> list[int] | None:
    """Dimensions as a list, None for all."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    return list(dim) if isinstance(dim, (tuple, list)) else [dim]


def count(g: Builder, x: Value, dims: list[int] | None) -> Any:
    """The number of elements that a reduction over dims takes together: a number, or a scalar value."""
    out: Any = 1
    for d in range(x.rank) if dims is None else dims:
        n = g.size(x, d)
        out = n * out if isinstance(n, Value) else out * n
    return out


def _simple(names: tuple[str, ...], kind: str) -> None:
    def write(
        g: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None
    ) -> Any:
        return g.reduce(kind, input.cast(g.outs[0].dtype), listed(dim if axis is None else axis), keepdim)

    RULES.update(dict.fromkeys(names, write))


_simple(("sum",), "Sum")
_simple(("mean",), "Mean")
_simple(("prod",), "Prod")
_simple(("amax",), "Max")
_simple(("amin",), "Min")


@rule("nansum")
def nansum(g: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return g.reduce(
        "Sum", g.where(g.op("IsNaN", input, shape=input.shape), 0.0, input, input.dtype), listed(dim), keepdim
    )


@rule("logsumexp")
def logsumexp(g: Builder, input: Value, dim: Any, keepdim: bool = False) -> Any:
    return g.reduce("LogSumExp", input, listed(dim), keepdim)


@rule("all")
def all_(g: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
    return g.reduce("Min", input.cast(dtypes.bool_).cast(dtypes.int32), listed(dim), keepdim).cast(dtypes.bool_)


@rule("any")
def any_(g: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
    return g.reduce("Max", input.cast(dtypes.bool_).cast(dtypes.int32), listed(dim), keepdim).cast(dtypes.bool_)


@rule("count_nonzero")
def count_nonzero(g: Builder, input: Value, dim: Any = None) -> Any:
    return g.reduce("Sum", input.cast(dtypes.bool_).cast(dtypes.int64), listed(dim))


def _position(name: str, kind: str) -> None:
    def write(g: Builder, input: Value, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return g.reshape(
                g.op(kind, g.reshape(input, [-1]), axis=0, keepdims=0, dtype=dtypes.int64),
                [1] * input.rank if keepdim else [],
            )
        return g.op(kind, input, axis=dim, keepdims=int(keepdim))

    RULES[name] = write


def _extreme(name: str, kind: str) -> None:
    def write(g: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return g.reduce(kind, input, None)
        if isinstance(dim, Value):  # the larger or smaller of two tensors
            return RULES[f"{name}imum"](g, input, dim)
        return [g.reduce(kind, input, [dim], keepdim), g.op(f"Arg{kind}", input, axis=dim, keepdims=int(keepdim))]

    RULES[name] = write


_position("argmax", "ArgMax")
_position("argmin", "ArgMin")
_extreme("max", "Max")
_extreme("min", "Min")


# --- variance and norms -------------------------------------------------------------------------------------------
def _variance(g: Builder, x: Value, dims: list[int] | None, correction: Any, keepdim: bool) -> tuple[Value, Value]:
    mean = g.reduce("Mean", x, dims, True)
    off = x - mean
    n = count(g, x, dims)
    below = n - correction if not isinstance(n, Value) else n.cast(x.dtype) - correction
    return g.reduce("Sum", off * off, dims, keepdim) / below, g.reduce("Mean", x, dims, keepdim)


def _spread(name: str, root: bool, with_mean: bool) -> None:
    def write(
        g: Builder,
        input: Value,
        dim: Any = None,
        unbiased: Any = None,
        keepdim: bool = False,
        *,
        correction: Any = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        out, mean = _variance(g, input, listed(dim), correction, keepdim)
        out = g.op("Sqrt", out) if root else out
        return [out, mean] if with_mean else out

    RULES[name] = write


for _name in ("var", "std"):
    _spread(_name, _name == "std", False)
    _spread(f"{_name}_mean", _name == "std", True)


@rule("norm", "linalg_norm", "linalg_vector_norm")
def norm(
    g: Builder, input: Value, p: Any = 2, dim: Any = None, keepdim: bool = False, *, ord: Any = None, dtype: Any = None
) -> Any:
    p = 2 if p in ("fro", None) else p
    p = p if ord is None else ord
    if (
        g.label.startswith("linalg_norm")
        and p not in (2, "fro", None)
        and dim is None
        and input.rank == 2
        or isinstance(dim, (tuple, list))
        and len(dim) == 2
        and p != 2
        and g.label.startswith("linalg_norm")
    ):
        raise NoRule("norms of matrices have no rule")
    dims = listed(dim)
    if p in (1, 2):
        return g.reduce(f"L{int(p)}", input, dims, keepdim)
    size = g.op("Abs", input, dtype=input.dtype, shape=input.shape)
    if p in (math.inf, -math.inf):
        return g.reduce("Max" if p > 0 else "Min", size, dims, keepdim)
    if p == 0:
        return g.reduce("Sum", size.cast(dtypes.bool_).cast(input.dtype), dims, keepdim)
    return g.reduce("Sum", size ** float(p), dims, keepdim) ** (1 / float(p))


@rule("normalize")
def normalize(g: Builder, input: Value, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    size = norm(g, input, p, dim, True)
    return input / g.op("Max", size, g.const(eps, input.dtype), dtype=input.dtype)


@rule("cosine_similarity")
def cosine_similarity(g: Builder, x1: Value, x2: Value, dim: int = 1, eps: float = 1e-8) -> Any:
    def length(x: Value) -> Value:
        return g.op("Max", g.reduce("L2", x, [dim], False), g.const(eps, x.dtype), dtype=x.dtype)

    from rushlight.onnx.builder import joined

    rank = max(x1.rank, x2.rank)
    x1, x2 = (x if x.rank == rank else g.unsqueeze(x, range(rank - x.rank)) for x in (x1, x2))
    assert joined(x1.shape, x2.shape) is not None
    return g.reduce("Sum", x1 * x2, [dim]) / (length(x1) * length(x2))


@rule("pairwise_distance")
def pairwise_distance(
    g: Builder, x1: Value, x2: Value, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    return norm(g, x1 - x2 + eps, p, -1, keepdim)


# --- scans and order ----------------------------------------------------------------------------------------------
@rule("cumsum")
def cumsum(g: Builder, input: Value, dim: int, *, dtype: Any = None) -> Any:
    return g.op("CumSum", input.cast(g.outs[0].dtype), g.const(dim))


@rule("topk")
def topk(g: Builder, input: Value, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    return g.ops("TopK", 2, input, g.vector([k]), axis=dim, largest=int(largest), sorted=1)


@rule("sort")
def sort(g: Builder, input: Value, dim: int = -1, descending: bool = False, *, stable: Any = None) -> Any:
    return g.ops("TopK", 2, input, g.vector([g.size(input, dim)]), axis=dim, largest=int(descending), sorted=1)


@rule("argsort")
def argsort(g: Builder, input: Value, dim: int = -1, descending: bool = False, *, stable: Any = None) -> Any:
    return sort(g, input, dim, descending)[1]
