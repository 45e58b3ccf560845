"""Runs in a process of its own: cpu_faults_child.py MODE. Every buffer that plans
get ends at a page that nobody may touch."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import plan

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
kept: list[Any] = []


def guarded(size: int, dtype: Any = np.uint8, align: int = 1) -> np.ndarray:
    """An array that ends where a page begins that may not be touched, as near as its alignment allows."""
    nbytes = int(size) * np.dtype(dtype).itemsize
    room = -(-max(nbytes, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, room + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for edge in (start, start + PAGE + room):
        assert libc.mprotect(ctypes.c_void_p(edge), ctypes.c_size_t(PAGE), 0) == 0
    kept.append(memory)
    offset = PAGE + (room - nbytes) // align * align
    return np.frombuffer(memory, dtype, int(size), offset)


class Empty:
    """NumPy as the plan sees it, with guarded memory."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = np.float64) -> np.ndarray:
        return guarded(int(np.prod(shape)), dtype)


class Arena:
    """Scratch memory of just the size that a plan asked for."""

    def take(self, size: int) -> np.ndarray:
        return guarded(-(-size // 64) * 64, align=64)

    def give(self, arena: np.ndarray) -> None:
        """Each plan gets new memory."""


def tensor(r: Any, *shape: int, dtype: Any = np.float32) -> Any:
    x = guarded(int(np.prod(shape)), dtype).reshape(shape)
    x[...] = r.standard_normal(shape) if np.dtype(dtype).kind == "f" else r.integers(0, 5, shape)
    return rl.from_numpy(x)


def one(r: Any, kind: int) -> Any:
    """A computation of odd sizes on guarded memory."""
    n, m, k, c = (int(v) for v in r.integers(1, 40, 4))
    x, y = tensor(r, n, m), tensor(r, m, k)
    if kind == 0:
        return (x.exp() + x.sum(0) * x.sum(1, keepdim=True)).softmax(1), (x.t() * 2).contiguous(), x.amax()
    if kind == 1:
        x.requires_grad_()
        F.gelu(F.layer_norm(x, (m,)) @ y).sum().backward()
        return x.grad,
    if kind == 2:
        images, w = tensor(r, 2, c, n + 4, m + 4), tensor(r, k, c, 3, 2)
        return F.max_pool2d(F.conv2d(images, w, padding=1).relu(), 2), F.avg_pool2d(images, 3, 2, 1)
    if kind == 3:
        images = tensor(r, 2, c, n + 4, m + 4).requires_grad_()
        F.max_pool2d(F.batch_norm(images, None, None, training=True), 3, 2, 1).square().sum().backward()
        return images.grad,
    if kind == 4:
        labels = tensor(r, n, dtype=np.int64) % m
        x.requires_grad_()
        F.cross_entropy(x, labels).backward()
        return x.grad,
    if kind == 5:
        layer = rl.nn.LSTM(m, k)
        return layer(tensor(r, n, 2, m))[0],
    if kind == 6:
        table = tensor(r, m, k).requires_grad_()
        F.embedding(tensor(r, n, dtype=np.int64) % m, table).sum().backward()
        return table.grad,
    if kind == 7:
        images, w = tensor(r, 3, c % 4 + 1, n + 4,
                           m + 7).requires_grad_(), tensor(r, k % 9 + 2, c % 4 + 1, 3, 4).requires_grad_()
        F.conv2d(images, w, padding=(1, 3)).relu().square().sum().backward()
        return images.grad, w.grad
    q = tensor(r, 2, 2, n, 8).requires_grad_()
    F.scaled_dot_product_attention(q, q, q, is_causal=bool(n % 2)).sum().backward()
    return q.grad,


def guard_pages() -> None:
    """Nothing is read or written beyond its buffer: else the process dies."""
    plan.np = Empty()
    plan.SCRATCH = Arena()
    for seed in range(180):
        for result in one(np.random.default_rng(seed), seed % 9):
            assert result.detach().numpy() is not None
        kept.clear()


def hostile() -> None:
    """Indices, labels and lengths that point anywhere: an error each time, never an access."""
    r = np.random.default_rng(0)
    wrong = [-(1 << 63), -(1 << 31), -1000, -1, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 63) - 1]
    count = 0
    for seed in range(1000):
        n, m = (int(v) for v in r.integers(2, 30, 2))
        bad = wrong[seed % len(wrong)]
        index = np.zeros(n, np.int64)
        index[int(r.integers(0, n))] = bad
        index = rl.from_numpy(index)
        x = rl.randn(n, m)
        cases = (lambda: F.cross_entropy(x * 2, index * 1, ignore_index=-5), lambda: F.embedding(index * 1, x * 2),
                 lambda: (x * 2).gather(1, (index * 1)[:, None]),
                 lambda: (x * 2)[index * 1 * (1 if bad > 0 or bad < -n else 100)],
                 lambda: (x * 2).index_select(0, index * 1), lambda: (x * 2).scatter_add(0, (index * 1)[:, None], x),
                 lambda: F.nll_loss(x * 2, index * 1, ignore_index=-5),
                 lambda: rl.zeros(n, m).index_add(0, index * 1, x))
        try:
            result = cases[seed % len(cases)]()
            result.sum().item()
        except (IndexError, RuntimeError):
            count += 1
            continue
        raise AssertionError(f"case {seed % len(cases)} with index {bad} of {n} gave {result}")
    assert count == 1000
    assert rl.ones(3).sum().item() == 3


if __name__ == "__main__":
    {"guard": guard_pages, "hostile": hostile}[sys.argv[1]]()
    print("survived")
