"""float32 logarithm, sine and cosine by the Cephes polynomials, rounded as in PyTorch's AVX2 kernel.

Coefficients: S. Moshier's Cephes library (logf.c, sinf.c), evaluated with fused multiply-adds in the order that
PyTorch's compiler chose; with them `randn` equals PyTorch's bit for bit on x86-64 processors with AVX2.
"""

from __future__ import annotations

import numpy as np

from rushlight.rng.exact import fma32

F = np.float32
LOG = [F(c) for c in (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
                      -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)]
LN2_LOW, LN2_HIGH = F(-2.12194440e-4), F(0.693359375)
SQRT_HALF = F(0.707106781186547524)
SIN = [F(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)]
COS = [F(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)]
QUARTER_PI = [F(c) for c in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)]
FOUR_OVER_PI = F(1.27323954473516)


def horner(coefficients: list[np.float32], x: np.ndarray) -> np.ndarray:
    """The polynomial with these coefficients, highest power first, a fused multiply-add per step."""
    y = fma32(coefficients[0], x, coefficients[1])
    for c in coefficients[2:]:
        y = fma32(y, x, c)
    return y


def log32(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of normal positive float32 numbers."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < SQRT_HALF
    m = (mantissa - F(1)) + np.where(small, mantissa, F(0))
    e = (exponent - small).astype(np.float32)
    square = m * m
    y = fma32(horner(LOG, m) * m, square, e * LN2_LOW)
    y = fma32(-square, F(0.5), y)
    return fma32(e, LN2_HIGH, m + y)


def sincos32(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of float32 angles from 0 to 8192."""
    octant = ((x * FOUR_OVER_PI).astype(np.int32) + 1) & ~1
    whole = octant.astype(np.float32)
    for part in QUARTER_PI:
        x = fma32(whole, part, x)
    square = x * x
    cos = fma32(horner(COS, square) * square, square, square * F(-0.5)) + F(1)
    sin = fma32(horner(SIN, square) * square, x, x)
    swap = (octant & 2) != 0
    sine, cosine = np.where(swap, cos, sin), np.where(swap, sin, cos)
    np.negative(sine, where=(octant & 4) != 0, out=sine)
    np.negative(cosine, where=((octant - 2) & 4) == 0, out=cosine)
    return sine, cosine
