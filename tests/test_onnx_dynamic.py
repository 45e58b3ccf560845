"""Operations as ONNX whose sizes are known only at run time."""

from __future__ import annotations

from typing import Any

import pytest

import rushlight as rl
import rushlight.nn.functional as F

pytest.importorskip("onnx")
from onnx_oracle import check

rl.manual_seed(7)
X = rl.randn(3, 4, 6)

DYNAMIC = {
    "reshape": lambda x: (
        x.view(x.size(0), -1),
        x.reshape(-1, x.shape[2]),
        x.flatten(1),
        x.reshape(x.shape[0] * x.shape[1], 6),
        x.permute(1, 0, 2).flatten(1),
    ),
    "sizes": lambda x: (
        x.sum(0) / x.shape[0],
        x[:, : x.shape[1] // 2],
        rl.zeros(x.size(0), 3) + x[:, 0, :3],
        rl.arange(x.shape[0]) + 1,
        x.mean((0, 1)),
        x.numel() * x,
    ),
    "expand": lambda x: (
        x[:1].expand(x.size(0), -1, -1),
        x.repeat(2, 1, 1),
        rl.cat([x, x[:1]]),
        x.repeat_interleave(2, 0),
        x.expand_as(x),
        rl.ones_like(x),
    ),
    "sizes as tensors": lambda x: (
        rl.onnx.operators.shape_as_tensor(x) * 2,
        rl.onnx.operators.reshape_from_tensor_shape(x, rl.onnx.operators.shape_as_tensor(x.mT)),
        x * x[0, 0, 0].item(),
    ),
    "order": lambda x: (x.topk(2, 0)[0], x.sort(0)[0], x.flip(0), x.cumsum(0), x.roll(1, 0), x.argmax(0)),
    "variance": lambda x: (x.var(0), x.std(), x.norm(), x.softmax(0), x - x.mean(0, keepdim=True)),
    "indexing": lambda x: (
        x[0],
        x[-1],
        x[1:],
        x[:, 0],
        x[x[:, 0, 0] > 0],
        x[rl.arange(x.shape[0]), rl.zeros(x.shape[0], dtype=rl.int64)],
    ),
    "creation": lambda x: (
        rl.full((x.shape[0], 2), 1.5) + x[:, 0, :2],
        rl.ones(x.shape[0], x.shape[0]).tril() @ x[:, 0],
        rl.linspace(0, 1, x.shape[0]),
    ),
    "attention": lambda x: F.scaled_dot_product_attention(
        x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1), is_causal=True
    ),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_sizes(name: str) -> None:
    model = check(DYNAMIC[name], (X,), dynamic={"x": {0: "n"}}, other=(rl.randn(5, 4, 6),))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_write_at_a_dynamic_size() -> None:
    def program(x: Any) -> Any:
        y = x * 1
        y[:, 0] = 2.0
        y[0] = x[1]
        return y

    check(program, (X,), dynamic={"x": {0: "n"}}, other=(rl.randn(5, 4, 6),))
