"""torch.linalg."""

from rushlight.exec.numpy.linalg import LinAlgError  # noqa: F401
from rushlight.tensor.functions.factorizations import (  # noqa: F401
    cholesky_ex, inv_ex, ldl_factor, ldl_factor_ex, ldl_solve, lu, lu_factor, lu_factor_ex, lu_solve, solve_ex,
    tensorinv, tensorsolve)
from rushlight.tensor.functions.linalg import (  # noqa: F401
    cholesky, cond, cross, det, diagonal, eig, eigh, eigvals, eigvalsh, householder_product, inv, lstsq, matmul,
    matrix_exp, matrix_norm, matrix_power, matrix_rank, multi_dot, norm, pinv, qr, slogdet, solve, solve_triangular,
    svd, svdvals, vander, vecdot, vector_norm)
