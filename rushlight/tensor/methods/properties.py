"""Attributes that are computed."""

from __future__ import annotations

import sys
from typing import Any

from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, new_tensor
from rushlight.tensor.device import CPU
from rushlight.tensor.functions import complex_numbers, shape


def _set_data(self: Tensor, new: Tensor) -> None:
    if not isinstance(new, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
    counter = self._vc
    if sys.getrefcount(self._storage) <= 4:  # nobody else shows the old memory: let it go
        counter = _VersionCounter()
        counter.version = self._vc.version
    self._storage, self._spec, self._vc = new._storage, new._spec, counter


class _VersionCounter:
    """The version of memory reached through ``.data``, whose writes autograd does not see."""

    def __init__(self) -> None:
        self.version = 0


def _get_data(self: Tensor) -> Tensor:
    out = new_tensor(self._storage, self._spec)
    out._vc = _VersionCounter()
    return out


def _transposed(self: Tensor) -> Tensor:
    return shape.permute(self, tuple(range(len(self._spec.shape) - 1, -1, -1)))


def _matrix_transposed(self: Tensor) -> Tensor:
    if not self._spec.shape:
        return self
    if len(self._spec.shape) < 2:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. "
                           f"Got {len(self._spec.shape)}-D tensor.")
    return shape.transpose(self, -2, -1)


def _hermitian(self: Tensor) -> Tensor:
    if len(self._spec.shape) not in (0, 2):
        raise RuntimeError("tensor.H is only supported on matrices (2-D tensors). "
                           f"Got {len(self._spec.shape)}-D tensor.")
    return complex_numbers.conj(_transposed(self))


def _imag_set(self: Tensor, value: Any) -> None:
    shape.view_as_real(self)[..., 1].copy_(value)


def _real_set(self: Tensor, value: Any) -> None:
    shape.view_as_real(self)[..., 0].copy_(value) if self._spec.dtype.is_complex else self.copy_(value)


PROPERTIES: dict[str, Any] = {
    "shape": property(lambda self: shape.Size(self._spec.shape)),
    "device": property(lambda self: CPU),
    "ndim": property(lambda self: len(self._spec.shape)),
    "is_leaf": property(lambda self: self.grad_fn is None),
    "data": property(_get_data, _set_data),
    "T": property(_transposed), "mT": property(_matrix_transposed), "H": property(_hermitian),
    "mH": property(lambda self: shape.adjoint(self)),
    "real": property(lambda self: complex_numbers.real(self), _real_set),
    "imag": property(lambda self: complex_numbers.imag(self), _imag_set),
    "itemsize": property(lambda self: self._spec.dtype.itemsize),
    "nbytes": property(lambda self: self._spec.dtype.itemsize * self._spec.numel),
    "_version": property(lambda self: self._vc.version),
    "output_nr": property(lambda self: self._out),
    "layout": property(lambda self: formats.strided),
    "name": property(lambda self: None),
    "_backward_hooks": property(lambda self: self.__dict__.get("_leaf_hooks") or None),
    "_grad": property(lambda self: self.grad),
    "names": property(lambda self: (None,) * len(self._spec.shape)),
    **{name: property(lambda self: False)
       for name in ("is_cuda", "is_sparse", "is_quantized", "is_mps", "is_meta", "is_xla", "is_mkldnn",
                                                       "is_nested", "is_sparse_csr", "is_xpu", "is_vulkan", "is_ipu",
                    "is_mtia", "is_maia")},
    "is_cpu": property(lambda self: True),
}
