"""Views of COO tensors: dimensions in another order, with or without dimensions of size 1.

A public function that only moves dimensions asks `rushlight.tensor.views.view` for other strides on the same memory. Of
a sparse tensor these strides, those of the dense tensor that it stands for, tell which dimension went where.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.spec import Spec
from rushlight.sparse.patterns import index_tensor
from rushlight.sparse.storage import FOR_DENSE, backend
from rushlight.sparse.compressed import CompressedTensor
from rushlight.sparse.coo import CooTensor
from rushlight.sparse.tensor import SparseTensor


def view(t: Any, s: Spec) -> Any:
    """The sparse tensor that the geometry s shows. NotImplementedError for one that is no order of the dimensions."""
    if isinstance(t, SparseTensor):
        if s is t._spec:
            return t
        if isinstance(t, CompressedTensor) and s.shape == t._spec.shape[::-1] and s.strides == t._spec.strides[::-1]:
            return t.t()
        if isinstance(t, CooTensor) and not t.dense_dim():
            source = _sources(t._spec, s)
            if source is not None:
                at = t.places()
                rows = [at[d] if d is not None else np.zeros(at.shape[1], np.int64) for d in source]
                kept = [d for d in source if d is not None]
                ordered = t._coalesced and kept == sorted(kept)
                return CooTensor.build(index_tensor(np.stack(rows) if rows else at[:0]), t._vals, s.shape, ordered)
            if s.plain and s.numel == t._spec.numel:  # other dimensions over the same elements: what `stack` asks for
                at = np.zeros((len(s.shape), t._nnz()), np.int64)
                if s.shape and s.numel:
                    at = np.stack(np.unravel_index(t.flat(), s.shape))
                return CooTensor.build(index_tensor(at), t._vals, s.shape, t._coalesced)
    raise NotImplementedError(FOR_DENSE.format("as_strided", backend(getattr(t, "layout", "torch.sparse_coo"))))


def _sources(old: Spec, new: Spec) -> list[int | None] | None:
    """For each new dimension the old one that it is, None for one of size 1;
    None where they do not match one to one."""
    known = {(n, stride): d for d, (n, stride) in enumerate(zip(old.shape, old.strides, strict=True)) if n != 1}
    found = [None if n == 1 else known.get((n, stride), -1) for n, stride in zip(new.shape, new.strides, strict=True)]
    real = [d for d in found if d is not None]
    return found if old.offset == new.offset and sorted(real) == sorted(known.values()) else None
