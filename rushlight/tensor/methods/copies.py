"""Copying and pickling tensors."""

from __future__ import annotations

import copy as copying
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor, flat_memory, new_tensor, unwrap, wrap


def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(self) in memo:
        return memo[id(self)]
    if self._grad_fn is not None:
        raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the "
                           "deepcopy protocol at the moment.  If you were attempting to deepcopy a module, "
                           "this may be because of a torch.nn.utils.weight_norm usage")
    key = ("rushlight storage", id(self._storage))
    storage = memo.get(key)
    if storage is None:
        from rushlight.tensor.storage import fresh
        storage = memo[key] = fresh(np.array(flat_memory(self._storage)), self._storage.dtype)
        memo.setdefault(id(memo), []).append(self)
    out = new_tensor(storage, self._spec)
    if type(self) is not Tensor:
        out.__class__ = type(self)
    for name, value in self.__dict__.items():
        if name not in ("_storage", "_spec", "_vc", "_acc", "_base", "_view", "_seen",
                        "_grad_fn", "grad", "_leaf_hooks"):
            out.__dict__[name] = copying.deepcopy(value, memo)
    out._rg = self._rg
    memo[id(self)] = out
    if self.grad is not None:
        out.grad = copying.deepcopy(self.grad, memo)
    return out


def __copy__(self: Tensor) -> Tensor:
    out = new_tensor(self._storage, self._spec)
    out.__class__ = type(self)
    out.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("_acc",)})
    return out


def __reduce_ex__(self: Tensor, protocol: int) -> Any:
    if self._grad_fn is not None:
        raise RuntimeError("can't pickle a tensor that is the result of a computation; call .detach() first")
    extra = {k: v for k, v in self.__dict__.items() if k not in ("_storage", "_spec", "_vc", "_acc", "_base", "_view",
                                                                 "_seen", "_grad_fn", "_rg", "grad", "_leaf_hooks")}
    array = np.array(unwrap(self))
    return _rebuild, (type(self), array.view(np.uint16) if self._spec.dtype is dtypes.bfloat16 else array,
                      self._spec.dtype, self._rg, extra)


def _rebuild(kind: Any, array: np.ndarray, dtype: DType, requires_grad: bool, extra: dict[str, Any]) -> Tensor:
    out = wrap(array.view(dtype.numpy))
    out.__class__ = kind
    out.__dict__.update(extra)
    out._rg = requires_grad
    return out
