"""What the distributions share: broadcasting of parameters, probabilities and logits, triangles as vectors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from numbers import Number
from typing import Any

from rushlight.autograd.grad_mode import enable_grad
from rushlight.tensor import functions as F
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import ones, tensor, zeros
from rushlight.tensor.drawing import normal
from rushlight.tensor.settings import finfo, get_default_dtype

__all__ = ["broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property", "tril_matrix_to_vec",
           "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Tensors and numbers as tensors of one shape; numbers take the dtype of the first tensor, the default dtype where
    there is none.

    ValueError for anything else than numbers and tensors.

    >>> import rushlight as rl
    >>> broadcast_all(1, rl.zeros(2))
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    if not all(isinstance(v, (Tensor, Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, "
                         "torch.Tensor or objects implementing __torch_function__.")
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = get_default_dtype() if first is None else first.dtype
    return tuple(F.broadcast_tensors(*[v if isinstance(v, Tensor) else tensor(v, dtype=dtype) for v in values]))


def _standard_normal(shape: Any, dtype: Any, device: Any = None) -> Any:
    """Normal numbers of mean 0 and variance 1, drawn as PyTorch does for tensors of means and deviations."""
    return normal(zeros(shape, dtype=dtype), ones(shape, dtype=dtype))


def _sum_rightmost(value: Any, dim: int) -> Any:
    """The sum over the last ``dim`` dimensions."""
    return value if dim == 0 else value.reshape((*value.shape[:value.dim() - dim], -1)).sum(-1)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities of log-odds (``is_binary``), or of unnormalised log-probabilities along the last dimension."""
    return F.sigmoid(logits) if is_binary else F.softmax(logits, -1)


def clamp_probs(probs: Any) -> Any:
    """Probabilities in [eps, 1 - eps], eps the relative precision of their dtype."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Log-odds (``is_binary``) or log-probabilities of clamped probabilities."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


class lazy_property:
    """A property that is computed at its first use, with gradients recorded, and then kept on the instance.

    On the class it is an ordinary property, so that subclasses and documentation see one.
    """

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property, property):
    """What a lazy property is when it is asked of the class."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The elements of (…, D, D) matrices on and below a diagonal, row by row;
    ValueError for a diagonal that is not there."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = _triangle(n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """The inverse of `tril_matrix_to_vec`; ValueError where the length is that of no triangle."""
    length = vec.shape[-1]
    n = (-(1 + 2 * diag) + math.sqrt((1 + 2 * diag) ** 2 + 8 * length + 4 * abs(diag) * (diag + 1))) / 2
    if round(n) - n > finfo(vec.dtype).eps:
        raise ValueError(f"The size of last dimension is {length} which cannot be expressed as "
                         "the lower triangular part of a square D x D matrix.")
    n = round(n)
    rows, columns = _triangle(n, diag)
    out = zeros((*vec.shape[:-1], n, n), dtype=vec.dtype)
    out[..., rows, columns] = vec
    return out


def _triangle(n: int, diag: int) -> tuple[Any, Any]:
    from rushlight.tensor.sequences import tril_indices
    rows, columns = tril_indices(n, n, diag).unbind(0)
    return rows, columns
