"""Window functions (torch.signal.windows). A window of M points is symmetric,
or with sym=False one period of a periodic one.

They are constants: the formula is evaluated in double precision over the sample numbers and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi, sqrt
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.device import check_device
from rushlight.tensor.state import settings

Array = np.ndarray[Any, Any]
ARGUMENTS = """
    ``M``: the number of points, not negative; ``sym=False`` leaves out the last of M + 1 points; ``dtype``: float32 or
    float64. ValueError for other types, other layouts, or a negative M.
"""


def checked(name: str, M: int, dtype: DType | None, layout: Any, device: Any) -> DType:
    """The dtype of a window; ValueError for arguments that no window takes."""
    kind = dtype or settings.default_dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and str(layout) != "torch.strided":
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if kind.name not in ("float32", "float64"):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    if device is not None:
        check_device(device)
    return kind


def made(values: Array, dtype: DType, requires_grad: bool) -> Tensor:
    """The tensor of a window; one point is 1."""
    return wrap((values if values.size != 1 else np.ones(1)).astype(dtype.numpy)).requires_grad_(requires_grad)


def span(M: int, sym: bool) -> int:
    """The distance from the first point to the one that would repeat it, in samples; 1 at least."""
    return max(1, M - 1 if sym else M)


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, dtype: DType | None = None, layout: Any = None,
                   device: Any = None, requires_grad: bool = False) -> Tensor:
    """Σ_i (-1)^i a_i cos(2π i n / N), N = M - 1 (M if not sym).

    ``a``: the coefficients, not empty.
    >>> import rushlight as rl
    >>> rl.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    kind = checked("general_cosine", M, dtype, layout, device)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = [float(v) for v in a]
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    angle = 2 * pi * np.arange(M) / span(M, sym)
    values = sum((-1) ** i * w * np.cos(i * angle) for i, w in enumerate(weights))
    return made(np.asarray(values), kind, requires_grad)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, dtype: DType | None = None, layout: Any = None,
                    device: Any = None, requires_grad: bool = False) -> Tensor:
    """α - (1 - α) cos(2π n / N).

    >>> import rushlight as rl
    >>> rl.signal.windows.general_hamming(3, alpha=0.5)
    tensor([0., 1., 0.])
    """
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def _cosine_family(name: str, weights: tuple[float, ...], text: str) -> Any:
    def function(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None,
                 requires_grad: bool = False) -> Tensor:
        return general_cosine(M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device,
                              requires_grad=requires_grad)
    function.__name__ = function.__qualname__ = name
    terms = "".join(f" {'-' if i % 2 else '+'} {w} cos({2 * i}π n / N)" for i, w in enumerate(weights) if i)
    function.__doc__ = f"""{text}: {weights[0]}{terms}, N = M - 1 (M if not sym).
{ARGUMENTS}
    >>> import rushlight as rl
    >>> rl.signal.windows.{name}(3)[1]
    tensor(1.)
    """
    return function


hann = _cosine_family("hann", (0.5, 0.5), "The Hann window")
hamming = _cosine_family("hamming", (0.54, 0.46), "The Hamming window")
blackman = _cosine_family("blackman", (0.42, 0.5, 0.08), "The Blackman window")
nuttall = _cosine_family("nuttall", (0.3635819, 0.4891775, 0.1365995, 0.0106411),
                         "The minimum 4-term Blackman-Harris window of Nuttall")


def bartlett(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    """The triangle 1 - |2 n / N - 1|.

    >>> import rushlight as rl
    >>> rl.signal.windows.bartlett(3)
    tensor([0., 1., 0.])
    """
    kind = checked("bartlett", M, dtype, layout, device)
    return made(1 - np.abs(2 * np.arange(M) / span(M, sym) - 1), kind, requires_grad)


def cosine(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False) -> Tensor:
    """Half a wave: sin(π (n + 1/2) / M), or M + 1 for M if not sym.

    >>> import rushlight as rl
    >>> rl.signal.windows.cosine(3)
    tensor([0.5000, 1.0000, 0.5000])
    """
    kind = checked("cosine", M, dtype, layout, device)
    return made(np.sin(pi * (np.arange(M) + 0.5) / max(1, M if sym else M + 1)), kind, requires_grad)


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: DType | None = None,
                layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """exp(-|n - center| / tau); center = N / 2 by default, and always if sym. ValueError for tau <= 0.

    >>> import rushlight as rl
    >>> rl.signal.windows.exponential(3)
    tensor([0.3679, 1.0000, 0.3679])
    """
    kind = checked("exponential", M, dtype, layout, device)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = (M if not sym and M > 1 else M - 1) / 2 if center is None else center
    values = np.exp(-np.abs(np.arange(M) - middle) / tau)
    return wrap(values.astype(kind.numpy)).requires_grad_(requires_grad)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, layout: Any = None,
             device: Any = None, requires_grad: bool = False) -> Tensor:
    """exp(-((n - N / 2) / std)² / 2). ValueError for std <= 0.

    >>> import rushlight as rl
    >>> rl.signal.windows.gaussian(3)
    tensor([0.6065, 1.0000, 0.6065])
    """
    kind = checked("gaussian", M, dtype, layout, device)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    middle = (M if not sym and M > 1 else M - 1) / 2
    values = np.exp(-((np.arange(M) - middle) / (std * sqrt(2))) ** 2)
    return wrap(values.astype(kind.numpy)).requires_grad_(requires_grad)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, layout: Any = None,
           device: Any = None, requires_grad: bool = False) -> Tensor:
    """I0(β sqrt(1 - (2 n / N - 1)²)) / I0(β). ValueError for beta < 0.

    >>> import rushlight as rl
    >>> rl.signal.windows.kaiser(3, beta=0.0)
    tensor([1., 1., 1.])
    """
    kind = checked("kaiser", M, dtype, layout, device)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    place = 2 * np.arange(M) / span(M, sym) - 1
    return made(np.i0(beta * np.sqrt(np.maximum(0, 1 - place * place))) / np.i0(beta), kind, requires_grad)


for _function in (bartlett, cosine, exponential, gaussian, kaiser, general_hamming):
    _head, _, _rest = (_function.__doc__ or "").partition("\n")
    _function.__doc__ = f"{_head}\n{ARGUMENTS}{_rest}"

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
           "hann", "kaiser", "nuttall"]
