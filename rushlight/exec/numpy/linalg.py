"""Linear algebra over stacks of matrices (*batch, m, n), through numpy.linalg.
Types are kept; half is computed in float32.

A matrix that cannot be factorised raises LinAlgError, which names the matrix of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import ceil, factorial, log2, prod
from typing import Any, TypeVar, cast

import numpy as np

from rushlight.exec.numpy.triangular import lu_factor, solve_triangular, substitute

__all__ = ["LinAlgError", "cholesky", "cholesky_ex", "cholesky_inverse", "cholesky_solve", "det", "eig", "eigh",
           "eigvals", "eigvalsh", "geqrf", "householder_product", "inv", "inv_ex",
           "lstsq", "lu", "lu_factor", "lu_factor_checked", "lu_solve", "lu_unpack",
           "matrix_exp", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals"]

Array = np.ndarray[Any, Any]
Function = TypeVar("Function", bound=Callable[..., Any])
numpy_linalg: Any = np.linalg  # its overloads know less than its functions do


class LinAlgError(RuntimeError):
    """A matrix has no such factorisation or inverse (torch.linalg.LinAlgError)."""


def _wide(f: Function) -> Function:
    """f with half precision and integers as float32."""
    @functools.wraps(f)
    def wrapper(*args: Any) -> Any:
        return f(*[a.astype(np.float32) if isinstance(a, np.ndarray)
                   and (a.dtype.itemsize == 2 or a.dtype.kind in "biuV") else a for a in args])
    return cast(Function, wrapper)


def adjoint(a: Array) -> Array:
    """The conjugate transpose of each matrix."""
    return np.asarray(np.conj(a).swapaxes(-1, -2))


def _first_bad(info: Array) -> tuple[str, int] | None:
    """For messages: the first matrix with a non-zero info as "(Batch element 2):
    " (nothing for a single matrix), and its info."""
    flat = info.reshape(-1)
    bad = np.flatnonzero(flat)
    if not bad.size:
        return None
    return (f"(Batch element {bad[0]}): " if info.ndim else ""), int(flat[bad[0]])


# --- Cholesky -----------------------------------------------------------------------------------------------------
@_wide
def cholesky_ex(a: Array, upper: bool = False) -> tuple[Array, Array]:
    """The factor of each Hermitian positive-definite matrix, and 0 or the order of its first bad leading minor (int32).

    Only the lower triangle is read (the upper one if `upper`). Factors of bad matrices are NaN.
    """
    info = np.zeros(a.shape[:-2], np.int32)
    lower = adjoint(a) if upper else a
    try:
        factor = numpy_linalg.cholesky(lower)
    except numpy_linalg.LinAlgError:
        factor = np.full(a.shape, np.nan, a.dtype)
        for at in np.ndindex(*info.shape):
            try:
                factor[at] = numpy_linalg.cholesky(lower[at])
            except numpy_linalg.LinAlgError:
                info[at] = _bad_minor(lower[at])
    return (adjoint(factor) if upper else factor), info


def _bad_minor(a: Array) -> int:
    """The order of the first leading minor that is not positive-definite, by bisection."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            numpy_linalg.cholesky(a[:middle, :middle])
            low = middle
        except numpy_linalg.LinAlgError:
            high = middle
    return high


def cholesky(a: Array, upper: bool = False) -> Array:
    """L with L L^H = a (or U with U^H U = a); LinAlgError where a is not positive-definite."""
    factor, info = cholesky_ex(a, upper)
    bad = _first_bad(info)
    if bad:
        raise LinAlgError(f"linalg.cholesky: {bad[0]}The factorization could not be completed because the input is "
                          f"not positive-definite (the leading minor of order {bad[1]} is not positive-definite).")
    return factor


def cholesky_solve(b: Array, factor: Array, upper: bool = False) -> Array:
    """The x with a x = b, given the Cholesky factor of a."""
    lower = adjoint(factor) if upper else factor
    return solve_triangular(adjoint(lower), solve_triangular(lower, b, False), True)


def cholesky_inverse(factor: Array, upper: bool = False) -> Array:
    """The inverse of a, given its Cholesky factor; LinAlgError where that has a zero on its diagonal."""
    zero = np.diagonal(factor, axis1=-2, axis2=-1) == 0
    bad = _first_bad(np.where(zero.any(-1), zero.argmax(-1) + 1, 0)) if factor.size else None
    if bad:
        raise LinAlgError(f"cholesky_inverse: {bad[0]}The diagonal element {bad[1]} is zero, the inversion could not be completed "
                          "because the input matrix is singular.")
    return cholesky_solve(np.broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape), factor, upper)


# --- LU, inverse, solve -------------------------------------------------------------------------------------------
def lu_factor_checked(a: Array) -> tuple[Array, Array]:
    """LU and pivots of lu_factor; RuntimeError where U has a zero on its diagonal."""
    factors, pivots, info = lu_factor(a)
    bad = _first_bad(info)
    if bad:
        raise RuntimeError(f"torch.linalg.lu_factor: {bad[0]}U[{bad[1]},{bad[1]}] is zero and using it on lu_solve "
                           "would result in a division by zero. If you still want to perform the factorization, "
                           "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)")
    return factors, pivots


def permutation(pivots: Array, rows: int) -> Array:
    """The row order that 1-based pivots produce: row i of P^T a is row order[i] of a."""
    count = prod(pivots.shape[:-1])
    order = np.broadcast_to(np.arange(rows), (count, rows)).copy()
    batch = np.arange(count)
    for i, other in enumerate(pivots.reshape(count, pivots.shape[-1]).T - 1):
        order[batch, i], order[batch, other] = order[batch, other], order[batch, i]
    return order.reshape(*pivots.shape[:-1], rows)


def lu_unpack(factors: Array, pivots: Array) -> tuple[Array, Array, Array]:
    """P, L and U with P L U = a."""
    m, n = factors.shape[-2:]
    k = min(m, n)
    lower = np.tril(factors[..., :k], -1) + np.eye(m, k, dtype=factors.dtype)
    order = permutation(pivots, m)
    p = (order[..., None, :] == np.arange(m)[:, None]).astype(factors.dtype)
    return p, lower, np.triu(factors[..., :k, :])


def lu(a: Array) -> tuple[Array, Array, Array]:
    """P, L and U with P L U = a."""
    return lu_unpack(*lu_factor(a)[:2])


def lu_solve(factors: Array, pivots: Array, b: Array, left: bool = True, adjoint_of: bool = False) -> Array:
    """The x with a x = b (x a = b if not left; a^H if adjoint_of), given lu_factor(a)."""
    if not left:
        return adjoint(lu_solve(factors, pivots, adjoint(b), True, not adjoint_of))
    batch = np.broadcast_shapes(b.shape[:-2], factors.shape[:-2])
    order = np.broadcast_to(permutation(pivots, factors.shape[-1])[..., None], (*batch, b.shape[-2], 1))
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    if adjoint_of:
        y = substitute(adjoint(factors), b, False, False)
        y = substitute(adjoint(factors), y, True, True)
        return np.take_along_axis(y, np.argsort(order, axis=-2), -2)
    y = substitute(factors, np.take_along_axis(b, order, -2), False, True)
    return substitute(factors, y, True, False)


@_wide
def inv_ex(a: Array) -> tuple[Array, Array]:
    """The inverse of each matrix, and 0 or the position (from 1) of the
    first zero pivot (int32); NaN where singular."""
    try:
        return numpy_linalg.inv(a), np.zeros(a.shape[:-2], np.int32)
    except numpy_linalg.LinAlgError:
        eye = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
        return _despite_singular(a, eye)


def _despite_singular(a: Array, b: Array) -> tuple[Array, Array]:
    """a^-1 b where it exists, NaN elsewhere, with info."""
    _, _, info = lu_factor(a)
    out = np.full(b.shape, np.nan, np.result_type(a, b))
    good = info == 0
    if good.any():
        out[good] = numpy_linalg.solve(a[good], b[good])
    return out, info


def inv(a: Array) -> Array:
    """The inverse of each matrix; LinAlgError where singular."""
    out, info = inv_ex(a)
    bad = _first_bad(info)
    if bad:
        raise LinAlgError(f"linalg.inv: {bad[0]}The diagonal element {bad[1]} is zero, "
                          "the inversion could not be completed because the input matrix is singular.")
    return out


@_wide
def solve_ex(a: Array, b: Array) -> tuple[Array, Array]:
    """The x with a x = b for (*batch, n, n) and (*batch, n, k), and info as in inv_ex."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    try:
        return numpy_linalg.solve(a, b), np.zeros(a.shape[:-2], np.int32)
    except numpy_linalg.LinAlgError:
        return _despite_singular(np.broadcast_to(a, (*batch, *a.shape[-2:])),
                                 np.broadcast_to(b, (*batch, *b.shape[-2:])))


def solve(a: Array, b: Array) -> Array:
    """The x with a x = b; LinAlgError where a is singular."""
    out, info = solve_ex(a, b)
    bad = _first_bad(info)
    if bad:
        raise LinAlgError(f"torch.linalg.solve: {bad[0]}The solver failed because the input matrix is singular.")
    return out


@_wide
def det(a: Array) -> Array:
    """The determinant of each matrix."""
    return np.asarray(numpy_linalg.det(a), a.dtype)


@_wide
def slogdet(a: Array) -> tuple[Array, Array]:
    """Sign (or phase) and logarithm of the modulus of each determinant."""
    sign, logabs = numpy_linalg.slogdet(a)
    return np.asarray(sign, a.dtype), np.asarray(logabs, a.real.dtype)


# --- orthogonal factorisations ------------------------------------------------------------------------------------
@_wide
def qr(a: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """Q and R of each matrix; mode "reduced", "complete" or "r" (then Q is empty)."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of "
                           "'reduced' (default), 'r', or 'complete'")
    if mode == "r":
        return np.empty(0, a.dtype), numpy_linalg.qr(a, "r")
    q, r = numpy_linalg.qr(a, mode)
    return q, r


@_wide
def geqrf(a: Array) -> tuple[Array, Array]:
    """LAPACK's packed QR: R above, Householder vectors below the diagonal, and their factors tau."""
    packed, tau = numpy_linalg.qr(a, "raw")
    return np.ascontiguousarray(packed.swapaxes(-1, -2)), tau


@_wide
def householder_product(a: Array, tau: Array) -> Array:
    """The first n columns of H1 H2 … Hk, Hi = 1 - tau_i v_i v_i^H with v_i below the diagonal of column i of a."""
    m, n = a.shape[-2:]
    out = np.broadcast_to(np.eye(m, n, dtype=a.dtype), a.shape).copy()
    for i in reversed(range(tau.shape[-1])):
        v = a[..., i:, i:i + 1].copy()
        v[..., 0, 0] = 1
        out[..., i:, :] -= tau[..., i, None, None] * (v @ (adjoint(v) @ out[..., i:, :]))
    return out


@_wide
def svd(a: Array, full_matrices: bool = True) -> tuple[Array, Array, Array]:
    """U, S (descending, real) and V^H of each matrix; LinAlgError where values are not finite."""
    try:
        u, s, vh = numpy_linalg.svd(a, full_matrices)
    except numpy_linalg.LinAlgError:
        raise _svd_error(a) from None
    return u, s, vh


@_wide
def svdvals(a: Array) -> Array:
    """The singular values of each matrix, descending."""
    try:
        return np.asarray(numpy_linalg.svd(a, compute_uv=False))
    except numpy_linalg.LinAlgError:
        raise _svd_error(a) from None


def _svd_error(a: Array) -> LinAlgError:
    finite = np.isfinite(a).all(axis=(-2, -1))
    at, _ = _first_bad(np.asarray(~finite, np.int32)) or ("", 0)
    why = ("contained non-finite values" if not finite.all() else
           "is ill-conditioned or has too many repeated singular values")
    return LinAlgError(f"linalg.svd: {at}The algorithm failed to converge because the input matrix {why}.")


@_wide
def lstsq(a: Array, b: Array, rcond: float | None = None, driver: str = "gelsy") -> tuple[Array, Array, Array, Array]:
    """The x of least norm that minimises |a x - b|, the squared residuals, the rank and the singular values.

    What PyTorch's driver does not compute is empty: residuals of gelsy or of matrices that lack full column rank,
    the rank of gels, the singular values of gels and gelsy.
    """
    m, n = a.shape[-2:]
    if rcond is None:
        rcond = float(np.finfo(a.dtype).eps) * max(m, n)
    u, s, vh = svd(a, False)
    keep = s > rcond * s[..., :1] if s.shape[-1] else s > 0
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
    x = adjoint(vh) @ (inverse[..., None] * (adjoint(u) @ b))
    rank = keep.sum(axis=-1)
    none = np.empty(0, s.dtype)
    residuals = none
    if driver != "gelsy" and m > n and (driver == "gels" or (rank == n).all()):
        residuals = (np.abs(a @ x - b) ** 2).sum(axis=-2, dtype=s.dtype)
    return x, residuals, (np.empty(0, np.int64) if driver == "gels"
                          else rank), (s if driver in ("gelsd", "gelss") else none)


# --- eigenvalues --------------------------------------------------------------------------------------------------
@_wide
def eigh(a: Array, uplo: str = "L") -> tuple[Array, Array]:
    """Eigenvalues (ascending, real) and eigenvectors of Hermitian matrices; only one triangle is read."""
    try:
        values, vectors = numpy_linalg.eigh(a, uplo)
    except numpy_linalg.LinAlgError:
        raise LinAlgError("linalg.eigh: The algorithm failed to converge because the input matrix is "
                          "ill-conditioned or has too many repeated eigenvalues.") from None
    return values, vectors


@_wide
def eigvalsh(a: Array, uplo: str = "L") -> Array:
    """The eigenvalues of Hermitian matrices, ascending."""
    return np.asarray(numpy_linalg.eigvalsh(a, uplo))


def _finite(a: Array) -> None:
    if not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@_wide
def eig(a: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of any square matrices, always complex."""
    _finite(a)
    values, vectors = numpy_linalg.eig(a)
    kind = np.result_type(a, np.complex64)
    return values.astype(kind), vectors.astype(kind)


@_wide
def eigvals(a: Array) -> Array:
    """The eigenvalues of any square matrices, always complex."""
    _finite(a)
    return np.asarray(numpy_linalg.eigvals(a), np.result_type(a, np.complex64))


# --- the exponential ----------------------------------------------------------------------------------------------
PADE = tuple(factorial(26 - k) * factorial(13) / (factorial(26) * factorial(k) * factorial(13 - k)) for k in range(14))
PADE_NORM = 5.37  # up to this 1-norm the approximant of degree 13 is exact to the last bit (Higham, 2005)


@_wide
def matrix_exp(a: Array) -> Array:
    """The exponential of each matrix: a Padé approximant of a / 2^s, squared s times, in double precision."""
    if a.size == 0:
        return a.copy()
    x = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64).reshape(-1, *a.shape[-2:])
    norm = np.abs(x).sum(axis=-2).max(axis=-1)
    finite = np.isfinite(norm)
    squarings = np.array([max(0, ceil(log2(v / PADE_NORM))) if ok and v > 0 else 0 for v, ok in zip(norm, finite)])
    x = np.where(finite[:, None, None], x, 0) / (2.0 ** squarings)[:, None, None]
    out = _pade(x)
    for k in range(int(squarings.max())):
        more = squarings > k
        out[more] = out[more] @ out[more]
    out[~finite] = np.nan
    return out.astype(a.dtype).reshape(a.shape)


def _pade(x: Array) -> Array:
    powers = [np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape), x @ x]
    while len(powers) < 7:
        powers.append(powers[-1] @ powers[1])
    even = sum(c * p for c, p in zip(PADE[::2], powers))
    odd = x @ sum(c * p for c, p in zip(PADE[1::2], powers))
    return np.asarray(numpy_linalg.solve(even - odd, even + odd))
