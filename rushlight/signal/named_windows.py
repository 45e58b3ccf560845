"""torch.hann_window and its kin: the windows of torch.signal.windows, periodic unless asked otherwise."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType, float64
from rushlight.signal import windows
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import ones
from rushlight.tensor.functions.common import cast, scalar_name
from rushlight.tensor.state import settings


def _window(name: str, points: int, periodic: bool, dtype: DType | None, layout: Any, device: Any, requires_grad: bool,
            **shape: float) -> Tensor:
    """The window in a dtype; one point is 1. RuntimeError for a type that is not
    real floating point, or a negative length."""
    kind = dtype or settings.default_dtype
    if kind.kind != "f":
        raise RuntimeError(f"{name}_window expects floating point dtypes, got: {scalar_name(kind)}. "
                           "Pass dtype=torch.float32, for example.")
    if points < 0:
        raise RuntimeError(f"{name}_window requires non-negative window_length, got window_length={points}")
    if points == 1:
        out = ones(1, dtype=float64, device=device)
    else:
        out = getattr(windows, name)(points, sym=not periodic, dtype=float64, layout=layout, device=device, **shape)
    return cast(out, kind).requires_grad_(requires_grad)  # type: ignore[no-any-return]


def hann_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None,
                device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """sin²(π n / N), N = window_length (periodic) or window_length - 1.

    >>> import rushlight as rl
    >>> rl.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann", window_length, periodic, dtype, layout, device, requires_grad)


def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
                   dtype: DType | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
                   requires_grad: bool = False) -> Tensor:
    """alpha - beta cos(2π n / N), N = window_length (periodic) or window_length - 1.

    >>> import rushlight as rl
    >>> rl.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    hann = _window("hann", window_length, periodic, dtype or settings.default_dtype, layout, device, False)
    if window_length > 1:
        kind = hann.dtype
        hann = cast((alpha - beta) + 2 * beta * _window("hann", window_length, periodic,
                                                        float64, layout, device, False), kind)
    return hann.requires_grad_(requires_grad)  # type: ignore[no-any-return]


def blackman_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None,
                    device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """0.42 - 0.5 cos(2π n / N) + 0.08 cos(4π n / N), N = window_length (periodic) or window_length - 1.

    >>> import rushlight as rl
    >>> rl.blackman_window(4)[1:]
    tensor([0.3400, 1.0000, 0.3400])
    """
    return _window("blackman", window_length, periodic, dtype, layout, device, requires_grad)


def bartlett_window(window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None,
                    device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """1 - |2n / N - 1|, N = window_length (periodic) or window_length - 1.

    >>> import rushlight as rl
    >>> rl.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("bartlett", window_length, periodic, dtype, layout, device, requires_grad)


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None,
                  layout: Any = None, device: Any = None, pin_memory: bool = False,
                  requires_grad: bool = False) -> Tensor:
    """I0(beta √(1 - (2n / N - 1)²)) / I0(beta), N = window_length (periodic) or window_length - 1.

    >>> import rushlight as rl
    >>> rl.kaiser_window(3, False)[1]
    tensor(1.)
    """
    return _window("kaiser", window_length, periodic, dtype, layout, device, requires_grad, beta=beta)
