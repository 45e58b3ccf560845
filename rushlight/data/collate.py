"""Samples put together to a batch."""

from __future__ import annotations

import collections.abc
import copy
from typing import Any

import numpy as np

from rushlight.ir.dtype import float64
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import as_tensor, tensor
from rushlight.tensor.functions.joining import stack


def default_convert(data: Any) -> Any:
    """NumPy arrays in a structure as tensors, the rest as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if isinstance(data, np.ndarray) and data.dtype.kind in "SUO" else as_tensor(np.asarray(data))
    if isinstance(data, collections.abc.Mapping):
        return {k: default_convert(v) for k, v in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, (list, tuple)):
        return type(data)(default_convert(v)
                          for v in data) if isinstance(data, list) else [default_convert(v) for v in data]
    return data


def collate(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """`default_collate` with functions for types of one's own."""
    first = batch[0]
    if collate_fn_map is not None:
        for kind, f in collate_fn_map.items():
            if isinstance(first, kind):
                return f(batch, collate_fn_map=collate_fn_map)
    return default_collate(batch)


def default_collate(batch: Any) -> Any:
    """A list of samples as a batch: tensors stacked, numbers as tensors, mappings and sequences element by element."""
    first = batch[0]
    if isinstance(first, Tensor):
        ready = all(type(b) is Tensor and b._storage.cell.buffer is not None and not b._rg
                    and not b._storage.batched for b in batch)
        if ready and all(b._spec.dtype is first._spec.dtype and b._spec.shape == first._spec.shape for b in batch):
            return wrap(np.stack([unwrap(b) for b in batch]))  # nothing to record: the numbers are there
        return stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError("default_collate: batch must contain tensors, numpy arrays, "
                            f"numbers, dicts or lists; found {first.dtype}")
        return stack([as_tensor(b) for b in batch], 0)
    if isinstance(first, np.generic):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, (bool, int)):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, collections.abc.Mapping):
        out = {k: default_collate([d[k] for d in batch]) for k in first}
        try:
            made = copy.copy(first)
            made.update(out)  # type: ignore[attr-defined]
            return made
        except (TypeError, AttributeError):
            return out
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(s) for s in zip(*batch)))
    if isinstance(first, collections.abc.Sequence):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(s) for s in zip(*batch)]
        return columns if isinstance(first, (tuple, list)) else type(first)(columns)  # type: ignore[call-arg]
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, "
                    f"numbers, dicts or lists; found {type(first)}")
