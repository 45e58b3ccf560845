"""Connectionist temporal classification (Graves et al., 2006): the log of the probability of labels over all alignments, by running
through time once, and its gradient, by running back. All in double precision, for all samples and labels at once."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NEVER = -np.inf  # log of zero


def ctc(emit: Array, jump: Array, lengths: Array, sizes: Array) -> Array:
    """log of the total probability (n,).

    ``emit`` (t, n, s) are log probabilities of the labels with blanks between them, ``jump`` says which of these may follow the last
    but one; ``lengths`` and ``sizes`` are how many times and labels each sample has."""
    times, n, _ = emit.shape
    rows = np.arange(n)
    nothing = np.where(sizes == 0, 0.0, NEVER)
    if not times:
        return nothing.astype(emit.dtype)
    final = _forth(emit, jump, sizes)[np.maximum(lengths - 1, 0), rows]
    before = np.where(sizes > 0, final[rows, np.maximum(2 * sizes - 1, 0)], NEVER)
    with np.errstate(all="ignore"):
        total = np.where(lengths == 0, nothing, np.logaddexp(final[rows, 2 * sizes], before))
    return np.asarray(total.astype(emit.dtype))


def _forth(emit: Array, jump: Array, sizes: Array) -> Array:
    """log of the probability of having come to each place at each time (t, n, s)."""
    alpha = np.full(emit.shape, NEVER)
    alpha[0, :, :2] = emit[0, :, :2]
    alpha[0, sizes == 0, 1:] = NEVER
    with np.errstate(all="ignore"):
        for i in range(1, len(emit)):
            alpha[i] = _sum(alpha[i - 1], _moved(alpha[i - 1], 1), np.where(jump, _moved(alpha[i - 1], 2), NEVER)) + emit[i]
    return alpha


def ctc_grad(g: Array, emit: Array, jump: Array, lengths: Array, sizes: Array) -> Array:
    """g times the probability of being at each place at each time; NaN where the labels are impossible, unless g is 0."""
    times, n, width = emit.shape
    out = np.zeros(emit.shape, emit.dtype)
    alpha = _forth(emit, jump, sizes) if times else out
    rows = np.arange(n)
    ends = np.full((n, width), NEVER)
    ends[rows, 2 * sizes] = 0
    ends[rows[sizes > 0], 2 * sizes[sizes > 0] - 1] = 0
    beta = np.full((n, width), NEVER)
    impossible = np.where(g == 0, 0, np.nan)[:, None]
    with np.errstate(all="ignore"):
        for i in reversed(range(times)):
            if i + 1 < times:
                after = beta + emit[i + 1]
                beta = _sum(after, _moved(after, -1), _moved(np.where(jump, after, NEVER), -2))
            beta = np.where((lengths - 1 == i)[:, None], ends, beta)
            here = alpha[i] + beta
            top = here.max(1, keepdims=True)  # what all alignments go through, so that shares of it add up to 1
            share = np.exp(here - top)
            share /= share.sum(1, keepdims=True)
            out[i] = np.where((i < lengths)[:, None], np.where(np.isfinite(top), share * g[:, None], impossible), 0)
    return out


def _moved(x: Array, by: int) -> Array:
    """The columns moved to the right, or to the left, as far as there are so many."""
    out = np.full_like(x, NEVER)
    if by > 0:
        out[:, by:] = x[:, :-by]
    else:
        out[:, :by] = x[:, -by:]
    return out


def _sum(a: Array, b: Array, c: Array) -> Array:
    """log(exp(a) + exp(b) + exp(c))."""
    top = np.maximum(np.maximum(a, b), c)
    top[top == NEVER] = 0
    return np.asarray(np.log(np.exp(a - top) + np.exp(b - top) + np.exp(c - top)) + top)
