"""The arithmetic of recurrent layers: cells, one layer over time, stacks of layers.

Everything that modules ask for goes through :func:`layer`, one direction of one layer, so an executor with a kernel
for it replaces one function.

Shapes: T time steps, N sequences, D input size, H hidden size, P size of the output (H, or less with a projection).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import rushlight as rl
from rushlight.tensor.core import Tensor

from . import functional as F

__all__ = [
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "lstm_cell",
    "gru_cell",
    "rnn_tanh_cell",
    "rnn_relu_cell",
    "layer",
    "LayerWeights",
]


class LayerWeights(NamedTuple):
    """The parameters of one direction of one layer; biases and the projection may be None."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    w_hr: Tensor | None = None


State = tuple[Tensor, ...]  # (h,), for an LSTM (h, c)


def _lstm_step(gates_x: Tensor, state: State, w: LayerWeights) -> State:
    h, c = state
    i, f, g, o = (gates_x + F.linear(h, w.w_hh, w.b_hh)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w.w_hr is None else F.linear(h, w.w_hr)), c


def _gru_step(gates_x: Tensor, state: State, w: LayerWeights) -> State:
    (h,) = state
    r_x, z_x, n_x = gates_x.chunk(3, 1)
    r_h, z_h, n_h = F.linear(h, w.w_hh, w.b_hh).chunk(3, 1)
    z = (z_x + z_h).sigmoid()
    n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
    return (n + z * (h - n),)


def _rnn_tanh_step(gates_x: Tensor, state: State, w: LayerWeights) -> State:
    return ((gates_x + F.linear(state[0], w.w_hh, w.b_hh)).tanh(),)


def _rnn_relu_step(gates_x: Tensor, state: State, w: LayerWeights) -> State:
    return ((gates_x + F.linear(state[0], w.w_hh, w.b_hh)).relu(),)


# The input's part of the gates (N, gates·H) and the state -> the next state.
STEPS: dict[str, Callable[[Tensor, State, LayerWeights], State]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN_TANH": _rnn_tanh_step,
    "RNN_RELU": _rnn_relu_step,
}


def layer(
    mode: str, x: Tensor, state: State, weights: LayerWeights, batch_sizes: list[int] | None = None, reverse=False
) -> tuple[Tensor, State]:
    """One direction of one layer over all time steps.

    ``x`` is (T, N, D), or with ``batch_sizes`` the packed (ΣN, D); state tensors are (N, H). Returns the outputs in
    the form of ``x`` and the state after the last step of each sequence. The input's part of the gates is one
    matrix product for all steps.
    """
    gates = F.linear(x, weights.w_ih, weights.b_ih)
    if batch_sizes is not None:
        return _packed_layer(mode, gates, state, weights, batch_sizes, reverse)
    step = STEPS[mode]
    steps = gates.unbind(0)
    outputs = []
    for gates_t in reversed(steps) if reverse else steps:
        state = step(gates_t, state, weights)
        outputs.append(state[0])
    if reverse:
        outputs.reverse()
    return rl.stack(outputs), state


def _packed_layer(
    mode: str, gates: Tensor, state: State, weights: LayerWeights, batch_sizes: list[int], reverse: bool
) -> tuple[Tensor, State]:
    """Sequences are sorted by falling length: the first ``batch_sizes[t]`` of them reach step t.

    Forwards, the state of a sequence that ends is set aside; backwards, a sequence joins at its last step.
    """
    step = STEPS[mode]
    pieces = list(gates.split(batch_sizes))
    outputs: list[Tensor] = []
    if reverse:
        initial, now = state, tuple(s[: batch_sizes[-1]] for s in state)
        for size, piece in zip(reversed(batch_sizes), reversed(pieces)):
            active = now[0].size(0)
            if size > active:
                now = tuple(rl.cat([s, first[active:size]]) for s, first in zip(now, initial))
            now = step(piece, now, weights)
            outputs.append(now[0])
        return rl.cat(outputs[::-1]), now
    now, ended = state, []
    for size, piece in zip(batch_sizes, pieces):
        if size < now[0].size(0):
            ended.append(tuple(s[size:] for s in now))
            now = tuple(s[:size] for s in now)
        now = step(piece, now, weights)
        outputs.append(now[0])
    ended.append(now)
    return rl.cat(outputs), tuple(rl.cat(parts[::-1]) if len(parts) > 1 else parts[0] for parts in zip(*ended))


def _group_weights(flat: list[Tensor], has_biases: bool, projected: bool) -> list[LayerWeights]:
    """PyTorch's flat list of weights, cut into one group per layer and direction."""
    size = 2 + 2 * has_biases + projected
    groups = []
    for i in range(0, len(flat), size):
        group = list(flat[i : i + size])
        w_hr = group.pop() if projected else None
        groups.append(LayerWeights(*group[:4], w_hr=w_hr))
    return groups


def _stack(
    mode: str,
    x: Tensor,
    initial: State,
    groups: list[LayerWeights],
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_sizes: list[int] | None,
) -> tuple[Tensor, State]:
    """Layers on top of each other, with dropout between them; states are (layers · directions, N, H)."""
    directions = 2 if bidirectional else 1
    starts = [tensor.unbind(0) for tensor in initial]
    ends: list[State] = []
    for level in range(num_layers):
        if level and dropout and train:
            x = F.dropout(x, dropout, True)
        outputs = []
        for direction in range(directions):
            i = level * directions + direction
            output, end = layer(mode, x, tuple(s[i] for s in starts), groups[i], batch_sizes, direction == 1)
            outputs.append(output)
            ends.append(end)
        x = outputs[0] if directions == 1 else rl.cat(outputs, -1)
    return x, tuple(rl.stack(tensors) for tensors in zip(*ends))


def lstm(
    input: Tensor,
    hx: State,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    *,
    batch_sizes: list[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A stack of LSTM layers: (T, N, D) and (h, c) to the outputs (T, N, directions·P) and the last h and c.

    i, f, o = σ(…), g = tanh(…), c' = f·c + i·g, h' = o·tanh(c'), each of W_ih x + b_ih + W_hh h + b_hh.
    """
    output, final = _layers(
        "LSTM", input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, batch_sizes
    )
    return output, *final


def _layers(
    mode, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, batch_sizes
) -> tuple[Tensor, State]:
    initial = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    projected = mode == "LSTM" and initial[0].size(-1) != initial[1].size(-1)
    groups = _group_weights(params, has_biases, projected)
    x = input.transpose(0, 1) if batch_first else input
    output, final = _stack(mode, x, initial, groups, num_layers, dropout, train, bidirectional, batch_sizes)
    return (output.transpose(0, 1) if batch_first else output), final


def _single_state(mode: str, name: str, formula: str) -> Callable:
    """The function of a stack whose state is h alone."""

    def run(
        input: Tensor,
        hx: Tensor,
        params: list[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
        *,
        batch_sizes: list[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        output, (h,) = _layers(
            mode, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, batch_sizes
        )
        return output, h

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"A stack of layers {formula}: (T, N, D) and h to the outputs (T, N, directions·H) and the last h."
    return run


gru = _single_state("GRU", "gru", "h' = (1 - z)·tanh(n_x + r·n_h) + z·h with gates r, z")
rnn_tanh = _single_state("RNN_TANH", "rnn_tanh", "h' = tanh(W_ih x + b_ih + W_hh h + b_hh)")
rnn_relu = _single_state("RNN_RELU", "rnn_relu", "h' = relu(W_ih x + b_ih + W_hh h + b_hh)")


def lstm_cell(input: Tensor, hx: State, w_ih, w_hh, b_ih=None, b_hh=None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (N, D) and (h, c) to the next h and c."""
    h, c = _lstm_step(F.linear(input, w_ih, b_ih), tuple(hx), LayerWeights(w_ih, w_hh, b_ih, b_hh))
    return h, c


def gru_cell(input: Tensor, hx: Tensor, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """One step of a GRU: (N, D) and h to the next h."""
    return _gru_step(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """One step of h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return _rnn_tanh_step(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """One step of h' = relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return _rnn_relu_step(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0]
