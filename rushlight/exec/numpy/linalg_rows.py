"""The rows of linear algebra and Fourier transforms on the NumPy wrappers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy import fft as transforms
from rushlight.exec.numpy import linalg

Array = np.ndarray[Any, Any]


def cholesky(x: Array) -> Array:
    return linalg.cholesky(x)


def inv(x: Array) -> Array:
    return linalg.inv(x)


def solve(a: Array, b: Array) -> Array:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return linalg.solve(np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:])))


def det(x: Array) -> Array:
    return linalg.det(x)


def slogdet(x: Array) -> tuple[Array, Array]:
    return linalg.slogdet(x)


def qr(x: Array) -> tuple[Array, Array]:
    return linalg.qr(x)


def svd(x: Array) -> tuple[Array, Array, Array]:
    return linalg.svd(x, False)


def eigh(x: Array) -> tuple[Array, Array]:
    return linalg.eigh(x)


def eig(x: Array) -> tuple[Array, Array]:
    return linalg.eig(x)


def matrix_exp(x: Array) -> Array:
    return linalg.matrix_exp(x)


def fft(x: Array, dim: int, norm: str) -> Array:
    return transforms.fft(x, None, dim, norm)


def ifft(x: Array, dim: int, norm: str) -> Array:
    return transforms.ifft(x, None, dim, norm)
