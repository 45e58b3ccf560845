"""The rows of linear algebra and Fourier transforms on the NumPy wrappers."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rushlight.exec.numpy import fft as transforms
from rushlight.exec.numpy import linalg

Array = np.ndarray[Any, Any]


def cholesky(x: Array, upper: bool) -> Array:
    return linalg.cholesky(linalg.adjoint(x) if upper else x)


def inv(x: Array) -> Array:
    return linalg.inv(x)


def solve(a: Array, b: Array) -> Array:
    return linalg.solve(*_one_batch(a, b))


def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    return linalg.solve_triangular(a, b, upper, unitriangular)


def cholesky_solve(b: Array, factor: Array, upper: bool) -> Array:
    return linalg.cholesky_solve(b, factor, upper)


def cholesky_inverse(factor: Array, upper: bool) -> Array:
    return linalg.cholesky_inverse(factor, upper)


def det(x: Array) -> Array:
    return linalg.det(x)


def slogdet(x: Array) -> tuple[Array, Array]:
    return linalg.slogdet(x)


def qr(x: Array, mode: str) -> tuple[Array, Array]:
    return linalg.qr(x, mode)


def svd(x: Array) -> tuple[Array, Array, Array]:
    return linalg.svd(x, False)


def eigh(x: Array, uplo: str) -> tuple[Array, Array]:
    return linalg.eigh(x, uplo)


def eig(x: Array) -> tuple[Array, Array]:
    return linalg.eig(x)


def cholesky_ex(x: Array, upper: bool) -> tuple[Array, Array]:
    return linalg.cholesky_ex(linalg.adjoint(x) if upper else x)


def inv_ex(x: Array) -> tuple[Array, Array]:
    return linalg.inv_ex(x)


def solve_ex(a: Array, b: Array) -> tuple[Array, Array]:
    return linalg.solve_ex(*_one_batch(a, b))


def _one_batch(a: Array, b: Array) -> tuple[Array, Array]:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))


def lu_factor(x: Array) -> tuple[Array, Array, Array]:
    return linalg.lu_factor(x)


def lu_order(pivots: Array, rows: int) -> Array:
    return linalg.permutation(pivots, rows)


def pinv(x: Array, atol: Any, rtol: Any, hermitian: bool) -> Array:
    """The pseudo-inverse from the singular values, or the eigenvalues, above max(atol, rtol * the largest)."""
    if hermitian:
        w, u = linalg.eigh(x)
        s, vh = np.abs(w), linalg.adjoint(u)
    else:
        u, s, vh = linalg.svd(x, False)
        w = s
    cut = np.maximum(np.expand_dims(np.asarray(atol), -1),
                     np.expand_dims(np.asarray(rtol), -1) * s.max(axis=-1, keepdims=True, initial=0))
    inverse = np.where(s > cut, 1 / np.where(s > cut, w, 1), 0).astype(s.dtype)
    return (linalg.adjoint(vh) * inverse[..., None, :]) @ linalg.adjoint(u)


def ldl_factor(x: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    """LAPACK's packed L D L^T (L D L^H) of each matrix by sytrf (hetrf), from SciPy."""
    out, pivots, info = np.array(x), np.zeros(x.shape[:-1], np.int32), np.zeros(x.shape[:-2], np.int32)
    factor = _lapack("trf", x, hermitian)
    for at in np.ndindex(*x.shape[:-2]) if x.size else ():
        packed, pivots[at], info[at] = factor(x[at], lower=1)
        out[at] = np.tril(packed)
    return out, pivots, info


def ldl_solve(x: Array, b: Array, pivots: Array, hermitian: bool) -> Array:
    """The solution from ldl_factor's results by sytrs (hetrs), from SciPy."""
    x, b = _one_batch(x, b)
    pivots = np.broadcast_to(pivots, x.shape[:-1])
    out = np.array(b)
    solve_one = _lapack("trs", x, hermitian)
    for at in np.ndindex(*x.shape[:-2]) if b.size else ():
        out[at], _ = solve_one(x[at], pivots[at], b[at], lower=1)
    return out


def _lapack(step: str, x: Array, hermitian: bool) -> Any:
    try:
        lapack = importlib.import_module("scipy.linalg.lapack")
    except ImportError as e:
        raise ImportError("the LDL decomposition needs SciPy: pip install 'rushlight[scipy]'") from e
    kind = {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}[x.dtype.str[1:]]
    return getattr(lapack, f"{kind}{'he' if hermitian and x.dtype.kind == 'c' else 'sy'}{step}")


def matrix_exp(x: Array) -> Array:
    return linalg.matrix_exp(x)


def fft(x: Array, dim: int, norm: str) -> Array:
    return transforms.fft(x, None, dim, norm)


def ifft(x: Array, dim: int, norm: str) -> Array:
    return transforms.ifft(x, None, dim, norm)
