"""Tensors of equal steps, and of positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, wrap
from rushlight.tensor.creation import ready
from rushlight.tensor.functions.common import give, scalar_name
from rushlight.tensor.samples import sample_by_sample
from rushlight.tensor.state import settings


def arange(*args: Any, start: Any = 0, end: Any = None, step: Any = 1, out: Any = None, dtype: DType | None = None,
           layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """start, start + step, … below end. arange(end), arange(start, end) or arange(start, end, step).

    int64 where all numbers are integers, else the default dtype. RuntimeError for a step of 0 or of the wrong sign.

    >>> import rushlight as rl
    >>> rl.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000])
    """
    values = [v.item() if isinstance(v, Tensor) else v for v in args]
    if len(values) == 1 and end is None:
        end = values[0]
    elif len(values) == 1:
        start = values[0]
    elif len(values) == 2:
        start, end = values
    elif len(values) == 3:
        start, end, step = values
    start, end, step = (v.item() if hasattr(v, "item") else v for v in (start, end, step))
    if dtype is None:
        dtype = settings.default_dtype if any(isinstance(v, float) for v in (start, end, step)) else dtypes.int64
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype.kind in "bc":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{scalar_name(dtype)}'")
    if dtype.name == "int64" and all(math.isfinite(v) for v in (start, end, step)) and int(step):
        # of smaller integers PyTorch counts the steps in double precision
        start, end, step = int(start), int(end), int(step)
    if not all(math.isfinite(v) for v in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    size = max(0, math.ceil((end - start) / step))
    if dtype.kind in "iu" and all(isinstance(v, int) for v in (start, end, step)):
        size = max(0, -((start - end) // step))
    return give(out, ready(apply(TABLE["arange"], (start, step), (size, dtype)), requires_grad, device, layout))


def range_(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: DType | None = None,
           layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """start to end inclusive (PyTorch's deprecated torch.range)."""
    if end is None:
        start, end = 0, start
    n = math.floor((end - start) / step) + 1
    return give(out, ready(apply(TABLE["arange"], (start, step), (n, dtype or settings.default_dtype)),
                           requires_grad, device, layout))


@sample_by_sample
def linspace(start: Any, end: Any, steps: int, *, out: Any = None, dtype: DType | None = None, layout: Any = None,
             device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from start to end.

    Both ends belong to it; the default dtype unless given. RuntimeError for a negative number of steps.

    >>> import rushlight as rl
    >>> rl.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    _steps("linspace", steps)
    d = dtype or (settings.default_dtype.to_complex() if isinstance(start, complex) or isinstance(end, complex)
                  else settings.default_dtype)
    return give(out, ready(wrap(_spaced(start, end, steps, d), d), requires_grad, device, layout))


def _steps(name: str, steps: Any) -> None:
    if not isinstance(steps, (int, np.integer)):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")


def _spaced(start: Any, end: Any, steps: int, d: DType) -> np.ndarray:
    """PyTorch's rule: counted from the nearer end, in the result's precision."""
    if steps == 1:
        return np.full(1, start).astype(d.numpy)
    kind = np.complex128 if d.is_complex else np.float64
    if d.kind in "iu":
        step = (float(end) - float(start)) / (steps - 1) if steps > 1 else 0
        i = np.arange(steps)
        low, high = np.trunc(start + step * i), np.trunc(end - step * (steps - 1 - i))
        return np.where(i < steps // 2, low, high).astype(d.numpy)
    work = d.numpy if d.name in ("float32", "float64", "complex64", "complex128") else np.dtype(np.float32)
    i = np.arange(steps)
    if work == np.float32:  # with a fused multiply-add: the product is exact in double precision
        low, high = np.float64(np.float32(start)), np.float64(np.float32(end))
        by = np.float64(np.float32(high - low) / np.float32(max(steps - 1, 1)))
        return np.where(i < steps // 2, low + by * i, high - by * (steps - 1 - i)).astype(work).astype(d.numpy)
    step = (np.asarray(end, kind).astype(work) - np.asarray(start, kind).astype(work)) / work.type(max(steps - 1, 1))
    return np.where(i < steps // 2, start + step * i.astype(work.type(0).real.dtype),
                    end - step * (steps - 1 - i).astype(work.type(0).real.dtype)).astype(d.numpy)


@sample_by_sample
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, dtype: DType | None = None,
             layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """base to the power of evenly spaced numbers."""
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    _steps("logspace", steps)
    d = dtype or settings.default_dtype
    wide = dtypes.complex128 if d.is_complex else dtypes.float64
    values = np.power(float(base), _spaced(start, end, steps, wide))
    return give(out, ready(wrap(values.astype(d.numpy), d), requires_grad, device, layout))


def eye(n: int, m: int | None = None, *, out: Any = None, dtype: DType | None = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.

    (n, m), m = n unless given, in the default dtype unless given.

    >>> import rushlight as rl
    >>> rl.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    m = n if m is None else m
    for size, name in ((n, "n"), (m, "m")):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return give(out, ready(wrap(np.eye(n, m, dtype=(dtype or settings.default_dtype).numpy)), requires_grad, device, layout))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType = dtypes.int64, device: Any = None,
                 layout: Any = None) -> Tensor:
    """Row and column numbers of the lower triangle."""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(dtype.numpy))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType = dtypes.int64, device: Any = None,
                 layout: Any = None) -> Tensor:
    """Row and column numbers of the upper triangle."""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(dtype.numpy))


__all__ = ["arange", "linspace", "logspace", "eye", "tril_indices", "triu_indices"]
