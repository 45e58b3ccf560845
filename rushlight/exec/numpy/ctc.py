"""Connectionist temporal classification (Graves et al., 2006): the log of the probability of labels over all alignments, by running
through time once, and its gradient, by running back. All in double precision, for all samples and labels at once."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NEVER = -np.inf  # log of zero
LEAST = -1e300  # in its place where a finite number has to be


def ctc(emit: Array, jump: Array, lengths: Array, sizes: Array) -> Array:
    """log of the total probability (n,).

    ``emit`` (t, n, s) are log probabilities of the labels with blanks between them, ``jump`` says which of these may follow the last
    but one; ``lengths`` and ``sizes`` are how many times and labels each sample has."""
    times, n, _ = emit.shape
    rows = np.arange(n)
    nothing = np.where(sizes == 0, 0.0, NEVER)
    if not times:
        return nothing.astype(emit.dtype)
    at = np.maximum(lengths - 1, 0)
    final = _arrivals(emit.astype(np.float64), jump, _beginnings(sizes, emit.shape[2]), np.zeros(n, np.intp))[at, rows] + emit[at, rows]
    before = np.where(sizes > 0, final[rows, np.maximum(2 * sizes - 1, 0)], NEVER)
    with np.errstate(all="ignore"):
        total = np.where(lengths == 0, nothing, np.logaddexp(final[rows, 2 * sizes], before))
    return np.asarray(total.astype(emit.dtype))


def ctc_grad(g: Array, emit: Array, jump: Array, lengths: Array, sizes: Array) -> Array:
    """g times the probability of being at each place at each time; NaN where the labels are impossible, unless g is 0."""
    times, n, width = emit.shape
    if not times:
        return np.zeros(emit.shape, emit.dtype)
    # both ways at once: back in time is forth with all in reverse order
    wide = emit.astype(np.float64)
    both = np.concatenate([wide, wide[::-1, :, ::-1]], 1)
    back = np.zeros_like(jump)
    back[:, 2:] = jump[:, ::-1][:, :-2]
    starts = np.concatenate([_beginnings(sizes, width), _ends(sizes, width)[:, ::-1]])
    found = _arrivals(both, np.concatenate([jump, back]), starts, np.concatenate([np.zeros(n, np.intp), times - lengths]))
    here = found[:, :n]
    with np.errstate(all="ignore"):
        here += wide
        here += found[::-1, n:, ::-1]
        top = here.max(2, keepdims=True)  # what all alignments go through, so that shares of it add up to 1
        here -= top
        share = np.exp(here, out=here)
        share /= share.sum(2, keepdims=True)
        share *= g[:, None]
        impossible = np.where(g == 0, 0, np.nan)[:, None]
        within = (np.arange(times)[:, None] < lengths)[:, :, None]
        return np.asarray(np.where(within, np.where(np.isfinite(top), share, impossible), 0), emit.dtype)


def _beginnings(sizes: Array, width: int) -> Array:
    """Where an alignment can begin: with a blank or the first label."""
    starts = np.full((len(sizes), width), NEVER)
    starts[:, :2] = 0
    starts[sizes == 0, 1:] = NEVER
    return starts


def _ends(sizes: Array, width: int) -> Array:
    """Where it can end: with the last label or a blank."""
    ends, rows = np.full((len(sizes), width), NEVER), np.arange(len(sizes))
    ends[rows, 2 * sizes] = 0
    ends[rows[sizes > 0], 2 * sizes[sizes > 0] - 1] = 0
    return ends


def _arrivals(emit: Array, jump: Array, starts: Array, when: Array) -> Array:
    """log of the probability of coming to each place at each time (t, rows, s), without what is emitted there and then.

    A row begins at the time ``when``, from its ``starts``. One call of NumPy's works on all rows and the three ways to a place."""
    times, rows, width = emit.shape
    out = np.full(emit.shape, NEVER)
    state = np.full((rows, width + 2), NEVER)  # two places that nobody is at come first
    step, inner = state.strides
    ways = np.lib.stride_tricks.as_strided(state[:, 2:], (3, rows, width), (-inner, step, inner), writeable=False)
    open_ways = np.full(ways.shape, np.inf)
    open_ways[2] = np.where(jump, np.inf, NEVER)
    x, top = np.empty(ways.shape), np.empty((rows, width))
    first = set(when.tolist())
    with np.errstate(all="ignore"):
        for i in range(times):
            came = out[i]
            if i:
                np.minimum(ways, open_ways, out=x)
                np.maximum.reduce(x, 0, out=top)
                np.maximum(top, LEAST, out=top)
                np.subtract(x, top, out=x)
                np.exp(x, out=x)
                np.add.reduce(x, 0, out=came)
                np.log(came, out=came)
                came += top
            if i in first:
                beginning = when == i
                came[beginning] = starts[beginning]
            np.add(came, emit[i], out=state[:, 2:])
    return out
