"""Linear algebra under torch's own names, where their arguments or results differ from torch.linalg's."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import give
from rushlight.tensor.functions.linalg import (
    cholesky, cholesky_inverse, cholesky_solve, det, geqrf, householder_product, inv, logdet, matrix_exp, matrix_power,
    ormqr, pinv, qr, slogdet, solve_triangular, svd, svdvals)
from rushlight.tensor.functions.reduction import result
from rushlight.tensor.sequences import arange


def old_cholesky(input: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """torch.cholesky."""
    return cholesky(input, upper=upper, out=out)


def old_det(input: Tensor) -> Tensor:
    """torch.det: the determinant of square matrices."""
    return det(input)


def old_slogdet(input: Tensor, *, out: Any = None) -> Any:
    """torch.slogdet: sign and logarithm of the absolute value of the determinant."""
    return give(out, result("slogdet", "sign logabsdet")(*slogdet(input)))


def old_inverse(input: Tensor, *, out: Any = None) -> Tensor:
    """torch.inverse: the inverse of square matrices."""
    return inv(input, out=out)


def old_matrix_power(input: Tensor, n: int, *, out: Any = None) -> Tensor:
    """torch.matrix_power: a matrix multiplied with itself n times; the inverse for negative n."""
    return matrix_power(input, n, out=out)


def old_cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """torch.cholesky_solve: x with A x = input, input2 being the Cholesky factor of A."""
    return cholesky_solve(input, input2, upper, out=out)


def orgqr(input: Tensor, input2: Tensor, *, out: Any = None) -> Tensor:
    """torch.orgqr: `linalg.householder_product` of reflections in the columns of input, with factors input2."""
    return householder_product(input, input2, out=out)


def old_qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """torch.qr."""
    return give(out, result("qr", "Q R")(*qr(input, "reduced" if some else "complete")))


def old_svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """torch.svd: V, not its conjugate transpose; square matrices of zeros for U and V without compute_uv."""
    if not compute_uv:
        *lead, m, n = input._spec.shape
        return give(out, result("svd", "U S V")(input.new_zeros((*lead, m, m)), svdvals(input), input.new_zeros((*lead, n, n))))
    u, s, vh = svd(input, not some)
    return give(out, result("svd", "U S V")(u, s, vh.mH))


@full
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """torch.pinverse."""
    return pinv(input, rtol=rcond)


@full
def triangular_solve(b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *,
                     out: Any = None) -> Any:
    """torch.triangular_solve."""
    x = solve_triangular(A.mT if transpose else A, b, upper=upper != transpose, unitriangular=unitriangular)
    return give(out, result("triangular_solve", "solution cloned_coefficient")(x, A.clone()))


def old_vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """torch.vander: powers of a vector as columns, falling unless `increasing`."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    powers = x.unsqueeze(-1) ** arange(n)
    return powers if increasing else powers.flip(1)


TORCH_LEVEL = {"vander": old_vander, "cholesky": old_cholesky, "qr": old_qr, "svd": old_svd, "pinverse": pinverse,
               "triangular_solve": triangular_solve, "inverse": old_inverse, "det": old_det,
               "slogdet": old_slogdet, "logdet": logdet, "matrix_exp": matrix_exp, "matrix_power": old_matrix_power,
               "cholesky_solve": old_cholesky_solve,
               "cholesky_inverse": cholesky_inverse, "geqrf": geqrf, "ormqr": ormqr, "orgqr": orgqr}
