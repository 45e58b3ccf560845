"""Reversed tensors in plans: views with negative steps, of memory that lies in any way, before and behind everything with its own kernels."""

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
from rushlight.exec.cpu.layouts import through, channels_last
from rushlight.ir.dtype import float32
from rushlight.ir.spec import spec

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")


@settings(max_examples=300, deadline=None)
@given(st.tuples(*[st.integers(1, 4)] * 4), st.integers(0, 1 << 30))
def test_views_of_images_with_channels_last_show_the_same_elements(shape, seed):
    """Or there is no such view: merged dimensions that do not lie together, backwards or forwards. None leaves the memory."""
    rng = np.random.default_rng(seed)
    places = np.arange(np.prod(shape)).reshape(shape)
    view = places
    if rng.integers(2):
        at = int(rng.integers(3))
        view = view.reshape(*shape[:at], -1, *shape[at + 2:])
    view = view[tuple(slice(None, None, [1, -1, 2, -2][rng.integers(4)]) for _ in view.shape)].transpose(rng.permutation(view.ndim))
    offset = int(view.reshape(-1)[0])
    seen = through(spec(float32, view.shape, tuple(s // 8 for s in view.strides), offset), shape, channels_last(4))
    if seen is not None:
        memory = places.transpose(channels_last(4)).reshape(-1)
        index = np.full(view.shape, seen.offset)
        for d, (n, stride) in enumerate(zip(seen.shape, seen.strides)):
            index = index + (np.arange(n) * stride).reshape([-1 if e == d else 1 for e in range(view.ndim)])
        assert index.min() >= 0 and index.max() < memory.size
        assert np.array_equal(memory[index], view)


def image() -> rl.Tensor:
    """What lies with channels last in a plan."""
    return F.conv2d(rl.linspace(-1, 1, 144).reshape(2, 3, 6, 4), rl.linspace(-1, 1, 216).reshape(8, 3, 3, 3), padding=1)


IMAGES: dict[str, Callable[[Any], Any]] = {
    "samples and channels as one": lambda y: y.reshape(16, 6, 4).flip(0), "rows and columns as one": lambda y: y.reshape(2, 8, 24).flip(2),
    "samples one by one": lambda y: y.reshape(2, -1).flip(1), "all as one": lambda y: y.reshape(-1).flip(0),
    "each dimension": lambda y: [y.flip(d) for d in range(4)], "all dimensions": lambda y: y.flip(0, 1, 2, 3),
    "every second": lambda y: y[:, ::2, ::2].flip(1, 2), "joined": lambda y: rl.cat([y.flip(1), y, y.flip(3)], 1),
    "pooled": lambda y: F.max_pool2d(F.relu(y), 2).flip(1).reshape(-1).flip(0), "convolved": lambda y: F.conv2d(y.flip(3), rl.ones(2, 8, 3, 3)),
    "turned": lambda y: y.permute(2, 0, 1, 3).reshape(12, -1).flip(0), "summed": lambda y: y.reshape(16, 24).flip(0).cumsum(0),
    "picked": lambda y: y.reshape(16, 24).flip(0)[rl.tensor([0, 15, 3])],
    "added": lambda y: rl.zeros(16, 24).index_add(0, rl.tensor([1, 1, 3]), y.reshape(16, 24).flip(0)[:3]),
    "transformed": lambda y: rl.view_as_real(rl.fft.fft(y.reshape(16, 24).flip(0))),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    agree(lambda: IMAGES[name](image()), 30)


X = np.linspace(-1, 1, 168, dtype=np.float32).reshape(2, 7, 12)


def gradient(f: Callable[[Any], Any]) -> Any:
    x = rl.from_numpy(X).requires_grad_()
    return rl.autograd.grad(f(x).pow(2).sum(), x)[0]


PROGRAMS: dict[str, Callable[[], Any]] = {
    "values made of parts": lambda: [rl.cat([rl.from_numpy(X)] * 2, d).flip(e) for d in range(3) for e in range(3)],
    "gradients of parts": lambda: gradient(lambda x: x.flip(1)[:, 2:5].sum() + x.flip(1)[:, 5:] * 3),
    "gradients of halves": lambda: gradient(lambda x: (lambda a, b: a * b)(*x.flip(2).chunk(2, -1))),
    "gradients of turned halves": lambda: gradient(lambda x: (lambda a, b: a * b.flip(1))(*x.flip(0).transpose(0, 2).chunk(2, 0))),
    "attention": lambda: F.scaled_dot_product_attention(*[rl.from_numpy(X * i).view(2, 7, 2, 6).transpose(1, 2).flip(2) for i in (1, 2, 3)]),
    "products": lambda: [rl.from_numpy(X).flip(1) @ rl.from_numpy(X).flip(2).transpose(1, 2), F.linear(rl.from_numpy(X).flip(2), rl.ones(3, 12))],
    "rows": lambda: [rl.from_numpy(X).flip(2).softmax(2), F.layer_norm(rl.from_numpy(X).flip(1), (12,)), rl.from_numpy(X).flip(1).argmax(1)],
    "embeddings": lambda: F.embedding(rl.tensor([0, 5]), rl.from_numpy(X[0]).flip(0)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    agree(PROGRAMS[name], 30)


@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1)])
def test_recurrent_layers_backwards(dims: tuple[int, ...]) -> None:
    rl.manual_seed(0)
    layer, table, numbers = rl.nn.LSTM(4, 6, batch_first=True), rl.nn.Embedding(9, 4), rl.randint(0, 9, (2, 7))
    rl.realize()
    agree(lambda: [t.detach() for t in (layer(table(numbers))[0].flip(dims), layer(table(numbers).flip(dims))[0], layer(table(numbers.flip(dims)))[0],
                                        layer(table(numbers))[0].transpose(0, 1).flip(dims))], 30)
