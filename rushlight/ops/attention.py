"""Attention: softmax(scale · q kᵀ + mask) v and its gradient, without the matrix of scores as a value.

Sizes: N samples, H heads of queries, K heads of keys and values (K divides H; head h reads head h // (H/K)), T
queries, S keys, D and E features. q (N, H, T, D), k (N, K, S, D), v (N, K, S, E), and perhaps a mask (N, H, T,
S) of numbers to add. With ``causal`` query t sees keys 0 … t. Results: the outputs, and the norms (N, H, T, 2)
of each row of scores, from which the way back computes the weights again: its greatest score and one over its
sum of exponentials. (The logarithm of the sum in one number would lose the last digits of scores that lie far
from 0.) A row that sees nothing gives zeros.

Outputs and gradients have their heads outside, (N, H, T, ·), or with ``inside`` next to the features, (N, T, H, ·).
"""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import Types, row

Shape = tuple[int, ...]


def laid(shape: Shape, inside: bool) -> Shape:
    """A shape (N, H, T, ·) in the order of the results."""
    n, h, t, d = shape
    return (n, t, h, d) if inside else shape


def sdpa_shape(q: Any, k: Any, v: Any, *rest: Any) -> Types:
    return (q.dtype, laid((*q.shape[:3], v.shape[3]), rest[-1])), (q.dtype, (*q.shape[:3], 2))


def sdpa_grad_shape(dy: Any, q: Any, k: Any, v: Any, norms: Any, *rest: Any) -> Types:
    return tuple((x.dtype, laid(x.shape, rest[-1])) for x in (q, k, v))


SDPA = row("sdpa", "coarse", "q k v *mask", sdpa_shape, attrs="scale causal inside",
           grad_name="ScaledDotProductFlashAttentionForCpuBackward0",
           decompose=lambda F, q, k, v, *rest: F.sdpa_parts(q, k, v, *rest),
           vjp={"*": lambda F, g0, needs, q, k, v, mask, out0, out1, scale, causal, inside: F.sdpa_vjp(
               g0, needs, q, k, v, mask, out1, scale, causal, inside)}, holds="out0")
# from the gradient of the outputs, the operands and the norms: the gradients of q, k and v
SDPA_GRAD = row("sdpa_grad", "coarse", "dy q k v norms *mask", sdpa_grad_shape, attrs="scale causal inside",
                differentiable=False, decompose=lambda F, *args: F.sdpa_grad_parts(*args))
