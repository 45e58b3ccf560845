"""The binding of oneDNN: every primitive against NumPy, in the layouts that the library chooses; forks and errors."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rushlight.exec.cpu.onednn import library, names, primitives, recurrent
from rushlight.exec.cpu.onednn.library import OneDNNError, Unsupported
from rushlight.exec.cpu.onednn.memory import Desc, strides_of
from rushlight.exec.cpu.onednn.primitive import Attributes, Binary, Bound, Eltwise, Primitive, Sum
from rushlight.exec.cpu.onednn.primitives import Norm, Pool, Window, grouped, window_end
from rushlight.ir import dtype as dt

pytestmark = pytest.mark.skipif(not library.available(), reason="oneDNN is not installed")
RAW = ("workspace", "scratchpad")


def buffer(size: int) -> np.ndarray:
    """Zeroed bytes, aligned as oneDNN likes them."""
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start:start + size]


def plain(array: np.ndarray) -> Desc:
    return Desc.of(array.shape, dt.of_numpy(array.dtype))


def any_of(array: np.ndarray) -> Desc:
    return Desc.any(array.shape, dt.of_numpy(array.dtype))


def copied(source: Desc, target: Desc, memory: np.ndarray) -> np.ndarray:
    """The bytes of an array in another layout."""
    result = buffer(target.size)
    bound = Bound(primitives.reorder(source, target))
    place = {"src": memory.ctypes.data, "dst": result.ctypes.data}
    scratch = [buffer(bound.primitive.descs[name].size) for name in bound.primitive.slots if name in RAW]
    for name, array in itertools.zip_longest(RAW[1:], scratch):
        if array is not None:
            place[name] = array.ctypes.data
    for name, pointer in place.items():
        bound.set(name, pointer)
    bound.execute()
    return result


def run(primitive: Primitive, **given: np.ndarray) -> dict[str, np.ndarray]:
    """Executes with ordinary arrays for some slots (workspaces as bytes); all other slots, as ordinary arrays."""
    bound = Bound(primitive)
    assert bound.count == len(primitive.slots) == len(primitive.descs)
    assert set(given) <= set(primitive.slots), primitive
    memory = {}
    for name, desc in primitive.descs.items():
        if name not in given:
            memory[name] = buffer(desc.size)
        elif name in RAW:
            memory[name] = given[name]
        else:
            source = np.ascontiguousarray(given[name])
            memory[name] = copied(plain(source), desc, source)
        bound.set(name, memory[name].ctypes.data)
    bound.execute()
    results = {}
    for name, desc in primitive.descs.items():
        if name in RAW:
            results[name] = memory[name]
        elif name not in given or name == "dst":
            dense = Desc.of(desc.shape, desc.dtype)
            results[name] = copied(desc, dense, memory[name]).view(desc.dtype.numpy).reshape(desc.shape)
    return results


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=tolerance, atol=tolerance)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


# ---------------------------------------------------------------------------------------------------- descriptors

def test_layouts_of_descriptors() -> None:
    x = Desc.of((2, 3, 4, 5), dt.float32, strides_of((2, 3, 4, 5), (0, 2, 3, 1)))
    assert x.plain == (60, 1, 15, 3) and x.layout == "acdb" and x.size == 480 and x.blocks == ()
    assert x == Desc.of((2, 3, 4, 5), dt.float32, (60, 1, 15, 3)) and x != Desc.of((2, 3, 4, 5), dt.float32)
    assert len({x, Desc.copy(x.handle)}) == 1
    assert Desc.any((3,), dt.float32).plain is None and Desc.any((3,), dt.float32).layout == "any"
    assert Desc.of((), dt.float32).shape == (1,)
    assert Desc.of((0, 3), dt.float32).size == 0
    assert Desc.of((4, 6), dt.float32).reshape((2, 2, 6)).plain == (12, 6, 1)


def test_blocked_layouts_are_not_plain() -> None:
    conv = primitives.convolution(Desc.any((1, 5, 8, 8), dt.float32), Desc.any((7, 5, 3, 3), dt.float32), Desc.any((1, 7, 6, 6), dt.float32),
                                  Window((1, 1), ((0, 0), (0, 0))), Desc.any((7,), dt.float32))
    dst = conv.descs["dst"]
    if dst.blocks:  # the channel count is padded to the block
        assert dst.plain is None and dst.size > 7 * 36 * 4 and dst.layout == f"aBcd{dst.blocks[0][1]}b"
    assert conv.descs["bias"].plain == (1,)


@pytest.mark.parametrize("make", [lambda: Desc.of((5, 7), dt.float32, (1, 1)), lambda: Desc.of((2,) * 13, dt.float32),
                                  lambda: Desc.of((2,), dt.complex64), lambda: Desc.any((2,), dt.int64)])
def test_impossible_descriptors_are_unsupported(make: Any) -> None:
    with pytest.raises(Unsupported):
        make()


def test_errors_have_names() -> None:
    f64 = [Desc.of((2, 2), dt.float64)] * 3
    with pytest.raises(Unsupported) as info:
        primitives.matmul(*f64)
    assert info.value.status == "unimplemented" and info.value.call == "dnnl_matmul_primitive_desc_create"
    wrong = [Desc.of((2, 3), dt.float32)] * 3
    with pytest.raises(OneDNNError, match="invalid_arguments") as other:
        primitives.matmul(*wrong)
    assert not isinstance(other.value, Unsupported)


def test_reorder_round_trip(rng: np.random.Generator) -> None:
    x = normal(rng, 2, 19, 5, 3)
    blocked = primitives.convolution(any_of(x), Desc.any((16, 19, 3, 3), dt.float32), Desc.any((2, 16, 3, 1), dt.float32),
                                     Window((1, 1), ((0, 0), (0, 0)))).descs["src"]
    back = copied(blocked, plain(x), copied(plain(x), blocked, x)).view(np.float32).reshape(x.shape)
    np.testing.assert_array_equal(back, x)
    half = run(primitives.reorder(plain(x), Desc.of(x.shape, dt.bfloat16)), src=x)["dst"]
    np.testing.assert_array_equal(half, x.astype(ml_dtypes.bfloat16))


# ---------------------------------------------------------------------------------------------------- matmul

@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (5, 7, 3), (16, 32, 64), (33, 65, 17), (64, 784, 256), (1, 100, 31)])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
def test_matmul_forms(rng: np.random.Generator, m: int, k: int, n: int, form: str) -> None:
    a, b = normal(rng, m, k), normal(rng, k, n)
    left = Desc.of((m, k), dt.float32, (1, m) if form[0] == "t" else None)
    right = Desc.of((k, n), dt.float32, (1, k) if form[1] == "t" else None)
    out = run(primitives.matmul(left, right, Desc.of((m, n), dt.float32)), src=a, weights=b)["dst"]
    close(out, a.astype(float) @ b, 1e-4 * max(1, k / 50))


def test_matmul_batched_broadcast_and_strided(rng: np.random.Generator) -> None:
    a, b, bias = normal(rng, 2, 3, 5, 8), normal(rng, 1, 3, 8, 7), normal(rng, 1, 1, 1, 7)
    heads = Desc.of((2, 3, 5, 8), dt.float32, (5 * 24, 8, 24, 1))  # (batch, step, head, feature) seen as (batch, head, step, feature)
    prim = primitives.matmul(heads, plain(b), Desc.of((2, 3, 5, 7), dt.float32), plain(bias))
    close(run(prim, src=a, weights=b, bias=bias)["dst"], a.astype(float) @ b + bias)


POSTS = {"relu": lambda y: np.maximum(y, 0), "tanh": np.tanh, "logistic": lambda y: 1 / (1 + np.exp(-y)),
         "gelu_tanh": lambda y: 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y ** 3)))}


@pytest.mark.parametrize("name", POSTS)
def test_matmul_with_bias_and_function(rng: np.random.Generator, name: str) -> None:
    a, b, bias = normal(rng, 9, 21), normal(rng, 21, 13), normal(rng, 1, 13)
    prim = primitives.matmul(plain(a), plain(b), Desc.of((9, 13), dt.float32), plain(bias), Attributes((Eltwise(name),)))
    close(run(prim, src=a, weights=b, bias=bias)["dst"], POSTS[name](a.astype(float) @ b + bias))


def test_matmul_sum_then_binary(rng: np.random.Generator) -> None:
    a, b, c, scale = normal(rng, 6, 10), normal(rng, 10, 4), normal(rng, 6, 4), normal(rng, 1, 4)
    prim = primitives.matmul(plain(a), plain(b), plain(c), attributes=Attributes((Sum(2.0), Binary("mul", plain(scale)), Eltwise("relu"))))
    assert list(prim.slots)[-1] == "post1"
    close(run(prim, src=a, weights=b, dst=c, post1=scale)["dst"], np.maximum((a.astype(float) @ b + 2 * c) * scale, 0))


def test_matmul_weights_in_a_layout_of_choice(rng: np.random.Generator) -> None:
    a, b = normal(rng, 40, 70), normal(rng, 70, 50)
    prim = primitives.matmul(plain(a), any_of(b), Desc.of((40, 50), dt.float32))
    close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b)


def test_matmul_bfloat16(rng: np.random.Generator) -> None:
    a, b = (normal(rng, *s).astype(ml_dtypes.bfloat16) for s in ((17, 32), (32, 9)))
    prim = primitives.matmul(plain(a), plain(b), Desc.of((17, 9), dt.float32))
    close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b.astype(float), 1e-3)


def test_matmul_int8(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 255, (5, 12), np.uint8), rng.integers(-127, 127, (12, 6), np.int8)
    scale, zero = np.array([0.5], np.float32), np.array([3], np.int32)
    each = np.linspace(0.1, 1, 6, dtype=np.float32)
    attributes = Attributes(scales={"src": (0, 1), "weights": (2, 6)}, zero_points={"src": (0, 1)})
    prim = primitives.matmul(plain(a), plain(b), Desc.of((5, 6), dt.float32), attributes=attributes)
    out = run(prim, src=a, weights=b, **{"scale:src": scale, "scale:weights": each, "zero:src": zero})["dst"]
    close(out, (a.astype(float) - 3) * 0.5 @ (b.astype(float) * each))


def test_skipped_implementations(rng: np.random.Generator) -> None:
    a, b = normal(rng, 8, 8), normal(rng, 8, 8)
    seen = []
    with pytest.raises(Unsupported):
        for skip in range(50):
            prim = primitives.matmul(plain(a), plain(b), Desc.of((8, 8), dt.float32), attributes=Attributes(skip=skip))
            close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b)
            seen.append((prim.impl, prim.reference))
    assert len(seen) > 1 and seen[-1][1] and not seen[0][1]


@pytest.mark.parametrize("m,k,n", [(64, 784, 256), (5, 7, 3), (1, 1, 1)])
@pytest.mark.parametrize("describe", [plain, any_of])
def test_inner_product(rng: np.random.Generator, describe: Any, m: int, k: int, n: int) -> None:
    x, w, bias, dy = normal(rng, m, k), normal(rng, n, k), normal(rng, n), normal(rng, m, n)
    forward = primitives.inner_product(describe(x), describe(w), describe(dy), plain(bias))
    close(run(forward, src=x, weights=w, bias=bias)["dst"], x.astype(float) @ w.T + bias, 1e-3)
    back = primitives.inner_product_backward_data(describe(x), describe(w), describe(dy), forward)
    close(run(back, diff_dst=dy, weights=w)["diff_src"], dy.astype(float) @ w, 1e-3)
    found = run(primitives.inner_product_backward_weights(describe(x), describe(w), describe(dy), forward, plain(bias)), src=x, diff_dst=dy)
    close(found["diff_weights"], dy.T.astype(float) @ x, 1e-3)
    close(found["diff_bias"], dy.sum(0, dtype=float), 1e-3)


def test_sgemm_has_an_address() -> None:
    assert library.address("dnnl_sgemm") and library.address("dnnl_primitive_execute") != library.address("dnnl_sgemm")


# ---------------------------------------------------------------------------------------------------- convolution

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
            yield at, tuple(slice(p * d, p * d + (o - 1) * s + 1, s) for p, d, o, s in zip(at, self.dilation, self.out, self.window.stride))

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
            dx[(..., *where)] += np.concatenate(list(np.einsum("gno...,goi->gni...", dys, self.split(self.w[(..., *at)], 0))), 1)
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


def described(array: np.ndarray, layout: str) -> Desc:
    if layout == "any":
        return any_of(array)
    order = (0, *range(2, array.ndim), 1) if layout == "last" else None
    return Desc.of(array.shape, dt.float32, strides_of(array.shape, order))


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
    grads = primitives.convolution_backward_weights(described(x, layout), any_of(wg), described(y, layout), window, any_of(bias))
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


# ---------------------------------------------------------------------------------------------------- pooling

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


# ---------------------------------------------------------------------------------------------------- processes and threads

FORK = """
import os, sys, time
import numpy as np
from rushlight.exec.cpu.onednn import library, primitives
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import Bound
from rushlight.ir import dtype as dt

library.set_threads(2)
a, b, c, scratch = (np.ones(s, np.float32) for s in ((300, 300), (300, 300), (300, 300), (1 << 20,)))
desc = Desc.of(a.shape, dt.float32)
bound = Bound(primitives.matmul(desc, desc, desc))
assert bound.primitive.descs["scratchpad"].size < scratch.nbytes
for name, array in zip(("src", "weights", "dst", "scratchpad"), (a, b, c, scratch)):
    bound.set(name, array.ctypes.data)
for repetition in range(20):
    bound.execute()
    assert (c == 300).all()
    child = os.fork()
    if not child:
        c[:] = 0
        bound.execute()
        os._exit(0 if (c == 300).all() else 3)
    end = time.monotonic() + 1
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit(f"child {repetition} hangs")
        time.sleep(0.001)
    assert os.waitstatus_to_exitcode(done[1]) == 0, done
print(library.omp().name)
"""


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)


def test_a_forked_child_computes() -> None:
    done = child(FORK)
    assert done.returncode == 0, done.stderr


def test_a_forked_child_computes_under_libgomp() -> None:
    """Another runtime in front, whose threads do not survive: the child works with one."""
    done = child("import ctypes; ctypes.CDLL('libgomp.so.1', mode=ctypes.RTLD_GLOBAL)\n" + FORK)
    if "cannot open" in done.stderr:
        pytest.skip("libgomp is not installed")
    assert done.returncode == 0 and done.stdout.strip() == "global", done.stderr


def test_a_forked_child_computes_whatever_other_packages_set() -> None:
    """scikit-learn switches the runtime's handlers at fork off for the whole process."""
    done = child("import os\nos.environ['KMP_INIT_AT_FORK'] = 'FALSE'\n" + FORK + "\nassert os.environ['KMP_INIT_AT_FORK'] == 'FALSE'\n")
    assert done.returncode == 0, done.stderr


def test_without_libgomp() -> None:
    """An empty stand-in of that name is enough, because the functions come from the runtime in front."""
    done = child("from rushlight.exec.cpu.onednn import openmp\nassert openmp.runtime().fork_safe\nopenmp.stand_in()\n"
                 "from pathlib import Path\n" + FORK + "\nmaps = Path('/proc/self/maps').read_text()\n"
                 "assert '/libgomp.so.1' not in maps.replace('/memfd:libgomp.so.1', ''), maps")
    assert done.returncode == 0, done.stderr


def test_switched_off() -> None:
    done = child("from rushlight.exec.cpu.onednn import library as l\nassert not l.available()\nl.library()", RUSHLIGHT_ONEDNN="off")
    assert "OneDNNError" in done.stderr and "pip install" in done.stderr


def test_set_threads() -> None:
    usual = library.omp().threads()
    library.set_threads(1)
    assert library.omp().threads() == 1
    library.set_threads(usual)
    with pytest.raises(ValueError):
        library.set_threads(0)
    assert library.omp().address("GOMP_parallel")


# ---------------------------------------------------------------------------------------------------- normalisation

def normalized(x: np.ndarray, dy: np.ndarray, axes: tuple[int, ...], scale: np.ndarray, shift: np.ndarray, eps: float,
               relu: bool = False) -> dict[str, np.ndarray]:
    """Normalisation over axes and its gradients, in float64."""
    x, dy = x.astype(float), dy.astype(float)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    hat = (x - mean) / np.sqrt(variance + eps)
    y = scale * hat + shift
    if relu:
        y, dy = np.maximum(y, 0), np.where(y > 0, dy, 0)
    dhat = dy * scale
    dx = (dhat - dhat.mean(axes, keepdims=True) - hat * (dhat * hat).mean(axes, keepdims=True)) / np.sqrt(variance + eps)
    rest = tuple(d for d in range(x.ndim) if scale.shape[d] == 1)
    return {"dst": y, "diff_src": dx, "diff_scale": (dy * hat).sum(rest), "diff_shift": dy.sum(rest), "mean": mean, "variance": variance}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(4, 16, 5, 5), (3, 7, 6), (2, 33, 3, 2, 2), (9, 5)])
@pytest.mark.parametrize("layout", ["first", "last", "any"])
def test_batch_normalization(rng: np.random.Generator, shape: tuple[int, ...], relu: bool, layout: str) -> None:
    x, dy = normal(rng, *shape) * 2 + 1, normal(rng, *shape)
    scale, shift = normal(rng, shape[1]), normal(rng, shape[1])
    wide = (1, -1, *[1] * (len(shape) - 2))
    axes = (0, *range(2, len(shape)))
    expected = normalized(x, dy, axes, scale.reshape(wide), shift.reshape(wide), 1e-3, relu)
    norm = Norm(1e-3, ("scale", "shift", "relu") if relu else ("scale", "shift"))
    laid = described(x, "first" if layout == "any" else layout)  # the input of a normalisation has a layout already
    dst = described(x, layout)
    forward = primitives.batch_normalization(laid, dst, norm)
    result = run(forward, src=x, scale=scale, shift=shift)
    assert ("workspace" in forward.slots) == relu
    for name in ("dst", "mean", "variance"):
        close(result[name].reshape(expected[name].shape), expected[name])
    back = primitives.batch_normalization_backward(dst, dst, laid, norm, forward)
    given = {name: result[name] for name in ("mean", "variance", *(["workspace"] if relu else []))}
    found = run(back, src=x, diff_dst=dy, scale=scale, **given)
    for name in ("diff_src", "diff_scale", "diff_shift"):
        close(found[name], expected[name], 1e-3)


def test_batch_normalization_with_given_statistics(rng: np.random.Generator) -> None:
    x, mean, variance = normal(rng, 2, 5, 4, 4), normal(rng, 5), np.abs(normal(rng, 5)) + 0.1
    prim = primitives.batch_normalization(plain(x), plain(x), Norm(1e-5, ("global_stats",)), "inference")
    expected = (x - mean.reshape(1, 5, 1, 1)) / np.sqrt(variance.reshape(1, 5, 1, 1).astype(float) + 1e-5)
    close(run(prim, src=x, mean=mean, variance=variance)["dst"], expected)


@pytest.mark.parametrize("shape", [(4, 6, 16), (5, 33), (2, 1, 1)])
def test_layer_normalization(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy, scale, shift = normal(rng, *shape), normal(rng, *shape), normal(rng, shape[-1]), normal(rng, shape[-1])
    wide = (*[1] * (len(shape) - 1), -1)
    expected = normalized(x, dy, (len(shape) - 1,), scale.reshape(wide), shift.reshape(wide), 1e-5)
    stat = Desc.of(shape[:-1], dt.float32)
    forward = primitives.layer_normalization(plain(x), plain(x), Norm(), stat)
    result = run(forward, src=x, scale=scale, shift=shift)
    close(result["dst"], expected["dst"])
    back = primitives.layer_normalization_backward(plain(x), plain(x), plain(x), Norm(), forward, stat)
    found = run(back, src=x, diff_dst=dy, scale=scale, shift=shift, mean=result["mean"], variance=result["variance"])
    for name in ("diff_src", "diff_scale", "diff_shift"):
        close(found[name], expected[name], 1e-3)


# ---------------------------------------------------------------------------------------------------- elementwise and reductions

@pytest.mark.parametrize("shape,axis", [((5, 10), 1), ((5, 10), 0), ((2, 3, 17), -1), ((1, 1), 1), ((3, 21, 4), 1)])
@pytest.mark.parametrize("kind", names.SOFTMAX)
def test_softmax(rng: np.random.Generator, shape: tuple[int, ...], axis: int, kind: str) -> None:
    x, dy = normal(rng, *shape) * 5, normal(rng, *shape)
    log = x - np.log(np.exp(x.astype(float)).sum(axis, keepdims=True))
    p = np.exp(log)
    expected = (log, dy - p * dy.sum(axis, keepdims=True)) if kind == "log_softmax" else (p, p * (dy - (dy * p).sum(axis, keepdims=True)))
    forward = primitives.softmax(plain(x), plain(x), axis, kind)
    y = run(forward, src=x)["dst"]
    close(y, expected[0])
    back = primitives.softmax_backward(plain(x), plain(x), plain(x), axis, forward, kind)
    close(run(back, dst=y, diff_dst=dy)["diff_src"], expected[1])


FUNCTIONS = {"relu": (lambda x: np.maximum(x, 0), lambda x: x > 0), "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
             "exp": (np.exp, np.exp), "square": (np.square, lambda x: 2 * x), "abs": (np.abs, np.sign),
             "logistic": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2)}


@pytest.mark.parametrize("from_result", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_eltwise(rng: np.random.Generator, name: str, from_result: bool) -> None:
    full = f"{name}_dst" if from_result else name
    if full not in names.ELTWISE:
        with pytest.raises(KeyError):
            primitives.eltwise(full, Desc.of((1,), dt.float32), Desc.of((1,), dt.float32))
        return
    x, dy = normal(rng, 3, 19), normal(rng, 3, 19)
    value, slope = FUNCTIONS[name]
    forward = primitives.eltwise(full, plain(x), plain(x))
    y = run(forward, src=x)["dst"]
    close(y, value(x.astype(float)))
    back = primitives.eltwise_backward(full, plain(x), plain(x), plain(x), forward)
    data = {"dst": y} if from_result else {"src": x}
    close(run(back, diff_dst=dy, **data)["diff_src"], dy * slope(x.astype(float)))


@pytest.mark.parametrize("name,function", [("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum),
                                           ("div", np.divide), ("sub", np.subtract), ("ge", np.greater_equal), ("ne", np.not_equal)])
def test_binary(rng: np.random.Generator, name: str, function: Any) -> None:
    a, b = normal(rng, 3, 5, 7), normal(rng, 1, 5, 1)
    close(run(primitives.binary(name, plain(a), plain(b), plain(a)), src=a, src_1=b)["dst"], function(a, b))


@pytest.mark.parametrize("name,function", [("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min), ("mul", np.prod)])
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1, 2)])
def test_reduction(rng: np.random.Generator, name: str, function: Any, axes: tuple[int, ...]) -> None:
    x = normal(rng, 3, 5, 7)
    y = function(x.astype(float), axis=axes, keepdims=True)
    close(run(primitives.reduction(name, plain(x), Desc.of(y.shape, dt.float32)), src=x)["dst"], y)


# ---------------------------------------------------------------------------------------------------- recurrent layers

def gates_of_torch(kind: str, weights: np.ndarray) -> np.ndarray:
    """(…, gates · h, columns) of PyTorch with the gates in oneDNN's order."""
    if kind != "gru":
        return weights
    reset, update, new = np.split(weights, 3, -2)
    return np.concatenate([update, reset, new], -2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("direction", ["left2right", "concat"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("sizes", [(4, 3, 5, 7), (1, 1, 1, 1), (6, 16, 32, 32)])
def test_recurrent(rng: np.random.Generator, sizes: tuple[int, int, int, int], kind: str, direction: str,
                   batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    steps, batch, inputs, hidden = sizes
    cell = recurrent.Cell(kind, steps, batch, inputs, hidden, direction=direction, batch_first=batch_first)
    both = cell.directions
    x, h0, c0 = normal(rng, steps, batch, inputs), normal(rng, both, batch, hidden), normal(rng, both, batch, hidden)
    dy, dh, dc = normal(rng, steps, batch, both * hidden), normal(rng, both, batch, hidden), normal(rng, both, batch, hidden)

    family = {"lstm": "LSTM", "gru": "GRU"}.get(kind, "RNN")
    options = {"nonlinearity": kind.removeprefix("rnn_")} if family == "RNN" else {}
    module = getattr(torch.nn, family)(inputs, hidden, bidirectional=both == 2, **options)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, h0, c0)]
    state = (leaves[1], leaves[2]) if kind == "lstm" else leaves[1]
    out, last = module(leaves[0], state)
    lasts = list(last) if kind == "lstm" else [last]
    torch.autograd.backward([out, *lasts], [torch.tensor(g) for g in (dy, dh, dc)[:1 + len(lasts)]])

    def stacked(name: str, gradient: bool = False) -> np.ndarray:
        parts = [getattr(module, f"{name}_l0{end}") for end in ("", "_reverse")[:both]]
        return np.stack([(p.grad if gradient else p.detach()).numpy() for p in parts])

    def weights(name: str, gradient: bool = False) -> np.ndarray:
        full = gates_of_torch(kind, stacked(name, gradient))  # (d, g·h, i) -> (1, d, i, g, h)
        return full.reshape(both, -1, hidden, full.shape[-1]).transpose(0, 3, 1, 2)[None]

    def bias(gradient: bool = False) -> np.ndarray:
        first, second = (stacked(f"bias_{which}", gradient) for which in ("ih", "hh"))
        if kind != "gru":
            return (first if gradient else first + second).reshape(1, both, -1, hidden)
        (r, z, n), (r2, z2, n2) = (np.split(b, 3, -1) for b in (first, second))
        parts = [z, r, n, n2] if gradient else [z + z2, r + r2, n, n2]
        return np.stack(parts, 1)[None]

    values = {"src_layer": x, "src_iter": h0[None], "weights_layer": weights("weight_ih"), "weights_iter": weights("weight_hh"), "bias": bias()}
    if kind == "lstm":
        values["src_iter_c"] = c0[None]
    forward = recurrent.forward(cell)
    result = run(forward, **values)
    close(result["dst_layer"], out.detach().numpy())
    for slot, tensor in zip(("dst_iter", "dst_iter_c"), lasts):
        close(result[slot][0], tensor.detach().numpy())

    back = recurrent.backward(cell, forward)
    results = {name: result[name] for name in ("dst_layer", "dst_iter", "dst_iter_c", "workspace") if name in result}
    gradients = {"diff_dst_layer": dy, "diff_dst_iter": dh[None], "diff_dst_iter_c": dc[None]}
    found = run(back, **values, **results, **{name: g for name, g in gradients.items() if name in back.slots})
    close(found["diff_src_layer"], leaves[0].grad.numpy(), 1e-3)
    close(found["diff_src_iter"][0], leaves[1].grad.numpy(), 1e-3)
    close(found["diff_weights_layer"], weights("weight_ih", True), 1e-3)
    close(found["diff_weights_iter"], weights("weight_hh", True), 1e-3)
    close(found["diff_bias"], bias(True), 1e-3)
    if kind == "lstm":
        close(found["diff_src_iter_c"][0], leaves[2].grad.numpy(), 1e-3)


def test_recurrent_weights_as_torch_has_them(rng: np.random.Generator) -> None:
    """PyTorch's weights need one reorder and no copy before it."""
    cell = recurrent.Cell("lstm", 3, 2, 5, 7, initial=False)
    weights = normal(rng, 4 * 7, 5)
    chosen = recurrent.forward(cell).descs["weights_layer"]
    dense = Desc.of(cell.shape("weights_layer"), dt.float32)
    if chosen.blocks is not None:
        found = copied(chosen, dense, copied(cell.torch_weights("weights_layer"), chosen, weights)).view(np.float32)
        np.testing.assert_array_equal(found.reshape(5, 4, 7), weights.reshape(4, 7, 5).transpose(2, 0, 1))


def test_recurrent_inference_without_initial_state(rng: np.random.Generator) -> None:
    cell = recurrent.Cell("rnn_tanh", 2, 1, 3, 4, initial=False)
    x, w, u, b = normal(rng, 2, 1, 3), normal(rng, 1, 1, 3, 1, 4), normal(rng, 1, 1, 4, 1, 4), normal(rng, 1, 1, 1, 4)
    prim = recurrent.forward(cell, "inference")
    assert "src_iter" not in prim.slots and "workspace" not in prim.slots
    first = np.tanh(x[0].astype(float) @ w[0, 0, :, 0] + b[0, 0])
    second = np.tanh(x[1].astype(float) @ w[0, 0, :, 0] + first @ u[0, 0, :, 0] + b[0, 0])
    close(run(prim, src_layer=x, weights_layer=w, weights_iter=u, bias=b)["dst_layer"], np.stack([first, second]))
