"""NumPy kernels that take more than a line, by the name of their row. Kernels of overwriting rows get a flag first."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from rushlight.exec import splitmix
from rushlight.exec.numpy import indexing, loss, sums
from rushlight.ir.dtype import DType
from rushlight.ir.spec import Spec

Array = np.ndarray[Any, Any]
Kernel = Callable[..., Any]


def sigmoid(x: Array) -> Array:
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    half = np.tanh(x * 0.5)
    half += 1
    half *= 0.5
    return half


def cast(x: Array, dtype: DType) -> Array:
    """Conversion as C does it: towards zero for integers, nonzero for bool, the real part of complex numbers; to float16 by way of
    float32, as in PyTorch."""
    if x.dtype.kind == "c" and not dtype.is_complex:
        x = x.real if dtype.name != "bool" else x != 0
    if x.dtype.kind == "f" and dtype.kind in "ui" and dtype.name != "int64":
        return x.astype(np.int64).astype(dtype.numpy)
    if dtype.name == "float16" and x.dtype.itemsize == 8:
        x = x.astype(np.float32)
    # the only float without infinity: PyTorch's conversion ends at the largest number
    if dtype.name == "float8_e4m3fn":
        x = np.clip(x.astype(np.float32), -448, 448)
    return x.astype(dtype.numpy)


def bitcast(x: Array, dtype: DType) -> Array:
    return x.view(dtype.numpy).copy()


def _integer(x: Any, y: Any) -> bool:
    dtype = getattr(x, "dtype", getattr(y, "dtype", None))
    return dtype is not None and dtype.kind in "biu"


def _zero_check(x: Any, y: Any) -> None:
    if _integer(x, y) and not np.all(y):
        raise RuntimeError("ZeroDivisionError")


def floor_divide(x: Any, y: Any) -> Any:
    _zero_check(x, y)
    if _integer(x, y):
        return np.floor_divide(x, y)
    out = np.floor_divide(x, y)
    exact = np.divide(x, y)
    return np.where(y == 0, exact, out)


def trunc_divide(x: Any, y: Any) -> Any:
    _zero_check(x, y)
    if not _integer(x, y):
        return np.trunc(np.divide(x, y))
    quotient = np.floor_divide(x, y)
    return quotient + ((quotient < 0) & (quotient * y != x))


def remainder(x: Any, y: Any) -> Any:
    _zero_check(x, y)
    if np.result_type(x, y).kind != "f":
        return np.remainder(x, y)
    rest = np.fmod(x, y)  # a zero keeps the sign of x, as it does in PyTorch
    return np.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest).astype(rest.dtype, copy=False)


def fmod(x: Any, y: Any) -> Any:
    _zero_check(x, y)
    return np.fmod(x, y)


def fma(x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once: in float64 from the exact product and the sum's error,
    in float32 with a sum rounded to odd before."""
    dtype = next(a.dtype for a in (x, y, z) if isinstance(a, np.ndarray))
    if dtype not in (np.float32, np.float64):
        return x * y + z
    x, y, z = (np.asarray(a, dtype).astype(np.float64) for a in (x, y, z))
    product = x * y
    total = product + z
    part = total - product
    lost = (product - (total - part)) + (z - part)
    if dtype == np.float64:
        return np.where(np.isfinite(lost), total + (lost + _product_error(x, y, product)), total)
    even = (np.asarray(total).view(np.int64) & 1) == 0
    odd = np.nextafter(total, np.copysign(np.inf, lost))
    return np.where(even & np.isfinite(lost) & (lost != 0), odd, total).astype(np.float32)


def _product_error(x: Array, y: Array, product: Array) -> Array:
    """x y - product, exactly where nothing overflows (Dekker 1971): halves of the numbers have exact products."""
    (a, b), (c, d) = ((high, v - high) for v in (x, y) for high in [(v * 134217729.0) - ((v * 134217729.0) - v)])
    error = ((a * c - product) + a * d + b * c) + b * d
    return np.where(np.isfinite(error), error, 0.0)


def power(x: Any, y: Any) -> Any:
    dtype = getattr(x, "dtype", None) or y.dtype
    if dtype.kind == "c" and isinstance(y, np.ndarray):  # PyTorch's exp(y log(x)) of zeros
        return np.where((np.asarray(x) == 0) & (y == 0), dtype.type(complex("nan+nanj")), np.power(x, y))
    if dtype.kind not in "iu":
        return np.power(x, y) if dtype.kind != "b" else np.logical_or(x, np.logical_not(y))
    if not isinstance(y, np.ndarray):
        if y >= 0:
            return np.power(x, y)
        y = np.asarray(y, np.int64 if dtype.kind == "i" else dtype)
    negative = y < 0
    if not np.any(negative):
        return np.power(x, y)
    # integers to a negative power: 1 for a base of 1, ±1 for -1, else 0
    base = np.asarray(x)
    inverse = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (y % 2), 0))
    return np.where(negative, inverse, np.power(base, np.where(negative, 0, y)))


def shift_left(x: Any, y: Any) -> Any:
    bits = (x if isinstance(x, np.ndarray) else y).dtype.itemsize * 8
    return np.where((np.asarray(y) < 0) | (np.asarray(y) >= bits), 0, np.left_shift(x, np.clip(y, 0, bits - 1)))


def shift_right(x: Any, y: Any) -> Any:
    bits = (x if isinstance(x, np.ndarray) else y).dtype.itemsize * 8
    bad = (np.asarray(y) < 0) | (np.asarray(y) >= bits)
    return np.right_shift(x, np.where(bad, bits - 1, y))


def complex_of(x: Array, y: Array) -> Array:
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), np.result_type(x, np.complex64))
    out.real, out.imag = x, y
    return out


def write(overwrite: bool, base: Array, value: Array, target: Spec) -> Array:
    """`base` with `value` stored through the view `target`."""
    if not overwrite:
        base = base.copy()
    _through(base, target)[...] = value
    return base


def write_bytes(base: Array, value: Array, target: Spec) -> Array:
    """`base` with `value` stored through a view of another dtype."""
    base = base.copy()
    _through(base.view(np.uint8).view(target.dtype.numpy), target)[...] = value
    return base


def unview(x: Array, size: int, target: Spec) -> Array:
    """Zeros with x added through a view; elements that the view shows twice receive the sum."""
    out = np.zeros(size, x.dtype)
    if any(s == 0 and n > 1 for s, n in zip(target.strides, target.shape)) or _overlaps(target):
        where = _through(np.arange(size), target)
        np.add.at(out, where.reshape(-1), x.reshape(-1))
    else:
        _through(out, target)[...] = x
    return out


def _overlaps(s: Spec) -> bool:
    pairs = sorted((st, n) for st, n in zip(s.strides, s.shape) if n > 1)
    reach = 0
    for stride, n in pairs:
        if stride <= reach:
            return True
        reach += stride * (n - 1)
    return False


def _through(flat: Array, s: Spec) -> Array:
    if s.numel == 0:
        return np.empty(s.shape, flat.dtype)
    size = flat.dtype.itemsize
    raw = flat.view(np.uint8) if flat.dtype.kind == "V" or flat.dtype.name == "bfloat16" else flat
    return np.ndarray(s.shape, flat.dtype, raw, s.offset * size, tuple(n * size for n in s.strides))


def arange(start: Any, step: Any, size: int, dtype: DType) -> Array:
    if dtype.kind in "iub":
        return (int(start) + int(step) * np.arange(size, dtype=np.int64)).astype(dtype.numpy)
    return (start + step * np.arange(size, dtype=np.float64)).astype(dtype.numpy)


def constant_pad(x: Array, value: Any, pads: tuple[tuple[int, int], ...]) -> Array:
    crop = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, pads))
    return np.pad(x[crop], [(max(0, a), max(0, b)) for a, b in pads], constant_values=value)


def dropout(x: Array, p: float, seed: int) -> tuple[Array, Array]:
    mask = splitmix.keep(p, seed, x.shape)
    return np.where(mask, x * (1 / (1 - p) if p < 1 else 0.0), np.zeros((), x.dtype)).astype(x.dtype), mask


def linear(x: Array, w: Array, b: Array) -> Array:
    out = linear_no_bias(x, w)
    out += b
    return out


def linear_no_bias(x: Array, w: Array) -> Array:
    if x.ndim == 2:
        return sums.product(x, w.T)
    return sums.product(x.reshape(prod(x.shape[:-1]), x.shape[-1]), w.T).reshape(*x.shape[:-1], w.shape[0])


def softmax(x: Array, dim: int) -> Array:
    if x.size == 0:
        return x.copy()
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


def log_softmax(x: Array, dim: int) -> Array:
    if x.size == 0:
        return x.copy()
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def softmax_grad(y: Array, p: Array, dim: int) -> Array:
    out = y * p
    np.subtract(y, out.sum(axis=dim, keepdims=True), out=out)
    out *= p
    return out


def log_softmax_grad(y: Array, out: Array, dim: int) -> Array:
    p = np.exp(out)
    p *= y.sum(axis=dim, keepdims=True)
    return np.subtract(y, p, out=p)


SCALAR_FUNCTIONS: dict[str, Kernel] = {f"scalar_{n}": getattr(operator, n)
                                       for n in ("add", "sub", "mul", "truediv", "neg", "pow")}
OVERWRITING = frozenset(("write", "index_put", "scatter", "scatter_add", "scatter_reduce"))
KERNELS: dict[str, Kernel] = {
    "sigmoid": sigmoid, "cast": cast, "bitcast": bitcast, "floor_divide": floor_divide, "trunc_divide": trunc_divide,
    "remainder": remainder, "fmod": fmod, "fma": fma, "pow": power, "bitwise_left_shift": shift_left,
    "bitwise_right_shift": shift_right,
    "complex": complex_of, "write": write, "write_bytes": write_bytes, "unview": unview, "arange": arange,
    "constant_pad": constant_pad,
    "random_mask": splitmix.keep, "dropout": dropout, "linear": linear, "linear_no_bias": linear_no_bias,
    "softmax": softmax, "log_softmax": log_softmax, "softmax_grad": softmax_grad, "log_softmax_grad": log_softmax_grad,
    "sum": sums.sum_of, "matmul": sums.product, **SCALAR_FUNCTIONS, **indexing.KERNELS, **loss.KERNELS,
}
# Kernels in files of their own, imported when first used: file -> names of rows (a row's function has the row's name)
FILES: dict[str, str] = {
    "conv": "convolution convolution_bias convolution_input_grad convolution_weight_grad",
    "linalg_rows": "cholesky inv solve solve_triangular cholesky_solve cholesky_inverse det slogdet qr svd eigh eig matrix_exp fft ifft cholesky_ex inv_ex solve_ex lu_factor lu_order pinv ldl_factor ldl_solve",
    "pool": "max_pool max_pool_grad avg_pool avg_pool_grad",
    "quantized": "qlinear qconv qpool",
    "attention": "sdpa sdpa_grad",
    "ctc": "ctc ctc_grad",
    "recurrent": "lstm_layer lstm_layer_grad gru_layer gru_layer_grad rnn_layer rnn_layer_grad",
    "scan": "cumsum cumprod cummax cummin logcumsumexp",
    "selection": "sort topk kthvalue median nanmedian mode max_dim min_dim argmax argmin",
    "special": """erf erfc erfinv lgamma digamma polygamma i0 i0e i1 i1e ndtri log_ndtr zeta igamma igammac xlogy xlog1py erfcx ndtr entr
        spherical_bessel_j0 airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0
        scaled_modified_bessel_k1""",
    "special_polynomials": """chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
        shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
        hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p""",
}


def deferred(file: str, name: str) -> Kernel:
    """A kernel whose file is imported at the first call."""
    found: Kernel | None = None

    def kernel(*args: Any) -> Any:
        nonlocal found
        if found is None:
            found = getattr(importlib.import_module(f"rushlight.exec.numpy.{file}"), name)
        return found(*args)
    return kernel


KERNELS.update((name, deferred(file, name)) for file, names in FILES.items() for name in names.split())
