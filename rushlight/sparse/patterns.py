"""Work on the coordinates of COO tensors. Coordinates are read (NumPy); values stay on the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.sparse.coo import CooTensor
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import zeros
from rushlight.tensor.functions.common import wrap_dim


def index_tensor(array: Any) -> Tensor:
    """An int64 tensor of an array of its own."""
    return wrap(np.array(array, np.int64))


def added(values: Tensor, groups: np.ndarray, count: int) -> Any:
    """The sums of values with equal group numbers, ``count`` of them. Of bool whether any is True."""
    whole = values.to(dtypes.int64) if values._spec.dtype is dtypes.bool_ else values
    sums = zeros((count, *values._spec.shape[1:]), dtype=whole._spec.dtype)
    sums = sums.index_add(0, index_tensor(groups), whole)
    return sums if whole is values else sums.to(dtypes.bool_)


def merge(at: np.ndarray, values: Tensor, shape: Any) -> CooTensor:
    """A coalesced tensor of coordinates in any order, also repeated."""
    sizes = tuple(shape[:at.shape[0]])
    if not sizes:  # no sparse dimension: one place for all values
        count = min(at.shape[1], 1)
        return CooTensor.build(index_tensor(np.zeros((0, count))),
                               added(values, np.zeros(at.shape[1], np.int64), count), shape, True)
    flat = np.ravel_multi_index(tuple(at), sizes) if at.size else np.zeros(0, np.int64)
    places, groups = np.unique(flat, return_inverse=True)
    if places.size == flat.size:
        order = np.argsort(flat, kind="stable")
        kept = values if (order[1:] > order[:-1]).all() else values[index_tensor(order)]
        return CooTensor.build(index_tensor(at[:, order]), kept, shape, True)
    unique = np.stack(np.unravel_index(places, sizes)) if places.size else at[:, :0]
    return CooTensor.build(index_tensor(unique), added(values, groups.reshape(-1), places.size), shape, True)


def dense(s: CooTensor) -> Any:
    """The dense tensor."""
    shape, k = s._spec.shape, s.sparse_dim()
    rows = int(np.prod(shape[:k], dtype=np.int64))
    return added(s._vals, s.flat(), rows).reshape(shape)


def taken(d: Any, s: CooTensor) -> Any:
    """The elements of a dense tensor of the shape of s at the places of s, (n, dense dimensions…)."""
    shape, k = s._spec.shape, s.sparse_dim()
    return d.expand(shape).reshape((-1, *shape[k:]))[index_tensor(s.flat())]


def masked(t: Any, mask: CooTensor) -> CooTensor:
    """The values of a sparse or dense tensor at the places of mask. RuntimeError for other shapes."""
    if tuple(t._spec.shape) != tuple(mask._spec.shape):
        raise RuntimeError("sparse_mask(): operands have incompatible sizes; "
                           f"self has size {list(t._spec.shape)} but mask has size {list(mask._spec.shape)}")
    if isinstance(t, CooTensor):
        own = t.coalesce()
        if own.places().size:
            flat, wanted = own.flat(), mask.flat()
            where = np.searchsorted(flat, wanted).clip(max=flat.size - 1)
            found = wrap((flat[where] == wanted).reshape(-1, *[1] * t.dense_dim()))
            values = own._vals[index_tensor(where)] * found.to(t.dtype)
        else:
            values = t._vals.new_zeros(mask._vals.shape)
        return CooTensor.build(mask._at, values, t._spec.shape, mask._coalesced)
    return CooTensor.build(mask._at, taken(t, mask), t._spec.shape, mask._coalesced)


def intersection(a: CooTensor, b: CooTensor) -> tuple[np.ndarray, Any, Any]:
    """The places that two coalesced tensors share, and the values of each there."""
    _, i, j = np.intersect1d(a.flat(), b.flat(), assume_unique=True, return_indices=True)
    return a.places()[:, i], a._vals[index_tensor(i)], b._vals[index_tensor(j)]


def permute(s: CooTensor, dims: Any) -> CooTensor:
    """The dimensions in another order. RuntimeError where sparse and dense ones would mix."""
    n, k = len(s._spec.shape), s.sparse_dim()
    order = [wrap_dim(int(d), n) for d in dims]
    if len(order) != n:
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does "
                           "not match the length of the desired ordering of dimensions i.e. "
                           f"input.dim() = {n} is not equal to len(dims) = {len(order)}")
    if sorted(order[:k]) != list(range(k)):
        raise RuntimeError("permutation of dimensions of a sparse tensor must not mix sparse and dense dimensions")
    values = s._vals.permute((0, *[d - k + 1 for d in order[k:]]))
    ordered = s._coalesced and order[:k] == list(range(k))
    return CooTensor.build(index_tensor(s.places()[order[:k]]), values, [s._spec.shape[d] for d in order], ordered)


def unsqueeze(s: CooTensor, dim: int) -> CooTensor:
    """A new dimension of size 1: sparse among the sparse ones, else dense."""
    shape, k = list(s._spec.shape), s.sparse_dim()
    at = wrap_dim(dim, len(shape) + 1)
    shape.insert(at, 1)
    if at > k:
        return CooTensor.build(s._at, s._vals.unsqueeze(at - k + 1), shape, s._coalesced)
    return CooTensor.build(index_tensor(np.insert(s.places(), at, 0, 0)), s._vals, shape, s._coalesced)


def index_select(s: CooTensor, dim: int, index: Any) -> CooTensor:
    """The given places along a dimension, in their order. IndexError for places that are not there."""
    shape, k = list(s._spec.shape), s.sparse_dim()
    at, wanted = wrap_dim(dim, len(shape)), unwrap(index).reshape(-1)
    if wanted.size and not (-shape[at] <= wanted.min() and wanted.max() < shape[at]):
        raise IndexError(f"index_select(): index contains {wanted.max()} that is out of range "
                         f"for tensor of size {shape} at dimension {at}")
    wanted = wanted % max(shape[at], 1)
    own = s.coalesce()
    shape[at] = wanted.size
    if at >= k:
        return CooTensor.build(own._at, own._vals.index_select(at - k + 1, index), shape, True)
    line = own.places()[at]
    order = np.argsort(line, kind="stable")
    begin, end = (np.searchsorted(line[order], wanted, side=side) for side in ("left", "right"))
    counts = end - begin
    source = np.zeros(0, np.int64)
    if counts.sum():
        shift = begin - np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        source = order[np.repeat(shift, counts) + np.arange(counts.sum())]
    places = own.places()[:, source]
    places[at] = np.repeat(np.arange(wanted.size), counts)
    return CooTensor.build(index_tensor(places), own._vals[index_tensor(source)], shape, at == 0)


def select(s: CooTensor, dim: int, index: int) -> Any:
    """One place along a dimension, which goes; dense where no sparse dimension is left.
    IndexError where it is not there."""
    shape, k = list(s._spec.shape), s.sparse_dim()
    at = wrap_dim(dim, len(shape))
    if not -shape[at] <= index < shape[at]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {shape} at dimension {at}")
    index %= shape[at]
    shape.pop(at)
    if at >= k:
        return CooTensor.build(s._at, s._vals.select(at - k + 1, index), shape, s._coalesced)
    places = s.places()
    here = np.nonzero(places[at] == index)[0]
    values = s._vals[index_tensor(here)]
    if k == 1:
        return values.sum(0)
    return CooTensor.build(index_tensor(np.delete(places[:, here], at, 0)), values, shape, s._coalesced)
