"""Where the results of elementwise functions lie in memory: PyTorch's strides, those of single elements too."""

from __future__ import annotations

import random
from typing import Any

import pytest

import rushlight

torch = pytest.importorskip("torch")

SHAPES = ((2, 1, 3), (1, 3), (2, 1), (1, 1, 3), (2, 3, 2), (1, 1), (1, 2, 1, 3),
          (2, 1, 1, 2), (2, 1, 3, 2), (2, 2, 1, 1), (4,), (1,), ())
ONE = (
    "x.neg()", "x.exp()", "x + 2", "2 - x", "x * 2", "2 / x", "x < 2", "x.pow(2)",
    "torch.pow(2, x)", "x.clamp(1, 2)", "x.clamp(min=1)", "x.floor()",
    "x.frac()", "x.round()", "x.isnan()", "x.isfinite()", "x.isinf()", "x // 2",
    "x % 2", "x.fmod(2)", "torch.xlogy(x, 2)", "x.clone()", "x.double()",
    "torch.zeros_like(x)", "torch.nan_to_num(x)", "torch.where(x > 2, x, 1.5)",
    "torch.deg2rad(x)", "torch.isreal(x)", "torch.rsub(x, 2)",
)
TWO = (
    "x + y", "x / y", "x < y", "torch.maximum(x, y)", "torch.logical_and(x, y)",
    "x % y", "torch.add(x, y, alpha=2)", "torch.sub(x, y, alpha=2)",
    "torch.where(x > 2, y, 1.5)", "torch.where(x > 2, 1.5, y)", "torch.addcmul(x, y, y)",
    "torch.isclose(x, y)", "torch.lerp(x, y, 0.5)", "torch.clamp(x, y)",
    "torch.ldexp(x, y)", "torch.polar(x, y)", "torch.copysign(x, y)", "torch.logaddexp2(x, y)", "torch.pow(x, y)",
)
THREE = ("torch.addcmul(x, y, z, value=2)", "torch.addcdiv(x, y, z)", "torch.lerp(x, y, z)",
         "torch.where(x > 2, y, z)", "torch.clamp(x, y, z)")


def geometry(r: random.Random, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes that broadcast to the shape, and strides: dense in any order,
    with gaps, expanded; of single elements anything."""
    if r.random() < 0.4:
        shape = tuple(1 if r.random() < 0.3 else n for n in shape)[r.choice((0, 0, 1)):]
    kind, order = r.randint(0, 3), list(range(len(shape)))
    if kind:
        r.shuffle(order)
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = (r.choice((0, 1, 2, 3, 5, 12)) if shape[d] == 1 and r.random() < 0.5 else
                      0 if kind == 3 and r.random() < 0.2 else step)
        step *= shape[d] * (2 if kind == 2 and r.random() < 0.2 else 1)
    return shape, tuple(strides)


def operand(lib: Any, sizes: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    need = 1 + sum((n - 1) * s for n, s in zip(sizes, strides))
    return (lib.arange(need) % 5 + 1).float().as_strided(sizes, strides)


@pytest.mark.parametrize("text", ONE + TWO + THREE)
def test_strides(text: str) -> None:
    r = random.Random(text)
    for _ in range(60):
        shape = r.choice(SHAPES)
        operands = [geometry(r, shape) for _ in range(1 + (text in TWO) + 2 * (text in THREE))]
        theirs, ours = (eval(text, {"torch": lib, **{k: operand(lib, *g) for k, g in zip("xyz", operands)}})
                        for lib in (torch, rushlight))
        assert (tuple(ours.shape), ours.stride()) == (tuple(theirs.shape), theirs.stride()), operands


def test_operands_of_other_types_are_cast_first() -> None:
    for lib in (torch, rushlight):
        x, y = operand(lib, (3, 2), (2, 0)), operand(lib, (2, 1, 3, 2), (1, 12, 2, 6))
        assert lib.addcmul(x, y, operand(lib, (2, 1, 3, 2), (2, 0, 0, 0)).double(), value=2).stride() == (1, 12, 4, 2)
