"""Linear algebra (torch.linalg)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.dtype import HALF, bool_
from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import full, reduced
from rushlight.tensor.core import Tensor, apply, unwrap, wrap
from rushlight.tensor.functions.common import cast, give, is_float, scalar_name, wrap_dim
from rushlight.tensor.sequences import arange, eye
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.products import chain_matmul as multi_dot_chain
from rushlight.tensor.functions.products import cross as _cross
from rushlight.tensor.functions.products import matmul
from rushlight.tensor.functions.norms import vector_norm
from rushlight.tensor.functions.reduction import result
from rushlight.tensor.samples import sample_by_sample


def checked_matrix(name: str, a: Tensor, square: bool = False, half: bool = False) -> None:
    if a.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"linalg.{name}: A must be batches of square matrices, "
                           f"but they are {a.shape[-2]} by {a.shape[-1]} matrices")
    if not is_float(a):
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor "
                           f"as input. Got {scalar_name(a.dtype)}")
    if a.dtype.name in ("float16", "bfloat16") and not half:
        raise RuntimeError(f"linalg.{name}: Low precision dtypes not supported. Got {scalar_name(a.dtype)}")


@full
def cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:
    """L with L Lᴴ = A (or U with Uᴴ U = A) for positive definite A."""
    checked_matrix("cholesky", A, True)
    low = apply(TABLE["cholesky"], (A,), (bool(upper),))
    return give(out, low.mH if upper else low)


@full
def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """The inverse."""
    checked_matrix("inv", A, True)
    return give(out, apply(TABLE["inv"], (A,)))


inverse = inv


@full
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:
    """x with A x = B (left) or x A = B."""
    vector, b = checked_right_side("solve", A, B, left)
    x = apply(TABLE["solve"], (A, b)) if left else apply(TABLE["solve"], (A.mT, b.mT)).mT
    return give(out, x.squeeze(-1) if vector else x)


def checked_right_side(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[bool, Tensor]:
    """Whether B is a vector (or a batch of them), and B as matrices; RuntimeError where it does not fit A."""
    checked_matrix(name, A, True)
    _same_dtype(name, A, B)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    if vector and not left:
        raise RuntimeError(f"linalg.{name}: Vector broadcasting of the left hand side is not supported for left=False. "
                           "In this case linalg.solve is equivalent to B / A.squeeze(-1)")
    b = B.unsqueeze(-1) if vector else B
    _compatible(name, A, b, left)
    return vector, b


def _same_dtype(name: str, A: Tensor, B: Tensor) -> None:
    if A.dtype is not B.dtype:
        raise RuntimeError(f"linalg.{name}: Expected A and B to have the same dtype, "
                           f"but found A of type {scalar_name(A.dtype)} and B of type {scalar_name(B.dtype)} instead")


def _compatible(name: str, A: Tensor, B: Tensor, left: bool) -> None:
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(f"linalg.{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} "
                           f"= B ({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})")


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False,
                     out: Any = None) -> Tensor:
    """x with A x = B (x A = B unless ``left``) for a triangular A, of which only that triangle is read; a zero on the diagonal gives inf or NaN.

    >>> import rushlight as rl
    >>> solve_triangular(rl.tensor([[2.0, 9], [1, 4]]), rl.tensor([[2.0], [5]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    checked_matrix("solve_triangular", A, True)
    _same_dtype("solve_triangular", A, B)
    if B.ndim < 2:
        raise RuntimeError("linalg.solve_triangular: The input tensor B must have at least 2 dimensions.")
    _compatible("solve_triangular", A, B, left)
    op = TABLE["solve_triangular"]
    return give(out, apply(op, (A, B), (upper, unitriangular)) if left else apply(op, (A.mT, B.mT), (not upper, unitriangular)).mT)


def det(A: Tensor, *, out: Any = None) -> Tensor:
    """The determinant."""
    checked_matrix("det", A, True)
    return give(out, apply(TABLE["det"], (A,)))


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """Sign and logarithm of the absolute value of the determinant."""
    checked_matrix("slogdet", A, True)
    return give(out, result("linalg_slogdet", "sign logabsdet")(*apply(TABLE["slogdet"], (A,))))


def logdet(input: Tensor) -> Tensor:
    """log of the determinant, NaN where it is negative."""
    sign, log = slogdet(input)
    return where(sign < 0, float("nan"), log) if not input.dtype.is_complex else log + sign.log()


@full
def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """Q with orthonormal columns and upper triangular R, Q R = A."""
    checked_matrix("qr", A)
    kind = result("linalg_qr", "Q R")
    if mode == "r":
        return give(out, kind(A.new_zeros(0), apply(TABLE["qr"], (A,), ("reduced",))[1]))
    if mode not in ("reduced", "complete"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of "
                           "'reduced' (default), 'r', or 'complete'")
    return give(out, kind(*apply(TABLE["qr"], (A,), (mode,))))


def _no_driver(name: str, driver: str | None) -> None:
    if driver is not None:
        raise RuntimeError(f"torch.linalg.{name}: "
                           "keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")


@full
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """U diag(S) Vᴴ = A with singular values in descending order."""
    checked_matrix("svd", A)
    _no_driver("svd", driver)
    kind = result("linalg_svd", "U S Vh")
    if not full_matrices or A.shape[-1] == A.shape[-2]:
        return give(out, kind(*apply(TABLE["svd"], (A,))))
    from rushlight.exec.numpy import linalg
    u, s, vh = apply(TABLE["svd"], (A,))
    k = min(A.shape[-2:])
    from rushlight.tensor.functions.joining import cat
    if A._storage.batched:  # inside vmap nothing can be read: the complements come from QR
        rest = [apply(TABLE["qr"], (x.detach(),), ("complete",))[0][..., k:] for x in (u, vh.mH)]
        return give(out, kind(cat([u, rest[0]], -1), s, cat([vh, rest[1].mH], -2)))
    full = linalg.svd(unwrap(A.detach()), True)
    u = cat([u, wrap(np.array(full[0][..., k:]))], -1)
    vh = cat([vh, wrap(np.array(full[2][..., k:, :]))], -2)
    return give(out, kind(u, s, vh))


@full
def svdvals(A: Tensor, *, driver: str | None = None, out: Any = None) -> Tensor:
    """The singular values in descending order."""
    checked_matrix("svdvals", A)
    _no_driver("svdvals", driver)
    return give(out, apply(TABLE["svd"], (A,))[1])


@full
def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices, of which one triangle is read."""
    checked_matrix("eigh", A, True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return give(out, result("linalg_eigh", "eigenvalues eigenvectors")(*apply(TABLE["eigh"], (A,), (UPLO.upper(),))))


@full
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return give(out, eigh(A, UPLO)[0])


@full
def eig(A: Tensor, *, out: Any = None) -> Any:
    """Eigenvalues and eigenvectors, complex."""
    checked_matrix("eig", A, True)
    return give(out, result("linalg_eig", "eigenvalues eigenvectors")(*apply(TABLE["eig"], (A,))))


@full
def eigvals(A: Tensor, *, out: Any = None) -> Tensor:
    """Eigenvalues, complex."""
    return give(out, eig(A)[0])


def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential."""
    checked_matrix("matrix_exp", A, True, half=True)
    return apply(TABLE["matrix_exp"], (A,))


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
         out: Any = None) -> Tensor:
    """The pseudo-inverse: singular values below max(atol, rtol σ₁) count as 0. ``rcond`` is an older name of rtol."""
    rtol = rcond if rtol is None else rtol
    checked_matrix("pinv", A)
    if hermitian:
        checked_matrix("pinv", A, True)
    if rtol is None:
        from rushlight.tensor.settings import finfo
        rtol = max(1, *A.shape[-2:]) * finfo(A.dtype).eps if atol is None else 0.0
    limits = [v.detach() if isinstance(v, Tensor) else float(v) for v in (0.0 if atol is None else atol, rtol)]
    return give(out, _of_a_product(apply(TABLE["pinv"], (A, *limits), (bool(hermitian),))))


@reduced
def _of_a_product(found: Tensor) -> Tensor:
    """What PyTorch ends with a matrix product: under autocast of the smaller type."""
    return found


def _cut(a: Tensor, s: Tensor, atol: Any, rtol: Any) -> Tensor:
    from rushlight.tensor.settings import finfo
    top = s.amax(-1, keepdim=True)
    if rtol is None:
        rtol = max(a.shape[-2:]) * finfo(a.dtype).eps if atol is None else 0.0
    side = lambda v: v.unsqueeze(-1) if isinstance(v, Tensor) and v.ndim else v
    low = top * side(rtol)
    return low if atol is None else low.clamp(min=0).maximum(low * 0 + side(atol))


@full
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
                out: Any = None) -> Tensor:
    """How many singular values (absolute eigenvalues if hermitian) are above max(atol, rtol σ₁)."""
    checked_matrix("matrix_rank", A, hermitian)
    s = eigvalsh(A).detach().abs() if hermitian else svdvals(A).detach()
    if not s.shape[-1]:
        return give(out, s.sum(-1).long())
    return give(out, (s > _cut(A, s, atol if tol is None else tol, rtol if tol is None else 0.0)).sum(-1))


def without_slope(value: Tensor, x: Tensor) -> Tensor:
    """A value in the shape of x that belongs to the history of x with the gradient 0."""
    return where(apply(TABLE["full"], (True,), (x._spec.shape, bool_)), value, x)


def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:
    """A multiplied with itself n times; the inverse for negative n."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        checked_matrix("matrix_power", A, True)
    if n < 0:
        return give(out, matrix_power(inv(A), -n))
    if n == 0:
        return give(out, without_slope(eye(A.shape[-1], dtype=A.dtype), A))
    done, square = None, A
    while n:
        if n & 1:
            done = square if done is None else matmul(done, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return give(out, done if done is not A else A.clone())


def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None,
                out: Any = None) -> Tensor:
    """A norm of matrices: fro, nuc, ±1, ±2, ±inf."""
    x = A if dtype is None else cast(A, dtype)
    if x.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if not is_float(x):
        raise RuntimeError("linalg.matrix_norm: "
                           f"Expected a floating point or complex tensor as input. Got {scalar_name(x.dtype)}")
    r, c = (wrap_dim(d, x.ndim) for d in dim)
    if r == c:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return give(out, vector_norm(x, 2, (r, c), keepdim))
    if ord in ("nuc", 2, -2):
        s = svdvals(x.movedim((r, c), (-2, -1)))
        v = s.sum(-1) if ord == "nuc" else _largest(s, (-1,)) if ord == 2 else s.amin(-1)
    elif ord in (1, -1, float("inf"), float("-inf")):
        lines = x.abs().sum(r if abs(ord) == 1 else c, keepdim=True)
        v = _largest(lines, (r, c)) if ord > 0 else lines.amin((r, c))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if keepdim:
        for d in sorted((r, c)):
            v = v.unsqueeze(d)
    return give(out, v)


def _largest(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The largest of what is at least 0; of none it is 0."""
    return x.amax(dims) if all(x.shape[d] for d in dims) else x.sum(dims)


def norm(input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None,
         dtype: Any = None) -> Tensor:
    """A vector norm, or a matrix norm over two dimensions."""
    A = input
    if ord is not None and (isinstance(dim, (tuple, list)) and len(dim) == 2 or dim is None and A.ndim == 2):
        return matrix_norm(A, ord, dim or (-2, -1), keepdim, dtype=dtype, out=out)
    if dim is None and (isinstance(ord, str) or ord is not None and A.ndim > 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
    if isinstance(dim, (tuple, list)) and len(dim) > 2 and ord is not None:
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim)) if isinstance(dim, (tuple, list)) else dim}")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


@full
def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:
    """The condition number: |A| |A⁻¹| in one of `matrix_norm`'s norms; 0 for matrices without elements."""
    if A.ndim >= 2 and A.numel() == 0 and A.shape[-1] == A.shape[-2] == 0:
        return give(out, A.abs().sum((-2, -1)))
    if p in (None, 2, -2):
        s = svdvals(A)
        return give(out, s.amax(-1) / s.amin(-1) if p != -2 else s.amin(-1) / s.amax(-1))
    return give(out, matrix_norm(A, p) * matrix_norm(inv(A), p))


def multi_dot(tensors: Any, *, out: Any = None) -> Tensor:
    """The product of several matrices."""
    if len(tensors) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(tensors)))
    for i, t in enumerate(tensors):
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                               f"{scalar_name(tensors[0].dtype)} and tensor {i} {scalar_name(t.dtype)}")
    return multi_dot_chain(*tensors, out=out)


@full
def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None, out: Any = None) -> Any:
    """The least-squares solution of A X = B, residuals, rank and singular values."""
    checked_matrix("lstsq", A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, "
                           f"gelsy, gelsd, gelss), not {driver!r}")
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    x = pinv(A, rtol=rcond) @ b
    left, rank, singular = _ranks(A.detach(), b.detach(), rcond, driver or "gelsy")
    miss = A @ x - b
    residuals = ((miss * miss.conj()).real).sum(-2) if left.numel() else miss.real.reshape(-1)[:0]
    return give(out, result("linalg_lstsq")(x.squeeze(-1) if vector else x, residuals, rank, singular))


@sample_by_sample
def _ranks(A: Tensor, b: Tensor, rcond: Any, driver: str) -> tuple[Tensor, ...]:
    """What LAPACK's least-squares drivers say beside the solution: residuals, rank and singular values."""
    from rushlight.exec.numpy import linalg
    return tuple([wrap(np.array(e)) for e in linalg.lstsq(unwrap(A), unwrap(b), rcond, driver)[1:]])


def _wide_enough(kernel: str, x: Tensor) -> None:
    """NotImplementedError for integers and half precision."""
    if not is_float(x) or x.dtype in HALF:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(x.dtype)}'. Convert the factor to float32 or float64.")


@full
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """x with A x = B from the Cholesky factor of A: (..., n, k), (..., n, n) -> (..., n, k).

    RuntimeError for a vector B, a factor that is not square, and sizes or dtypes that do not fit.
    """
    for name, x in (("b", B), ("u", L)):
        if x.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {x.ndim} dimensions instead")
    if L.dtype is not B.dtype:
        raise RuntimeError(f"Expected b and A to have the same dtype, but found b of type {scalar_name(B.dtype)} "
                           f"and A of type {scalar_name(L.dtype)} instead.")
    if L.shape[-1] != L.shape[-2]:
        raise RuntimeError(f"A must be batches of square matrices, but they are {L.shape[-2]} by {L.shape[-1]} matrices")
    if B.shape[-2] != L.shape[-1]:
        raise RuntimeError(f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-2]} by {L.shape[-1]} "
                           f"but each b matrix is {B.shape[-2]} by {B.shape[-1]}")
    _wide_enough("cholesky_solve_cpu", L)
    return give(out, apply(TABLE["cholesky_solve"], (B, L), (upper,)))


@full
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """The inverse of A from its Cholesky factor; LinAlgError for a factor with a zero on its diagonal."""
    if L.ndim < 2:
        raise RuntimeError("cholesky_inverse: The input tensor A must have at least 2 dimensions.")
    if L.shape[-1] != L.shape[-2]:
        raise RuntimeError(f"cholesky_inverse: A must be batches of square matrices, but they are {L.shape[-2]} by {L.shape[-1]} matrices")
    _wide_enough("cholesky_inverse_out_cpu", L)
    return give(out, apply(TABLE["cholesky_inverse"], (L,), (upper,)))


@sample_by_sample
@full
def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """The QR decomposition as Householder vectors below R, and their factors. Without gradients."""
    from rushlight.exec.numpy import linalg
    checked_matrix("geqrf", input)
    return give(out, result("geqrf", "a tau")(*(wrap(np.array(m)) for m in linalg.geqrf(unwrap(input.detach())))))


@full
def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """The first columns of the product of reflections I - tau_i v_i v_iᴴ, v_i the columns of A below the diagonal."""
    if A.ndim < 2:
        raise RuntimeError("torch.linalg.householder_product: input must have at least 2 dimensions.")
    m, n = A.shape[-2:]
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: "
                           "input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tau.shape[-1] > n:
        raise RuntimeError("torch.linalg.householder_product: "
                           "input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if A.ndim - tau.ndim != 1:
        raise RuntimeError("torch.linalg.householder_product: Expected tau to have one dimension less than input, "
                           f"but got tau.ndim equal to {tau.ndim} and input.ndim is equal to {A.ndim}")
    if A.dtype is not tau.dtype:
        raise RuntimeError("torch.linalg.householder_product: "
                           f"tau dtype {tau.dtype} does not match input dtype {A.dtype}")
    q = without_slope(eye(m, n, dtype=A.dtype), A)
    v = A.tril(-1) + eye(m, n, dtype=A.dtype)
    for i in range(tau.shape[-1] - 1, -1, -1):
        column = v[..., i:i + 1]
        q = q - tau[..., i:i + 1].unsqueeze(-1) * (column @ (column.mH @ q))
    return give(out, q)


@full
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False, *,
          out: Any = None) -> Tensor:
    """Q @ input3 (or input3 @ Q) with Q from the Householder vectors in input and their factors input2."""
    tau, other = input2, input3
    if input.ndim < 2 or other.ndim < 2:
        raise RuntimeError("torch.ormqr: input must have at least 2 dimensions.")
    from rushlight.tensor.functions.combined import constant_pad_nd
    m, n = input.shape[-2:]
    side = -2 if left else -1
    if tau.shape[-1] != min(other.shape[side], n):
        raise RuntimeError(f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{side}], "
                           f"input.shape[-1]), but it is {tau.shape[-1]}")
    if other.shape[side] != m:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2], "
                           f"but they are {other.shape[side]} and {m}")
    square = constant_pad_nd(input, (0, m - n)) if m > n else input[..., :m]
    q = householder_product(square, tau)
    q = q.mH if transpose else q
    return give(out, q @ other if left else other @ q)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Powers of x as columns, from 0 to N - 1 (as many as x has elements by default). RuntimeError for N < 2."""
    x = x.reshape(1) if not x.ndim else x
    n = x.shape[-1] if N is None else N
    if n < 2:
        raise RuntimeError(f"N must be greater than 1. Got {n}")
    return x.unsqueeze(-1) ** arange(n)


@reduced
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """Inner products along dim."""
    if x.dtype is not y.dtype:
        raise RuntimeError("linalg.vecdot: Expected x and y to have the same dtype, "
                           f"but found x of type {scalar_name(x.dtype)} and y of type {scalar_name(y.dtype)} instead")
    return give(out, (x.conj() * y).sum(dim))


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """The vector product along a dimension of size 3."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions. "
                           f"They have {input.ndim} and {other.ndim}.")
    wrap_dim(dim, input.ndim)
    return _cross(input, other, dim, out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices."""
    return A.diagonal(offset, dim1, dim2)


take_numpy_names(globals(), ("matrix_norm", "vecdot", "cross"))
