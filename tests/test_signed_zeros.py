"""Zeros keep the sign that PyTorch gives them, in both executors."""

from __future__ import annotations

import pytest
from executors import only

import rushlight

torch = pytest.importorskip("torch")

CALLS = [
    "x.relu()", "x.clamp(min=0)", "x.clamp(max=0)", "x.clamp(0, 1)",
    "x.clamp(-1, 0)", "x.clamp(min=-0.0)", "x.cumsum(0)",
    "x[:3].maximum(-x[:3])", "x[:3].minimum(-x[:3])", "x.pow(0.5)[:2]",
    "x.round()", "x.ceil()", "x.trunc()", "x.sqrt()[:2]",
    "x.abs()", "-x", "x.sign()", "x * 2", "x.frac()",
]


@pytest.mark.parametrize("text", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_signs_of_zeros(text: str, dtype: str) -> None:
    def signs(lib: object) -> list[object]:
        x = lib.tensor([-0.0, 0.0, -0.5, 0.5], dtype=getattr(lib, dtype)).clone()
        found = eval(text, {"x": x})
        return [found.abs().tolist(), lib.signbit(found).tolist()]
    want = signs(torch)
    for executor in ("numpy", "cpu"):
        with only(executor):
            assert signs(rushlight) == want, executor


def test_directions_of_infinite_complex_numbers() -> None:
    for lib in (torch, rushlight):
        x = lib.tensor([complex("inf"), complex("-inf"), complex(0, float("inf")), 0j, 3 + 4j], requires_grad=True)
        assert [v == v for v in x.sgn().tolist()] == [False, False, False, True, True]
        x.abs().sum().backward()
        assert x.grad.isnan().tolist() == [True, True, True, False, False]


def test_relu_in_a_product_is_relu() -> None:
    """Sums that underflow to -0 keep their sign, whether the product's kernel does the relu or another one."""
    F = rushlight.nn.functional
    x, w = rushlight.full((16, 20), -1e-30), rushlight.full((32, 20), 1e-30)
    with only("cpu"):
        joined = F.relu(F.linear(x, w)).signbit()
        product = F.linear(x, w)
        product.numpy()
        assert joined.tolist() == F.relu(product).signbit().tolist() == [[True] * 32] * 16
