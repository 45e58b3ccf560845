"""Pictures and volumes read at positions of a grid."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from rushlight.ir.dtype import int64
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import zeros_like
from rushlight.tensor.functions import composites, pointwise as P
from rushlight.tensor.functions.common import cast
from rushlight.tensor.functions.joining import stack
from rushlight.tensor.functions.linalg import without_slope
from rushlight.tensor.sequences import linspace


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """Sampling positions of an affine map: theta (n, 2, 3) or (n, 3, 4)."""
    dims = len(size) - 2
    if theta.dtype.kind != "f":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if dims not in (2, 3) or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ValueError(f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} "
                         f"for size {list(size)}. Got {list(theta.shape)}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    axes = []
    for s in reversed(size[2:]):
        line = unwrap(linspace(-1, 1, s, dtype=theta.dtype)) if s > 1 else np.zeros(1, theta.dtype.numpy)
        number = line.dtype.type
        axes.append(line if align_corners else line * number(s - 1) / number(s))
    grids = np.meshgrid(*reversed(axes), indexing="ij")
    base = np.stack([*reversed(grids), np.ones_like(grids[0])], -1).reshape(1, -1, dims + 1)
    out = wrap(base.astype(theta.dtype.numpy)).expand(size[0], -1, -1) @ theta.transpose(1, 2)
    return out.reshape([size[0], *size[2:], dims])


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    """ValueError for modes that there are not, RuntimeError for shapes that do not fit."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', "
                         f"'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', "
                         f"'border', or 'reflection', but got: '{padding_mode}'")
    n = input.ndim - 2
    if n not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, "
                           f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if grid.shape[-1] != n:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {n} in last dimension, "
                           f"but got grid with sizes {list(grid.shape)}")
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, "
                           f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if mode == "bicubic" and n == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if any(s == 0 for s in input.shape[2:]):
        raise RuntimeError("grid_sampler(): expected input to have non-empty spatial dimensions, "
                           f"but input has sizes {list(input.shape)}")


@full
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
    """input (n, c, …) read at grid positions (n, …, dims) in [-1, 1]: (n, c, …); bilinear, nearest or bicubic (pictures only).

    Outside there are zeros, the border, or its reflection. With ``align_corners`` -1 and 1 are the middles of the outermost pixels, else
    their edges. ValueError for other modes, RuntimeError for shapes that do not fit.

    >>> import rushlight as rl
    >>> grid_sample(rl.tensor([[[[1.0, 3.0]]]]), rl.zeros(1, 1, 1, 2), align_corners=False)
    tensor([[[[2.]]]])
    """
    _check(input, grid, mode, padding_mode)
    n = input.ndim - 2
    corners = bool(align_corners)
    spatial = list(input.shape[2:])
    points = [grid[..., n - 1 - d] for d in range(n)]
    points = [((p + 1) / 2 * (s - 1)) if corners else ((p + 1) * s - 1) / 2 for p, s in zip(points, spatial)]
    if mode != "bicubic":
        points = [_folded(p, s, padding_mode, corners) for p, s in zip(points, spatial)]
    shape = [*input.shape[:2], *grid.shape[1:-1]]
    if mode == "nearest":
        out = _read(input, [p.detach().round().unsqueeze(1) for p in points], "zeros", corners).reshape(shape)
        return out + without_slope(zeros_like(points[0]), points[0]).unsqueeze(1) if grid.requires_grad else out
    low = [p.detach().floor() for p in points]
    parts = [p - base for p, base in zip(points, low)]
    if mode == "bilinear":
        at = [stack([base, base + 1], 1) for base in low]
        weights = [stack([1 - part, part], 1) for part in parts]
        return _weighted(input, at, weights, "zeros", corners).reshape(shape)
    at = [stack([base + k for k in range(-1, 3)], 1) for base in low]
    weights = [stack([_cubic_part(part, k) for k in range(-1, 3)], 1) for part in parts]
    rows = [[[both[0][:, k:k + 1], both[1]] for both in (at, weights)] for k in range(4)]  # all 16 at once would take four times the memory
    return reduce(add, [_weighted(input, *row, padding_mode, corners) for row in rows]).reshape(shape)


def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                 align_corners: bool) -> Tensor:
    """`grid_sample` with numbered modes: 0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection.
    RuntimeError for others.

    >>> import rushlight as rl
    >>> rl.grid_sampler(rl.ones(1, 1, 2, 2), rl.zeros(1, 1, 1, 2), 0, 0, False)
    tensor([[[[1.]]]])
    """
    for what, number in (("interpolation", interpolation_mode), ("padding", padding_mode)):
        if number not in (0, 1, 2):
            raise RuntimeError(f"grid_sampler(): unknown {what} mode {number}; the modes are 0, 1 and 2")
    return grid_sample(input, grid, ("bilinear", "nearest", "bicubic")[interpolation_mode],
                       ("zeros", "border", "reflection")[padding_mode], align_corners)


def grid_sampler_2d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """`grid_sampler` of pictures (n, c, h, w).

    >>> import rushlight as rl
    >>> rl.grid_sampler_2d(rl.ones(1, 1, 2, 2), rl.zeros(1, 1, 1, 2), 0, 0, False)
    tensor([[[[1.]]]])
    """
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """`grid_sampler` of volumes (n, c, d, h, w).

    >>> import rushlight as rl
    >>> rl.grid_sampler_3d(rl.ones(1, 1, 2, 2, 2), rl.zeros(1, 1, 1, 1, 3), 0, 0, False)
    tensor([[[[[1.]]]]])
    """
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _folded(p: Tensor, s: int, padding_mode: str, corners: bool) -> Tensor:
    """A position brought inside by the padding mode."""
    if padding_mode == "border":
        return p.clamp(0, s - 1)
    if padding_mode == "reflection":
        low, span = (0.0, float(s - 1)) if corners else (-0.5, float(s))
        if span == 0:
            return p * 0
        q = (p - low).abs()
        turns = (q / span).floor().detach()
        rest = q - turns * span
        odd = turns - (turns / 2).floor() * 2 == 1
        return P.where(odd, span - rest + low, rest + low).clamp(0, s - 1)
    return p


def _read(x: Tensor, at: list[Tensor], padding_mode: str, corners: bool) -> Tensor:
    """x at all combinations of the whole positions (n, k, …) of each dimension: (n, c, k₁ k₂ …, points), zeros outside.

    All of them are one gather, and their gradient one sum at places.
    """
    spatial = x.shape[2:]
    inside: Any = None
    place: Any = None
    for d, (p, s) in enumerate(zip(at, spatial)):
        q = _folded(p, s, padding_mode, corners) if padding_mode != "zeros" else p
        ok = (q >= 0) & (q <= s - 1)
        step = cast(composites.nan_to_num(q).clamp(0, s - 1), int64) * math.prod(spatial[d + 1:])
        inside = ok if inside is None else (inside.unsqueeze(2) & ok.unsqueeze(1)).flatten(1, 2)
        place = step if place is None else (place.unsqueeze(2) + step.unsqueeze(1)).flatten(1, 2)
    n, c = x.shape[:2]
    ways, points = place.shape[1], math.prod(place.shape[2:])
    index = place.reshape(n, 1, ways * points).expand(-1, c, -1)
    found = x.reshape(n, c, math.prod(spatial)).gather(2, index).reshape(n, c, ways, points)
    return P.where(inside.reshape(n, 1, ways, points), found, 0)


def _weighted(x: Tensor, at: list[Tensor], weights: list[Tensor], padding_mode: str, corners: bool) -> Tensor:
    """The sum of what `_read` gives with the weights (n, k, …) of each dimension's positions: (n, c, points)."""
    found = _read(x, at, padding_mode, corners)
    return (found * reduce(_times, weights).reshape([x.shape[0], 1, *found.shape[2:]])).sum(2)


def _times(a: Tensor, b: Tensor) -> Tensor:
    """The weights of all combinations of two dimensions' positions."""
    return (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1, 2)


def _cubic_part(t: Tensor, k: int) -> Tensor:
    a = -0.75
    d = (t - k).abs()
    if k in (0, 1):
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((d - 5) * d + 8) * d * a - 4 * a
