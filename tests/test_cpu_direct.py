"""Convolutions with few output channels, and relu gradients taken on pooled values:
the kernels that oneDNN does not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executors import agree, only

import rushlight as rl
from rushlight.exec.cpu import direct, host, pooled
from rushlight.nn import functional as F

pytestmark = pytest.mark.skipif(not host.available() or host.vector_bytes() != 64,
                                reason="these kernels are for vectors of 64 bytes")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The operations that the kernels took over."""
    names: set[str] = set()
    claim = direct.claim
    monkeypatch.setattr(direct, "claim", lambda instr, operands: names.add(instr.op.name) or claim(instr, operands))
    return names


def tensors(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(seed)
    return [rl.tensor(random.standard_normal(s).astype("float32")) for s in shapes]


SIZES = [  # images, weights, padding
    ((32, 3, 32, 32), (6, 3, 5, 5), (0, 0)),
    ((3, 1, 28, 28), (10, 1, 5, 5), (2, 2)),
    ((1, 4, 9, 70), (2, 4, 3, 7), (1, 6)),
    ((17, 2, 33, 16), (7, 2, 1, 1), (0, 0)),
    ((2, 3, 12, 8), (5, 3, 11, 1), (5, 0)),
    ((5, 3, 8, 33), (9, 3, 2, 4), (1, 0)),
    ((32, 6, 14, 14), (16, 6, 5, 5), (0, 0)),  # from here on vectors run along the channels
    ((3, 9, 11, 7), (12, 9, 3, 3), (1, 1)),
    ((1, 1, 28, 45), (13, 1, 5, 5), (4, 2)),
    ((2, 16, 6, 33), (16, 16, 1, 2), (0, 1)),
    ((19, 5, 9, 4), (11, 5, 5, 1), (2, 0)),
]


@pytest.mark.parametrize(("images", "weights", "padding"), SIZES)
@pytest.mark.parametrize("last", [False, True])
def test_first_layers(images: tuple[int, ...], weights: tuple[int, ...], padding: tuple[int, int],
                      last: bool, seen: set[str]) -> None:
    """Results and gradients of weights and bias, of images in either memory format."""
    def run() -> list[Any]:
        x, w, b = tensors(1, images, weights, weights[:1])
        x = x.contiguous(memory_format=rl.channels_last) if last else x
        w.requires_grad_(), b.requires_grad_()
        y = F.relu(F.conv2d(x, w, b, padding=padding))
        (y * y).sum().backward()
        return [y, w.grad, b.grad]
    agree(run)
    assert {"convolution_bias_relu", "convolution_weight_grad"} <= seen


@pytest.mark.parametrize(("images", "weights", "padding"),
                         [((4, 6, 14, 14), (16, 6, 5, 5), (0, 0)), ((2, 9, 10, 40), (20, 9, 3, 3), (1, 1)),
                          ((1, 2, 9, 9), (33, 2, 2, 3), (0, 1)), ((3, 14, 10, 9), (20, 14, 3, 3), (1, 0)),
                          ((2, 12, 7, 40), (10, 12, 5, 5), (4, 4))])
def test_gradients_for_images(images: tuple[int, ...], weights: tuple[int, ...],
                              padding: tuple[int, int], seen: set[str]) -> None:
    """A gradient for few channels is a convolution with turned weights, of gradients whose channels are adjacent."""
    def run() -> list[Any]:
        x, w = tensors(2, images, weights)
        x.requires_grad_()
        y = F.conv2d(x, w, padding=padding)
        (y * y).sum().backward()
        return [y, x.grad]
    agree(run)
    assert "convolution_input_grad" in seen


@pytest.mark.parametrize("options", [{"stride": 2}, {"dilation": 2}, {"groups": 2}])
def test_other_convolutions_are_left_alone(options: dict[str, int], seen: set[str]) -> None:
    def run() -> Any:
        x, w = tensors(3, (2, 4, 20, 20), (4, 4 // options.get("groups", 1), 3, 3))
        return F.conv2d(x, w, **options)
    agree(run)
    assert not seen


@pytest.mark.parametrize("outputs", [5, 12])
def test_views_and_nan(outputs: int, seen: set[str]) -> None:
    """Images and weights that begin somewhere in their memory, and turned ones;
    NaN and infinities stay where they belong."""
    def run() -> list[Any]:
        x, w = tensors(4, (5, 4, 30, 31), (outputs + 2, 3, 3, 4))
        x[1, 2, 3, 4], x[2, 1, 0, 0] = float("nan"), float("inf")
        views = x[1:4, 1:, 2:, 1:], x[:3, 1:].transpose(2, 3), x[:, :3].flip(3)
        return [F.conv2d(v, k) for v in views for k in (w[1:-1], w[2:].transpose(2, 3))]
    agree(run)
    assert seen == {"convolution"}


@pytest.mark.parametrize("weights", [(6, 3, 5, 5), (16, 3, 4, 3)])
def test_threads_do_not_change_a_bit(weights: tuple[int, ...]) -> None:
    def run(count: int) -> list[np.ndarray]:
        before = rl.get_num_threads()
        rl.set_num_threads(count)
        try:
            with only("cpu"):
                x, w, b = tensors(5, (19, 3, 32, 32), weights, weights[:1])
                w.requires_grad_(), b.requires_grad_()
                y = F.conv2d(x, w, b)
                (y * y).sum().backward()
                return [y.detach().numpy().copy(), w.grad.numpy().copy(), b.grad.numpy().copy()]
        finally:
            rl.set_num_threads(before)
    one = run(1)
    for count in (2, 3):
        assert all(np.array_equal(a, b) for a, b in zip(one, run(count)))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_relu_before_pooling(kernel: int, stride: int, padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of the relu is taken on pooled values, NaN included."""
    made: list[int] = []
    spread = pooled._spread
    monkeypatch.setattr(pooled, "_spread", lambda *args: made.append(1) or spread(*args))

    def run() -> list[Any]:
        x, b = tensors(6, (3, 7, 13, 12), (7,))
        x[0, 0, 0, 0] = float("nan")
        x.requires_grad_(), b.requires_grad_()
        y = F.max_pool2d(F.relu(x * 2 + b.view(1, -1, 1, 1)), kernel, stride, padding)
        (y * y).sum().backward()
        return [x.grad, b.grad[1:]]
    agree(run)
    assert made


@pytest.mark.parametrize("channels", [6, 32])
def test_relu_keeps_nan(channels: int) -> None:
    """Behind products and convolutions too, alone and before a pooling, where kernels might take the relu in."""
    def run() -> list[Any]:
        x, w, b, m, v = tensors(8, (2, 3, 12, 12), (channels, 3, 3, 3), (channels,), (16, 24), (20, 24))
        x[0, 0, 3, 3] = m[2, 5] = float("nan")
        y = F.relu(F.conv2d(x, w, b))
        return ([y, F.max_pool2d(F.relu(F.conv2d(x, w, b)), 2), F.relu(F.linear(m, v)),
                 F.relu6(F.linear(m, v, m[0, :1].expand(20)))])
    agree(run)
    assert run()[0].isnan().any() and run()[2].isnan().any() and run()[3].isnan().any()


def test_a_relu_that_is_read_elsewhere_keeps_its_gradient() -> None:
    def run() -> list[Any]:
        (x,) = tensors(7, (2, 3, 8, 8))
        x.requires_grad_()
        y = F.relu(x)
        (F.max_pool2d(y, 2).square().sum() + y.sum()).backward()
        return [x.grad]
    agree(run)
