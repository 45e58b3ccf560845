"""Recurrent layers: one row for one direction of one layer over all time steps, and one for the way back.

Sizes: T steps, N sequences, D inputs, H hidden units, P outputs of a step (H, or less where an LSTM
projects). ``x`` is (T, N, D), or with ``sizes``, the falling numbers of sequences that reach each step,
the packed (ΣN, D). Weights come in PyTorch's order: w_ih (G·H, D), w_hh (G·H, P), then b_ih and b_hh (G·H)
or neither, then w_hr (P, H) where an LSTM projects.

Results: the outputs of all steps in the form of x, the state after the last step of each sequence,
and with ``keep`` what the way back reads: of an LSTM its gates i, f, g, o (…, 4H) and its cells
(…, H), of a GRU r, z, n and the part of n that h gave.

The rows ``…_grad`` give the gradients of all gates before their nonlinearity, a row per step and sequence, and of the
initial states. The gradients of x and of the weights are products of matrices with them; the rules write those.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rushlight.ops.table import Types, row

Sizes = tuple[int, ...] | None


class Weights(NamedTuple):
    """The parameters of one direction of one layer."""

    w_ih: Any
    w_hh: Any
    b_ih: Any = None
    b_hh: Any = None
    w_hr: Any = None

    @classmethod
    def of(cls, given: tuple[Any, ...]) -> Weights:
        """From the operands of a row: two or four, and one more with a projection."""
        plain = given[:4] if len(given) >= 4 else given[:2]
        return cls(*plain, **({"w_hr": given[-1]} if len(given) % 2 else {}))

    def operands(self) -> tuple[Any, ...]:
        """Those that there are, in order."""
        return tuple(w for w in self if w is not None)


class Step(NamedTuple):
    """One step: ``count`` rows from ``first`` on. The first ``had`` of its sequences had a
    step before, with rows from ``before`` on."""

    first: int
    count: int  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    before: int
    had: int


def schedule(shape: tuple[int, ...], sizes: Sizes, reverse: bool) -> list[Step]:
    """The steps in the order of computing; forwards sequences end on the way, backwards they join.

    >>> schedule((3, 1), (2, 1), False)
    [Step(first=0, count=2, before=0, had=0), Step(first=2, count=1, before=0, had=1)]
    >>> schedule((3, 1), (2, 1), True)
    [Step(first=2, count=1, before=0, had=0), Step(first=0, count=2, before=2, had=1)]
    """
    counts = [shape[1]] * shape[0] if sizes is None else list(sizes)
    firsts = [0]
    for n in counts:
        firsts.append(firsts[-1] + n)
    steps: list[Step] = []
    for first, count in sorted(zip(firsts, counts), reverse=reverse):
        last = steps[-1] if steps else Step(0, 0, 0, 0)
        steps.append(Step(first, count, last.first, min(count, last.count)))
    return steps


def _wide(x: Any, width: int) -> Any:
    return x.dtype, (*x.shape[:-1], width)


def lstm_shape(x: Any, h: Any, c: Any, *rest: Any) -> Types:
    *_, keep = rest
    hidden = c.shape[-1]
    return (_wide(x, h.shape[-1]), (x.dtype, h.shape), (x.dtype, c.shape),
            *((_wide(x, 4 * hidden), _wide(x, hidden)) if keep else ()))


def gru_shape(x: Any, h: Any, *rest: Any) -> Types:
    *_, keep = rest
    hidden = h.shape[-1]
    return (_wide(x, hidden), (x.dtype, h.shape), *((_wide(x, 4 * hidden),) if keep else ()))


def rnn_shape(x: Any, h: Any, *_: Any) -> Types:
    return _wide(x, h.shape[-1]), (x.dtype, h.shape)


def lstm_grad_shape(dy: Any, dh: Any, dc: Any, c: Any, gates: Any, cells: Any, *rest: Any) -> Types:
    return ((dy.dtype, gates.shape), (dy.dtype, dh.shape), (dy.dtype, dc.shape),
            *(((dy.dtype, dy.shape),) if len(rest) > 3 else ()))


LSTM = row("lstm_layer", "coarse", "x h c *weights", lstm_shape, attrs="sizes reverse keep",
           grad_name="LstmLayerBackward0", decompose=lambda F, x, h, c, *rest: F.lstm_parts(x, h, c, *rest),
           vjp={"*": lambda F, g0, g1, g2, needs, x, h, c, weights, out0, out3, out4, sizes, reverse: F.lstm_vjp(
               (g0, g1, g2), needs, x, h, c, weights, out0, out3, out4, sizes, reverse)})
# the gradients of the gates, h and c, and with w_hr those of the projected outputs (what w_hr's gradient needs)
LSTM_GRAD = row("lstm_layer_grad", "coarse", "dy dh dc c gates cells *weights", lstm_grad_shape, attrs="sizes reverse",
                differentiable=False, decompose=lambda F, *args: F.lstm_grad_parts(*args))
GRU = row("gru_layer", "coarse", "x h *weights", gru_shape, attrs="sizes reverse keep", grad_name="GruLayerBackward0",
          decompose=lambda F, x, h, *rest: F.gru_parts(x, h, *rest),
          vjp={"*": lambda F, g0, g1, needs, x, h, weights, out0, out2, sizes, reverse: F.gru_vjp(
              (g0, g1), needs, x, h, weights, out0, out2, sizes, reverse)})
# the gradients of r, z, n and of the part of n that h gave, side by side
GRU_GRAD = row("gru_layer_grad", "coarse", "dy dh h y gates w_hh",
               lambda dy, dh, h, y, gates, w, *_: ((dy.dtype, gates.shape), (dy.dtype, dh.shape)),
               attrs="sizes reverse", differentiable=False, decompose=lambda F, *args: F.gru_grad_parts(*args))
RNN = row("rnn_layer", "coarse", "x h *weights", rnn_shape, attrs="nonlinearity sizes reverse",
          grad_name="RnnLayerBackward0", decompose=lambda F, x, h, *rest: F.rnn_parts(x, h, *rest),
          vjp={"*": lambda F, g0, g1, needs, x, h, weights, out0, nonlinearity, sizes, reverse: F.rnn_vjp(
              (g0, g1), needs, x, h, weights, out0, nonlinearity, sizes, reverse)})
RNN_GRAD = row("rnn_layer_grad", "coarse", "dy dh y w_hh",
               lambda dy, dh, y, w, *_: ((dy.dtype, y.shape), (dy.dtype, dh.shape)), attrs="nonlinearity sizes reverse",
               differentiable=False, decompose=lambda F, *args: F.rnn_grad_parts(*args))
