"""Convolutions in plans: which implementations there are, that they keep to their memory, and that their gradients are right in networks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from executors import agree, only

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import convolutions, executor
from rushlight.exec.cpu.onednn import library, openmp
from rushlight.exec.cpu.onednn.library import OneDNNError
from rushlight.exec.cpu.onednn.primitive import Bound
from rushlight.exec.cpu.onednn.primitives import grouped, window_end

pytestmark = pytest.mark.skipif(not (executor.available() and library.available()), reason="no compiler or no oneDNN on this machine")
GUARD = 8192  # bytes on either side
# channels in and out, height and width, kernel, stride, groups
SHAPES = [(1, 10, 27, 27, 1, 3, 1), (4, 2, 24, 24, 1, 3, 1), (3, 4, 20, 20, 1, 2, 1), (8, 6, 48, 48, 1, 3, 1), (64, 128, 16, 16, 1, 2, 1), (16, 20, 20, 13, 1, 1, 1),
          (17, 3, 9, 9, 1, 2, 1), (12, 12, 12, 12, 1, 3, 12), (8, 8, 13, 5, 3, 3, 8), (4, 8, 26, 9, 3, 2, 4), (16, 2, 9, 9, 5, 1, 1), (3, 32, 21, 21, 7, 2, 1), (20, 32, 6, 6, 3, 1, 4)]


def guarded(primitive: Any) -> list[tuple[str, np.ndarray, int, int]]:
    """Memory of a primitive between guards, which it fills when it runs once."""
    bound, places = Bound(primitive), []
    for name, desc in primitive.descs.items():
        raw = np.full(desc.size + 2 * GUARD + 64, 0xA5, np.uint8)
        start = GUARD + -(raw.ctypes.data + GUARD) % 64
        raw[start:start + desc.size] = 0
        places.append((name, raw, start, start + desc.size))
        bound.set(name, raw.ctypes.data + start)
    bound.execute()
    return places


@pytest.mark.parametrize("name", ["convolution", "convolution_bias", "convolution_input_grad", "convolution_weight_grad"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_implementation_leaves_its_memory(name: str, shape: tuple[int, ...]) -> None:
    """Those of oneDNN for strides and kernels of one gather pixels in scratch memory that is too small for few channels."""
    inputs, outputs, h, w, kernel, stride, groups = shape
    pad = kernel // 2
    out = [(n + 2 * pad - kernel) // stride + 1 for n in (h, w)]
    x, y, weights = (3, inputs, h, w), (3, outputs, *out), (outputs, inputs // groups, kernel, kernel)
    pads = tuple((pad, window_end(n, o, kernel, stride, 1, pad)) for n, o in zip((h, w), out))
    made = 0
    for skip in itertools.count():
        try:
            primitive = convolutions._kept(name, x, grouped(weights, groups), y, ((stride, stride), pads, (1, 1)), name == "convolution_bias", skip,
                                           openmp.threads())
        except OneDNNError:
            break
        if primitive.reference:
            break
        for slot, raw, start, end in guarded(primitive):
            assert (raw[:start] == 0xA5).all() and (raw[end:] == 0xA5).all(), f"{primitive} leaves its {slot}"
        made += 1
    assert made


@pytest.mark.parametrize("depth,kernel,stride,padding", [(5, 7, 2, 3), (5, 5, 3, 4), (4, 6, 2, 3), (5, 7, 2, 5), (3, 7, 3, 5), (9, 7, 2, 3), (5, 7, 1, 3), (3, 5, 2, 2)])
def test_strided_windows_none_of_which_lies_within(depth: int, kernel: int, stride: int, padding: int) -> None:
    """oneDNN's gradient of weights left its memory, or was wrong, where several windows begin before the volume and none lies within."""
    rng = np.random.default_rng(0)
    x, w = (rl.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((2, 16, depth, 5, 4), (32, 16, kernel, 3, 3)))

    def run() -> list[Any]:
        images, weights = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = F.conv3d(images * 1.0, weights, None, (stride, 1, 2), (padding, 1, 1))
        (y * rl.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        return [y.detach(), images.grad, weights.grad]
    agree(run, 10)


CASES = {"pooled unevenly": lambda y: F.adaptive_avg_pool2d(y, 6), "resized": lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"),
         "turned": lambda y: y.transpose(2, 3).contiguous() * 1.5, "rows as one": lambda y: y.flatten(2).cumsum(2), "reversed": lambda y: y.flip(3) ** 2}


@pytest.mark.parametrize("shape", [(16, 20, 20, 13, 1, 1, 1), (16, 2, 9, 9, 5, 1, 1), (16, 16, 9, 11, 3, 1, 1), (4, 8, 12, 12, 3, 2, 1), (8, 8, 10, 9, 3, 1, 8)])
@pytest.mark.parametrize("name", CASES)
def test_gradients_before_what_turns_images(name: str, shape: tuple[int, ...]) -> None:
    """The gradient of the images and that of the weights read one operand, each in the order that its kernel wants."""
    inputs, outputs, h, w, kernel, stride, groups = shape
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s).astype(np.float32) for s in ((3, inputs, h, w), (outputs, inputs // groups, kernel, kernel), (outputs,))]

    def run() -> list[Any]:
        x, weight, bias = (rl.tensor(v, requires_grad=True) for v in values)
        y = CASES[name](F.conv2d(x * 1.0, weight, bias, stride, kernel // 2, 1, groups))
        (y * rl.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        return [y.detach(), x.grad, weight.grad, bias.grad]
    agree(run, 100)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 32, 16, 33), (3, 32, 31, 32), (2, 8, 5, 5), (1, 16, 7, 64), (2, 33, 9, 9)])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_gradients_of_windows_that_hang_over(kind: str, shape: tuple[int, ...], threads: int) -> None:
    """They wrote beyond their row: into the next one, which another thread may have done already, or beyond the image."""
    x = rl.linspace(-1, 1, int(np.prod(shape))).reshape(shape).sin()

    def run() -> list[Any]:
        found = []
        for size in (2, 3):
            leaf = x.clone().requires_grad_()
            y = F.avg_pool2d(leaf * 1.0, size, ceil_mode=True, count_include_pad=False) if kind == "avg" else F.max_pool2d(leaf * 1.0, size, ceil_mode=True)
            (y * rl.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
            found.append(leaf.grad)
        return found
    before = rl.get_num_threads()
    rl.set_num_threads(threads)
    try:
        agree(run)
    finally:
        rl.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("images", "weights", "options"), [
    ((2, 5, 9, 8), (7, 5, 3, 3), {"padding": 1, "stride": 2}), ((2, 6, 9, 8), (6, 1, 3, 3), {"groups": 6}), ((2, 4, 21), (3, 4, 5), {"dilation": 2}),
    ((1, 3, 5, 6, 7), (2, 3, 3, 2, 3), {}), ((2, 3, 32, 32), (6, 3, 5, 5), {})])
def test_half_precision_is_float32_rounded_once(images: Any, weights: Any, options: Any, dtype: str) -> None:
    kind = getattr(rl, dtype)
    x, w, b = rl.randn(*images).to(kind), rl.randn(*weights).to(kind), rl.randn(weights[0]).to(kind)
    call = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(images)]

    def run(widen: bool) -> list[Any]:
        given = [(t.float() if widen else t.clone()).requires_grad_() for t in (x, w, b)]
        out = call(*given, **options)
        grads = rl.autograd.grad(out, given, rl.ones_like(out))
        return [t.detach().to(kind).float().numpy() for t in (out, *grads)]
    with only("cpu"):
        with rl.profile() as p:
            found = run(False)
        assert not any("numpy convolution" in e.title for e in p.events), [e.title for e in p.events]
        exact = run(True)
    with only("numpy"):
        defined = run(False)
    step = {"bfloat16": 2.0 ** -7, "float16": 2.0 ** -10}[dtype]
    for a, b, c in zip(found, exact, defined, strict=True):
        np.testing.assert_allclose(a, b, rtol=step, atol=step * np.abs(b).max() * 2 ** -6)
        np.testing.assert_allclose(a, c, rtol=step, atol=step * np.abs(b).max() * 2 ** -6)
