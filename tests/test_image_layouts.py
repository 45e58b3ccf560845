"""Layers on images: results lie as PyTorch lays them, have memory of their own, and may be written to before the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from executors import agree
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import executor
from rushlight.tensor.storage import held

LAST = rl.channels_last
Layer = Callable[[Any], Any]


def image(*shape: int) -> Any:
    n = int(np.prod(shape))
    return ((rl.arange(n) * 7 % 11 - 5) / 2).reshape(shape)


def weights(*shape: int) -> Any:
    return rl.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


ONES = rl.ones(4)
LAYERS: dict[str, Layer] = {
    "convolution": lambda x: F.conv2d(x, weights(6, 4, 3, 3), weights(6), padding=1),
    "depthwise": lambda x: F.conv2d(x, weights(4, 1, 3, 3), groups=4, stride=2),
    "transposed": lambda x: F.conv_transpose2d(x, weights(4, 3, 2, 2), weights(3), stride=2),
    "maximum pooling": lambda x: F.max_pool2d(x, 2), "its positions": lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
    "average pooling": lambda x: F.avg_pool2d(x, 3, 1, 1), "one pixel": lambda x: F.adaptive_avg_pool2d(x, 1),
    "few pixels": lambda x: F.adaptive_avg_pool2d(x, 2), "uneven pixels": lambda x: F.adaptive_avg_pool2d(x, 4),
    "as many pixels": lambda x: F.adaptive_avg_pool2d(x, 6), "uneven maximum": lambda x: F.adaptive_max_pool2d(x, 4),
    "nearest": lambda x: F.interpolate(x, scale_factor=2), "bilinear": lambda x: F.interpolate(x, size=5, mode="bilinear"),
    "the same size": lambda x: F.interpolate(x, size=6, mode="bilinear"), "area": lambda x: F.interpolate(x, size=4, mode="area"),
    "reflected": lambda x: F.pad(x, (1, 1, 2, 0), mode="reflect"), "replicated": lambda x: F.pad(x, (1, 1, 2, 0), mode="replicate"),
    "no padding": lambda x: F.pad(x, (0, 0, 0, 0), mode="reflect"), "zeros around": lambda x: F.pad(x, (1, 1)),
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True), "evaluated": lambda x: F.batch_norm(x, ONES, ONES, ONES, ONES),
    "with statistics": lambda x: F.batch_norm(x, rl.zeros(4), rl.ones(4), ONES, ONES, True),
    "group norm": lambda x: F.group_norm(x, 2), "scaled group norm": lambda x: F.group_norm(x, 2, weights(4), weights(4)),
    "channel shuffle": lambda x: F.channel_shuffle(x, 2), "one window": lambda x: F.interpolate(x, size=1, mode="bilinear"),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2), "pixel unshuffle": lambda x: F.pixel_unshuffle(x, 2), "relu": F.relu,
}


@pytest.mark.parametrize("name", LAYERS)
def test_channels_stay_last(name: str) -> None:
    """The numbers are those of the ordinary order, the strides those of channels last; also where there is one channel or pixel."""
    x = image(2, 4, 6, 6)
    wanted, have = LAYERS[name](x), LAYERS[name](x.contiguous(memory_format=LAST))
    assert have.shape == wanted.shape and wanted.is_contiguous()
    assert have.stride() == rl.empty(have.shape, memory_format=LAST).stride()
    np.testing.assert_allclose(have.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_do_not_depend_on_the_order(name: str) -> None:
    x = image(2, 4, 6, 6)
    found = []
    for t in (x, x.contiguous(memory_format=LAST)):
        t = t.clone().requires_grad_()
        out = LAYERS[name](t)
        if not out.is_floating_point():
            return
        (out * weights(*out.shape)).sum().backward()
        found.append(t.grad.numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_circular_padding_is_dense_in_the_ordinary_order() -> None:
    for widths in ((0, 0, 0, 0), (1, 0, 2, 1)):
        assert F.pad(image(2, 4, 6, 6).contiguous(memory_format=LAST), widths, mode="circular").is_contiguous()


def test_weights_suggest_an_order_as_well() -> None:
    out = F.conv2d(image(2, 4, 6, 6), weights(6, 4, 3, 3).contiguous(memory_format=LAST))
    assert out.stride() == (96, 1, 24, 6)


@pytest.mark.parametrize("name", LAYERS)
def test_results_have_memory_of_their_own(name: str) -> None:
    """Whatever is written into a result, its operand stays."""
    for x in (image(2, 4, 6, 6), image(2, 4, 6, 6).contiguous(memory_format=LAST)):
        before = x.tolist()
        LAYERS[name](x).zero_()
        assert x.tolist() == before


OTHERS: dict[str, tuple[tuple[int, ...], Layer]] = {
    "one window": ((2, 4, 2, 2), lambda x: F.pixel_unshuffle(x, 2)), "one channel": ((2, 1, 2, 2), lambda x: F.pixel_shuffle(x, 1)),
    "a signal": ((2, 3, 4), lambda x: F.adaptive_avg_pool1d(x, 4)), "a volume": ((1, 2, 3, 3, 3), lambda x: F.adaptive_avg_pool3d(x, 3)),
    "a resized signal": ((2, 3, 4), lambda x: F.interpolate(x, size=4, mode="linear")), "nothing": ((0, 3), lambda x: F.layer_norm(x, (3,))),
    "a padded signal": ((2, 3, 4), lambda x: F.pad(x, (0, 0), mode="circular")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_results_have_memory_of_their_own(name: str) -> None:
    shape, layer = OTHERS[name]
    x = image(*shape)
    before = x.tolist()
    assert layer(x).untyped_storage() is not x.untyped_storage()
    layer(x).fill_(7)
    assert x.tolist() == before


WRITABLE: dict[str, Layer] = {
    "relu6": F.relu6, "hardtanh": F.hardtanh, "hardsigmoid": F.hardsigmoid, "erfinv": lambda x: (x / 9).erfinv(),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("write", ["add_", "transpose_"])
def test_results_may_be_written_before_the_backward_pass(name: str, write: str) -> None:
    """Where PyTorch's gradient does not need the result, ours takes the value that it had."""
    layer = WRITABLE[name]
    x = image(2, 3, 4, 4).requires_grad_()
    wanted, = rl.autograd.grad((layer(x) + 1).sum(), x)
    y = layer(x)
    total = y.add_(1).sum() if write == "add_" else y.transpose_(2, 3).sum()
    found, = rl.autograd.grad(total, x, create_graph=True)
    assert y.shape == x.shape and np.isfinite(y.tolist()).all()
    np.testing.assert_allclose(found.tolist(), wanted.tolist(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_logits_may_be_written_after_their_loss(reduction: str) -> None:
    x, y = image(5, 7).requires_grad_(), rl.tensor([0, 1, 6, 2, 3])
    wanted, = rl.autograd.grad(F.cross_entropy(x, y, reduction=reduction).sum(), x)
    logits = x * 1
    loss = F.cross_entropy(logits, y, reduction=reduction).sum()
    with rl.no_grad():
        logits.mul_(3)
    loss.backward()
    np.testing.assert_allclose(x.grad.tolist(), wanted.tolist(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape, weight, padding", [((2, 3, 1, 2), (3, 3, 2, 2), 2), ((2, 3, 1), (3, 3, 1), 1), ((1, 3, 1, 1, 1), (3, 3, 1, 1, 1), 2)])
def test_a_transposed_convolution_that_cuts_off_everything_says_so(shape: Any, weight: Any, padding: int) -> None:
    """It made tensors of negative sizes."""
    with pytest.raises(RuntimeError, match="Output size is too small"):
        getattr(F, f"conv_transpose{len(shape) - 2}d")(rl.ones(shape), rl.ones(weight), padding=padding)


def test_what_was_overwritten_is_there_after_other_values_were_read() -> None:
    x = image(2, 3, 4, 4).requires_grad_()
    wanted, = rl.autograd.grad((F.relu6(x) + 1).sum(), x)
    y = F.relu6(x)
    y.add_(1)
    assert (y.sum() * 0).item() == 0  # everything pending is computed, and what nobody shows is not kept
    y.sum().backward()
    assert x.grad.tolist() == wanted.tolist()


def test_results_nobody_needs_any_more_are_not_held() -> None:
    x = image(2, 3, 4, 4).requires_grad_()
    F.hardtanh(x).sum().backward()
    assert not held


def network(last: bool) -> tuple[Any, Any]:
    """Layers of every kind in one step, and a picture."""
    rl.manual_seed(0)
    nn = rl.nn
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.GroupNorm(2, 6),
                        nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    x = image(5, 4, 12, 12)
    return (net.to(memory_format=LAST), x.contiguous(memory_format=LAST)) if last else (net, x)


@pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
def test_networks_are_one_program_in_either_order() -> None:
    """The same losses and weights, and as many kernels but for copies of what the user holds."""
    found, titles = [], []
    for last in (False, True):
        net, x = network(last)
        optimizer = rl.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            with rl.profile() as p:
                loss = F.cross_entropy(net(x), rl.tensor([0, 1, 2, 1, 0]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
        found.append([loss.item(), *[w.detach().contiguous().numpy() for w in net.parameters()]])
        titles.append([e.title for e in p.events])
    for plain, turned in zip(*found):
        np.testing.assert_allclose(turned, plain, rtol=2e-3, atol=2e-5)
    assert len(titles[1]) <= len(titles[0]) + 6  # one copy each of the picture, the weights and their gradients


@pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_programs_on_images_agree_between_executors(seed: int) -> None:
    """Layers, elementwise operations, views, reductions and writes, on images in both orders, some of which the program keeps."""
    def run() -> list[Any]:
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(1, 3)), int(rng.integers(1, 5)), 4, int(rng.integers(3, 6)))
        images = [rl.linspace(-1, 1, int(np.prod(shape))).reshape(shape).contiguous(memory_format=LAST) if rng.random() < 0.6 else image(*shape)]
        leaf = images[0] = images[0].requires_grad_()
        kept = []
        for _ in range(int(rng.integers(2, 8))):
            x = images[int(rng.integers(len(images)))]
            y = images[int(rng.integers(len(images)))]
            y = y if y.shape == x.shape else x * 2
            c = x.shape[1]
            layers: list[Callable[[], Any]] = [
                lambda: F.relu(x) + y, lambda: x * y, lambda: F.conv2d(x, weights(c, c, 3, 3), padding=1), lambda: F.batch_norm(x, None, None, training=True),
                lambda: F.max_pool2d(x, 3, 1, 1), lambda: x.flip(2) - y, lambda: x.contiguous(memory_format=LAST), lambda: x.contiguous().sigmoid(),
                lambda: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), lambda: rl.where(y > 0.013, x, weights(c, 1, 1)), lambda: (x[:, :, ::2] * 2).repeat(1, 1, 2, 1),
                lambda: x.reshape(x.shape[0], -1).softmax(1).reshape(x.shape), lambda: x - x.mean((2, 3), keepdim=True), lambda: rl.cat([x, y], 1)[:, c // 2:c // 2 + c],
                lambda: F.group_norm(x, 1, weights(c), weights(c)), lambda: x.clone().mul_(y), lambda: F.interpolate(x, scale_factor=1.0) + x.sum(1, keepdim=True),
            ]
            images.append(layers[int(rng.integers(len(layers)))]())
            if rng.random() < 0.3:
                kept.append(images[-1])
        total = (images[-1] * weights(*images[-1].shape)).sum()
        gradient, = rl.autograd.grad(total, leaf, allow_unused=True)
        return [total, *kept, *([] if gradient is None else [gradient])]
    agree(run, 200)


@pytest.mark.parametrize("name", ["float", "double", "half", "int", "bool", "cpu"])
def test_conversions_take_a_memory_format(name: str) -> None:
    """None ignores it: channels last, the ordinary order, or that of the operand, which is the operand itself where nothing changes."""
    plain = image(1, 2, 3, 3)
    turned = plain.contiguous(memory_format=LAST)
    for x in (plain, turned):
        for wanted, strides in ((LAST, (18, 1, 6, 2)), (rl.contiguous_format, (18, 9, 3, 1)), (rl.preserve_format, x.stride())):
            found = getattr(x, name)(memory_format=wanted)
            assert found.stride() == strides and found.dtype == getattr(x, name)().dtype
            assert (found is x) == (found.dtype is x.dtype and x.stride() == strides)
            assert x.to(memory_format=wanted).stride() == strides and x.to(rl.float64, memory_format=wanted).stride() == strides
            assert x.to(rl.float32, copy=True, memory_format=wanted) is not x
    with pytest.raises(RuntimeError, match="required rank 4"):
        rl.ones(3).float(memory_format=LAST)


@pytest.mark.parametrize("name", [*WRITABLE, "loss"])
def test_hooks_on_what_is_kept_see_it(name: str) -> None:
    """And a checkpoint computes it again."""
    layer = WRITABLE.get(name) or (lambda x: F.cross_entropy(x.reshape(-1, 4), rl.zeros(24, dtype=rl.long)))
    x = image(2, 3, 4, 4).requires_grad_()
    wanted, = rl.autograd.grad(layer(x).sum(), x)
    packed = []
    with rl.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t, lambda t: t):
        layer(x).sum().backward()
    assert packed and x.grad.tolist() == wanted.tolist()
    x.grad = None
    rl.utils.checkpoint.checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int32", "int64"])
def test_pooling_of_few_pixels(dtype: str) -> None:
    """Sizes of one and two tell the order of dimensions from strides badly: half precision took kernels for channels that lie last."""
    made = getattr(rl, dtype)
    for lead in ((1, 1), (1, 2), (2, 1), (2,), (2, 3)):
        for sides in ((1, 1), (1, 2), (2, 2), (3, 2)):
            for kernel, padding in ((1, 0), (2, 1), (2, 0)):
                if min(sides) + 2 * padding < kernel:
                    continue

                def run() -> list[Any]:
                    x = image(*lead, *sides).to(made)
                    if not made.is_floating_point:
                        return list(F.max_pool2d(x * 1, kernel, 1, padding, return_indices=True))
                    x.requires_grad_()
                    y, at = F.max_pool2d(x * 1, kernel, 1, padding, return_indices=True)
                    z = F.avg_pool2d(x * 1, kernel, 1, padding)
                    return [y.detach(), at, z.detach(), *rl.autograd.grad((y * y).sum(), x), *rl.autograd.grad((z * z).sum(), x)]
                agree(run)
