"""Discrete Fourier transforms (torch.fft): compositions over the two rows `fft`
and `ifft`, so gradients are those rows' own.

A real transform keeps the non-negative frequencies of the complex one. Its inverse counts each frequency that stands
for a conjugate pair twice and takes the real part, which is what completing the Hermitian spectrum would give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType, float32
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, wrap
from rushlight.tensor.functions.common import cast, give, need_tensor, scalar_name, to_float, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.turning import roll
from rushlight.tensor.state import settings, state

Transform = Callable[..., Tensor]
Rule = Callable[..., Any]
SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
HALVES = ("float16", "bfloat16")


# --- checks -------------------------------------------------------------------------------------------------------
def norm_of(norm: str | None) -> str:
    """The normalisation by its full name; RuntimeError for an unknown one."""
    if norm is None:
        return "backward"
    if norm not in SWAPPED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}". Choose "backward", "forward" or "ortho".')
    return norm


def floating(name: str, x: Any) -> Tensor:
    """A tensor in a type that transforms know: integers in the default float type, under autocast half precision in single."""
    need_tensor(f"fft_{name}", 1, "input", x)
    if state.autocast is not None and x._spec.dtype.name in HALVES:
        return cast(x, float32)
    if x._spec.dtype.name in HALVES:
        raise RuntimeError(f"Unsupported dtype {scalar_name(x._spec.dtype)}. "
                           "Convert the input, for example with .float().")
    return to_float(x)


def complex_of(name: str, x: Any) -> Tensor:
    """A tensor in the complex type of its precision."""
    x = floating(name, x)
    return cast(x, x._spec.dtype.to_complex())


def real_of(name: str, x: Any) -> Tensor:
    """A real tensor in the complex type; RuntimeError for a complex one."""
    if isinstance(x, Tensor) and x._spec.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {scalar_name(x._spec.dtype)}. "
                           "Use the transform of complex signals.")
    return complex_of(name, x)


def axis(x: Tensor, dim: int) -> int:
    """A dimension counted from the front; IndexError where the tensor has no such dimension."""
    if not x._spec.shape:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, len(x._spec.shape))


def points(n: int) -> int:
    """A length of at least 1."""
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified. A transform needs at least one.")
    return int(n)


def sizes_and_dims(x: Tensor, s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """The lengths (-1: as they are) and dimensions of a transform over several dimensions."""
    ndim = len(x._spec.shape)
    s = None if s is None else [s] if isinstance(s, int) else [int(n) for n in s]
    if dim is not None:
        dims = [wrap_dim(d, ndim) if ndim else axis(x, d) for d in ([dim] if isinstance(dim, int) else dim)]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"FFT dims must be unique. Got {dims}.")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length. "
                               f"Got {len(dims)} dims and {len(s)} sizes.")
    elif s is not None:
        if len(s) > ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions.")
        dims = list(range(ndim - len(s), ndim))
    else:
        dims = list(range(ndim))
    return s if s is not None else [-1] * len(dims), dims


def some(name: str, dims: list[int]) -> None:
    """RuntimeError where a real transform has no dimension."""
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis. Name it with dim=.")


# --- parts --------------------------------------------------------------------------------------------------------
def resized(x: Tensor, n: int, d: int) -> Tensor:
    """Cut or padded with zeros to n elements of dimension d."""
    have = x._spec.shape[d]
    if have == n:
        return x
    if have > n:
        return x.narrow(d, 0, n)
    pads = tuple((0, n - have if i == d else 0) for i in range(len(x._spec.shape)))
    return apply(TABLE["constant_pad"], (x, 0.0), (pads,))


def transform(row: str, x: Tensor, n: int, d: int, norm: str) -> Tensor:
    """A complex transform of n points along d."""
    return apply(TABLE[row], (resized(x, points(x._spec.shape[d] if n == -1 else n), d),), (d, norm))


def half_forward(x: Tensor, n: int, d: int, norm: str) -> Tensor:
    """The non-negative frequencies of n real points (given as complex numbers)."""
    n = points(x._spec.shape[d] if n == -1 else n)
    return transform("fft", x, n, d, norm).narrow(d, 0, n // 2 + 1)


def half_backward(x: Tensor, n: int, d: int, norm: str) -> Tensor:
    """n real points from their non-negative frequencies."""
    n = points(2 * (x._spec.shape[d] - 1) if n == -1 else n)
    kept = n // 2 + 1
    pairs = np.full(kept, 2.0)
    pairs[0] = 1
    if n % 2 == 0:
        pairs[-1] = 1
    weights = wrap(pairs.astype(x._spec.dtype.numpy)).reshape([-1 if i == d else 1 for i in range(len(x._spec.shape))])
    return transform("ifft", resized(x, kept, d) * weights, n, d, norm).real


def along(row: str, x: Tensor, sizes: list[int], dims: list[int], norm: str) -> Tensor:
    """A complex transform over several dimensions, the last one first."""
    for n, d in zip(reversed(sizes), reversed(dims)):
        x = transform(row, x, n, d, norm)
    return x


# --- one dimension ------------------------------------------------------------------------------------------------
ONE = """{title}

    ``input``: any real or complex tensor ({kind}); ``n``: the number of points, to which the input is cut or padded
    with zeros; ``norm``: where the factor 1/n goes, "backward" (inverse transforms), "forward", or "ortho" (its root
    on both). RuntimeError for n < 1, an unknown norm or half precision, IndexError for a wrong dim.

    >>> import rushlight as rl
    >>> {example}
    """


def one(name: str, title: str, prepare: Rule, compute: Rule, kind: str, example: str) -> Transform:
    """The public function of a transform along one dimension."""
    def function(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *,
                 out: Tensor | None = None) -> Tensor:
        x = prepare(name, input)
        return give(out, compute(x, -1 if n is None else points(n), axis(x, dim), norm_of(norm)))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = ONE.format(title=title, kind=kind, example=example)
    return function


hermitian: Rule = lambda x, n, d, norm: half_backward(x.conj(), n, d, SWAPPED[norm])
inverse_hermitian: Rule = lambda x, n, d, norm: half_forward(x, n, d, SWAPPED[norm]).conj()
forward: Rule = lambda x, n, d, norm: transform("fft", x, n, d, norm)
backward: Rule = lambda x, n, d, norm: transform("ifft", x, n, d, norm)

fft = one("fft", "The transform X_k = Σ_j x_j exp(-2πi jk/n).", complex_of, forward, "the result is complex",
          "rl.fft.fft(rl.tensor([1., 0., 0.])).real\n    tensor([1., 1., 1.])")
ifft = one("ifft", "The inverse of `fft`: x_j = 1/n Σ_k X_k exp(2πi jk/n).", complex_of, backward,
           "the result is complex",
           "rl.fft.ifft(rl.tensor([3., 0., 0.])).real\n    tensor([1., 1., 1.])")
rfft = one("rfft", "The n // 2 + 1 non-negative frequencies of a real signal.", real_of, half_forward,
           "real only; the result is complex",
           "rl.fft.rfft(rl.ones(4)).shape\n    torch.Size([3])")
irfft = one("irfft", "The real signal of n points (2 (m - 1) by default) with these m non-negative frequencies.",
            complex_of, half_backward,
            "the result is real", "rl.fft.irfft(rl.tensor([4., 0., 0.]))\n    tensor([1., 1., 1., 1.])")
hfft = one("hfft", "The real spectrum of n points of a Hermitian signal of which one half is given.", complex_of,
           hermitian, "the result is real", "rl.fft.hfft(rl.tensor([1., 0., 0.]))\n    tensor([1., 1., 1., 1.])")
ihfft = one("ihfft", "The inverse of `hfft`: half of a Hermitian signal from its real spectrum.", real_of,
            inverse_hermitian, "real only; the result is complex",
            "rl.fft.ihfft(rl.ones(4)).real\n    tensor([1., 0., 0.])")


# --- several dimensions -------------------------------------------------------------------------------------------
def complex_many(row: str, name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Tensor:
    x = complex_of(name, x)
    return along(row, x, *sizes_and_dims(x, s, dim), norm_of(norm))


def to_half(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Tensor:
    """rfftn and ihfftn: the real transform of the last dimension first."""
    inverse = name.startswith("ihfft")
    if isinstance(x, Tensor) and x._spec.dtype.is_complex:
        kind = scalar_name(x._spec.dtype)
        raise RuntimeError(f"Only supports floating-point dtypes, but found: {kind}" if inverse else
                           f"{name} expects a real-valued input tensor, but got {kind}. Use fftn for complex signals.")
    x = complex_of(name, x)
    (sizes, dims), how = sizes_and_dims(x, s, dim), norm_of(norm)
    some(name, dims)
    first = inverse_hermitian if inverse else half_forward
    return along("ifft" if inverse else "fft", first(x, sizes[-1], dims[-1], how), sizes[:-1], dims[:-1], how)


def from_half(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Tensor:
    """irfftn and hfftn: the real transform of the last dimension last."""
    x = complex_of(name, x)
    (sizes, dims), how = sizes_and_dims(x, s, dim), norm_of(norm)
    some(name, dims)
    last = hermitian if name.startswith("hfft") else half_backward
    return last(along("fft" if name.startswith("hfft") else "ifft", x, sizes[:-1], dims[:-1], how),
                sizes[-1], dims[-1], how)


MANY = """`{base}` over {which}.

    ``s``: the number of points of each transformed dimension (-1: as it is); ``dim``: the dimensions, {default};
    ``norm``: as in `{base}`. RuntimeError for lengths below 1, repeated dimensions, or sizes and dimensions that do not match.

    >>> import rushlight as rl
    >>> rl.fft.{name}({example}).shape
    {shape}
    """
SHAPES = {"fft": ("torch.Size([2, 4])", "rl.ones(2, 4)"), "ifft": ("torch.Size([2, 4])", "rl.ones(2, 4)"),
          "rfft": ("torch.Size([2, 3])", "rl.ones(2, 4)"), "irfft": ("torch.Size([2, 4])", "rl.ones(2, 3)"),
          "hfft": ("torch.Size([2, 4])", "rl.ones(2, 3)"), "ihfft": ("torch.Size([2, 3])", "rl.ones(2, 4)")}
COMPUTE: dict[str, Rule] = {"fft": lambda *a: complex_many("fft", *a), "ifft": lambda *a: complex_many("ifft", *a),
                            "rfft": to_half, "ihfft": to_half, "irfft": from_half, "hfft": from_half}


def many(base: str) -> tuple[Transform, Transform]:
    """The n-dimensional and the two-dimensional public function."""
    compute = COMPUTE[base]

    def n_dimensional(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *,
                      out: Tensor | None = None) -> Tensor:
        return give(out, compute(base + "n", input, s, dim, norm))

    def two_dimensional(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *,
                        out: Tensor | None = None) -> Tensor:
        return give(out, compute(base + "2", input, s, dim, norm))
    for function, name, which, default in ((n_dimensional, base + "n", "several dimensions",
                                            "all, or the last len(s), by default"),
                                           (two_dimensional, base + "2", "two dimensions", "the last two by default")):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = MANY.format(base=base, name=name, which=which, default=default, shape=SHAPES[base][0],
                                       example=SHAPES[base][1])
    return n_dimensional, two_dimensional


fftn, fft2 = many("fft")
ifftn, ifft2 = many("ifft")
rfftn, rfft2 = many("rfft")
irfftn, irfft2 = many("irfft")
hfftn, hfft2 = many("hfft")
ihfftn, ihfft2 = many("ihfft")


# --- frequencies --------------------------------------------------------------------------------------------------
def _shifted(input: Tensor, dim: Any, sign: int) -> Tensor:
    ndim = len(input._spec.shape)
    dims = tuple(range(ndim)) if dim is None else tuple(wrap_dim(d, ndim)
                                                        for d in ((dim,) if isinstance(dim, int) else dim))
    half = [input._spec.shape[d] // 2 if sign > 0 else (input._spec.shape[d] + 1) // 2 for d in dims]
    return roll(input, tuple(half), dims) if dims else input.clone()


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The zero frequency moved to the middle of the dimensions `dim` (all by default).

    >>> import rushlight as rl
    >>> rl.fft.fftshift(rl.tensor([0, 1, 2, -2, -1]))
    tensor([-2, -1,  0,  1,  2])
    """
    return _shifted(input, dim, 1)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> import rushlight as rl
    >>> rl.fft.ifftshift(rl.tensor([-2, -1, 0, 1, 2]))
    tensor([ 0,  1,  2, -2, -1])
    """
    return _shifted(input, dim, -1)


def _frequencies(name: str, n: int, d: float, dtype: DType | None, whole: bool, device: Any,
                 requires_grad: bool) -> Tensor:
    from rushlight.tensor.device import check_device
    if device is not None:
        check_device(device)
    kind = dtype or settings.default_dtype
    if kind.kind not in "fc":
        raise RuntimeError(f"{name} requires a floating point or complex dtype, not {kind}")
    steps = np.arange(n) if whole else np.arange(n // 2 + 1)
    if whole:
        steps[(n + 1) // 2:] -= n
    out = wrap((steps / (n * d) if n else steps * 1.0).astype(kind.numpy))
    return out.requires_grad_(requires_grad)


def fftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
            device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies of `fft` of n points at distance d, in cycles per unit: [0, 1, …, -2, -1] / (n d).

    >>> import rushlight as rl
    >>> rl.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    return give(out, _frequencies("fftfreq", n, d, dtype, True, device, requires_grad))


def rfftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
             device: Any = None, requires_grad: bool = False) -> Tensor:
    """The frequencies of `rfft` of n points at distance d: [0, 1, …, n // 2] / (n d).

    >>> import rushlight as rl
    >>> rl.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    return give(out, _frequencies("rfftfreq", n, d, dtype, False, device, requires_grad))


__all__ = ["fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft", "irfft", "rfft2", "irfft2", "rfftn", "irfftn",
           "hfft", "ihfft", "fftfreq", "rfftfreq",
           "fftshift", "ifftshift", "hfft2", "ihfft2", "hfftn", "ihfftn"]
take_numpy_names(globals(), __all__)
