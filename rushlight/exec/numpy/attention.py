"""Attention as rushlight/ops/attention.py defines it, with the whole matrix of scores."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _turned(x: Array, inside: bool) -> Array:
    """(N, H, T, ·) to the order of the results, and back."""
    return x.swapaxes(1, 2) if inside else x


def _repeated(x: Array, heads: int) -> Array:
    return x if x.shape[1] == heads else np.repeat(x, heads // x.shape[1], 1)


def _scores(q: Array, k: Array, mask: tuple[Array, ...], scale: float, causal: bool) -> Array:
    scores: Array = q @ _repeated(k, q.shape[1]).swapaxes(2, 3)
    scores *= q.dtype.type(scale)
    if causal:
        scores[..., ~np.tri(*scores.shape[2:], dtype=np.bool_)] = -np.inf
    for m in mask:
        scores += m
    return scores


def sdpa(q: Array, k: Array, v: Array, *rest: Any) -> tuple[Array, Array]:
    *mask, scale, causal, inside = rest
    scores = _scores(q, k, tuple(mask), scale, causal)
    top = scores.max(-1, keepdims=True)
    top[np.isneginf(top)] = 0
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    one = q.dtype.type(1)
    inverse = np.where(total == 0, q.dtype.type(0), one / np.where(total == 0, one, total))
    return _turned(weights @ _repeated(v, q.shape[1]) * inverse, inside), np.concatenate((top, inverse), -1)


def sdpa_grad(dy: Array, q: Array, k: Array, v: Array, norms: Array, *rest: Any) -> tuple[Array, Array, Array]:
    *mask, scale, causal, inside = rest
    dy = _turned(dy, inside)
    weights = np.exp(_scores(q, k, tuple(mask), scale, causal) - norms[..., :1]) * norms[..., 1:]
    slopes = dy @ _repeated(v, q.shape[1]).swapaxes(2, 3)
    ds = weights * (slopes - (weights * slopes).sum(-1, keepdims=True)) * q.dtype.type(scale)  # equal terms leave zero
    dq, dk, dv = ds @ _repeated(k, q.shape[1]), ds.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ dy
    if k.shape[1] != q.shape[1]:  # heads of keys and values collect from all heads that read them
        dk, dv = (g.reshape(g.shape[0], k.shape[1], -1, *g.shape[2:]).sum(2) for g in (dk, dv))
    return _turned(dq, inside), _turned(dk, inside), _turned(dv, inside)
