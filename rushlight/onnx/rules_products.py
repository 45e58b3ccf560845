"""Rules of matrix products."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import rule


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner_1d", "linalg_matmul")
def matmul(g: Builder, input: Value, other: Value) -> Any:
    return g.op("MatMul", input, other)


@rule("addmm")
def addmm(g: Builder, input: Value, mat1: Value, mat2: Value, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return g.op("Gemm", mat1, mat2, input, alpha=float(alpha), beta=float(beta))


@rule("addmv", "addbmm_", "baddbmm")
def baddbmm(g: Builder, input: Value, a: Value, b: Value, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = a @ b
    product.shape = g.outs[0].shape
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


@rule("outer", "ger")
def outer(g: Builder, input: Value, vec2: Value) -> Any:
    return g.unsqueeze(input, [1]) * g.unsqueeze(vec2, [0])


@rule("einsum")
def einsum(g: Builder, equation: str, *operands: Any) -> Any:
    xs = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (tuple, list)) else list(operands)
    return g.op("Einsum", *xs, equation=equation.replace(" ", ""))


@rule("cdist")
def cdist(g: Builder, x1: Value, x2: Value, p: float = 2.0, compute_mode: Any = None) -> Any:
    from rushlight.onnx.rules_reduction import norm

    return norm(g, g.unsqueeze(x1, [x1.rank - 1]) - g.unsqueeze(x2, [x2.rank - 2]), p, -1)


@rule("tensordot")
def tensordot(g: Builder, a: Value, b: Value, dims: Any = 2) -> Any:
    left = list(range(a.rank - dims, a.rank)) if isinstance(dims, int) else [a.at(d) for d in dims[0]]
    right = list(range(dims)) if isinstance(dims, int) else [b.at(d) for d in dims[1]]
    names = iter("abcdefghijklmnopqrstuvwxyz")
    one = [next(names) for _ in range(a.rank)]
    two = [next(names) for _ in range(b.rank)]
    for p, q in zip(left, right):
        two[q] = one[p]
    kept = [c for c in one if c not in two] + [c for c in two if c not in one]
    return g.op("Einsum", a, b, equation=f"{''.join(one)},{''.join(two)}->{''.join(kept)}")
