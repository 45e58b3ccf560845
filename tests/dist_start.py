"""What the processes of several tests share: their start, comparisons, a small transformer."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import rushlight as rl
import rushlight.distributed as dist
import rushlight.nn.functional as F
from rushlight.distributed.tensor import DTensor


def start(rank: int, size: int, path: str) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    dist.init_process_group(
        "gloo", init_method=f"file://{path}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    rl.manual_seed(0)


def raises(kind: type[Exception], text: str, f: Callable[[], Any]) -> None:
    try:
        f()
    except kind as e:
        assert text in str(e), (text, str(e))
        return
    raise AssertionError(f"no {kind.__name__} with {text!r}")


def close(a: Any, b: Any, what: Any = "") -> None:
    a = a.full_tensor() if isinstance(a, DTensor) else a
    assert tuple(a.shape) == tuple(b.shape) and rl.allclose(a.to(b.dtype), b, atol=1e-5, rtol=1e-5), (what, a, b)


class Block(rl.nn.Module):
    """A transformer's block, whose attention counts its heads by what it is given."""

    def __init__(self, width: int = 16, head: int = 4) -> None:
        super().__init__()
        self.head = head
        self.norm1, self.norm2 = rl.nn.LayerNorm(width), rl.nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (rl.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = rl.nn.Linear(width, 32), rl.nn.Linear(32, width)

    def heads(self, x: Any) -> Any:
        return x.view(x.shape[0], x.shape[1], -1, self.head).transpose(1, 2)

    def attention(self, x: Any) -> Any:
        out = F.scaled_dot_product_attention(
            self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x)), is_causal=True
        )
        return self.o(out.transpose(1, 2).flatten(2))

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Net(rl.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        rl.manual_seed(4)
        self.embed, self.layers, self.norm, self.head = (
            rl.nn.Embedding(12, 16),
            rl.nn.ModuleList(Block() for _ in range(2)),
            rl.nn.LayerNorm(16),
            rl.nn.Linear(16, 12),
        )

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))
