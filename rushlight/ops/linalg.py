"""Linear algebra on batches of matrices: each row is LAPACK calls of the executor."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import int32, int64
from rushlight.ops.table import Types, row


def same(x: Any, *_: Any) -> Types:
    return ((x.dtype, x.shape),)


def scalar(x: Any) -> Types:
    return ((x.dtype, x.shape[:-2]),)


def solve_shape(a: Any, b: Any) -> Types:
    from rushlight.ir.spec import broadcast
    from rushlight.ops.pointwise import shape_error
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    if batch is None:
        raise shape_error(a.shape[:-2], b.shape[:-2])
    return ((a.dtype, (*batch, *b.shape[-2:])),)


def with_info(*operands: Any) -> Types:
    """A factor or solution, and LAPACK's info of each matrix."""
    (dtype, shape), = solve_shape(*operands) if len(operands) == 2 else same(*operands)
    return (dtype, shape), (int32, shape[:-2])


def packed(x: Any, *_: Any) -> Types:
    """Factors in one matrix, row exchanges, and LAPACK's info of each matrix."""
    *lead, m, n = x.shape
    return (x.dtype, x.shape), (int32, (*lead, min(m, n))), (int32, tuple(lead))


def qr_shape(a: Any, mode: str) -> Types:
    *lead, m, n = a.shape
    k = m if mode == "complete" else min(m, n)
    return (a.dtype, (*lead, m, k)), (a.dtype, (*lead, k, n))


def svd_shape(a: Any) -> Types:
    *lead, m, n = a.shape
    k = min(m, n)
    return (a.dtype, (*lead, m, k)), (a.dtype.to_real(), (*lead, k)), (a.dtype, (*lead, k, n))


# the lower factor, of matrices of which the lower triangle is read, or (attribute upper) the upper one
CHOLESKY = row("cholesky", "library", "x", same, attrs="upper", vjp={"x": lambda F, g, out: F.cholesky_grad(g, out)},
               sample="positive definite", grad_name="LinalgCholeskyExBackward0")
INV = row("inv", "library", "x", same, vjp={"x": lambda F, g, out: -(F.adjoint(out) @ g @ F.adjoint(out))},
          sample="invertible", grad_name="LinalgInvExBackward0")
SOLVE = row("solve", "library", "a b", solve_shape, sample="invertible", grad_name="LinalgSolveExBackward0", vjp={
    "a": lambda F, g, a, out, a_spec: F.sum_to(-(F.solve_matrices(F.adjoint(a), g) @ F.adjoint(out)), a_spec.shape),
    "b": lambda F, g, a, b_spec: F.sum_to(F.solve_matrices(F.adjoint(a), g), b_spec.shape)})
# a's other triangle, and its diagonal if unitriangular, are not read
SOLVE_TRIANGULAR = row("solve_triangular", "library", "a b", lambda a, b, upper, unitriangular: solve_shape(a, b), attrs="upper unitriangular",
                       sample="invertible", grad_name="LinalgSolveTriangularBackward0", vjp={
    "a": lambda F, g, a, out, a_spec, upper, unitriangular: F.sum_to(F.solve_triangular_grad(g, a, out, upper, unitriangular), a_spec.shape),
    "b": lambda F, g, a, b_spec, upper, unitriangular: F.sum_to(F.solve_triangle(F.adjoint(a), g, not upper, unitriangular), b_spec.shape)})
# a = L L^H (U^H U if upper); PyTorch's gradient does not leave out the triangle that is not read
CHOLESKY_SOLVE = row("cholesky_solve", "library", "b factor", lambda b, factor, upper: solve_shape(factor, b), attrs="upper",
                     sample="invertible", grad_name="CholeskySolveBackward0", vjp={
    "b": lambda F, g, factor, b_spec, upper: F.sum_to(F.cholesky_solved(g, factor, upper), b_spec.shape),
    "factor": lambda F, g, factor, out, factor_spec, upper: F.sum_to(F.cholesky_solve_grad(F.cholesky_solved(g, factor, upper) @ F.adjoint(out), factor, upper),
                                                                           factor_spec.shape)})
CHOLESKY_INVERSE = row("cholesky_inverse", "library", "factor", same, attrs="upper", sample="invertible", grad_name="CholeskyInverseBackward0",
                       vjp={"factor": lambda F, g, factor, out, upper: F.cholesky_solve_grad(out @ g @ out, factor, upper)})
DET = row("det", "library", "x", scalar, vjp={"x": lambda F, g, x, out: F.det_grad(g, x, out)}, sample="invertible",
          grad_name="LinalgDetBackward0")
SLOGDET = row("slogdet", "library", "x", lambda x: ((x.dtype, x.shape[:-2]), (x.dtype.to_real(), x.shape[:-2])),
              sample="invertible", vjp={"x": lambda F, g0, g1, x, out0: F.slogdet_grad(g0, g1, x, out0)},
              grad_name="LinalgSlogdetBackward0")
QR = row("qr", "library", "x", qr_shape, attrs="mode",
         vjp={"x": lambda F, g0, g1, out0, out1, mode: F.qr_grad(g0, g1, out0, out1, mode)}, sample="matrices",
         grad_name="LinalgQrBackward0")
SVD = row("svd", "library", "x", svd_shape,
          vjp={"x": lambda F, g0, g1, g2, out0, out1, out2: F.svd_grad(g0, g1, g2, out0, out1, out2)},
          sample="matrices", grad_name="LinalgSvdBackward0")
EIGH = row("eigh", "library", "x", lambda x, uplo: ((x.dtype.to_real(), x.shape[:-1]), (x.dtype, x.shape)),
           attrs="uplo", grad_name="LinalgEighBackward0",
           vjp={"x": lambda F, g0, g1, out0, out1: F.eigh_grad(g0, g1, out0, out1)}, sample="symmetric")
EIG = row("eig", "library", "x", lambda x: ((x.dtype.to_complex(), x.shape[:-1]), (x.dtype.to_complex(), x.shape)),
          sample="invertible",
          vjp={"x": lambda F, g0, g1, out0, out1, x_spec: F.eig_grad(g0, g1, out0, out1, x_spec.dtype)},
          grad_name="LinalgEigBackward0")
MATRIX_EXP = row("matrix_exp", "library", "x", same,
                 vjp={"x": lambda F, g, x: F.matrix_exp_grad(g, x)}, sample="matrices")
# the forms that report what went wrong instead of raising
CHOLESKY_EX = row("cholesky_ex", "library", "x", lambda x, upper: with_info(x), attrs="upper",
                  vjp={"x": lambda F, g0, out0: F.cholesky_grad(g0, out0)}, sample="positive definite",
                  grad_name="LinalgCholeskyExBackward0")
INV_EX = row("inv_ex", "library", "x", with_info, sample="invertible", grad_name="LinalgInvExBackward0",
             vjp={"x": lambda F, g0, out0: -(F.adjoint(out0) @ g0 @ F.adjoint(out0))})
SOLVE_EX = row("solve_ex", "library", "a b", with_info, sample="invertible", grad_name="LinalgSolveExBackward0", vjp={
    "a": lambda F, g0, a, out0, a_spec: F.sum_to(-(F.solve_matrices(F.adjoint(a), g0) @ F.adjoint(out0)), a_spec.shape),
    "b": lambda F, g0, a, b_spec: F.sum_to(F.solve_matrices(F.adjoint(a), g0), b_spec.shape)})
LU_FACTOR = row("lu_factor", "library", "x", packed, vjp={"x": lambda F, g0, out0, out1: F.lu_grad(g0, out0, out1)},
                sample="invertible", grad_name="LinalgLuFactorExBackward0")
# the order in which the row exchanges of lu_factor leave the rows
LU_ORDER = row("lu_order", "library", "pivots", lambda pivots, rows: ((int64, (*pivots.shape[:-1], rows)),),
               attrs="rows", differentiable=False)
LDL_FACTOR = row("ldl_factor", "library", "x", packed, attrs="hermitian", differentiable=False)
LDL_SOLVE = row("ldl_solve", "library", "x b pivots", lambda x, b, pivots, hermitian: solve_shape(x, b),
                attrs="hermitian", differentiable=False)
# singular values up to max(atol, rtol * the largest) count as 0
PINV = row("pinv", "library", "x atol rtol",
           lambda x, atol, rtol, hermitian: ((x.dtype, (*x.shape[:-2], x.shape[-1], x.shape[-2])),), attrs="hermitian",
           vjp={"x": lambda F, g, x, out: F.pinv_grad(g, x, out)}, sample="matrices", grad_name="PinverseBackward0")
