"""How gamma and beta numbers move with their parameters when the underlying
uniform number stays (implicit reparametrization).

M. Figurnov, S. Mohamed and A. Mnih, "Implicit reparameterization gradients" (2018): dx/dθ = -(∂F/∂θ) / p for a
distribution function F(x; θ) with density p. Both are summed from the power series of F, term by term divided by p, so
that nothing underflows; PyTorch interpolates instead, and agrees to about three digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy.special_gamma import digamma

Array = Any
LARGE = 1e4  # from here on Wilson and Hilferty's cube of a normal number stands for a gamma number
MOST_TERMS = 200_000


def gamma_derivative(alpha: Array, x: Array) -> Array:
    """dx/dα of gamma numbers x of shape α and scale 1, float64."""
    alpha, x = np.broadcast_arrays(np.asarray(alpha, np.float64), np.asarray(x, np.float64))
    out = np.empty(x.shape)
    large = alpha > LARGE
    out[large] = _large_gamma(alpha[large], x[large])
    out[~large] = _gamma_series(alpha[~large], x[~large])
    return out


def _large_gamma(a: Array, x: Array) -> Array:
    """Differentiates x = α w³, w = 1 - 1/(9α) + z/(3√α), for a constant z."""
    w = np.cbrt(x / a)
    z = 3 * np.sqrt(a) * (w - 1 + 1 / (9 * a))
    return w ** 3 + 3 * a * w * w * (1 / (9 * a * a) - z / (6 * a ** 1.5))


def _gamma_series(a: Array, x: Array) -> Array:
    """-x Σ c_n (log x - ψ(a + n + 1)) with c_n = xⁿ / (a (a+1) … (a+n))."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_x, psi, c = np.log(x), digamma(a + 1), 1 / a
        total = c * (log_x - psi)
        for n in range(1, MOST_TERMS):
            c = c * (x / (a + n))
            psi = psi + 1 / (a + n)
            term = c * (log_x - psi)
            total = total + term
            if n % 8 == 0 and (~(np.abs(term) > 1e-17 * np.abs(total)) | (x == 0)).all() and (x < a + n).all():
                break
        return np.where(x == 0, 0.0, -x * total)


def beta_derivatives(x: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dx/da and dx/db of beta numbers x with parameters a and b, float64."""
    x, a, b = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, a, b)))
    low = x <= 0.5  # above, 1 - x is a beta number with the parameters exchanged, and its series is shorter
    y = np.where(low, x, 1 - x)
    first, second = _beta_series(y, np.where(low, a, b), np.where(low, b, a))
    return np.where(low, first, -second), np.where(low, second, -first)


def _beta_series(x: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """-Σ u_n (log x + ψ(s+n) - ψ(a+n+1)) and -Σ u_n (log(1-x) + ψ(s+n) - ψ(b)), u_n = x (1-x) (s)_n xⁿ / (a)_{n+1}, s =
    a + b."""
    s = a + b
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_x, log_rest = np.log(x), np.log1p(-x)
        psi_s, psi_a, psi_b = digamma(s), digamma(a + 1), digamma(b)
        u = x * (1 - x) / a
        first, second = u * (log_x + psi_s - psi_a), u * (log_rest + psi_s - psi_b)
        for n in range(1, MOST_TERMS):
            u = u * (x * ((s + n - 1) / (a + n)))
            psi_s, psi_a = psi_s + 1 / (s + n - 1), psi_a + 1 / (a + n)
            one, two = u * (log_x + psi_s - psi_a), u * (log_rest + psi_s - psi_b)
            first, second = first + one, second + two
            if n % 8:
                continue
            moves = (np.abs(one) > 1e-17 * np.abs(first)) | (np.abs(two) > 1e-17 * np.abs(second))
            if not moves.any() and (x * (s + n) < a + n + 1).all():
                break
        return np.where(x == 0, 0.0, -first), np.where(x == 0, 0.0, -second)
