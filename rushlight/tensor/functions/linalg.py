"""Linear algebra (torch.linalg)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, unwrap, wrap
from rushlight.tensor.functions.common import cast, give, is_float, scalar_name, wrap_dim
from rushlight.tensor.functions.products import chain_matmul as multi_dot_chain
from rushlight.tensor.functions.products import cross as _cross
from rushlight.tensor.functions.products import matmul
from rushlight.tensor.functions.reduction import result, vector_norm


def _matrix(name: str, a: Tensor, square: bool = False) -> None:
    if a.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"linalg.{name}: A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices")
    if not is_float(a):
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {scalar_name(a.dtype)}")
    if a.dtype.name in ("float16", "bfloat16"):
        raise RuntimeError(f"linalg.{name}: Low precision dtypes not supported. Got {scalar_name(a.dtype)}")


def cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:  # noqa: N803
    """L with L Lᴴ = A (or U with Uᴴ U = A) for positive definite A."""
    _matrix("cholesky", A, True)
    low = apply(TABLE["cholesky"], (A,))
    return give(out, low.mH if upper else low)


def inv(A: Tensor, *, out: Any = None) -> Tensor:  # noqa: N803
    """The inverse."""
    _matrix("inv", A, True)
    return give(out, apply(TABLE["inv"], (A,)))


inverse = inv


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:  # noqa: N803
    """x with A x = B (left) or x A = B."""
    _matrix("solve", A, True)
    if A.dtype is not B.dtype:
        raise RuntimeError(f"linalg.solve: Expected A and B to have the same dtype, but found A of type {scalar_name(A.dtype)} and B of type {scalar_name(B.dtype)} instead")
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    b = B.unsqueeze(-1) if vector else B
    if not left:
        return give(out, solve(A.mT, b.mT).mT)
    if b.shape[-2] != A.shape[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({A.shape[-2]}x{A.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})")
    x = apply(TABLE["solve"], (A, b))
    return give(out, x.squeeze(-1) if vector else x)


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Any = None) -> Tensor:  # noqa: N803
    """x with A x = B for a triangular A, of which only that triangle is read."""
    _matrix("solve_triangular", A, True)
    a = A.triu() if upper else A.tril()
    if unitriangular:
        n = A.shape[-1]
        from rushlight.tensor.creation import eye
        one = eye(n, dtype=A.dtype)
        a = a - a * one + one
    return give(out, solve(a, B, left=left) if left else solve(a.mT, B.mT).mT)


def det(A: Tensor, *, out: Any = None) -> Tensor:  # noqa: N803
    """The determinant."""
    _matrix("det", A, True)
    return give(out, apply(TABLE["det"], (A,)))


def slogdet(A: Tensor, *, out: Any = None) -> Any:  # noqa: N803
    """Sign and logarithm of the absolute value of the determinant."""
    _matrix("slogdet", A, True)
    return give(out, result("linalg_slogdet", "sign logabsdet")(*apply(TABLE["slogdet"], (A,))))


def logdet(input: Tensor) -> Tensor:
    """log of the determinant, NaN where it is negative."""
    from rushlight.tensor.functions.pointwise import where
    sign, log = slogdet(input)
    return where(sign < 0, float("nan"), log) if not input.dtype.is_complex else log + sign.log()


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:  # noqa: N803
    """Q with orthonormal columns and upper triangular R, Q R = A."""
    _matrix("qr", A)
    kind = result("linalg_qr", "Q R")
    if mode == "reduced":
        return give(out, kind(*apply(TABLE["qr"], (A,))))
    if mode == "r":
        return give(out, kind(A.new_zeros(0), apply(TABLE["qr"], (A,))[1]))
    if mode != "complete":
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    if A.shape[-2] <= A.shape[-1] and not A.requires_grad:
        return give(out, kind(*apply(TABLE["qr"], (A,))))
    from rushlight.exec.numpy import linalg
    return give(out, kind(*(wrap(np.array(m)) for m in linalg.qr(unwrap(A.detach()), "complete"))))


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:  # noqa: N803
    """U diag(S) Vᴴ = A with singular values in descending order."""
    _matrix("svd", A)
    kind = result("linalg_svd", "U S Vh")
    if not full_matrices or A.shape[-1] == A.shape[-2]:
        return give(out, kind(*apply(TABLE["svd"], (A,))))
    from rushlight.exec.numpy import linalg
    u, s, vh = apply(TABLE["svd"], (A,))
    full = linalg.svd(unwrap(A.detach()), True)
    k = min(A.shape[-2:])
    from rushlight.tensor.functions.shape import cat
    u = cat([u, wrap(np.array(full[0][..., k:]))], -1)
    vh = cat([vh, wrap(np.array(full[2][..., k:, :]))], -2)
    return give(out, kind(u, s, vh))


def svdvals(A: Tensor, *, driver: str | None = None, out: Any = None) -> Tensor:  # noqa: N803
    """The singular values in descending order."""
    _matrix("svdvals", A)
    return give(out, apply(TABLE["svd"], (A,))[1])


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:  # noqa: N803
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices, of which one triangle is read."""
    _matrix("eigh", A, True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    low = A.tril() + A.tril(-1).mH if UPLO.upper() == "L" else A.triu() + A.triu(1).mH
    return give(out, result("linalg_eigh", "eigenvalues eigenvectors")(*apply(TABLE["eigh"], (low,))))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:  # noqa: N803
    """Eigenvalues of Hermitian matrices in ascending order."""
    return give(out, eigh(A, UPLO)[0])


def eig(A: Tensor, *, out: Any = None) -> Any:  # noqa: N803
    """Eigenvalues and eigenvectors, complex."""
    _matrix("eig", A, True)
    return give(out, result("linalg_eig", "eigenvalues eigenvectors")(*apply(TABLE["eig"], (A,))))


def eigvals(A: Tensor, *, out: Any = None) -> Tensor:  # noqa: N803
    """Eigenvalues, complex."""
    return give(out, eig(A)[0])


def matrix_exp(A: Tensor) -> Tensor:  # noqa: N803
    """The matrix exponential."""
    _matrix("matrix_exp", A, True)
    return apply(TABLE["matrix_exp"], (A,))


def pinv(A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, out: Any = None) -> Tensor:  # noqa: N803
    """The pseudo-inverse: singular values below max(atol, rtol σ₁) count as 0."""
    _matrix("pinv", A)
    from rushlight.tensor.functions.pointwise import where
    if not A.numel():
        return give(out, A.new_zeros([*A.shape[:-2], A.shape[-1], A.shape[-2]]))
    u, s, vh = svd(A, False)
    keep = s.detach() > _cut(A, s.detach(), atol, rtol)
    return give(out, (vh.mH * where(keep, 1 / where(keep, s, 1), 0).unsqueeze(-2)) @ u.mH)


def _cut(a: Tensor, s: Tensor, atol: Any, rtol: Any) -> Tensor:
    from rushlight.tensor.settings import finfo
    top = s.amax(-1, keepdim=True)
    if rtol is None:
        rtol = max(a.shape[-2:]) * finfo(a.dtype).eps if atol is None else 0.0
    side = lambda v: v.unsqueeze(-1) if isinstance(v, Tensor) and v.ndim else v
    low = top * side(rtol)
    return low if atol is None else low.clamp(min=0).maximum(low * 0 + side(atol))


def matrix_rank(A: Tensor, *, tol: Any = None, atol: Any = None, rtol: Any = None, hermitian: bool = False, out: Any = None) -> Tensor:  # noqa: N803
    """How many singular values are above max(atol, rtol σ₁)."""
    _matrix("matrix_rank", A)
    s = svdvals(A).detach()
    if not s.shape[-1]:
        return give(out, s.sum(-1).long())
    return give(out, (s > _cut(A, s, atol if tol is None else tol, rtol if tol is None else 0.0)).sum(-1))


def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:  # noqa: N803
    """A multiplied with itself n times; the inverse for negative n."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        _matrix("matrix_power", A, True)
    if n < 0:
        return give(out, matrix_power(inv(A), -n))
    if n == 0:
        from rushlight.tensor.creation import eye
        return give(out, eye(A.shape[-1], dtype=A.dtype).expand(A.shape).clone())
    done, square = None, A
    while n:
        if n & 1:
            done = square if done is None else matmul(done, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return give(out, done if done is not A else A.clone())


def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Tensor:  # noqa: A002,N803
    """A norm of matrices: fro, nuc, ±1, ±2, ±inf."""
    x = A if dtype is None else cast(A, dtype)
    if x.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if not is_float(x):
        raise RuntimeError(f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {scalar_name(x.dtype)}")
    r, c = (wrap_dim(d, x.ndim) for d in dim)
    if r == c:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return give(out, vector_norm(x, 2, (r, c), keepdim))
    if ord in ("nuc", 2, -2):
        s = svdvals(x.movedim((r, c), (-2, -1)))
        v = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
    elif ord in (1, -1, float("inf"), float("-inf")):
        lines = x.abs().sum(r if abs(ord) == 1 else c, keepdim=True)
        v = (lines.amax if ord > 0 else lines.amin)((r, c))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if keepdim:
        for d in sorted((r, c)):
            v = v.unsqueeze(d)
    return give(out, v)


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None, dtype: Any = None) -> Tensor:  # noqa: A002,N803
    """A vector norm, or a matrix norm over two dimensions."""
    if ord is not None and (isinstance(dim, (tuple, list)) and len(dim) == 2 or dim is None and A.ndim == 2):
        return matrix_norm(A, ord, dim or (-2, -1), keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D." if dim is None
                           else f"linalg.norm: ord={ord!r} needs two dimensions")
    if ord is not None and dim is None and A.ndim > 2:
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:  # noqa: N803
    """The condition number."""
    if p in (None, 2, -2):
        s = svdvals(A)
        return give(out, s.amax(-1) / s.amin(-1) if p != -2 else s.amin(-1) / s.amax(-1))
    return give(out, matrix_norm(A, p) * matrix_norm(inv(A), p))


def multi_dot(tensors: Any, *, out: Any = None) -> Tensor:
    """The product of several matrices."""
    if len(tensors) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(tensors)))
    return multi_dot_chain(*tensors, out=out)


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> Any:  # noqa: N803
    """The least-squares solution of A X = B, residuals, rank and singular values."""
    _matrix("lstsq", A)
    from rushlight.exec.numpy import linalg
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    x = pinv(A) @ b
    extra = linalg.lstsq(unwrap(A.detach()), unwrap(b.detach()), rcond, driver or "gelsy")
    return result("linalg_lstsq", "solution residuals rank singular_values")(x.squeeze(-1) if vector else x, *(wrap(np.array(e)) for e in extra[1:]))


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:  # noqa: N803
    """The LU decomposition packed in one matrix, and the pivots. Without gradients."""
    from rushlight.exec.numpy import linalg
    _matrix("lu_factor", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    if A.requires_grad:
        raise NotImplementedError("the gradient of linalg.lu_factor is not implemented; use linalg.solve")
    return give(out, result("linalg_lu_factor", "LU pivots")(*(wrap(np.array(m)) for m in linalg.lu_factor_checked(unwrap(A)))))


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:  # noqa: N803
    """x with A x = B from the Cholesky factor of A."""
    low = L.triu().mH if upper else L.tril()
    return give(out, solve(low.mH, solve(low, B)))


def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:  # noqa: N803
    """The inverse of A from its Cholesky factor."""
    low = L.triu().mH if upper else L.tril()
    return give(out, inv(low @ low.mH))


def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """The QR decomposition as Householder vectors below R, and their factors. Without gradients."""
    from rushlight.exec.numpy import linalg
    _matrix("geqrf", input)
    return give(out, result("geqrf", "a tau")(*(wrap(np.array(m)) for m in linalg.geqrf(unwrap(input.detach())))))


def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:  # noqa: N803
    """The first columns of the product of reflections I - tau_i v_i v_iᴴ, v_i the columns of A below the diagonal."""
    from rushlight.tensor.creation import eye
    if A.ndim < 2:
        raise RuntimeError("torch.linalg.householder_product: input must have at least 2 dimensions.")
    m, n = A.shape[-2:]
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tau.shape[-1] > n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if A.ndim - tau.ndim != 1:
        raise RuntimeError("torch.linalg.householder_product: Expected tau to have one dimension less than input, but got tau.ndim equal to "
                           f"{tau.ndim} and input.ndim is equal to {A.ndim}")
    if A.dtype is not tau.dtype:
        raise RuntimeError(f"torch.linalg.householder_product: tau dtype {tau.dtype} does not match input dtype {A.dtype}")
    q = eye(m, n, dtype=A.dtype).expand([*A.shape[:-2], m, n])
    v = A.tril(-1) + eye(m, n, dtype=A.dtype)
    for i in range(tau.shape[-1] - 1, -1, -1):
        column = v[..., i:i + 1]
        q = q - tau[..., i:i + 1].unsqueeze(-1) * (column @ (column.mH @ q))
    return give(out, q)


def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *, out: Any = None) -> Tensor:
    """Q @ other (or other @ Q) with Q from Householder vectors."""
    if input.ndim < 2 or other.ndim < 2:
        raise RuntimeError("torch.ormqr: input must have at least 2 dimensions.")
    from rushlight.tensor.functions.combined import constant_pad_nd
    m, n = input.shape[-2:]
    square = constant_pad_nd(input, (0, m - n)) if m > n else input[..., :m]
    q = householder_product(square, tau)
    q = q.mH if transpose else q
    return give(out, q @ other if left else other @ q)


def vander(x: Tensor, N: int | None = None) -> Tensor:  # noqa: N803
    """Powers of x as columns."""
    from rushlight.tensor.creation import arange
    return x.unsqueeze(-1) ** arange(x.shape[-1] if N is None else N)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """Inner products along dim."""
    return give(out, (x.conj() * y).sum(dim))


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """The vector product along a dimension of size 3."""
    return _cross(input, other, dim, out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:  # noqa: N803
    """The diagonals of matrices."""
    return A.diagonal(offset, dim1, dim2)


# names of torch itself, which differ from torch.linalg's
def old_cholesky(input: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """torch.cholesky."""
    return cholesky(input, upper=upper, out=out)


def old_qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """torch.qr."""
    return result("qr", "Q R")(*qr(input, "reduced" if some else "complete"))


def old_svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """torch.svd: V, not its conjugate transpose."""
    u, s, vh = svd(input, not some)
    return result("svd", "U S V")(u, s, vh.mH)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """torch.pinverse."""
    return pinv(input, rtol=rcond)


def triangular_solve(b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: Any = None) -> Any:  # noqa: N803
    """torch.triangular_solve."""
    x = solve_triangular(A.mT if transpose else A, b, upper=upper != transpose, unitriangular=unitriangular)
    return result("triangular_solve", "solution cloned_coefficient")(x, A.clone())


TORCH_LEVEL = {"cholesky": old_cholesky, "qr": old_qr, "svd": old_svd, "pinverse": pinverse, "triangular_solve": triangular_solve, "inverse": inv, "det": det,
               "slogdet": slogdet, "logdet": logdet, "matrix_exp": matrix_exp, "matrix_power": matrix_power, "cholesky_solve": cholesky_solve,
               "cholesky_inverse": cholesky_inverse, "geqrf": geqrf, "ormqr": ormqr, "orgqr": householder_product}
