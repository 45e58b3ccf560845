"""Linear algebra on batches of matrices: each row is LAPACK calls of the executor."""

from __future__ import annotations

from typing import Any

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


def qr_shape(a: Any) -> Types:
    *lead, m, n = a.shape
    k = min(m, n)
    return (a.dtype, (*lead, m, k)), (a.dtype, (*lead, k, n))


def svd_shape(a: Any) -> Types:
    *lead, m, n = a.shape
    k = min(m, n)
    return (a.dtype, (*lead, m, k)), (a.dtype.to_real(), (*lead, k)), (a.dtype, (*lead, k, n))


CHOLESKY = row("cholesky", "library", "x", same, vjp={"x": lambda F, g, out: F.cholesky_grad(g, out)}, sample="positive definite",
               grad_name="LinalgCholeskyExBackward0")
INV = row("inv", "library", "x", same, vjp={"x": lambda F, g, out: -(F.adjoint(out) @ g @ F.adjoint(out))}, sample="invertible", grad_name="LinalgInvExBackward0")
SOLVE = row("solve", "library", "a b", solve_shape, sample="invertible", grad_name="LinalgSolveExBackward0", vjp={
    "a": lambda F, g, a, out, a_spec: F.sum_to(-(F.solve_matrices(F.adjoint(a), g) @ F.adjoint(out)), a_spec.shape),
    "b": lambda F, g, a, b_spec: F.sum_to(F.solve_matrices(F.adjoint(a), g), b_spec.shape)})
DET = row("det", "library", "x", scalar, vjp={"x": lambda F, g, x, out: F.det_grad(g, x, out)}, sample="invertible", grad_name="LinalgDetBackward0")
SLOGDET = row("slogdet", "library", "x", lambda x: ((x.dtype, x.shape[:-2]), (x.dtype.to_real(), x.shape[:-2])), sample="invertible",
              vjp={"x": lambda F, g0, g1, x, out0: F.slogdet_grad(g0, g1, x, out0)}, grad_name="LinalgSlogdetBackward0")
QR = row("qr", "library", "x", qr_shape, vjp={"x": lambda F, g0, g1, out0, out1: F.qr_grad(g0, g1, out0, out1)}, sample="matrices", grad_name="LinalgQrBackward0")
SVD = row("svd", "library", "x", svd_shape, vjp={"x": lambda F, g0, g1, g2, out0, out1, out2: F.svd_grad(g0, g1, g2, out0, out1, out2)}, sample="matrices",
          grad_name="LinalgSvdBackward0")
EIGH = row("eigh", "library", "x", lambda x: ((x.dtype.to_real(), x.shape[:-1]), (x.dtype, x.shape)), grad_name="LinalgEighBackward0",
           vjp={"x": lambda F, g0, g1, out0, out1: F.eigh_grad(g0, g1, out0, out1)}, sample="symmetric")
EIG = row("eig", "library", "x", lambda x: ((x.dtype.to_complex(), x.shape[:-1]), (x.dtype.to_complex(), x.shape)), differentiable=False)
MATRIX_EXP = row("matrix_exp", "library", "x", same, vjp={"x": lambda F, g, x: F.matrix_exp_grad(g, x)}, sample="matrices")
