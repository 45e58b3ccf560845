"""Recurrent layers: one product of the input with its weights for all steps, then step by step.

Shapes and results: rushlight/ops/recurrent.py. Formulas, with σ the logistic function:

- LSTM: i, f, o = σ(·), g = tanh(·) of W_ih x + b_ih + W_hh h + b_hh;
  c' = f·c + i·g; h' = o·tanh(c'), or W_hr times that;
- GRU: r, z = σ(·) likewise, n = tanh(W_in x + b_in + r·(W_hn h + b_hn)); h' = n + z·(h - n);
- RNN: h' = tanh(·) or max(0, ·).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ops.recurrent import Sizes, Step, Weights, schedule

Array = np.ndarray[Any, Any]


def _sigmoid(x: Array) -> None:
    """σ in place."""
    x *= 0.5
    np.tanh(x, out=x)
    x += 1
    x *= 0.5


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _input(x: Array, w: Weights) -> Array:
    """The input's part of the gates for all steps."""
    gates: Array = _rows(x) @ w.w_ih.T
    return gates if w.b_ih is None else np.add(gates, w.b_ih, out=gates)


def _hidden(h: Array, w: Weights) -> Array:
    """The state's part of the gates of one step."""
    gates: Array = h @ w.w_hh.T
    return gates if w.b_hh is None else np.add(gates, w.b_hh, out=gates)


def _before(rows: Array, initial: Array, s: Step) -> Array:
    """What the sequences of a step had before it: rows of the step before, or the initial state."""
    if s.had == s.count:
        return rows[s.before:s.before + s.count]
    return np.concatenate((rows[s.before:s.before + s.had], initial[s.had:s.count]))


def _like(rows: Array, x: Array) -> Array:
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def lstm_layer(x: Array, h0: Array, c0: Array, *rest: Any) -> tuple[Array, ...]:
    *weights, sizes, reverse, keep = rest
    w = Weights.of(tuple(weights))
    H = c0.shape[-1]
    h, c = h0.copy(), c0.copy()  # of every sequence: where it is, in the end its last
    gates = _input(x, w)
    cells = np.empty((len(gates), H), x.dtype)
    y = np.empty((len(gates), h.shape[-1]), x.dtype)
    for s in schedule(x.shape, sizes, reverse):
        here, n = slice(s.first, s.first + s.count), s.count
        g = gates[here]
        g += _hidden(h[:n], w)
        _sigmoid(g[:, :2 * H])
        np.tanh(g[:, 2 * H:3 * H], out=g[:, 2 * H:3 * H])
        _sigmoid(g[:, 3 * H:])
        c[:n] = cells[here] = g[:, H:2 * H] * c[:n] + g[:, :H] * g[:, 2 * H:3 * H]
        out = g[:, 3 * H:] * np.tanh(c[:n])
        h[:n] = y[here] = out if w.w_hr is None else out @ w.w_hr.T
    return (_like(y, x), h, c, *((_like(gates, x), _like(cells, x)) if keep else ()))


def lstm_layer_grad(dy: Array, dh: Array, dc: Array, c0: Array, gates: Array, cells: Array, w_hh: Array,
                    *rest: Any) -> tuple[Array, ...]:
    *projection, sizes, reverse = rest
    H = c0.shape[-1]
    dh, dc = dh.copy(), dc.copy()
    out, saved, kept = _rows(dy), _rows(gates), _rows(cells)
    dgates = np.empty_like(saved)
    total = np.empty_like(out)
    for s in reversed(schedule(dy.shape, sizes, reverse)):
        here, n = slice(s.first, s.first + s.count), s.count
        i, f, g, o = (saved[here, j * H:(j + 1) * H] for j in range(4))
        grad = total[here] = out[here] + dh[:n]
        if projection:
            grad = grad @ projection[0]
        t = np.tanh(kept[here])
        d = dc[:n] + grad * o * (1 - t * t)
        before = _before(kept, c0, s)
        for j, value in enumerate((d * g * i * (1 - i), d * before * f * (1 - f), d * i * (1 - g * g),
                                   grad * t * o * (1 - o))):
            dgates[here, j * H:(j + 1) * H] = value
        dc[:n] = d * f
        dh[:n] = dgates[here] @ w_hh
    return (dgates.reshape(gates.shape), dh, dc, *((total.reshape(dy.shape),) if projection else ()))


def gru_layer(x: Array, h0: Array, *rest: Any) -> tuple[Array, ...]:
    *weights, sizes, reverse, keep = rest
    w = Weights.of(tuple(weights))
    H = h0.shape[-1]
    h = h0.copy()
    inputs = _input(x, w)
    gates = np.empty((len(inputs), 4 * H), x.dtype)
    y = np.empty((len(inputs), H), x.dtype)
    for s in schedule(x.shape, sizes, reverse):
        here, n = slice(s.first, s.first + s.count), s.count
        g, given, own = gates[here], inputs[here], _hidden(h[:n], w)
        g[:, :2 * H] = given[:, :2 * H] + own[:, :2 * H]
        _sigmoid(g[:, :2 * H])
        g[:, 3 * H:] = own[:, 2 * H:]
        new = g[:, 2 * H:3 * H]
        np.tanh(given[:, 2 * H:] + g[:, :H] * g[:, 3 * H:], out=new)
        h[:n] = y[here] = new + g[:, H:2 * H] * (h[:n] - new)
    return (_like(y, x), h, *((_like(gates, x),) if keep else ()))


def gru_layer_grad(dy: Array, dh: Array, h0: Array, y: Array, gates: Array, w_hh: Array, sizes: Sizes,
                   reverse: bool) -> tuple[Array, ...]:
    H = h0.shape[-1]
    dh = dh.copy()
    out, saved, states = _rows(dy), _rows(gates), _rows(y)
    dgates = np.empty_like(saved)
    for s in reversed(schedule(dy.shape, sizes, reverse)):
        here, n = slice(s.first, s.first + s.count), s.count
        r, z, new, own = (saved[here, j * H:(j + 1) * H] for j in range(4))
        grad = out[here] + dh[:n]
        before = _before(states, h0, s)
        dn = grad * (1 - z) * (1 - new * new)
        for j, value in enumerate((dn * own * r * (1 - r), grad * (before - new) * z * (1 - z), dn, dn * r)):
            dgates[here, j * H:(j + 1) * H] = value
        dh[:n] = grad * z + dgates[here, :2 * H] @ w_hh[:2 * H] + dgates[here, 3 * H:] @ w_hh[2 * H:]
    return dgates.reshape(gates.shape), dh


def rnn_layer(x: Array, h0: Array, *rest: Any) -> tuple[Array, ...]:
    *weights, nonlinearity, sizes, reverse = rest
    w = Weights.of(tuple(weights))
    h = h0.copy()
    y = _input(x, w)
    for s in schedule(x.shape, sizes, reverse):
        g = y[s.first:s.first + s.count]
        g += _hidden(h[:s.count], w)
        h[:s.count] = np.tanh(g, out=g) if nonlinearity == "tanh" else np.maximum(g, 0, out=g)
    return _like(y, x), h


def rnn_layer_grad(dy: Array, dh: Array, y: Array, w_hh: Array, nonlinearity: str, sizes: Sizes,
                   reverse: bool) -> tuple[Array, ...]:
    dh = dh.copy()
    out, states = _rows(dy), _rows(y)
    dgates = np.empty_like(states)
    for s in reversed(schedule(dy.shape, sizes, reverse)):
        here = slice(s.first, s.first + s.count)
        grad, h = out[here] + dh[:s.count], states[here]
        dgates[here] = grad * (1 - h * h) if nonlinearity == "tanh" else np.where(h > 0, grad, 0)
        dh[:s.count] = dgates[here] @ w_hh
    return dgates.reshape(y.shape), dh
