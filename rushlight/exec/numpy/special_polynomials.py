"""Orthogonal polynomials p_n(x) by their three-term recurrences, all orders of a block in one pass.

An order is cut to an integer; negative ones give 0. Chebyshev polynomials of high order within (-1, 1) come from their
trigonometric form, whose error does not grow with n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rushlight.exec.numpy.special_common import Array, elementwise

Step = Callable[[int, Array, Array, Array], Array]  # k, x, p_k, p_(k-1) -> p_(k+1)
TRIGONOMETRIC = 6  # from orders above this one


def recurrence(x: Array, n: Array, first: Array, step: Step) -> Array:
    """p_n(x) from p_0 = 1, p_1 = first and the step."""
    n = np.trunc(n)
    out = np.where(n < 0, 0.0, np.where(np.isnan(n), np.nan, 1.0))
    low, high = np.ones_like(x), first
    top = int(n[np.isfinite(n)].max(initial=0))
    for k in range(1, top + 1):
        here = n == k
        if here.any():
            out[here] = high[here]
        if k < top:
            low, high = high, step(k, x, high, low)
    return np.where(np.isnan(x) & (n > 0), np.nan, out)


def _twice(k: int, x: Array, p: Array, q: Array) -> Array:
    return 2 * x * p - q


def chebyshev(first: Callable[[Array], Array], angle: Callable[[Array, Array], Array],
              shifted: bool) -> Callable[[Array, Array], Array]:
    """A family of Chebyshev polynomials: p_1, and p_n(cos θ) as a function of n and θ."""
    def kernel(x: Array, n: Array) -> Array:
        x = 2 * x - 1 if shifted else x
        inside = (np.abs(x) < 1) & (n > TRIGONOMETRIC)
        out = recurrence(x, np.where(inside, 0, n), first(x), _twice)
        if inside.any():
            out[inside] = angle(np.trunc(n[inside]), np.arccos(x[inside]))
        return out
    return elementwise(kernel)


FAMILIES: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "t": (lambda x: x, lambda n, a: np.cos(n * a)),
    "u": (lambda x: 2 * x, lambda n, a: np.sin((n + 1) * a) / np.sin(a)),
    "v": (lambda x: 2 * x - 1, lambda n, a: np.cos((n + 0.5) * a) / np.cos(a / 2)),
    "w": (lambda x: 2 * x + 1, lambda n, a: np.sin((n + 0.5) * a) / np.sin(a / 2)),
}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    chebyshev(*FAMILIES[f], False) for f in "tuvw")
shifted_chebyshev_polynomial_t = chebyshev(*FAMILIES["t"], True)
shifted_chebyshev_polynomial_u = chebyshev(*FAMILIES["u"], True)
shifted_chebyshev_polynomial_v = chebyshev(*FAMILIES["v"], True)
shifted_chebyshev_polynomial_w = chebyshev(*FAMILIES["w"], True)


@elementwise
def hermite_polynomial_h(x: Array, n: Array) -> Array:
    """The physicists' Hermite polynomials: H_(k+1) = 2x H_k - 2k H_(k-1)."""
    return recurrence(x, n, 2 * x, lambda k, x, p, q: 2 * (x * p - k * q))


@elementwise
def hermite_polynomial_he(x: Array, n: Array) -> Array:
    """The probabilists' Hermite polynomials: He_(k+1) = x He_k - k He_(k-1)."""
    return recurrence(x, n, x, lambda k, x, p, q: x * p - k * q)


@elementwise
def laguerre_polynomial_l(x: Array, n: Array) -> Array:
    """(k + 1) L_(k+1) = (2k + 1 - x) L_k - k L_(k-1)."""
    return recurrence(x, n, 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1))


@elementwise
def legendre_polynomial_p(x: Array, n: Array) -> Array:
    """(k + 1) P_(k+1) = (2k + 1) x P_k - k P_(k-1)."""
    return recurrence(x, n, x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1))
