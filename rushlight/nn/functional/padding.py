"""Padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.formats import contiguous_format
from rushlight.tensor.functions.combined import constant_pad_nd
from rushlight.tensor.functions.joining import cat
from rushlight.tensor.functions.shape import as_images, clone, expand


FEW = 1 << 12  # elements below which one operation counts more than what it costs


def _source(mode: str, n: int, before: int, after: int) -> np.ndarray:
    """Which element each position of a padded dimension shows."""
    i = np.arange(-before, n + after)
    if mode == "reflect":
        return (n - 1) - np.abs((n - 1) - np.abs(i)) if n > 1 else np.zeros_like(i)
    return np.clip(i, 0, n - 1) if mode == "replicate" else i % n


def _before(x: Tensor, d: int, mode: str, width: int) -> Tensor:
    """What stands before a dimension, from its first elements (the last ones if circular): a copy of what borders on it, and no index
    for each element."""
    if mode == "replicate":
        return expand(x.narrow(d, 0, 1), [width if i == d else n for i, n in enumerate(x.shape)])
    return x.narrow(d, x.shape[d] - width, width) if mode == "circular" else x.narrow(d, 1, width).flip(d)


def _after(x: Tensor, d: int, mode: str, width: int) -> Tensor:
    """What stands after it."""
    n = x.shape[d]
    if mode == "replicate":
        return expand(x.narrow(d, n - 1, 1), [width if i == d else n for i, n in enumerate(x.shape)])
    return x.narrow(d, 0, width) if mode == "circular" else x.narrow(d, n - 1 - width, width).flip(d)


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added around the last dimensions: (left, right, top, bottom, …),
    constant, reflect, replicate or circular.

    ``pad`` has two numbers for each padded dimension, the last dimension first. RuntimeError for pairs that do
    not fit the shape.

    >>> import rushlight as rl
    >>> rl.nn.functional.pad(rl.tensor([[1, 2]]), (1, 1), value=9)
    tensor([[9, 1, 2, 9]])
    """
    widths = [int(v) for v in pad]
    if mode == "constant":
        return constant_pad_nd(input, widths, 0 if value is None else value)
    as_it_is = mode == "circular" or mode == "reflect" and len(widths) == 6  # of volumes: not among autocast's names
    return (_shown_again if as_it_is else _shown_in_full)(input, widths, mode, value)


def _shown_again(input: Tensor, widths: list[int], mode: str, value: float | None) -> Tensor:
    """Padding with elements of the input."""
    images = input
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    k = len(widths) // 2
    if len(widths) % 2 or input.ndim not in (k + 1, k + 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now; "
                                  f"got pad={widths} for {input.ndim} dimensions")
    if any(n == 0 for n in input.shape[1:]):
        raise RuntimeError(f"Expected {k + 1}D or {k + 2}D (batch mode) tensor with possibly 0 batch size "
                           f"and other non-zero dimensions for input, but got: {list(input.shape)}")
    for j in range(k):
        d = input.ndim - 1 - j
        a, b = widths[2 * j], widths[2 * j + 1]
        n = input.shape[d]
        if mode == "reflect" and (a >= n or b >= n):
            raise RuntimeError("Argument #4: Padding size should be less than the corresponding input dimension, "
                               f"but got: padding ({a}, {b}) at dimension {d} of input {list(input.shape)}")
        if mode == "circular" and (a > n or b > n):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n + a + b < 1:
            raise RuntimeError(f"input (size: {n}) at dimension {d} is too small with padding ({a}, {b})")
        if a or b:
            # negative widths cut off, as circular padding does before it copies
            if mode == "circular" and min(a, b) < 0:
                input = input.narrow(d, max(0, -a), n - max(0, -a) - max(0, -b))
                a, b, n = max(0, a), max(0, b), input.shape[d]
            if a < 0 or b < 0 or mode == "circular" and max(a, b) > n or input.numel() < FEW:
                input = input.index_select(d, wrap(_source(mode, n, a, b)))
            else:
                input = cat([*([_before(input, d, mode, a)] if a else ()), input, *([_after(input, d, mode, b)] if b else ())], d)
    if mode == "circular":  # dense in the ordinary order, whatever the image suggests
        return clone(input, memory_format=contiguous_format) if input is images else input.contiguous()
    return as_images(input, images)


_shown_in_full = full(_shown_again)
