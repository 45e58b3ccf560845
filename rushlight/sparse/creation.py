"""Making sparse tensors of their components."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.sparse.patterns import index_tensor, merge
from rushlight.sparse.compressed import CompressedTensor
from rushlight.sparse.coo import CooTensor
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, unwrap
from rushlight.tensor.creation import as_tensor
from rushlight.tensor.device import check_device

__all__ = ["sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_compressed_tensor", "spdiags"]


def _component(data: Any, dtype: Any, name: str) -> Tensor:
    t = as_tensor(data) if dtype is None else as_tensor(data, dtype=dtype)
    if name and t.dtype.kind not in "iu" and t.numel():
        raise RuntimeError(f"{name} must be an int64 tensor" if name == "indices"
                           else f"{name} must be an int32 or int64 type, but got: {t.dtype}")
    return t.to(dtypes.int64).detach() if name else t


def _finished(t: Any, device: Any, requires_grad: bool) -> Any:
    if device is not None:
        check_device(device)
    return t.requires_grad_() if requires_grad else t


def _values(values: Any, dtype: Any) -> Tensor:
    t = _component(values, dtype, "")
    return t.view(t.shape) if t.requires_grad else t.detach()  # type: ignore[no-any-return]


def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, *, dtype: Any = None,
                      device: Any = None, pin_memory: Any = False, requires_grad: bool = False,
                      check_invariants: bool | None = None, is_coalesced: bool | None = None) -> Any:
    """A sparse tensor of coordinates (sparse dimensions, n) and values (n, …),
    of the smallest shape unless `size` is given.

    Repeated coordinates add up. With a size alone it is empty. RuntimeError for components that do not fit.

    >>> import rushlight as rl
    >>> rl.sparse_coo_tensor([[0, 1], [2, 0]], [3., 4.], (2, 3)).to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 0.]])
    """
    if values is None:
        shape = size if size is not None else indices
        return _finished(empty(shape, dtype), device, requires_grad)
    at, v = _component(indices, None, "indices"), _values(values, dtype)
    if at.ndim == 1 and not at.numel():
        at = at.reshape(0 if size is None else len(size), 0)
    if at.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if v.ndim == 0:
        v = v.expand(at.shape[1])
    if at.shape[1] != v.shape[0]:
        raise RuntimeError("indices and values must have same nnz, "
                           f"but got nnz from indices: {at.shape[1]}, nnz from values: {v.shape[0]}")
    k, places = at.shape[0], unwrap(at)
    most = (places.max(1) + 1).tolist() if places.size else [0] * k
    if size is None:
        size = (*most, *v.shape[1:])
    else:
        size = tuple(int(n) for n in size)
        _check_size(size, k, v, places, most)
    if places.size and places.min() < 0:
        d = int(np.nonzero(places.min(1) < 0)[0][0])
        raise RuntimeError(f"found negative index {places[d].min()} for dim {d}")
    coalesced = at.shape[1] < 2 if is_coalesced is None else is_coalesced  # one place cannot come twice
    return _finished(CooTensor.build(at, v, size, bool(coalesced)), device, requires_grad)


def _check_size(size: tuple[int, ...], k: int, v: Any, places: np.ndarray, most: list[int]) -> None:
    """RuntimeError where a size does not fit the components."""
    dense = v.ndim - 1
    if len(size) != k + dense:
        raise RuntimeError("'len(size) == sparse_dim + dense_dim' is not satisfied: "
                           f"len(size) = {len(size)}, sparse_dim = {k}, dense_dim = {dense}")
    for d, (n, have) in enumerate(zip(most, size, strict=False)):
        if n > have:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, "
                               f"size is {have} but found index {n - 1}")
    if tuple(v.shape[1:]) != size[k:]:
        raise RuntimeError(f"values has incorrect size, expected {[v.shape[0], *size[k:]]}, got {list(v.shape)}")


def empty(size: Any, dtype: Any = None) -> Any:
    """A sparse tensor of that size with nothing in it."""
    from rushlight.tensor.creation import zeros
    return CooTensor.build(index_tensor(np.zeros((len(size), 0))), zeros((0,), dtype=dtype), size, True)


def sparse_compressed_tensor(compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *,
                             dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = False,
                             requires_grad: bool = False, check_invariants: bool | None = None) -> Any:
    """A matrix with compressed rows (`layout` torch.sparse_csr) or columns (torch.sparse_csc).

    ``compressed_indices`` says where each row (column) begins among the values, ``plain_indices`` the column (row) of
    each value. RuntimeError for components that do not fit, and for block layouts.
    """
    if layout not in (formats.sparse_csr, formats.sparse_csc):
        raise RuntimeError(f"sparse_compressed_tensor expected sparse compressed tensor layout but got {layout}; "
                           "rushlight has torch.sparse_csr and torch.sparse_csc")
    rows = layout is formats.sparse_csr
    names = ("crow_indices", "col_indices") if rows else ("ccol_indices", "row_indices")
    starts, others, v = _component(compressed_indices, None,
                                   names[0]), _component(plain_indices, None, names[1]), _values(values, dtype)
    begin, at = unwrap(starts), unwrap(others)
    if begin.ndim != 1 or at.ndim != 1 or v.ndim != 1:
        raise RuntimeError("rushlight's compressed tensors are matrices: "
                           "their components have one dimension each; batches are not supported")
    if size is None:
        lines, other = begin.size - 1, int(at.max()) + 1 if at.size else 0
        size = (lines, other) if rows else (other, lines)
    size = tuple(int(n) for n in size)
    lines, other = size if rows else size[::-1]
    if begin.size != lines + 1:
        raise RuntimeError(f"{names[0]}.shape[-1] must be equal to the number of {'rows' if rows else 'columns'} "
                           f"+ 1 as size[-{2 if rows else 1}]={lines}, but got {begin.size}")
    if at.size != v.shape[0]:
        raise RuntimeError(f"number of elements in {names[1]} ({at.size}) must be equal "
                           f"to the number of values ({v.shape[0]})")
    if begin[0] != 0 or begin[-1] != at.size or (np.diff(begin) < 0).any():
        raise RuntimeError(f"`{names[0]}[..., 0] == 0` is not satisfied." if begin[0]
                           else f"`{names[0]}[..., -1] == nnz` is not satisfied.")
    if at.size and not (at.min() >= 0 and at.max() < other):
        raise RuntimeError(f"`0 <= {names[1]} < {'ncols' if rows else 'nrows'}` is not satisfied.")
    return _finished(CompressedTensor.build(starts, others, v, size, layout), device, requires_grad)


def _only(own: Any, layout: Any) -> Any:
    """The layout of a function that makes this one only; RuntimeError where another is asked for."""
    if layout not in (None, own):
        raise RuntimeError(f"{str(own).removeprefix('torch.')} layout must be {own}, but got {layout}")
    return own


def sparse_csr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
                      layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: bool = False,
                      check_invariants: bool | None = None) -> Any:
    """A matrix with compressed rows: where each begins among the values, and the column of each value.

    RuntimeError for components that do not fit.

    >>> import rushlight as rl
    >>> rl.sparse_csr_tensor([0, 1, 2], [1, 0], [3., 4.]).to_dense()
    tensor([[0., 3.],
            [4., 0.]])
    """
    return sparse_compressed_tensor(crow_indices, col_indices, values, size, dtype=dtype, device=device,
                                    layout=_only(formats.sparse_csr, layout), requires_grad=requires_grad)


def sparse_csc_tensor(ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
                      layout: Any = None, device: Any = None, pin_memory: Any = False, requires_grad: bool = False,
                      check_invariants: bool | None = None) -> Any:
    """A matrix with compressed columns: where each begins among the values, and the row of each value.

    RuntimeError for components that do not fit.
    """
    return sparse_compressed_tensor(ccol_indices, row_indices, values, size, dtype=dtype, device=device,
                                    layout=_only(formats.sparse_csc, layout), requires_grad=requires_grad)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Any:
    """A matrix with the rows of ``diagonals`` on its diagonals: element j of a row goes to column j.

    >>> import rushlight as rl
    >>> rl.sparse.spdiags(rl.tensor([[1., 2.]]), rl.tensor([1]), (2, 2)).to_dense()
    tensor([[0., 2.],
            [0., 0.]])
    """
    from rushlight.sparse.conversion import convert
    table, steps = diagonals.reshape(-1, diagonals.shape[-1]), unwrap(offsets).reshape(-1)
    rows, columns = int(shape[0]), int(shape[1])
    which, column = np.meshgrid(np.arange(steps.size), np.arange(min(table.shape[1], columns)), indexing="ij")
    row = column - steps[which]
    inside = (row >= 0) & (row < rows)
    values = table[index_tensor(which[inside]), index_tensor(column[inside])]
    out = merge(np.stack([row[inside], column[inside]]), values, (rows, columns))
    return convert(out, layout=layout)
