"""Pooling."""

from __future__ import annotations

import math
import operator
from typing import Any

from rushlight.ir.dtype import int64
from rushlight.nn.functional.conv import repeated
from rushlight.ops.windows import window_count
from rushlight.tensor import coarse
from rushlight.tensor.autocast import as_given, full
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions.common import is_float, scalar_name
from rushlight.tensor.functions.shape import as_images


def sizes(value: Any, n: int, name: str, function: str) -> tuple[int, ...]:
    """A number repeated n times, or n numbers."""
    out = repeated(value, n)
    if len(out) != n:
        raise RuntimeError(f"{function}: {name} must either be a single int, or a tuple of {n} ints, got {list(out)}")
    return out


# arguments that were found right -> kernel, stride, padding, dilation
_checked: dict[tuple[Any, ...], tuple[Any, ...]] = {}


def _prepare(function: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any = 1,
             ceil_mode: bool = False) -> tuple[Any, ...]:
    key = (function, n, x._spec, kernel, stride, padding, dilation, ceil_mode)
    try:
        known = _checked.get(key)
    except TypeError:  # lists among the arguments
        return _geometry(function, n, x, kernel, stride, padding, dilation, ceil_mode)
    if known is None:
        if len(_checked) > 10_000:
            _checked.clear()
        known = _checked[key] = _geometry(function, n, x, kernel, stride, padding, dilation, ceil_mode)
    return known


def _geometry(function: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any,
              ceil_mode: bool) -> tuple[Any, ...]:
    k = sizes(kernel, n, "kernel_size", function)
    s = k if stride is None or (not isinstance(stride, int)
                                and not len(stride)) else sizes(stride, n, "stride", function)
    p, d = sizes(padding, n, "padding", function), sizes(dilation, n, "dilation", function)
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{function}(): Expected {n + 1}D or {n + 2}D (batch mode) tensor with "
                           f"optional 0 dim batch size for input, but got: {list(x.shape)}")
    if any(v <= 0 for v in k):
        raise RuntimeError(f"{function}: kernel size should be greater than zero, but got {list(k)}")
    if any(v <= 0 for v in s):
        raise RuntimeError(f"{function}: stride should not be zero, but got {list(s)}" if 0 in s
                           else f"stride should be greater than zero, but got {list(s)}")
    if any(v <= 0 for v in d):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(d)}")
    if any(v < 0 for v in p):
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(p)}")
    if any(2 * a > (b - 1) * c + 1 for a, b, c in zip(p, k, d)):
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={max(p)}, "
                           f"kernel_size={k[0]} and dilation={d[0]}")
    spatial = x.shape[-n:]
    if any(v == 0 for v in x.shape[-n - 1:]):
        raise RuntimeError(f"{function}: Expected input with non-zero size for non-batch "
                           f"dimensions, but got {list(x.shape)}")
    out = [window_count(a, b, c, e, f, ceil_mode) for a, b, c, e, f in zip(spatial, k, s, p, d)]
    if any(o < 1 for o in out):
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, x.shape[-n - 1:]))}). Calculated output size: "
                           f"({'x'.join(map(str, [x.shape[-n - 1], *out]))}). Output size is too small")
    return k, s, p, d


def _max(function: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any,
         ceil_mode: bool) -> tuple[Tensor, Tensor]:
    k, s, p, d = _prepare(function, n, x, kernel, stride, padding, dilation, ceil_mode)
    if x.dtype.kind in "bc":
        raise NotImplementedError(f"\"{function}\" not implemented for '{scalar_name(x.dtype)}'")
    batched = x.ndim == n + 2
    values, places = coarse.max_pool(x if batched else x.unsqueeze(0), k, s, p, d, ceil_mode)
    return (values, places) if batched else (values.squeeze(0), places.squeeze(0))


def _avg(function: str, n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool,
         count_include_pad: bool, divisor: Any) -> Tensor:
    k, s, p, _ = _prepare(function, n, x, kernel, stride, padding, 1, ceil_mode)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    if not is_float(x) and x.dtype is not int64 and not x.is_quantized:
        raise NotImplementedError(f"\"{function}_out_frame\" not implemented for '{scalar_name(x.dtype)}'")
    batched = x.ndim == n + 2
    out = coarse.avg_pool(x if batched else x.unsqueeze(0), k, s, p, ceil_mode, count_include_pad, divisor)
    return out if batched else out.squeeze(0)


def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """The largest value of each window and its position."""
    return _max("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """The largest value of each window and its flat position in the plane."""
    return _max("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """The largest value of each window and its flat position in the volume."""
    return _max("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode)


def _max_pool(n: int) -> Any:
    name = f"max_pool{n}d"
    largest = full(_max) if n == 3 else _max  # under autocast volumes are pooled in float32, unless positions are asked for

    def function(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False, return_indices: bool = False) -> Any:
        if return_indices:
            return _max(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
        return largest(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)[0]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (f"The largest value of each window of the last {n} dimensions; "
                        "return_indices adds its flat position.")
    return function


max_pool1d, max_pool2d, max_pool3d = (_max_pool(n) for n in (1, 2, 3))


def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:
    """The mean of each window of the last dimension."""
    return _avg("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of the last two dimensions."""
    return _avg("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@full
def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of the last three dimensions."""
    return _avg("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _ranges(size: int, out: int) -> list[tuple[int, int]]:
    """Start and end of each adaptive window."""
    return [((i * size) // out, -((-(i + 1) * size) // out)) for i in range(out)]


def _is_size(size: Any, absent: bool) -> bool:
    """Whether this is a whole number, or None where it may be `absent` (the size stays)."""
    return absent if size is None else hasattr(type(size), "__index__") and not isinstance(size, bool)


def _targets(input: Tensor, output_size: Any, n: int, name: str) -> tuple[int, ...]:
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(input.shape)}")
    several = isinstance(output_size, (tuple, list))
    if several and len(output_size) != n:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(output_size)})" if n == 1 else
                           f"{name}: output_size must be {n}: {n} numbers, but got {len(output_size)}")
    want = tuple(output_size) if several else (output_size,) * n
    for w in want if several else want[:1]:
        if not _is_size(w, several and n > 1):
            kind = type(w).__name__
            raise TypeError(f"{name}(): argument 'output_size' (position 2) must be tuple of ints, "
                            f"{'but found element of type' if several else 'not'} {kind}")
    out = tuple([s if w is None else operator.index(w) for w, s in zip(want, input.shape[-n:])])
    if any(o < 0 for o in out):
        raise RuntimeError(f"{name}: elements of output_size must be greater than or "
                           f"equal to 0 but received {list(out)}")
    if any(v == 0 for v in input.shape[1 if input.ndim == n + 2 else 0:]):
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, "
                           f"but input has sizes {list(input.shape)}")
    return out


@as_given
def _adaptive_avg(name: str, n: int, x: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover each dimension evenly, one dimension after the other."""
    import numpy as np
    want, images = _targets(x, output_size, n, name), x
    if all(w == 1 for w in want):
        return as_images(x.mean(tuple(range(-n, 0)), keepdim=True), images)  # here of three dimensions as well
    if x.is_quantized:
        from rushlight.ao.kernels import quantized_as
        return quantized_as(_adaptive_avg(name, n, x.dequantize(), output_size), x.q_scale(), x.q_zero_point(), x.dtype)
    for i, w in enumerate(want):
        d = i - n
        size = x.shape[d]
        if w == size:
            continue
        if w and size % w == 0:
            x = x.unflatten(d, (w, size // w)).mean(d)
            continue
        weights = np.zeros((size, w), x.dtype.numpy if x.dtype.name in ("float32", "float64") else np.float32)
        for j, (a, b) in enumerate(_ranges(size, w)):
            weights[a:b, j] = 1 / (b - a)
        x = (x.movedim(d, -1) @ wrap(weights).to(x.dtype)).movedim(-1, d)
    return as_images(x, images, follow=n < 3)


def _adaptive_max(name: str, n: int, x: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    import itertools
    want = _targets(x, output_size, n, name)
    shape = x.shape[-n:]
    lead = list(x.shape[:-n])
    if all(s % w == 0 for s, w in zip(shape, want) if w):
        k = tuple(s // max(w, 1) for s, w in zip(shape, want))
        if 0 not in want:
            found = _max(name, n, x, k, k, 0, 1, False)
            return found if n < 3 else (as_images(found[0], x, follow=False), as_images(found[1], x, follow=False))
    values, places = [], []
    for windows in itertools.product(*[_ranges(s, w) for s, w in zip(shape, want)]):
        part = x
        for i, (a, b) in enumerate(windows):
            part = part.narrow(i - n, a, b - a)
        flat = part.reshape([*lead, -1])
        v, at = flat.max(-1)
        place: Any = 0
        rest = at
        for i in range(n - 1, -1, -1):
            width = windows[i][1] - windows[i][0]
            place = place + (rest % width + windows[i][0]) * math.prod(shape[i + 1:])
            rest = P.floor_divide(rest, width)
        values.append(v)
        places.append(place)
    from rushlight.tensor.functions.joining import stack
    if not values:
        return x.new_zeros([*lead, *want]), x.new_zeros([*lead, *want], dtype=int64)
    return tuple([as_images(stack(found, -1).reshape([*lead, *want]), x, follow=n < 3) for found in (values, places)])  # type: ignore[return-value]


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean over windows chosen so that output_size values come out."""
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean over windows chosen so that output_size values come out."""
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


@full
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The mean over windows chosen so that output_size values come out."""
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_max_pool(n: int, always: bool) -> Any:
    name = f"adaptive_max_pool{n}d"
    largest = full(_adaptive_max) if n == 3 else _adaptive_max

    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        out = largest(name, n, input, output_size)
        return out if return_indices or always else out[0]
    function.__name__ = function.__qualname__ = name + ("_with_indices" if always else "")
    function.__doc__ = "The largest value of windows chosen so that output_size values come out."
    return function


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max_pool(n, False) for n in (1, 2, 3))
adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices = (
    _adaptive_max_pool(n, True) for n in (1, 2, 3))


def _lp(n: int, x: Tensor, norm_type: float, kernel: Any, stride: Any, ceil_mode: bool) -> Tensor:
    k = sizes(kernel, n, "kernel_size", f"lp_pool{n}d")
    mean = full(_avg) if n == 3 else _avg
    out = mean(f"avg_pool{n}d", n, x ** norm_type, k, stride, 0, ceil_mode, True, None)
    return (P.sign(out) * P.relu(out.abs()) * math.prod(k)) ** (1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window."""
    return _lp(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window."""
    return _lp(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window."""
    return _lp(3, input, norm_type, kernel_size, stride, ceil_mode)


@full
def _unpool(n: int, x: Tensor, indices: Tensor, kernel: Any, stride: Any, padding: Any, output_size: Any) -> Tensor:
    k = sizes(kernel, n, "kernel_size", f"max_unpool{n}d")
    s = k if stride is None else sizes(stride, n, "stride", f"max_unpool{n}d")
    p = sizes(padding, n, "padding", f"max_unpool{n}d")
    if indices.dtype is not int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if x.shape != indices.shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)}) "
                           f"but got indices tensor with shape: {list(indices.shape)}")
    default = [(v - 1) * b - 2 * c + a for v, a, b, c in zip(x.shape[-n:], k, s, p)]
    want = default if output_size is None else [int(v) for v in list(output_size)[-n:]]
    for a, b, c in zip(want, default, s):
        if not b - c < a < b + c:
            raise ValueError(f"invalid output_size {want} (dim 0 must be between {b - c} and {b + c})")
    lead = list(x.shape[:-n])
    flat = x.new_zeros([*lead, math.prod(want)])
    return as_images(flat.scatter(-1, indices.reshape([*lead, -1]), x.reshape([*lead, -1])).reshape([*lead, *want]), x, follow=n < 3)


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """Values put back where max_pool1d took them from, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """Values put back where max_pool2d took them from, zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:
    """Values put back where max_pool3d took them from, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


@full
def _fractional(n: int, x: Tensor, kernel: Any, output_size: Any, output_ratio: Any,
                samples: Any) -> tuple[Tensor, Tensor]:
    """Max pooling over windows at pseudo-random places."""
    import numpy as np

    from rushlight.tensor.core import unwrap
    from rushlight.tensor.drawing import rand
    if output_size is None and output_ratio is None:
        raise ValueError(f"fractional_max_pool{n}d requires specifying either an output_size or an output_ratio")
    k = sizes(kernel, n, "kernel_size", f"fractional_max_pool{n}d")
    batched = x.ndim == n + 2
    x = x if batched else x.unsqueeze(0)
    shape = x.shape[-n:]
    want = sizes(output_size, n, "output_size", "fractional") if output_size is not None else tuple(
        int(s * r) for s, r in zip(shape, (output_ratio,) * n if isinstance(output_ratio, float) else output_ratio))
    u = unwrap((samples if samples is not None else rand(x.shape[0], x.shape[1], n, dtype=x.dtype)).detach())
    index = np.zeros((*x.shape[:2], *want, *k), np.int64)
    for i in range(n):
        s, o, w = shape[i], want[i], k[i]
        if o + w - 1 > s - (n == 3):
            raise RuntimeError(f"fractional_max_pool{n}d(): pool size ({w}) too large relative to input size ({s})")
        alpha = (s - w) / (o - 1) if o > 1 else 0.0
        r = u[..., 1 - i if n == 2 else i].astype(np.float64)  # PyTorch's first number is for the width of pictures, for the depth of volumes
        start = ((np.arange(o) + r[..., None]) * alpha).astype(np.int64) - (r[..., None] * alpha).astype(np.int64)
        start[..., -1] = s - w
        place = start[..., :, None] + np.arange(w)
        outs, widths = ([m if j == i else 1 for j in range(n)] for m in (o, w))
        index += place.reshape(*place.shape[:2], *outs, *widths) * math.prod(shape[i + 1:])
    flat = x.reshape([*x.shape[:2], -1])
    places = wrap(index.reshape(*x.shape[:2], math.prod(want), math.prod(k)))
    windows = flat.gather(2, places.reshape([*x.shape[:2], -1])).reshape(places.shape)
    values, at = windows.max(-1)
    spots = places.gather(-1, at.unsqueeze(-1)).squeeze(-1)
    out = values.reshape([*x.shape[:2], *want]), spots.reshape([*x.shape[:2], *want])
    return out if batched else (out[0].squeeze(0), out[1].squeeze(0))


def _fractional_pool(n: int, always: bool) -> Any:
    def function(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                 return_indices: bool = False, _random_samples: Any = None) -> Any:
        out = _fractional(n, input, kernel_size, output_size, output_ratio, _random_samples)
        return out if return_indices or always else out[0]
    function.__name__ = function.__qualname__ = f"fractional_max_pool{n}d" + ("_with_indices" if always else "")
    function.__doc__ = "Max pooling over windows at pseudo-random places."
    return function


fractional_max_pool2d, fractional_max_pool3d = _fractional_pool(2, False), _fractional_pool(3, False)
fractional_max_pool2d_with_indices = _fractional_pool(2, True)
fractional_max_pool3d_with_indices = _fractional_pool(3, True)
