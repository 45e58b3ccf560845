"""oneDNN's convolutions and pooling against their definitions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onednn_oracle import any_of, close, described, normal, plain, run

from rushlight.exec.cpu.onednn import library, names, primitives
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import Attributes, Eltwise, Sum
from rushlight.exec.cpu.onednn.primitives import Pool, Window, grouped, window_end
from rushlight.ir import dtype as dt

pytestmark = pytest.mark.skipif(not library.available(), reason="oneDNN is not installed")


class Conv:
    """Convolution and its gradients by the definition, in float64, for any number of dimensions."""

    def __init__(self, x: np.ndarray, w: np.ndarray, window: Window, groups: int):
        self.x, self.w, self.window, self.groups = x.astype(float), w.astype(float), window, groups
        self.dilation = window.dilation or (1,) * len(window.stride)
        self.out = tuple((size + sum(pad) - d * (k - 1) - 1) // s + 1 for size, pad, d, k, s in
                         zip(x.shape[2:], window.padding, self.dilation, w.shape[2:], window.stride))

    def windows(self) -> Any:
        """(kernel position, where its inputs lie in the padded input)."""
        for at in np.ndindex(*self.w.shape[2:]):
            yield at, tuple(slice(p * d, p * d + (o - 1) * s + 1, s) for p, d, o, s in zip(
                at, self.dilation, self.out, self.window.stride))

    def split(self, array: np.ndarray, axis: int) -> np.ndarray:
        return np.stack(np.split(array, self.groups, axis))

    def forward(self) -> np.ndarray:
        padded = np.pad(self.x, ((0, 0), (0, 0), *self.window.padding))
        out = np.zeros((self.x.shape[0], self.w.shape[0], *self.out))
        for at, where in self.windows():
            parts = self.split(padded[(..., *where)], 1)
            out += np.concatenate(list(np.einsum("gni...,goi->gno...", parts, self.split(self.w[(..., *at)], 0))), 1)
        return out

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.pad(self.x, ((0, 0), (0, 0), *self.window.padding))
        dx, dw = np.zeros_like(padded), np.zeros_like(self.w)
        dys = self.split(dy.astype(float), 1)
        for at, where in self.windows():
            parts = self.split(padded[(..., *where)], 1)
            dx[(..., *where)] += np.concatenate(
                list(np.einsum("gno...,goi->gni...", dys, self.split(self.w[(..., *at)], 0))), 1)
            flat = [part.reshape(*part.shape[:3], -1) for part in (dys, parts)]
            dw[(..., *at)] = np.concatenate(list(np.einsum("gnop,gnip->goi", *flat)), 0)
        inner = tuple(slice(low, low + size) for (low, _), size in zip(self.window.padding, self.x.shape[2:]))
        return dx[(..., *inner)], dw


CASES = {  # x shape, w shape, stride, padding, dilation, groups
    "lenet": ((2, 3, 12, 12), (6, 3, 5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "strided": ((2, 5, 9, 11), (7, 5, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    "asymmetric": ((1, 3, 8, 7), (4, 3, 3, 2), (1, 2), ((2, 1), (0, 1)), (1, 1), 1),
    "dilated": ((2, 16, 12, 12), (16, 16, 3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2), 1),
    "grouped": ((2, 8, 7, 7), (12, 2, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 4),
    "depthwise": ((2, 19, 8, 8), (19, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 19),
    "pointwise": ((2, 17, 5, 5), (33, 17, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "one": ((3, 4, 20), (5, 4, 4), (3,), ((2, 1),), (1,), 1),
    "three": ((2, 3, 5, 6, 7), (4, 3, 2, 3, 3), (1, 2, 1), ((0, 1), (1, 1), (1, 0)), (1, 1, 1), 1),
    "single": ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
}


@pytest.mark.parametrize("layout", ["any", "first", "last"])
@pytest.mark.parametrize("case", CASES)
def test_convolution(rng: np.random.Generator, case: str, layout: str) -> None:
    x_shape, w_shape, stride, padding, dilation, groups = CASES[case]
    x, w, bias = normal(rng, *x_shape), normal(rng, *w_shape), normal(rng, w_shape[0])
    window = Window(stride, padding, dilation)
    definition = Conv(x, w, window, groups)
    y = definition.forward().astype(np.float32)
    dy = normal(rng, *y.shape)
    dx, dw = definition.backward(dy)
    wg = w.reshape(grouped(w.shape, groups))

    forward = primitives.convolution(described(x, layout), any_of(wg), described(y, layout), window, any_of(bias))
    wide = bias.reshape(1, -1, *[1] * (x.ndim - 2))
    close(run(forward, src=x, weights=wg, bias=bias)["dst"], y + wide)
    back = primitives.convolution_backward_data(described(x, layout), any_of(wg), described(y, layout), window, forward)
    close(run(back, diff_dst=dy, weights=wg)["diff_src"], dx)
    grads = primitives.convolution_backward_weights(described(x, layout), any_of(wg),
                                                    described(y, layout), window, any_of(bias))
    found = run(grads, src=x, diff_dst=dy)
    close(found["diff_weights"].reshape(w.shape), dw, 1e-3)
    close(found["diff_bias"], dy.sum((0, *range(2, x.ndim)), dtype=float), 1e-3)


def test_convolution_sum_and_relu(rng: np.random.Generator) -> None:
    x, w, rest = normal(rng, 2, 4, 6, 6), normal(rng, 8, 4, 3, 3), normal(rng, 2, 8, 6, 6)
    window = Window((1, 1), ((1, 1), (1, 1)))
    prim = primitives.convolution(any_of(x), any_of(w), any_of(rest), window, prop="inference",
                                  attributes=Attributes((Sum(), Eltwise("relu"))))
    close(run(prim, src=x, weights=w, dst=rest)["dst"], np.maximum(Conv(x, w, window, 1).forward() + rest, 0))


@pytest.mark.parametrize("case", ["strided", "one", "grouped", "three", "dilated"])
def test_deconvolution(rng: np.random.Generator, case: str) -> None:
    """The transposed convolution is the gradient of a convolution; its own gradients are convolutions."""
    y_shape, w_shape, stride, padding, dilation, groups = CASES[case]
    window = Window(stride, padding, dilation)
    w, y = normal(rng, *w_shape), normal(rng, *y_shape)  # PyTorch: w is (channels in, channels out / groups, …)
    definition = Conv(y, w, window, groups)
    x = normal(rng, y_shape[0], w_shape[0], *definition.out)
    expected, dw = definition.backward(x)
    dx = definition.forward()
    wg = w.reshape(groups, w_shape[0] // groups, *w_shape[1:]).swapaxes(1, 2)
    wg = np.ascontiguousarray(wg if groups > 1 else wg[0])
    bias = normal(rng, y_shape[1])
    forward = primitives.deconvolution(any_of(x), any_of(wg), any_of(y), window, any_of(bias))
    close(run(forward, src=x, weights=wg, bias=bias)["dst"], expected + bias.reshape(1, -1, *[1] * (x.ndim - 2)))
    back = primitives.deconvolution_backward_data(any_of(x), any_of(wg), any_of(y), window, forward)
    close(run(back, diff_dst=y, weights=wg)["diff_src"], dx)
    grads = primitives.deconvolution_backward_weights(any_of(x), any_of(wg), any_of(y), window, any_of(bias), forward)
    found = run(grads, src=x, diff_dst=y)
    dwg = dw.reshape(groups, w_shape[0] // groups, *w_shape[1:]).swapaxes(1, 2)
    close(found["diff_weights"], dwg if groups > 1 else dwg[0], 1e-3)
    close(found["diff_bias"], y.sum((0, *range(2, x.ndim)), dtype=float), 1e-3)


def test_convolution_int8(rng: np.random.Generator) -> None:
    x, w = rng.integers(0, 255, (1, 4, 6, 6), np.uint8), rng.integers(-127, 127, (8, 4, 3, 3), np.int8)
    window, scale = Window((1, 1), ((1, 1), (1, 1))), np.linspace(0.01, 0.1, 8, dtype=np.float32)
    y = Conv(x, w, window, 1).forward()
    prim = primitives.convolution(any_of(x), any_of(w), Desc.any(y.shape, dt.float32), window, prop="inference",
                                  attributes=Attributes(scales={"weights": (1, 8)}))
    close(run(prim, src=x, weights=w, **{"scale:weights": scale})["dst"], y * scale.reshape(1, -1, 1, 1), 1e-3)


def pooled(x: np.ndarray, dy: np.ndarray | None, pool: Pool, out: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Pooling and its gradient by the definition; the first maximum of a window takes the gradient."""
    y, dx = np.zeros((*x.shape[:2], *out)), np.zeros(x.shape)
    for at in itertools.product(*(range(s) for s in (*x.shape[:2], *out))):
        taps = [tuple(o * s + k * d - p for o, s, k, d, (p, _) in zip(at[2:], pool.stride, offset, pool.dilation, pool.padding))
                for offset in np.ndindex(*pool.kernel)]
        inside = [tap for tap in taps if all(0 <= t < size for t, size in zip(tap, x.shape[2:]))]
        values = [x[(*at[:2], *tap)] for tap in inside]
        weight = 1 / (len(taps) if pool.kind == "avg_include_padding" else len(inside))
        y[at] = max(values) if pool.kind == "max" else weight * sum(float(v) for v in values)
        if dy is not None and pool.kind == "max":
            dx[(*at[:2], *inside[int(np.argmax(values))])] += dy[at]
        elif dy is not None:
            for tap in inside:
                dx[(*at[:2], *tap)] += weight * dy[at]
    return y, dx


POOLS = {  # x, kernel, stride, padding before, dilation, out
    "half": ((2, 5, 8, 8), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
    "overlap": ((1, 17, 7, 9), (3, 3), (2, 2), (1, 1), (1, 1), (4, 5)),
    "ceil": ((1, 3, 7, 7), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
    "unused": ((1, 3, 8, 8), (3, 3), (3, 3), (0, 0), (1, 1), (2, 2)),
    "one": ((2, 3, 11), (3,), (2,), (1,), (1,), (6,)),
    "three": ((1, 2, 4, 5, 6), (2, 2, 3), (2, 1, 2), (0, 0, 1), (1, 1, 1), (2, 4, 3)),
}


@pytest.mark.parametrize("kind", names.POOLING)
@pytest.mark.parametrize("case", POOLS)
def test_pooling(rng: np.random.Generator, case: str, kind: str) -> None:
    shape, kernel, stride, before, dilation, out = POOLS[case]
    ends = [window_end(*sizes) for sizes in zip(shape[2:], out, kernel, stride, dilation, before)]
    pool = Pool(stride, tuple(zip(before, ends)), dilation, kernel, kind)
    x, dy = normal(rng, *shape), normal(rng, *shape[:2], *out)
    y, dx = pooled(x, dy, pool, out)
    forward = primitives.pooling(plain(x), any_of(dy), pool)
    result = run(forward, src=x)
    close(result["dst"], y)
    assert ("workspace" in forward.slots) == (kind == "max")
    back = primitives.pooling_backward(any_of(x), any_of(dy), pool, forward)
    given = {"workspace": result["workspace"]} if kind == "max" else {}
    close(run(back, diff_dst=dy, **given)["diff_src"], dx)
