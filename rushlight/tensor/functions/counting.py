"""Unique values, histograms and searches. Most depend on the data and run at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rushlight.exec.numpy.parallel import at_once, parts
from rushlight.ir.dtype import int32, int64
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.functions.common import cast, give, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.samples import level_of, sample_by_sample

MANY = 1 << 14  # values, from which on several threads search


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The distinct values (or slices along dim) in ascending order, where each came from, and how often."""
    array = unwrap(input.detach())
    if dim is None and array.dtype.kind != "c":
        from rushlight.exec.numpy.distinct import distinct
        found, where, often = distinct(array.reshape(-1), return_inverse, return_counts)
        return _chosen(found, None if where is None else where.reshape(array.shape), often)
    values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, equal_nan=False,
                                        axis=None if dim is None else wrap_dim(dim, array.ndim))
    return _chosen(values, inverse.reshape(array.shape if dim is None else -1) if return_inverse else None, counts if return_counts else None)


def _chosen(values: np.ndarray, inverse: np.ndarray | None, counts: np.ndarray | None) -> Any:
    out = [wrap(np.array(values))]
    if inverse is not None:
        out.append(wrap(np.array(inverse, np.int64)))
    if counts is not None:
        out.append(wrap(np.ascontiguousarray(counts, np.int64)))
    return tuple(out) if len(out) > 1 else out[0]


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None) -> Any:
    """The values (or slices along dim) without immediate repetitions."""
    array = unwrap(input.detach())
    shape = array.shape
    d = 0 if dim is None else wrap_dim(dim, array.ndim)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, d, 0)
    n = rows.shape[0]
    new = np.ones(n, bool)
    if n > 1:
        new[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(axis=1)
    group = np.cumsum(new) - 1
    counts = (np.bincount(group, minlength=int(new.sum())) if n else np.zeros(0, np.int64)) if return_counts else None
    values = rows[new] if dim is None else np.moveaxis(rows[new], 0, d)
    return _chosen(values, (group.reshape(shape) if dim is None else group) if return_inverse else None, counts)


@sample_by_sample
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sum of its weights."""
    array = unwrap(input)
    if array.ndim != 1 or (array.size and array.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if array.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is not None and weights._spec.shape != input._spec.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    out = np.bincount(array, None if weights is None else unwrap(weights.detach()), minlength)
    if weights is not None:
        return wrap(out.astype(np.float32 if weights.dtype.name == "float32" else np.float64))
    return wrap(out.astype(np.int64))


@sample_by_sample
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Tensor:
    """Counts in equal bins from min to max (the data's own range where the two are equal)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    array = unwrap(input.detach()).reshape(-1)
    low, high = float(min), float(max)
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if low == high:
        low, high = low - 1, high + 1
    if not np.isfinite([low, high]).all():
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("max must be larger than min")
    inside = array[(array >= low) & (array <= high)].astype(np.float64)
    place = np.minimum(((inside - low) * bins / (high - low)).astype(np.int64), bins - 1)
    return give(out, wrap(np.bincount(place, minlength=bins).astype(input._spec.dtype.numpy)))


@sample_by_sample
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False,
              out: Any = None) -> Any:
    """Counts (or densities) in bins, and the bins' edges."""
    from rushlight.tensor.functions.reduction import result
    kind = result("histogram", "hist bin_edges")
    edges = unwrap(bins) if isinstance(bins, Tensor) else int(bins)
    array = unwrap(input.detach()).reshape(-1)
    w = None if weight is None else unwrap(weight.detach()).reshape(-1)
    hist, edges = np.histogram(array, edges, None if range is None else tuple(range), density, w)
    d = input._spec.dtype.numpy
    return give(out, kind(wrap(hist.astype(d)), wrap(edges.astype(d))))


@sample_by_sample
def histogramdd(input: Tensor, bins: Any, range: Any = None, weight: Tensor | None = None, density: bool = False,
                out: Any = None) -> Any:
    """Counts in a grid of bins over the last dimension's coordinates, and the edges of each."""
    from rushlight.tensor.functions.reduction import result
    kind = result("histogramdd", "hist bin_edges")
    points = unwrap(input.detach()).reshape(-1, input._spec.shape[-1])
    n = points.shape[1]
    if isinstance(bins, (list, tuple)) and isinstance(bins[0], Tensor):
        edges = [unwrap(b.detach()) for b in bins]
        return give(out, kind(wrap(_counts(points, edges, weight, density, input._spec.dtype.numpy)),
                              tuple(wrap(np.array(e)) for e in edges)))
    grid = bins
    limits = None if range is None else [tuple(range[2 * i:2 * i + 2]) for i in np.arange(n)]
    w = None if weight is None else unwrap(weight.detach()).reshape(-1)
    hist, edges = np.histogramdd(points, grid, limits, density, w)
    d = input._spec.dtype.numpy
    return give(out, kind(wrap(np.ascontiguousarray(hist).astype(d)), tuple(wrap(e.astype(d)) for e in edges)))


def _counts(points: np.ndarray, edges: list[np.ndarray], weight: Tensor | None, density: bool,
            dtype: Any) -> np.ndarray:
    """The sum of weights in each cell of a grid whose edges need not ascend: a binary search decides, as in PyTorch."""
    inside = np.ones(len(points), bool)
    place = []
    for x, e in zip(points.T, edges):
        inside &= (x >= e[0]) & (x <= e[-1])
        place.append(np.minimum(_upper_bound(e, x) - 1, len(e) - 2))
    shape = tuple(len(e) - 1 for e in edges)
    flat = np.ravel_multi_index([np.clip(p[inside], 0, n - 1) for p, n in zip(place, shape)], shape)
    w = np.ones(len(points)) if weight is None else unwrap(weight.detach()).reshape(-1)
    total = np.bincount(flat, w[inside], int(np.prod(shape))).reshape(shape)
    if density:
        total = total / total.sum()
        for d, e in enumerate(edges):
            total = total / np.diff(e).reshape([-1 if i == d else 1 for i in np.arange(len(edges))])
    return total.astype(dtype)


def _upper_bound(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where a binary search finds the first edge above each value."""
    first, count = np.zeros(len(values), np.int64), np.full(len(values), len(edges))
    while count.any():
        step = count // 2
        right = (count > 0) & ~(values < edges[np.minimum(first + step, len(edges) - 1)])
        first, count = np.where(right, first + step + 1, first), np.where(right, count - step - 1, step)
    return first


def searchsorted(sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter: Tensor | None = None, out: Any = None) -> Tensor:
    """Where values would go in ascending sequences (last dimension) to keep the order."""
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, "
                           "got side of left while right was True")
    where = "right" if right or side == "right" else "left"
    seq = sorted_sequence if sorter is None else sorted_sequence.gather(-1, sorter)
    values = input if isinstance(input, Tensor) else wrap(np.array(input, dtype=seq._spec.dtype.numpy))
    if isinstance(input, Tensor) and seq.dtype is not values.dtype:
        raise RuntimeError("torch.searchsorted(): boundary tensor and input value tensor should have same dtype, "
                           f"but got boundary tensor dtype {seq.dtype} and input value tensor dtype {values.dtype}")
    many, found = seq._spec.shape, values._spec.shape
    if len(many) > 1 and many[:-1] != found[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first "
                           "N-1 dimensions of boundaries tensor and input value tensor must match, "
                           f"but we got boundaries tensor {list(many)} and input value tensor {list(found)}")
    level = level_of(seq, values)
    if level is not None:
        return give(out, _searched_in_samples(level, seq, values, int32 if out_int32 else int64, where))
    s, v = unwrap(seq.detach()), unwrap(values.detach())
    place = np.empty(v.shape, (int32 if out_int32 else int64).numpy)
    if v.size:
        rows = [(s, v.reshape(-1), place.reshape(-1))] if s.ndim == 1 else list(zip(
            s.reshape(-1, s.shape[-1]), v.reshape(-1, v.shape[-1]), place.reshape(-1, v.shape[-1])))
        for row, wanted, into in rows:
            _search(row, wanted, into, where)
    return give(out, wrap(place))


def _search(row: np.ndarray, values: np.ndarray, into: np.ndarray, side: Any) -> None:
    """Write the places of values in a sequence, in several threads where there are many."""
    def part(wanted: np.ndarray, found: np.ndarray) -> None:
        found[...] = np.searchsorted(row, wanted, side)
    at_once([partial(part, *pair) for pair in zip(parts(values, MANY), parts(into, MANY))])


def _searched_in_samples(level: Any, seq: Tensor, values: Tensor, dtype: Any, where: str) -> Tensor:
    """`searchsorted` inside vmap: one search with a dimension more, unless all samples share one sequence."""
    with level.outside():
        if level.lowered(seq) is seq and len(seq._spec.shape) == 1:
            s, v = seq, level.lowered(values)
        else:
            s, v = level.full(seq), level.full(values)
            v = v.reshape(level.size, -1) if len(seq._spec.shape) == 1 else v
        place = searchsorted(s, v, out_int32=dtype is int32, side=where)
        return level.lifted(place.reshape((level.size, *values._spec.shape)))  # type: ignore[no-any-return]


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False,
              out: Any = None) -> Tensor:
    """The bucket of each value between ascending boundaries."""
    if len(boundaries._spec.shape) != 1:
        raise RuntimeError("bucketize(): boundaries tensor must be 1 dimension, "
                           f"but got dim({len(boundaries._spec.shape)})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False,
         out: Any = None) -> Tensor:
    """Which elements occur among test_elements."""
    level = level_of(elements, test_elements)
    if level is not None:
        if isinstance(test_elements, Tensor) and level.lowered(test_elements) is not test_elements:
            found = ((elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1) if isinstance(elements, Tensor) else
                     (test_elements == elements).any())
            return give(out, ~found if invert else found)
        with level.outside():
            return give(out, level.lifted(isin(level.lowered(elements), test_elements, invert=invert)))
    a = unwrap(elements.detach()) if isinstance(elements, Tensor) else np.array(elements)
    b = unwrap(test_elements.detach()) if isinstance(test_elements, Tensor) else np.array(test_elements)
    return give(out, wrap(np.asarray(np.isin(a, b, assume_unique=False, invert=invert))))


@sample_by_sample
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Flat positions as coordinates."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    total = int(np.prod(sizes))
    array = unwrap(indices)
    if array.dtype.kind not in "iu":
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if array.size and (array.max() >= total or array.min() < -total):
        raise ValueError(f"unravel_index: index out of bounds for shape {list(sizes)}")
    return tuple(wrap(np.asarray(i, np.int64)) for i in np.unravel_index(array.astype(np.int64) % max(total, 1), sizes))


@full
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
             out: Any = None) -> Tensor:
    """The q-th quantiles along dim, between neighbours by `interpolation`; NaN where one occurs."""
    return give(out, _quantile(input, q, dim, keepdim, interpolation, False))


@full
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
                out: Any = None) -> Tensor:
    """The q-th quantiles of what is not NaN."""
    return give(out, _quantile(input, q, dim, keepdim, interpolation, True))


def _quantile(x: Tensor, q: Any, dim: int | None, keepdim: bool, how: str, skip_nan: bool) -> Tensor:
    from rushlight.tensor.creation import tensor
    from rushlight.tensor.functions.pointwise import where
    if x.dtype.name not in ("float32", "float64"):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, "
                           f"midpoint or nearest, but got {how}")
    qs = q if isinstance(q, Tensor) else tensor(q, dtype=x.dtype)
    if qs.dtype is not x.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if len(qs._spec.shape) > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if not isinstance(q, Tensor) and not 0 <= q <= 1:
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
    if x._spec.numel == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    ndim = len(x._spec.shape)
    flat = x.reshape(-1) if dim is None else x.movedim(wrap_dim(dim, ndim), -1) if ndim else x.reshape(1)
    ranked = flat.sort(-1).values
    bad = (ranked != ranked)
    n = ranked._spec.shape[-1]
    count = (~bad).sum(-1, keepdim=True) if skip_nan else None
    rank = qs.reshape(-1) * ((count - 1).clamp(min=0) if count is not None else n - 1)
    rank = rank.expand((*ranked._spec.shape[:-1], qs._spec.numel))
    low = rank.floor() if how != "nearest" else rank.round()
    high = rank.ceil()
    pick = lambda r: ranked.gather(-1, cast(r.detach(), int64))
    if how in ("lower", "nearest"):
        got = pick(low)
    elif how == "higher":
        got = pick(high)
    else:
        part = 0.5 if how == "midpoint" else rank - low
        got = pick(low) + (pick(high) - pick(low)) * part
    if not skip_nan:
        got = where(bad.any(-1, keepdim=True), float("nan"), got)
    elif count is not None:
        got = where(count == 0, float("nan"), got)
    if dim is not None and keepdim and ndim:
        got = got.unsqueeze(wrap_dim(dim, ndim)).movedim(-1, 0)
    elif dim is None and keepdim:
        got = got.reshape([qs._spec.numel] + [1] * ndim)
    else:
        got = got.movedim(-1, 0)
    return got if qs._spec.shape else got.squeeze(0)


__all__ = ["unique", "unique_consecutive", "bincount", "histc", "histogram", "histogramdd", "searchsorted", "bucketize",
           "isin", "unravel_index",
           "quantile", "nanquantile"]
take_numpy_names(globals(), __all__)
