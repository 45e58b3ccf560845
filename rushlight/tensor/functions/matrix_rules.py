"""Gradient rules of linear algebra, which the table calls by name through ``F``.
A^H is the adjoint, gX the gradient of X."""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.sequences import eye
from rushlight.tensor.functions.common import cast
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.rules import adjoint, cast_grad
from rushlight.tensor.functions.joining import cat


def solve_matrices(a: Tensor, b: Tensor) -> Tensor:
    """The solution of a x = b."""
    return apply(TABLE["solve"], (a, b))


def solve_triangle(a: Tensor, b: Tensor, upper: bool, unitriangular: bool = False) -> Tensor:
    """The solution of a x = b, of whose a one triangle is read."""
    return apply(TABLE["solve_triangular"], (a, b), (upper, unitriangular))


def solve_triangular_grad(g: Tensor, a: Tensor, x: Tensor, upper: bool, unitriangular: bool) -> Tensor:
    """-A^-H g x^H, in the triangle that is read."""
    whole = -(solve_triangle(adjoint(a), g, not upper, unitriangular) @ adjoint(x))
    return whole.triu(int(unitriangular)) if upper else whole.tril(-int(unitriangular))


def cholesky_solved(b: Tensor, factor: Tensor, upper: bool) -> Tensor:
    """The solution of a x = b, given a's Cholesky factor."""
    return apply(TABLE["cholesky_solve"], (b, factor), (upper,))


def cholesky_solve_grad(s: Tensor, factor: Tensor, upper: bool) -> Tensor:
    """-(s + s^H) L with s = A^-1 g x^H; for U^H U = A, -U (s + s^H)."""
    s = s + adjoint(s)
    return -(factor @ s) if upper else -(s @ factor)


def identity_like(x: Tensor, n: int) -> Tensor:
    return eye(n, dtype=x.dtype)


def cholesky_grad(g: Tensor, low: Tensor) -> Tensor:
    """L^-H Φ(L^H g) L^-1; Φ takes half of the lower triangle and mirrors it."""
    p = (adjoint(low) @ g).tril()
    p = (p + adjoint(p.tril(-1))) * 0.5
    high = adjoint(low)
    return adjoint(solve_triangle(high, adjoint(solve_triangle(high, p, True)), True))


def det_grad(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """g conj(det) X^-H."""
    return (g * out.conj()).unsqueeze(-1).unsqueeze(-1) * adjoint(apply(TABLE["inv"], (x,)))


def slogdet_grad(g_sign: Any, g_log: Any, x: Tensor, sign: Tensor) -> Tensor:
    """g X^-H; complex signs add their rotation."""
    inverse = adjoint(apply(TABLE["inv"], (x,)))
    if x._spec.dtype.is_complex and g_sign is not None:
        weight = g_log - (g_sign.conj() * sign)
        weight = g_log + (sign.conj() * g_sign - (sign.conj() * g_sign).real)
        return weight.unsqueeze(-1).unsqueeze(-1) * inverse
    return g_log.unsqueeze(-1).unsqueeze(-1) * inverse


def times_inverse_adjoint(x: Tensor, r: Tensor) -> Tensor:
    """x r^-H of an upper triangle r."""
    return adjoint(solve_triangle(r, adjoint(x), True))


def qr_grad(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor, mode: str) -> Tensor:
    """(gQ + Q copyltu(M)) R^-H with M = R gR^H - gQ^H Q; a wide matrix [X Y]
    has Q and R of X, and Y = Q V beside them."""
    m, n = q.shape[-2], r.shape[-1]
    if m > n and mode == "complete":
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' "
                           "and nrows > ncols. Use mode='reduced'.")
    if m < n:
        v, gv = r[..., m:], gr[..., m:]
        first = qr_grad(gq + q @ v @ adjoint(gv), gr[..., :m], q, r[..., :m], mode)
        return cat([first, q @ gv], -1)
    mid = r @ adjoint(gr) - adjoint(gq) @ q
    sym = mid.tril() + adjoint(mid.tril(-1))
    # an imaginary diagonal turns the phases of Q's columns, which R's real diagonal fixes
    if sym._spec.dtype.is_complex:
        sym = sym - identity_like(sym, n) * (sym - adjoint(sym)) * 0.5
    return times_inverse_adjoint(gq + q @ sym, r)


def permutation_of(pivots: Tensor, rows: int, dtype: Any) -> Tensor:
    """P of P L U as matrices, from LAPACK's row exchanges."""
    order = apply(TABLE["lu_order"], (pivots,), (rows,))
    place = apply(TABLE["arange"], (0, 1), (rows, order._spec.dtype))
    return cast(order.unsqueeze(-2) == place.unsqueeze(-1), dtype)


def lu_parts(packed: Tensor) -> tuple[Tensor, Tensor]:
    """L and U, which share a matrix."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    low = packed[..., :k].tril(-1)
    return low + eye(m, k, dtype=packed.dtype), packed[..., :k, :].triu()


def lu_grad(g: Tensor, packed: Tensor, pivots: Tensor) -> Tensor:
    """From dL and dU: L^H gL below the diagonal and gU U^H on and above it,
    between L^-H and U^-H, rows in A's order."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    low, up = lu_parts(packed)
    g_low, g_up = g[..., :k].tril(-1), g[..., :k, :].triu()
    low1, up1 = low[..., :k, :], up[..., :k]
    below, above = adjoint(low1) @ g_low[..., :k, :], g_up[..., :k] @ adjoint(up1)
    if n > k:
        below = below - g_up[..., k:] @ adjoint(up[..., k:])
    if m > k:
        above = above - adjoint(low[..., k:, :]) @ g_low[..., k:, :]
    core = times_inverse_adjoint(below.tril(-1) + above.triu(), up1)
    if n > k:
        core = cat([core, g_up[..., k:]], -1)
    core = solve_triangle(adjoint(low1), core, True, True)
    if m > k:
        core = cat([core, times_inverse_adjoint(g_low[..., k:, :], up1)], -2)
    return permutation_of(pivots, m, packed.dtype) @ core


def pinv_grad(g: Tensor, a: Tensor, inverse: Tensor) -> Tensor:
    """Golub and Pereyra (1973): dP = -P dA P + P P^H dA^H (1 - A P) + (1 - P A) dA^H P^H P, transposed."""
    gh, ph = adjoint(g), adjoint(inverse)
    if a.shape[-2] <= a.shape[-1]:
        k = gh @ inverse
        kp = k @ ph
        return kp - adjoint(inverse @ k) - (a @ inverse) @ kp + (ph @ inverse) @ (gh - k @ a)
    k = inverse @ gh
    pk = ph @ k
    return pk - adjoint(k @ inverse) + (gh - a @ k) @ inverse @ ph - (pk @ inverse) @ a


def eig_grad(gw: Tensor, gv: Tensor, w: Tensor, v: Tensor, dtype: Any) -> Tensor:
    """V^-H (diag(gw) + (V^H gV - V^H V diag(Re V^H gV)) / conj(w_j - w_i)) V^H,
    for eigenvectors of length 1 and any phase."""
    one = identity_like(w, w.shape[-1])
    vh = adjoint(v)
    inner = vh @ gv
    inner = inner - vh @ (v * inner.diagonal(0, -2, -1).real.unsqueeze(-2))
    gap = (w.unsqueeze(-2) - w.unsqueeze(-1)).conj() + one
    mid = where(one == 1, gw.unsqueeze(-1) * one, inner / gap)
    return cast_grad(solve_matrices(vh, mid @ vh), dtype)


def eigh_grad(gw: Tensor, gv: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """V (diag(gw) + skew(V^H gV) / E) V^H with E_ij = w_j - w_i;
    eigenvectors move along skew-Hermitian directions only."""
    n = w.shape[-1]
    e = w.unsqueeze(-2) - w.unsqueeze(-1)
    one = identity_like(w, n)
    inner = adjoint(v) @ gv
    mid = where(one == 1, 0, (inner - adjoint(inner)) * 0.5 / (e + one))
    return v @ (mid + cast(gw.unsqueeze(-1) * one, v.dtype)) @ adjoint(v)


def svd_grad(gu: Tensor, gs: Tensor, gvh: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Tensor:
    """The gradient of the reduced singular value decomposition."""
    k = s.shape[-1]
    one = identity_like(s, k)
    e = s.unsqueeze(-2) ** 2 - s.unsqueeze(-1) ** 2 + one
    gv, v = adjoint(gvh), adjoint(vh)
    skew_u, skew_v = adjoint(u) @ gu, adjoint(v) @ gv
    skew_u, skew_v = skew_u - adjoint(skew_u), skew_v - adjoint(skew_v)
    mid = (skew_u / e) * s.unsqueeze(-2) + s.unsqueeze(-1) * (skew_v / e)
    mid = where(one == 1, 0, mid) + cast(gs.unsqueeze(-1) * one, u.dtype)
    if u._spec.dtype.is_complex:
        mid = mid + cast(one, u.dtype) * ((adjoint(u) @ gu - adjoint(adjoint(u) @ gu)) / (2 * s.unsqueeze(-2)))
    out = u @ mid @ vh
    if u.shape[-2] > k:
        out = out + (gu - u @ (adjoint(u) @ gu)) / s.unsqueeze(-2) @ vh
    if v.shape[-2] > k:
        out = out + (u / s.unsqueeze(-2)) @ (gvh - (gvh @ v) @ vh)
    return out


def matrix_exp_grad(g: Tensor, x: Tensor) -> Tensor:
    """The upper right block of exp([[X^H, g], [0, X^H]])."""
    n = x.shape[-1]
    a = adjoint(x)
    whole = cat([cat([a, g], -1), cat([a * 0, a], -1)], -2)
    return apply(TABLE["matrix_exp"], (whole,))[..., :n, n:]
