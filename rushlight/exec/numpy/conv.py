"""Convolution in any number of dimensions: windows are copied next to each other, the rest is one matrix product.

Arrays are (samples, channels, *spatial); weights are (out channels, channels / groups, *kernel).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from rushlight.exec.numpy.window import Index, Ints, pad, taps, windows

Array = np.ndarray[Any, Any]
CHUNK_BYTES = 1 << 20  # of copied windows at a time: they stay in the cache until the matrix product reads them
SMALL_PLANE = 256  # below this, samples share one matrix product
Conv = Callable[..., Array]


def widened(f: Conv) -> Conv:
    """f with half precision computed in float32."""
    @functools.wraps(f)
    def wrapper(a: Array, b: Array, *attrs: Any) -> Array:
        dtype = np.result_type(a, b)
        if dtype.itemsize == 2 and dtype.kind not in "iu":  # bfloat16 is of kind V
            return f(a.astype(np.float32), b.astype(np.float32), *attrs).astype(dtype)
        return f(a, b, *attrs)
    return wrapper


def _out_size(x: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(x, kernel, stride, padding, dilation))


def _chunks(samples: int, bytes_each: int, least: int = 1) -> Iterator[slice]:
    step = max(least, CHUNK_BYTES // max(bytes_each, 1), 1)
    return (slice(at, min(at + step, samples)) for at in range(0, samples, step))


@widened
def convolution(x: Array, w: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Cross-correlation of x with w, without bias: (N, C, *spatial), (O, C/groups, *kernel) -> (N, O, *out)."""
    kernel = w.shape[2:]
    out_size = _out_size(x.shape[2:], kernel, stride, padding, dilation)
    out = np.empty((x.shape[0], w.shape[0], *out_size), np.result_type(x, w))
    if out.size == 0 or w.size == 0:
        out[...] = 0
        return out
    x = pad(x, padding, padding)
    geometry = (kernel, stride, dilation, out_size)
    if groups > 1 and w.shape[1] == 1:
        _depthwise(x, w, out, geometry)
        return out
    for xs, ws, os in _by_group(groups, x, w, out):
        _dense(xs, ws, os, geometry)
    return out


def _by_group(groups: int, x: Array, w: Array, y: Array) -> Iterator[tuple[Array, Array, Array]]:
    """The channels of each group: of x and y as views (N, C/groups, …), of w as (O/groups, …)."""
    c, o = x.shape[1] // groups, w.shape[0] // groups
    for g in range(groups):
        yield x[:, g * c:(g + 1) * c], w[g * o:(g + 1) * o], y[:, g * o:(g + 1) * o]


def _dense(x: Array, w: Array, out: Array, geometry: Any) -> None:
    kernel, stride, _, size = geometry
    samples, plane, depth = x.shape[0], prod(size), prod(w.shape[1:])
    flat = w.reshape(w.shape[0], depth)
    bytes_each = depth * plane * x.itemsize
    if plane < SMALL_PLANE:
        for part in _chunks(samples, bytes_each, least=-(-SMALL_PLANE // plane)):
            joined = np.matmul(flat, _columns_joined(x[part], geometry))
            out[part] = np.moveaxis(joined.reshape(w.shape[0], -1, *size), 0, 1)
        return
    for part in _chunks(samples, bytes_each):
        view = windows(x[part], *geometry)
        np.matmul(flat, view.reshape(view.shape[0], depth, plane), out=_flat_planes(out[part]))


def _flat_planes(y: Array) -> Array:
    """(N, O, plane) over the memory of y, whose spatial dimensions are contiguous."""
    view = y.view()
    view.shape = (*y.shape[:2], prod(y.shape[2:]))  # raises where a copy would be needed
    return view


def _columns_joined(x: Array, geometry: Any) -> Array:
    """(C * kernel, N * plane): the windows of all samples side by side."""
    view = np.moveaxis(windows(x, *geometry), 0, 1 + len(geometry[0]))
    return view.reshape(x.shape[1] * prod(geometry[0]), -1)


def _depthwise(x: Array, w: Array, out: Array, geometry: Any) -> None:
    """Every channel has kernels of its own: multiply and add tap by tap,
    sample by sample so that the sums stay in cache."""
    channels = x.shape[1]
    each = w.reshape(channels, -1, *w.shape[2:])  # (C, multiplier, *kernel)
    split = out.reshape(out.shape[0], channels, -1, *out.shape[2:])
    ones = (1,) * len(w.shape[2:])
    for part in _chunks(x.shape[0], out[0].nbytes):
        total, product = split[part], np.empty_like(split[part])
        xs = x[part][:, :, None]
        for at, (tap, index) in enumerate(taps(*geometry)):
            weight = each[tap].reshape(channels, -1, *ones)
            if at == 0:
                np.multiply(xs[index], weight, out=total)
            else:
                total += np.multiply(xs[index], weight, out=product)


@widened
def convolution_bias(x: Array, w: Array, b: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """`convolution` plus one number per channel."""
    out = convolution(x, w, stride, padding, dilation, groups)
    out += b.reshape(-1, *(1,) * (x.ndim - 2))
    return out


def convolution_input_grad(g: Array, w: Array, x_shape: Ints, stride: Ints, padding: Ints, dilation: Ints,
                           groups: int) -> Array:
    """The gradient of a convolution for its input, which is also the transposed convolution of g with w.

    (N, O, *out), (O, C/groups, *kernel) -> x_shape = (N, C, *spatial)
    """
    kernel, size = w.shape[2:], g.shape[2:]
    if g.size == 0 or w.size == 0:
        return np.zeros(x_shape, np.result_type(g, w))
    edge = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding))
    turned = all(s == 1 for s in stride) and min(edge) >= 0 and w.shape[1] > 1
    if turned and _out_size(size, kernel, stride, edge, dilation) == x_shape[2:]:
        return convolution(g, _mirrored(w, groups), stride, edge, dilation, groups)
    extent = tuple(max(n + 2 * p, (o - 1) * s + d * (k - 1) + 1)
                   for n, p, o, s, d, k in zip(x_shape[2:], padding, size, stride, dilation, kernel))
    total = np.zeros((*x_shape[:2], *extent), np.result_type(g, w))
    geometry = (kernel, stride, dilation, size)
    if groups > 1 and w.shape[1] == 1:
        _depthwise_input(g, w, total, geometry)
    else:
        for xs, ws, gs in _by_group(groups, total, w, g):
            _spread(gs, ws, xs, geometry)
    inner: Index = (..., *(slice(p, p + n) for p, n in zip(padding, x_shape[2:])))
    return np.ascontiguousarray(total[inner])


def _mirrored(w: Array, groups: int) -> Array:
    """The weight of the transposed convolution: kernels reversed, channels in and out exchanged within each group."""
    split = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    reverse: Index = (..., *(slice(None, None, -1) for _ in w.shape[2:]))
    flipped = split[reverse]
    return np.ascontiguousarray(flipped).reshape(-1, split.shape[2], *w.shape[2:])


def _spread(g: Array, w: Array, total: Array, geometry: Any) -> None:
    """Adds what each output sends to the inputs of its window."""
    size, plane, depth = geometry[3], prod(geometry[3]), prod(w.shape[1:])
    back = w.reshape(w.shape[0], depth).T
    for part in _chunks(g.shape[0], depth * plane * g.itemsize):
        gs = g[part].reshape(-1, w.shape[0], plane)
        sent = np.matmul(back, gs).reshape(gs.shape[0], *w.shape[1:], *size)
        by_tap = np.moveaxis(sent, range(2, 2 + len(size)), range(-len(size), 0))
        for tap, index in taps(*geometry):
            total[part][index] += by_tap[tap]


def _depthwise_input(g: Array, w: Array, total: Array, geometry: Any) -> None:
    channels, ones = total.shape[1], (1,) * len(w.shape[2:])
    each = w.reshape(channels, -1, *w.shape[2:])
    split = g.reshape(g.shape[0], channels, -1, *g.shape[2:])
    for part in _chunks(g.shape[0], g[0].nbytes):
        for tap, index in taps(*geometry):
            sent = split[part] * each[tap].reshape(channels, -1, *ones)
            total[part][index] += sent[:, :, 0] if each.shape[1] == 1 else sent.sum(axis=2, dtype=sent.dtype)


@widened
def convolution_weight_grad(g: Array, x: Array, w_shape: Ints, stride: Ints, padding: Ints, dilation: Ints,
                            groups: int) -> Array:
    """The gradient of a convolution for its weight: (N, O, *out),
    (N, C, *spatial) -> w_shape = (O, C/groups, *kernel)."""
    out = np.zeros(w_shape, np.result_type(g, x))
    if g.size == 0 or out.size == 0:
        return out
    kernel, size = w_shape[2:], g.shape[2:]
    geometry = (kernel, stride, dilation, size)
    x = pad(x, padding, padding)
    if groups > 1 and w_shape[1] == 1:
        _depthwise_weight(g, x, out, geometry)
        return out
    for xs, ws, gs in _by_group(groups, x, out, g):
        flat = ws.reshape(ws.shape[0], -1)
        for part in _chunks(xs.shape[0], flat.shape[1] * prod(size) * x.itemsize):
            rows = np.moveaxis(gs[part], 1, 0).reshape(ws.shape[0], -1)
            flat += np.matmul(rows, _columns_joined(xs[part], geometry).T)
    return out


def _depthwise_weight(g: Array, x: Array, out: Array, geometry: Any) -> None:
    channels = x.shape[1]
    split = g.reshape(g.shape[0], channels, -1, *g.shape[2:])
    each = out.reshape(channels, -1, *out.shape[2:])
    over = (0, *range(3, split.ndim))
    for part in _chunks(x.shape[0], g[0].nbytes):
        xs = x[part][:, :, None]
        for tap, index in taps(*geometry):
            each[tap] += (split[part] * xs[index]).sum(axis=over, dtype=out.dtype)
