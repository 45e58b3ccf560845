"""Functions on pictures: resizing, sampling, shuffling, sliding blocks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from rushlight.ir.dtype import float64
from rushlight.tensor.autocast import as_given
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions.shape import as_images


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, c r², h, w) → (…, c, h r, w r)."""
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError("pixel_shuffle expects input to have at least 3 dimensions, "
                           f"but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the "
                           f"square of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}")
    k = len(lead)
    x = input.reshape([*lead, c // (r * r), r, r, h, w])
    out = x.permute([*range(k), k, k + 3, k + 1, k + 4, k + 2]).reshape([*lead, c // (r * r), h * r, w * r])
    return as_images(out, input)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, c, h r, w r) → (…, c r², h, w)."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError("pixel_unshuffle expects input to have at least 3 dimensions, "
                           f"but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError("pixel_unshuffle expects height and width to be divisible by downscale_factor, "
                           f"but input.size(-2)={h} / input.size(-1)={w} is not divisible by {r}")
    k = len(lead)
    x = input.reshape([*lead, c, h // r, r, w // r, r])
    out = x.permute([*range(k), k, k + 2, k + 4, k + 1, k + 3]).reshape([*lead, c * r * r, h // r, w // r])
    return as_images(out, input)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of several groups interleaved."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    n, c = input.shape[:2]
    if groups <= 0 or c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return as_images(input.reshape([n, groups, c // groups, *input.shape[2:]]).transpose(1, 2).reshape(input.shape), input)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """channel_shuffle."""
    return channel_shuffle(input, groups)


def _pair(v: Any) -> tuple[int, int]:
    out = (v, v) if isinstance(v, int) else tuple(v)
    return (out[0], out[0]) if len(out) == 1 else (out[0], out[1])


def _blocks(h: int, w: int, k: Any, d: Any, p: Any, s: Any) -> tuple[np.ndarray, int, int]:
    """For each kernel position and block the flat position in the padded picture."""
    lh = (h + 2 * p[0] - d[0] * (k[0] - 1) - 1) // s[0] + 1
    lw = (w + 2 * p[1] - d[1] * (k[1] - 1) - 1) // s[1] + 1
    rows = (np.arange(k[0]) * d[0])[:, None] + (np.arange(max(lh, 0)) * s[0])[None]
    cols = (np.arange(k[1]) * d[1])[:, None] + (np.arange(max(lw, 0)) * s[1])[None]
    index = rows[:, None, :, None] * (w + 2 * p[1]) + cols[None, :, None, :]
    return index.reshape(k[0] * k[1], -1), lh, lw


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Sliding blocks of pictures (n, c, h, w) as columns (n, c kh kw, blocks)."""
    from rushlight.nn.functional.padding import pad
    k, d, p, s = _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    _positive(k, d, p, s)
    if input.ndim not in (3, 4) or any(v == 0 for v in input.shape[-3:]):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
                           f"non-zero dimensions for input, but got: {list(input.shape)}")
    batched = input.ndim == 4
    x = pad(input if batched else input.unsqueeze(0), (p[1], p[1], p[0], p[0]))
    h, w = x.shape[2] - 2 * p[0], x.shape[3] - 2 * p[1]
    index, lh, lw = _blocks(h, w, k, d, p, s)
    if lh < 1 or lw < 1:
        raise RuntimeError(f"Given input with spatial size ({h}, {w}), kernel_size={k}, dilation={d}, "
                           f"padding={p}, calculated shape of the array of sliding blocks as ({lh}, "
                           f"{lw}), but its components must be at least one.")
    out = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])[:, :, wrap(index)].reshape(
        x.shape[0], x.shape[1] * k[0] * k[1], lh * lw)
    return out if batched else out.squeeze(0)


def _positive(k: Any, d: Any, p: Any, s: Any) -> None:
    for name, v, low in (("kernel size", k, 1), ("dilation", d, 1), ("padding", p, 0), ("stride", s, 1)):
        if min(v) < low:
            word = "non-negative" if low == 0 else "greater than zero"
            raise RuntimeError(f"{name} should be {word}, but got {name.split()[0]}_height: "
                               f"{v[0]} {name.split()[0]}_width: {v[1]}")


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Tensor:
    """Columns (n, c kh kw, blocks) summed back into pictures (n, c, h, w)."""
    size, k, d, p, s = _pair(output_size), _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    _positive(k, d, p, s)
    if input.ndim not in (2, 3) or any(v == 0 for v in input.shape[-2:]):
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size "
                           f"and non-zero dimensions for input, but got: {list(input.shape)}")
    batched = input.ndim == 3
    x = input if batched else input.unsqueeze(0)
    if x.shape[1] % (k[0] * k[1]):
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
                           f"but got input.size(1)={x.shape[1]} and kernel_size={k}.")
    index, lh, lw = _blocks(size[0], size[1], k, d, p, s)
    if lh < 1 or lw < 1 or x.shape[2] != lh * lw:
        raise RuntimeError(f"Given output_size={size}, kernel_size={k}, dilation={d}, padding={p}, stride={s}, "
                           "expected size of input's dimension 2 to match the calculated number of sliding "
                           f"blocks {lh} * {lw} = {lh * lw}, but got input.size(2)={x.shape[2]}.")
    c = x.shape[1] // (k[0] * k[1])
    hp, wp = size[0] + 2 * p[0], size[1] + 2 * p[1]
    flat = x.reshape(x.shape[0], c, -1)
    place = wrap(np.ascontiguousarray(index.reshape(-1))).expand(flat.shape)
    out = x.new_zeros(x.shape[0], c, hp * wp).scatter_add(2, place, flat).reshape(x.shape[0], c, hp, wp)
    out = out[:, :, p[0]:hp - p[0], p[1]:wp - p[1]]
    return (out if batched else out.squeeze(0)).contiguous()


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Tensor:
    """Pictures (n, c, …) resized: nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area.

    >>> import rushlight as rl
    >>> rl.nn.functional.interpolate(rl.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    n = input.ndim - 2
    linear_modes = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError("align_corners option can only be set with the interpolating modes: "
                             "linear | bilinear | bicubic | trilinear")
    elif mode not in linear_modes:
        raise NotImplementedError("Input Error: Only 3D, "
                                  f"4D and 5D input Tensors supported (got {input.ndim}D) for the modes: nearest | "
                                  f"linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode})")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    for what, v in (("size", size), ("scale_factor", scale_factor)):
        if isinstance(v, (list, tuple)) and len(v) != n:
            raise ValueError("Input and output must have the same number of spatial dimensions, but got input "
                             f"with spatial dimensions of {list(input.shape[2:])} and output {what} of {v}. "
                             "Please provide input tensor in (N, C, d1, d2, "
                             f"...,dK) format and output {what} in (o1, o2, ...,oK) format.")
    if antialias and not (mode in ("bilinear", "bicubic") and input.ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes "
                         "and requires a 4-D tensor as input")
    if n not in (1, 2, 3) or (mode in linear_modes and linear_modes[mode] != n):
        raise NotImplementedError(f"Got {input.ndim}D input, "
                                  f"but {mode} mode needs {linear_modes.get(mode, n) + 2}D input")
    if size is not None:
        out = [size] * n if isinstance(size, int) else [int(v) for v in size]
        scales: list[Any] = [None] * n
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    else:
        factors = [scale_factor] * n if isinstance(scale_factor, (int, float)) else list(scale_factor)
        out = [int(math.floor(float(s) * f)) for s, f in zip(input.shape[2:], factors)]
        scales = [None] * n if recompute_scale_factor else [float(f) for f in factors]
    if any(o <= 0 for o in out) or any(s <= 0 for s in input.shape[1:]):
        raise RuntimeError("Input and output sizes should be greater than 0, but got input "
                           f"({', '.join(map(str, input.shape[2:]))}) output ({', '.join(map(str, out))})")
    if mode == "area":
        from rushlight.nn.functional import pooling
        return getattr(pooling, f"adaptive_avg_pool{n}d")(input, out)
    return _resize(input, out, scales, mode, bool(align_corners), antialias)


@as_given
def _resize(x: Tensor, out: list[int], scales: list[Any], mode: str, corners: bool, antialias: bool) -> Tensor:
    whole, images = x.dtype.kind in "ui", x
    if whole and mode in ("bilinear", "bicubic"):
        return _resize_bytes(x, out, scales, mode, corners, antialias)
    for i, (o, scale) in enumerate(zip(out, scales)):
        d = 2 + i
        s = x.shape[d]
        if mode == "nearest" and o == s and len(out) == 2:  # as in PyTorch; of one and three dimensions the scale counts there
            continue
        if mode.startswith("nearest"):
            step = 1 / scale if scale else s / o
            half = 0.5 if mode == "nearest-exact" else 0.0
            at = np.minimum(np.floor((np.arange(o, dtype=np.float32) + np.float32(half)) * np.float32(step)).astype(np.int64), s - 1)
            times = o // s
            if o == s * times and np.array_equal(at, np.arange(o) // times):
                x = _repeated(x, d, times)
            else:
                x = x.index_select(d, wrap(at))
        else:
            weights = _weights(s, o, scale, mode == "bicubic", corners, antialias)
            if weights is not None:
                work = x.to(_float_of(x)) if whole else x
                x = (work.movedim(d, -1) @ wrap(weights.T.copy()).to(work.dtype)).movedim(-1, d)
    return as_images(P.clamp(x.round(), 0, 255).to(_uint8()) if whole and not mode.startswith("nearest") else x, images)


def _repeated(x: Tensor, dim: int, times: int) -> Tensor:
    """Every element of a dimension so many times, one behind the other."""
    if times == 1:
        return x
    shape = tuple(x.shape)
    return x.unsqueeze(dim + 1).expand((*shape[:dim + 1], times, *shape[dim + 1:])).reshape((*shape[:dim], shape[dim] * times, *shape[dim + 1:]))


def _resize_bytes(x: Tensor, out: list[int], scales: list[Any], mode: str, corners: bool, antialias: bool) -> Tensor:
    """Pictures of bytes, as PyTorch (and Pillow) resize them: 16-bit weights,
    width first, rounded to bytes after each dimension."""
    images = x
    for i in (1, 0):
        d = 2 + i
        weights = _weights(x.shape[d], out[i], scales[i], mode == "bicubic", corners, antialias)
        if weights is None:
            continue
        bits = next((b for b in range(22) if int(0.5 + weights.max() * (1 << (b + 1))) >= 1 << 15), 22)
        whole = np.trunc(weights * (1 << bits) + np.copysign(0.5, weights))
        total = x.movedim(d, -1).to(float64) @ wrap(np.ascontiguousarray(whole.T))
        x = ((total + float(1 << (bits - 1))) * (1 / (1 << bits))).floor().clamp(0, 255).to(_uint8()).movedim(-1, d)
    return as_images(x, images)


def _float_of(x: Tensor) -> Any:
    from rushlight.ir.dtype import float32
    return float32


def _uint8() -> Any:
    from rushlight.ir.dtype import uint8
    return uint8


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    t = np.abs(t)
    return np.where(t <= 1, ((a + 2) * t - (a + 3)) * t * t + 1,
                    np.where(t < 2, ((t - 5) * t + 8) * t * a - 4 * a, 0.0))


def _weights(s: int, o: int, scale: Any, cubic: bool, corners: bool, antialias: bool) -> np.ndarray | None:
    """The matrix (o, s) that resizes one dimension."""
    if s == o and (antialias or not cubic or not scale or scale == 1):  # as in PyTorch, whatever the scale
        return None
    step = ((s - 1) / (o - 1) if o > 1 else 0.0) if corners else (1 / scale if scale else s / o)
    i = np.arange(o, dtype=np.float64)
    w = np.zeros((o, s))
    rows = np.arange(o)
    if antialias:
        reach = max(step, 1.0) * (2 if cubic else 1)
        centre = step * (i + 0.5)
        for r in range(o):
            low, high = max(int(centre[r] - reach + 0.5), 0), min(int(centre[r] + reach + 0.5), s)
            t = (np.arange(low, high) - centre[r] + 0.5) / max(step, 1.0)
            v = _cubic(t, -0.5) if cubic else np.maximum(1 - np.abs(t), 0)
            w[r, low:high] = v / v.sum()
        return w
    source = step * i if corners else step * (i + 0.5) - 0.5
    if not cubic:
        source = np.maximum(source, 0) if not corners else source
        low = np.minimum(np.floor(source).astype(np.int64), s - 1)
        part = source - low
        np.add.at(w, (rows, low), 1 - part)
        np.add.at(w, (rows, np.minimum(low + 1, s - 1)), part)
        return w
    low = np.floor(source).astype(np.int64)
    part = source - low
    for k in range(-1, 3):
        np.add.at(w, (rows, np.clip(low + k, 0, s - 1)), _cubic(part - k, -0.75))
    return w


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:
    """The old name of `interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate(mode="nearest")."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate(mode="bilinear", align_corners=True)."""
    return interpolate(input, size, scale_factor, "bilinear", True)
