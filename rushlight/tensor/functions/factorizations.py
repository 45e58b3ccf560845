"""Factorisations that are used in parts (LU, LDL), the forms that report failure in `info`,
and tensor equations (torch.linalg)."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.ir.dtype import int32
from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.functions import linalg
from rushlight.tensor.functions.common import give, scalar_name
from rushlight.tensor.functions.linalg import checked_matrix
from rushlight.tensor.functions.matrix_rules import lu_parts, permutation_of, solve_triangle
from rushlight.tensor.functions.reduction import result
from rushlight.tensor.samples import numbers

LU_SINGULAR = ("torch.linalg.{name}: {at}U[{i},{i}] is zero and using it on lu_solve would "
               "result in a division by zero. If you still want to perform the factorization, "
               "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)")
INV_SINGULAR = ("linalg.{name}: {at}The diagonal element {i} is zero, "
                "the inversion could not be completed because the input matrix is singular.")
SOLVE_SINGULAR = "torch.linalg.{name}: {at}The solver failed because the input matrix is singular."
INDEFINITE = ("linalg.{name}: {at}The factorization could not be completed because the input is not "
              "positive-definite (the leading minor of order {i} is not positive-definite).")
LDL_SINGULAR = ("torch.linalg.{name}: {at}D[{i},{i}] is zero and using it on ldl_solve "
                "would result in a division by zero.")


def raise_on(info: Tensor, name: str, message: str) -> None:
    """LinAlgError for the first matrix whose info is not 0."""
    from rushlight.exec.numpy.linalg import LinAlgError
    flat = numbers(info).reshape(-1)  # inside vmap of all samples
    bad = flat.nonzero()[0]
    if bad.size:
        raise LinAlgError(message.format(name=name,
                                         at=f"(Batch element {bad[0]}): " if flat.size > 1 or info.ndim else "",
                                         i=int(flat[bad[0]])))


# --- failure in info ----------------------------------------------------------------------------------------------
@full
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """`cholesky` and info (int32): 0, or the order of the first leading minor that is not positive definite (the factor
    is NaN then).

    With check_errors=True LinAlgError instead.

    >>> import rushlight as rl
    >>> rl.linalg.cholesky_ex(rl.eye(2)).info
    tensor(0, dtype=torch.int32)
    """
    checked_matrix("cholesky_ex", A, True)
    low, info = apply(TABLE["cholesky_ex"], (A,), (bool(upper),))
    if check_errors:
        raise_on(info, "cholesky_ex", INDEFINITE)
    return give(out, result("linalg_cholesky_ex", "L info")(low.mH if upper else low, info))


@full
def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverse and info (int32): 0, or the place of the first zero pivot (the inverse is not finite then).

    With check_errors=True LinAlgError instead.

    >>> import rushlight as rl
    >>> rl.linalg.inv_ex(rl.zeros(1, 1)).info
    tensor(1, dtype=torch.int32)
    """
    checked_matrix("inv_ex", A, True)
    inverse, info = apply(TABLE["inv_ex"], (A,))
    if check_errors:
        raise_on(info, "inv_ex", INV_SINGULAR)
    return give(out, result("linalg_inv_ex", "inverse info")(inverse, info))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """The x with A x = B (x A = B if not left) and info as in `inv_ex`. With check_errors=True LinAlgError instead.

    >>> import rushlight as rl
    >>> rl.linalg.solve_ex(2 * rl.eye(2), rl.ones(2)).result
    tensor([0.5000, 0.5000])
    """
    vector, b = linalg.checked_right_side("solve_ex", A, B, left)
    x, info = apply(TABLE["solve_ex"], (A, b) if left else (A.mT, b.mT))
    if check_errors:
        raise_on(info, "solve_ex", SOLVE_SINGULAR)
    x = x if left else x.mT
    return give(out, result("linalg_solve_ex", "result info")(x.squeeze(-1) if vector else x, info))


# --- LU -----------------------------------------------------------------------------------------------------------
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """L and U in one matrix, the row exchanges (int32, from 1) and info: 0,
    or the place of the first zero on U's diagonal.

    A (…, m, n) -> (…, m, n), (…, min(m, n)), (…). RuntimeError for pivot=False, which the CPU does not have.

    >>> import rushlight as rl
    >>> rl.linalg.lu_factor_ex(rl.tensor([[1., 2.], [2., 2.]])).LU
    tensor([[2.0000, 2.0000],
            [0.5000, 1.0000]])
    """
    checked_matrix("lu_factor_ex", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    packed, pivots, info = apply(TABLE["lu_factor"], (A,))
    if check_errors:
        raise_on(info, "lu_factor_ex", LU_SINGULAR)
    return give(out, result("linalg_lu_factor_ex", "LU pivots info")(packed, pivots, info))


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one matrix, and the row exchanges. RuntimeError where U is singular.

    >>> import rushlight as rl
    >>> rl.linalg.lu_factor(rl.tensor([[1., 2.], [2., 2.]])).pivots
    tensor([2, 2], dtype=torch.int32)
    """
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    raise_on(info, "lu_factor", LU_SINGULAR)
    return give(out, result("linalg_lu_factor", "LU pivots")(packed, pivots))


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *,
              out: Any = None) -> Any:
    """P, L and U with P L U = A from `lu_factor`; what is not asked for is empty.
    RuntimeError for pivots that are not int32.

    >>> import rushlight as rl
    >>> P, L, U = rl.lu_unpack(*rl.linalg.lu_factor(rl.tensor([[1., 2.], [2., 2.]])))
    >>> P @ L @ U
    tensor([[1., 2.],
            [2., 2.]])
    """
    if unpack_pivots and LU_pivots.dtype is not int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of "
                           "torch.int32 dtype. It is " + str(LU_pivots.dtype))
    none = LU_data.new_zeros(0)
    low, up = lu_parts(LU_data) if unpack_data else (none, none)
    p = permutation_of(LU_pivots, LU_data.shape[-2], LU_data.dtype) if unpack_pivots else none
    return give(out, result("lu_unpack", "P L U")(p, low, up))


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """P, L and U with P L U = A: a permutation, a lower triangle with ones on the diagonal, an upper triangle.

    >>> import rushlight as rl
    >>> rl.linalg.lu(rl.tensor([[1., 2.], [2., 2.]])).U
    tensor([[2., 2.],
            [0., 1.]])
    """
    packed, pivots, _ = lu_factor_ex(A, pivot=pivot)
    return give(out, result("linalg_lu", "P L U")(*lu_unpack(packed, pivots)))


@full
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False,
             out: Any = None) -> Tensor:
    """The X with A X = B (X A = B if not left; Aᴴ for A if adjoint) from lu_factor(A). B has as many dimensions as LU.

    RuntimeError for matrices that are not square, shapes that do not fit, or pivots that are not int32.

    >>> import rushlight as rl
    >>> rl.linalg.lu_solve(*rl.linalg.lu_factor(2 * rl.eye(2)), rl.ones(2, 1))
    tensor([[0.5000],
            [0.5000]])
    """
    if LU.shape[-2] != LU.shape[-1]:
        raise RuntimeError("torch.linalg.lu_solve: A must be batches of square matrices, "
                           f"but they are {LU.shape[-2]} by {LU.shape[-1]} matrices")
    if pivots.dtype is not int32:
        raise RuntimeError(f"linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32, not {pivots.dtype}")
    if LU.dtype is not B.dtype:
        raise RuntimeError("linalg.lu_solve: Expected LU and B to have the same dtype, "
                           f"but found LU of type {scalar_name(LU.dtype)} and B of type {scalar_name(B.dtype)} instead")
    if B.shape[-2 if left else -1] != LU.shape[-1]:
        raise RuntimeError(f"linalg.lu_solve: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} "
                           f"= B ({LU.shape[-2]}x{LU.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})")
    if not left:
        return give(out, lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH)
    p = permutation_of(pivots, LU.shape[-2], LU.dtype)
    if adjoint:
        return give(out, p @ solve_triangle(LU.mH, solve_triangle(LU.mH, B, False), True, True))
    return give(out, solve_triangle(LU, solve_triangle(LU, p.mT @ B, False, True), True))


def old_lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """torch.lu: `lu_factor`, with info if asked for.

    >>> import rushlight as rl
    >>> rl.lu(rl.eye(2))[1]
    tensor([1, 2], dtype=torch.int32)
    """
    packed, pivots, info = lu_factor_ex(A, pivot=pivot)
    if not get_infos:
        raise_on(info, "lu_factor_ex", LU_SINGULAR)
    return give(out, (packed, pivots, info) if get_infos else (packed, pivots))


def old_lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """torch.lu_solve: `lu_solve` with the right side first.

    >>> import rushlight as rl
    >>> rl.lu_solve(rl.ones(2, 1), *rl.lu(2 * rl.eye(2)))
    tensor([[0.5000],
            [0.5000]])
    """
    return lu_solve(LU_data, LU_pivots, b, out=out)


# --- LDL ----------------------------------------------------------------------------------------------------------
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """L D Lᵀ (L D Lᴴ if hermitian) of symmetric matrices, packed as LAPACK's
    sytrf leaves it, its row exchanges, and info.

    Reads the lower triangle. It has no gradient. ImportError without SciPy: pip install 'rushlight[scipy]'.

    >>> import rushlight as rl
    >>> rl.linalg.ldl_factor_ex(rl.tensor([[2., 0.], [1., 2.]])).info
    tensor(0, dtype=torch.int32)
    """
    checked_matrix("ldl_factor_ex", A, True)
    packed, pivots, info = apply(TABLE["ldl_factor"], (A,), (bool(hermitian),))
    if check_errors:
        raise_on(info, "ldl_factor_ex", LDL_SINGULAR)
    return give(out, result("linalg_ldl_factor_ex", "LD pivots info")(packed, pivots, info))


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """`ldl_factor_ex` without info. LinAlgError where D is singular.

    >>> import rushlight as rl
    >>> rl.linalg.ldl_factor(rl.tensor([[2., 0.], [1., 2.]])).LD
    tensor([[2.0000, 0.0000],
            [0.5000, 1.5000]])
    """
    packed, pivots, info = ldl_factor_ex(A, hermitian=hermitian)
    raise_on(info, "ldl_factor", LDL_SINGULAR)
    return give(out, result("linalg_ldl_factor", "LD pivots")(packed, pivots))


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Any = None) -> Tensor:
    """The X with A X = B from ldl_factor(A). It has no gradient.
    ImportError without SciPy: pip install 'rushlight[scipy]'.

    >>> import rushlight as rl
    >>> rl.linalg.ldl_solve(*rl.linalg.ldl_factor(2 * rl.eye(2)), rl.ones(2, 1))
    tensor([[0.5000],
            [0.5000]])
    """
    checked_matrix("ldl_solve", LD, True)
    if B.shape[-2] != LD.shape[-2]:
        raise RuntimeError(f"Incompatible matrix sizes for torch.linalg.ldl_solve: each A matrix is {LD.shape[-2]} "
                           f"by {LD.shape[-1]} but each b matrix is {B.shape[-2]} by {B.shape[-1]}")
    return give(out, apply(TABLE["ldl_solve"], (LD, B, pivots), (bool(hermitian),)))


# --- tensor equations ---------------------------------------------------------------------------------------------
@full
def tensorinv(A: Tensor, ind: int = 2, *, out: Any = None) -> Tensor:
    """The inverse of tensordot(A, ·, A.ndim - ind): the inverse of A as a
    matrix whose rows are its first `ind` dimensions.

    RuntimeError for ind < 1 or dimensions whose two products differ.

    >>> import rushlight as rl
    >>> rl.linalg.tensorinv(2 * rl.eye(4).reshape(4, 2, 2), 1).shape
    torch.Size([2, 2, 4])
    """
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    rows, cols = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if prod(rows) != prod(cols):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           f"prod(self.shape[:ind]), but got {prod(cols)} != {prod(rows)}")
    return give(out, linalg.inv(A.reshape(prod(rows), prod(cols))).reshape(cols + rows))


@full
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Any = None) -> Tensor:
    """The X with tensordot(A, X, X.ndim) = B, the dimensions `dims` of A moved to its end first.

    RuntimeError where the sizes make no square system.

    >>> import rushlight as rl
    >>> rl.linalg.tensorsolve(2 * rl.eye(4).reshape(2, 2, 4), rl.ones(2, 2))
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    if dims is not None:
        moved = [dims] if isinstance(dims, int) else list(dims)
        A = A.movedim(moved, list(range(A.ndim - len(moved), A.ndim)))
    rows, cols = tuple(A.shape[:B.ndim]), tuple(A.shape[B.ndim:])
    if prod(rows) != prod(cols):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           f"prod(self.shape[:other.ndim]), but got {prod(cols)} != {prod(rows)}")
    return give(out, linalg.solve(A.reshape(prod(rows), prod(cols)), B.reshape(-1)).reshape(cols))


TORCH_LEVEL = {"lu": old_lu, "lu_solve": old_lu_solve, "lu_unpack": lu_unpack}
