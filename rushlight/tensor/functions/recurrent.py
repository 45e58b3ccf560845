"""Recurrent layers as recorded operations, their parts in smaller operations, and their gradients.

The parts define second derivatives: where a gradient of the gradient is asked for,
the layer is differentiated step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ops.recurrent import Sizes, Step, Weights, schedule
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, wrap
from rushlight.tensor.functions.rules import flat_rows
from rushlight.tensor.functions.joining import cat
from rushlight.tensor.functions.shape import reshape
from rushlight.tensor.state import state

State = tuple[Tensor, ...]  # (h,), of an LSTM (h, c)


# --- cells --------------------------------------------------------------------------------------------------------
def _linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    from rushlight.tensor import coarse
    return coarse.linear(x, w, b)


def lstm_step(given: Tensor, now: State, w: Weights, keep: bool = True) -> tuple[State, State]:
    """The next h and c, and what is saved where it is to be kept: the gates side by side and c.
    ``given`` is the input's part of the gates (N, 4H)."""
    h, c = now
    i, f, g, o = (given + _linear(h, w.w_hh, w.b_hh)).chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * c + i * g
    h = o * c.tanh()
    return (h if w.w_hr is None else _linear(h, w.w_hr, None), c), (cat([i, f, g, o], -1), c) if keep else ()


def gru_step(given: Tensor, now: State, w: Weights, keep: bool = True) -> tuple[State, State]:
    """The next h; saved are r, z, n and the part of n that h gave."""
    h, = now
    r_x, z_x, n_x = given.chunk(3, -1)
    r_h, z_h, n_h = _linear(h, w.w_hh, w.b_hh).chunk(3, -1)
    r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
    n = (n_x + r * n_h).tanh()
    return (n + z * (h - n),), (cat([r, z, n, n_h], -1),) if keep else ()


STEPS = {"LSTM": lstm_step, "GRU": gru_step}


def rnn_step(nonlinearity: str) -> Callable[[Tensor, State, Weights], tuple[State, State]]:
    """The next h by tanh or relu; nothing is saved."""
    def step(given: Tensor, now: State, w: Weights) -> tuple[State, State]:
        pre = given + _linear(now[0], w.w_hh, w.b_hh)
        return (pre.tanh() if nonlinearity == "tanh" else pre.relu(),), ()
    return step


# --- layers -------------------------------------------------------------------------------------------------------
def _rows(x: Tensor) -> Tensor:
    """With adjacent rows, step by step: kernels read every number many times."""
    return x if x._spec.contiguous else x.contiguous()


def _gradients(grads: tuple[Tensor, ...]) -> list[Tensor]:
    """Those of the outputs, whose rows are read once wherever they lie, and of the last states."""
    dy, *states = grads
    return [dy if dy._spec.strides[-1] == 1 else _rows(dy), *map(_rows, states)]


def _keeps(*tensors: Tensor) -> bool:
    """Whether a backward pass may come."""
    return state.grad and any(t._rg for t in tensors)


def lstm_layer(x: Tensor, h: Tensor, c: Tensor, w: Weights, sizes: Sizes,
               reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of one LSTM layer over all steps: the outputs, the last h and the last c."""
    args = (_rows(x), h, c, *w.operands())
    return tuple(apply(TABLE["lstm_layer"], args, (sizes, reverse, _keeps(*args)))[:3])


def gru_layer(x: Tensor, h: Tensor, w: Weights, sizes: Sizes, reverse: bool) -> tuple[Tensor, Tensor]:
    """One direction of one GRU layer over all steps: the outputs and the last h."""
    args = (_rows(x), h, *w.operands())
    return tuple(apply(TABLE["gru_layer"], args, (sizes, reverse, _keeps(*args)))[:2])


def rnn_layer(x: Tensor, h: Tensor, w: Weights, nonlinearity: str, sizes: Sizes,
              reverse: bool) -> tuple[Tensor, Tensor]:
    """One direction of one plain recurrent layer over all steps: the outputs and the last h."""
    y, last = apply(TABLE["rnn_layer"], (_rows(x), h, *w.operands()), (nonlinearity, sizes, reverse))
    return y, last


def _parts(step: Any, x: Tensor, initial: State, w: Weights, sizes: Sizes,
           reverse: bool) -> tuple[Tensor, State, State]:
    """The layer in small operations: outputs, last states, and what is saved of every step."""
    given = flat_rows(_linear(x, w.w_ih, w.b_ih))
    now = tuple(s[:0] for s in initial)
    ended: list[State] = []
    made: list[tuple[int, State]] = []
    for s in schedule(x._spec.shape, sizes, reverse):
        active = now[0]._spec.shape[0]
        if s.count < active:  # the last sequences have ended
            ended.append(tuple(v[s.count:] for v in now))
            now = tuple(v[:s.count] for v in now)
        elif s.count > active:  # some start here
            now = tuple(cat([v, first[active:s.count]]) if active else first[:s.count]
                        for v, first in zip(now, initial))
        now, saved = step(given[s.first:s.first + s.count], now, w)
        made.append((s.first, (now[0], *saved)))
    ended.append(now)
    rows = [cat(list(parts)) for parts in zip(*(values for _, values in sorted(made, key=lambda m: m[0])))]
    y, *kept = (reshape(r, (*x._spec.shape[:-1], r._spec.shape[-1])) for r in rows)
    return y, tuple(cat(list(parts[::-1])) for parts in zip(*ended)), tuple(kept)


def lstm_parts(x: Tensor, h: Tensor, c: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    *weights, sizes, reverse, keep = rest
    y, last, kept = _parts(lstm_step, x, (h, c), Weights.of(tuple(weights)), sizes, reverse)
    return (y, *last, *(kept if keep else ()))


def gru_parts(x: Tensor, h: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    *weights, sizes, reverse, keep = rest
    y, last, kept = _parts(gru_step, x, (h,), Weights.of(tuple(weights)), sizes, reverse)
    return (y, *last, *(kept if keep else ()))


def rnn_parts(x: Tensor, h: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    *weights, nonlinearity, sizes, reverse = rest
    y, last, _ = _parts(rnn_step(nonlinearity), x, (h,), Weights.of(tuple(weights)), sizes, reverse)
    return y, *last


# --- the way back, in small operations ----------------------------------------------------------------------------
def _before(rows: Tensor, initial: Tensor, s: Step) -> Tensor:
    """What the sequences of a step had before it."""
    had = rows[s.before:s.before + s.had]
    return had if s.had == s.count else cat([had, initial[s.had:s.count]])


def _put(now: Tensor, new: Tensor) -> Tensor:
    """The first rows replaced."""
    n = new._spec.shape[0]
    return new if n == now._spec.shape[0] else cat([new, now[n:]])


def _back(like: Tensor, sizes: Sizes, reverse: bool, step: Callable[[Step, slice], tuple[Tensor, ...]]) -> list[Tensor]:
    """The rows that every step gives, in the order of the rows of ``like`` and in its form."""
    made = [(s.first, step(s, slice(s.first, s.first + s.count)))
            for s in reversed(schedule(like._spec.shape, sizes, reverse))]
    joined = [cat(list(parts)) for parts in zip(*(values for _, values in sorted(made, key=lambda m: m[0])))]
    return [reshape(r, (*like._spec.shape[:-1], r._spec.shape[-1])) for r in joined]


def lstm_grad_parts(dy: Tensor, dh: Tensor, dc: Tensor, c0: Tensor, gates: Tensor, cells: Tensor, w_hh: Tensor,
                    *rest: Any) -> tuple[Tensor, ...]:
    *projection, sizes, reverse = rest
    out, saved, kept = flat_rows(dy), flat_rows(gates), flat_rows(cells)

    def step(s: Step, here: slice) -> tuple[Tensor, ...]:
        nonlocal dh, dc
        i, f, g, o = saved[here].chunk(4, -1)
        total = out[here] + dh[:s.count]
        grad = total @ projection[0] if projection else total
        t = kept[here].tanh()
        d = dc[:s.count] + grad * o * (1 - t * t)
        pre = cat([d * g * i * (1 - i), d * _before(kept, c0, s) * f * (1 - f), d * i * (1 - g * g),
                   grad * t * o * (1 - o)], -1)
        dc, dh = _put(dc, d * f), _put(dh, pre @ w_hh)
        return pre, total
    dgates, total = _back(dy, sizes, reverse, step)
    return (dgates, dh, dc, *((total,) if projection else ()))


def gru_grad_parts(dy: Tensor, dh: Tensor, h0: Tensor, y: Tensor, gates: Tensor, w_hh: Tensor, sizes: Sizes,
                   reverse: bool) -> tuple[Tensor, ...]:
    H = h0._spec.shape[-1]
    out, saved, states = flat_rows(dy), flat_rows(gates), flat_rows(y)

    def step(s: Step, here: slice) -> tuple[Tensor, ...]:
        nonlocal dh
        r, z, n, own = saved[here].chunk(4, -1)
        grad = out[here] + dh[:s.count]
        dn = grad * (1 - z) * (1 - n * n)
        pre = cat([dn * own * r * (1 - r), grad * (_before(states, h0, s) - n) * z * (1 - z), dn, dn * r], -1)
        dh = _put(dh, grad * z + pre[:, :2 * H] @ w_hh[:2 * H] + pre[:, 3 * H:] @ w_hh[2 * H:])
        return (pre,)
    return *_back(dy, sizes, reverse, step), dh


def rnn_grad_parts(dy: Tensor, dh: Tensor, y: Tensor, w_hh: Tensor, nonlinearity: str, sizes: Sizes,
                   reverse: bool) -> tuple[Tensor, ...]:
    from rushlight.tensor.functions.rules import relu_grad
    out, states = flat_rows(dy), flat_rows(y)

    def step(s: Step, here: slice) -> tuple[Tensor, ...]:
        nonlocal dh
        grad, h = out[here] + dh[:s.count], states[here]
        pre = grad * (1 - h * h) if nonlinearity == "tanh" else relu_grad(grad, h)
        dh = _put(dh, pre @ w_hh)
        return (pre,)
    return *_back(dy, sizes, reverse, step), dh


# --- gradients ----------------------------------------------------------------------------------------------------
class _Products:
    """The gradients that are products of matrices with those of the gates."""

    def __init__(self, x: Tensor, initial: Tensor, y: Tensor, sizes: Sizes, reverse: bool):
        self.x, self.initial, self.y, self.sizes, self.reverse = x, initial, y, sizes, reverse

    def input(self, dgates: Tensor, w_ih: Tensor) -> Tensor:
        return dgates @ w_ih

    def w_ih(self, dgates: Tensor) -> Tensor:
        return flat_rows(dgates).t() @ flat_rows(self.x)

    def w_hh(self, dgates: Tensor) -> Tensor:
        """Σ over steps of dgatesᵀ · (h before the step)."""
        if self.sizes is not None:
            return flat_rows(dgates).t() @ self._before()
        n = self.x._spec.shape[0] - 1
        later, earlier, first = ((slice(0, n), slice(1, None), n) if self.reverse else (slice(1, None), slice(0, n), 0))
        total = dgates[first].t() @ self.initial
        return total + flat_rows(dgates[later]).t() @ flat_rows(self.y[earlier]) if n else total

    def _before(self) -> Tensor:
        """Of every row of a packed layer, h before its step."""
        n = self.initial._spec.shape[0]
        steps = sorted(schedule(self.x._spec.shape, self.sizes, self.reverse))
        index = [np.concatenate((np.arange(s.before, s.before + s.had) + n, np.arange(s.had, s.count))) for s in steps]
        return cat([self.initial, self.y])[wrap(np.concatenate(index))]


def _assemble(needs: tuple[bool, ...], states: int, w: Weights, makers: dict[str, Callable[[], Tensor]]) -> list[Any]:
    """The wanted gradients in the order of the operands x, states, weights."""
    names = ["x", "h", "c"][:1 + states] + [n for n, t in w._asdict().items() if t is not None]
    return [makers[n]() if need else None for n, need in zip(names, needs)]


def _second(parts: Callable[..., Any], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], needs: tuple[bool, ...],
            grads: tuple[Any, ...]) -> Any:
    from rushlight.tensor.tape import differentiate
    return differentiate(lambda *xs: parts(*xs, *attrs), inputs, needs, grads)


def lstm_vjp(grads: tuple[Tensor, ...], needs: tuple[bool, ...], x: Tensor, h: Tensor, c: Tensor,
             weights: tuple[Tensor, ...], y: Tensor, gates: Tensor, cells: Tensor, sizes: Sizes,
             reverse: bool) -> list[Any]:
    """The gradients of an LSTM layer's operands."""
    if state.grad:
        return _second(lstm_parts, (x, h, c, *weights),  # type: ignore[no-any-return]
                       (sizes, reverse, False), needs, grads)
    w = Weights.of(weights)
    projection = (w.w_hr,) if w.w_hr is not None else ()
    operands = (*_gradients(grads), c, gates, cells, w.w_hh, *projection)
    dgates, dh, dc, *total = apply(TABLE["lstm_layer_grad"], operands, (sizes, reverse))
    p = _Products(x, h, y, sizes, reverse)

    def w_hr() -> Tensor:
        return flat_rows(total[0]).t() @ flat_rows(gates.chunk(4, -1)[3] * cells.tanh())
    return _assemble(needs, 2, w, {
        "x": lambda: p.input(dgates, w.w_ih), "h": lambda: dh, "c": lambda: dc, "w_ih": lambda: p.w_ih(dgates),
        "w_hh": lambda: p.w_hh(dgates),
        "b_ih": lambda: flat_rows(dgates).sum(0), "b_hh": lambda: flat_rows(dgates).sum(0), "w_hr": w_hr})


def gru_vjp(grads: tuple[Tensor, ...], needs: tuple[bool, ...], x: Tensor, h: Tensor, weights: tuple[Tensor, ...],
            y: Tensor, gates: Tensor, sizes: Sizes, reverse: bool) -> list[Any]:
    """The gradients of a GRU layer's operands."""
    if state.grad:
        return _second(gru_parts, (x, h, *weights),  # type: ignore[no-any-return]
                       (sizes, reverse, False), needs, grads)
    w = Weights.of(weights)
    dgates, dh = apply(TABLE["gru_layer_grad"], (*_gradients(grads), h, y, gates, w.w_hh), (sizes, reverse))
    H = h._spec.shape[-1]
    p = _Products(x, h, y, sizes, reverse)
    by_x, by_h = dgates[..., :3 * H], (dgates[..., :2 * H], dgates[..., 3 * H:])  # n has a part of its own from h
    return _assemble(needs, 1, w, {
        "x": lambda: p.input(by_x, w.w_ih), "h": lambda: dh, "w_ih": lambda: p.w_ih(by_x),
        "w_hh": lambda: cat([p.w_hh(d) for d in by_h]),
        "b_ih": lambda: flat_rows(by_x).sum(0), "b_hh": lambda: cat([flat_rows(d).sum(0) for d in by_h])})


def rnn_vjp(grads: tuple[Tensor, ...], needs: tuple[bool, ...], x: Tensor, h: Tensor, weights: tuple[Tensor, ...],
            y: Tensor, nonlinearity: str, sizes: Sizes, reverse: bool) -> list[Any]:
    """The gradients of a plain recurrent layer's operands."""
    if state.grad:
        return _second(rnn_parts, (x, h, *weights),  # type: ignore[no-any-return]
                       (nonlinearity, sizes, reverse), needs, grads)
    w = Weights.of(weights)
    dgates, dh = apply(TABLE["rnn_layer_grad"], (*_gradients(grads), y, w.w_hh), (nonlinearity, sizes, reverse))
    p = _Products(x, h, y, sizes, reverse)
    return _assemble(needs, 1, w, {
        "x": lambda: p.input(dgates, w.w_ih), "h": lambda: dh, "w_ih": lambda: p.w_ih(dgates),
        "w_hh": lambda: p.w_hh(dgates),
        "b_ih": lambda: flat_rows(dgates).sum(0), "b_hh": lambda: flat_rows(dgates).sum(0)})
