"""Discrete Fourier transforms with PyTorch's `norm`, over numpy.fft. float32 stays single precision, half is widened.

`norm` says where the factor 1/n goes: "backward" (also None) on inverse transforms, "forward" on forward ones,
"ortho" as its root on both. The transforms of real signals keep n // 2 + 1 frequencies of the last dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
numpy_fft: Any = np.fft  # typed for literal norms only
SWAPPED: dict[str | None, Any] = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _checked(x: Array, n: int | None, norm: str | None) -> Array:
    if norm not in SWAPPED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}". Choose "backward", "forward" or "ortho".')
    if n is not None and n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    if x.dtype.kind in "biu" or x.dtype.itemsize == 2:
        return x.astype(np.float32)
    return x


def _real(x: Array, name: str) -> Array:
    if x.dtype.kind == "c":
        kind = "ComplexDouble" if x.dtype.itemsize == 16 else "ComplexFloat"
        raise RuntimeError(f"{name} expects a real input tensor, but got {kind}")
    return x


# --- one dimension ------------------------------------------------------------------------------------------------
def fft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The transform of a real or complex signal, cut or padded with zeros to n."""
    x = _checked(x, x.shape[dim] if n is None else n, norm)
    return np.asarray(numpy_fft.fft(x, n, dim, norm))


def ifft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The inverse of fft."""
    x = _checked(x, x.shape[dim] if n is None else n, norm)
    return np.asarray(numpy_fft.ifft(x, n, dim, norm))


def rfft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The non-negative frequencies of a real signal."""
    x = _checked(_real(x, "rfft"), x.shape[dim] if n is None else n, norm)
    return np.asarray(numpy_fft.rfft(x, n, dim, norm))


def irfft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The real signal of n elements (2 (m - 1) by default) with those non-negative frequencies."""
    n = 2 * (x.shape[dim] - 1) if n is None else n
    return np.asarray(numpy_fft.irfft(_checked(x, n, norm), n, dim, norm))


def hfft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The real spectrum of n elements of a half-given Hermitian signal."""
    n = 2 * (x.shape[dim] - 1) if n is None else n
    x = _checked(x, n, norm)
    return np.asarray(numpy_fft.irfft(np.conj(x), n, dim, SWAPPED[norm]))


def ihfft(x: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The inverse of hfft: half of a Hermitian signal from its real spectrum."""
    x = _checked(_real(x, "ihfft"), x.shape[dim] if n is None else n, norm)
    return np.asarray(np.conj(numpy_fft.rfft(x, n, dim, SWAPPED[norm])))


# --- several dimensions -------------------------------------------------------------------------------------------
def shape_and_dims(x: Array, s: Sequence[int] | None, dim: Sequence[int] | None,
                   last: int | None = None) -> tuple[list[int], list[int]]:
    """Transform sizes and dimensions, with PyTorch's defaults and errors.
    `last` replaces the default size of the last one."""
    if s is not None and dim is not None and len(s) != len(dim):
        raise RuntimeError("When given, dim and shape arguments must have the same length. "
                           f"dim is {list(dim)}, s is {list(s)}.")
    if s is not None and len(s) > x.ndim:
        raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {x.ndim} dimensions.")
    if dim is None:
        dims = list(range(x.ndim)) if s is None else list(range(x.ndim - len(s), x.ndim))
    else:
        for d in dim:
            if not -x.ndim <= d < x.ndim:
                raise IndexError("Dimension out of range (expected to be in range of "
                                 f"[{-x.ndim}, {x.ndim - 1}], but got {d})")
        dims = [d % x.ndim for d in dim]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"FFT dims must be unique. They are {dims}.")
    sizes = [x.shape[d] for d in dims] if s is None else [x.shape[d] if n == -1 else n for n, d in zip(s, dims)]
    if last is not None and dims and (s is None or s[-1] == -1):
        sizes[-1] = last
    return sizes, dims


def fftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None) -> Array:
    """fft over several dimensions."""
    return _along(fft, x, *shape_and_dims(x, s, dim), norm)


def ifftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None) -> Array:
    """The inverse of fftn."""
    return _along(ifft, x, *shape_and_dims(x, s, dim), norm)


def _along(transform: Any, x: Array, sizes: list[int], dims: list[int], norm: str | None) -> Array:
    x = _checked(x, None, norm)
    if not dims:
        return x.astype(np.result_type(x, np.complex64))
    for n, d in zip(reversed(sizes), reversed(dims)):
        x = transform(x, n, d, norm)
    return x


def rfftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None) -> Array:
    """fftn of a real signal; the last of the dimensions keeps its non-negative frequencies."""
    sizes, dims = _some(shape_and_dims(_real(x, "rfftn"), s, dim), "rfftn")
    return _along(fft, rfft(x, sizes[-1], dims[-1], norm), sizes[:-1], dims[:-1], norm)


def irfftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None,
           norm: str | None = None) -> Array:
    """The inverse of rfftn."""
    sizes, dims = _some(_half_sizes(x, s, dim), "irfftn")
    return irfft(_along(ifft, x, sizes[:-1], dims[:-1], norm), sizes[-1], dims[-1], norm)


def hfftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None, norm: str | None = None) -> Array:
    """The real spectrum of a signal that is Hermitian and half given in the last of the dimensions."""
    sizes, dims = _some(_half_sizes(x, s, dim), "hfftn")
    return hfft(_along(fft, x, sizes[:-1], dims[:-1], norm), sizes[-1], dims[-1], norm)


def ihfftn(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] | None = None,
           norm: str | None = None) -> Array:
    """The inverse of hfftn."""
    sizes, dims = _some(shape_and_dims(_real(x, "ihfftn"), s, dim), "ihfftn")
    return _along(ifft, ihfft(x, sizes[-1], dims[-1], norm), sizes[:-1], dims[:-1], norm)


def _half_sizes(x: Array, s: Sequence[int] | None, dim: Sequence[int] | None) -> tuple[list[int], list[int]]:
    sizes, dims = shape_and_dims(x, s, dim)
    return shape_and_dims(x, s, dim, 2 * (x.shape[dims[-1]] - 1)) if dims else (sizes, dims)


def _some(found: tuple[list[int], list[int]], name: str) -> tuple[list[int], list[int]]:
    if not found[1]:
        raise RuntimeError(f"{name} must transform at least one axis")
    return found


def _two_dimensional(transform: Any) -> Any:
    def function(x: Array, s: Sequence[int] | None = None, dim: Sequence[int] = (-2, -1),
                 norm: str | None = None) -> Array:
        result: Array = transform(x, s, dim, norm)
        return result
    function.__name__ = transform.__name__[:-1] + "2"
    function.__doc__ = f"{transform.__name__} over the last two dimensions."
    return function


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = (_two_dimensional(f) for f in (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn))
