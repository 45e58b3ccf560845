"""Attention as one recorded operation, its parts in smaller ones, and its gradient."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import HALF
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, wrap
from rushlight.tensor.functions.common import cast
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.joining import cat
from rushlight.tensor.functions.precision import wide
from rushlight.tensor.functions.shape import expand, reshape, transpose
from rushlight.tensor.state import state

INFINITY = float("inf")


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, causal: bool) -> Tensor:
    """softmax(scale · q kᵀ + mask) v; shapes as in rushlight/ops/attention.py. The result lies in memory as q does.

    Half precision is computed in float32 and rounded once, so that its scores are never stored either.
    """
    dtype, strides = q._spec.dtype, q._spec.strides
    if dtype in HALF:
        q, k, v = wide(q), wide(k), wide(v)
        mask = None if mask is None else wide(mask)
    inside = strides[1] < strides[2]
    args = (q, k, v) if mask is None else (q, k, v, expand(mask, (*q._spec.shape[:3], k._spec.shape[2])))
    out = apply(TABLE["sdpa"], args, (float(scale), bool(causal), inside))[0]
    out = transpose(out, 1, 2) if inside else out
    return out if out._spec.dtype is dtype else cast(out, dtype)


def _turned(x: Tensor, inside: bool) -> Tensor:
    return transpose(x, 1, 2) if inside else x


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Every head as often as it is read."""
    n, have, *rest = x._spec.shape
    if have == heads:
        return x
    return reshape(expand(reshape(x, (n, have, 1, *rest)), (n, have, heads // have, *rest)), (n, heads, *rest))


def _scores(q: Tensor, k: Tensor, mask: tuple[Tensor, ...], scale: float, causal: bool) -> Tensor:
    scores = q @ transpose(_repeated(k, q._spec.shape[1]), 2, 3) * scale
    if causal:
        from rushlight.tensor.functions.diagonals import tri_mask
        rows, columns = scores._spec.shape[2:]
        scores = where(wrap(tri_mask(rows, columns, 0, True)), scores, -INFINITY)
    for m in mask:
        scores = scores + m
    return scores


def sdpa_parts(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *mask, scale, causal, inside = rest
    scores = _scores(q, k, tuple(mask), scale, causal)
    top = scores.detach().amax(-1, keepdim=True)
    top = where(top == -INFINITY, 0.0, top)
    weights = (scores - top).exp()
    total = weights.sum(-1, keepdim=True)
    inverse = where(total == 0, 0.0, 1 / where(total == 0, 1.0, total))
    return _turned(weights @ _repeated(v, q._spec.shape[1]) * inverse, inside), cat((top, inverse), -1)


def sdpa_grad_parts(dy: Tensor, q: Tensor, k: Tensor, v: Tensor, norms: Tensor,
                    *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    *mask, scale, causal, inside = rest
    heads, given = q._spec.shape[1], k._spec.shape[1]
    dy = _turned(dy, inside)
    weights = (_scores(q, k, tuple(mask), scale, causal) - norms[..., :1]).exp() * norms[..., 1:]
    slopes = dy @ transpose(_repeated(v, heads), 2, 3)
    ds = weights * (slopes - (weights * slopes).sum(-1, keepdim=True)) * scale  # equal terms leave zero
    dq, dk, dv = ds @ _repeated(k, heads), transpose(ds, 2, 3) @ q, transpose(weights, 2, 3) @ dy
    if given != heads:
        dk, dv = (reshape(g, (g._spec.shape[0], given, heads // given, *g._spec.shape[2:])).sum(2) for g in (dk, dv))
    return _turned(dq, inside), _turned(dk, inside), _turned(dv, inside)


def sdpa_vjp(g: Tensor, needs: tuple[bool, ...], q: Tensor, k: Tensor, v: Tensor, mask: tuple[Tensor, ...],
             norms: Tensor, scale: float, causal: bool, inside: bool) -> list[Any]:
    """The gradients of q, k and v, and of a mask."""
    if state.grad or any(needs[3:]):
        from rushlight.tensor.tape import differentiate
        found = differentiate(lambda *xs: sdpa_parts(*xs, scale, causal, inside)[:1], (q, k, v, *mask), needs, (g,))
        return found
    grads = apply(TABLE["sdpa_grad"], (g, q, k, v, norms, *mask), (scale, causal, inside))
    return [*(_turned(d, inside) if need else None for d, need in zip(grads, needs)), *(None for _ in mask)]
