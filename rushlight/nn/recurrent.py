"""The arithmetic of recurrent layers: cells, one layer over time, stacks of layers.

One direction of one layer is one recorded operation (:func:`layer`); a cell is made of small ones.

Shapes: T time steps, N sequences, D input size, H hidden size, P size of the output (H, or less with a projection).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ops.recurrent import Weights as LayerWeights
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import recurrent as R
from rushlight.tensor.functions.joining import cat, stack

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

State = tuple[Tensor, ...]  # (h,), for an LSTM (h, c)


def layer(
        mode: str, x: Tensor, state: State, weights: LayerWeights,
        batch_sizes: list[int] | None = None, reverse: Any = False
) -> tuple[Tensor, State]:
    """One direction of one layer over all time steps: one recorded operation.

    ``x`` is (T, N, D), or with ``batch_sizes`` the packed (ΣN, D); state tensors are (N, H). Returns the outputs in
    the form of ``x`` and the state after the last step of each sequence.
    """
    sizes = None if batch_sizes is None else tuple(batch_sizes)
    if mode == "LSTM":
        h, c = state
        y, *last = R.lstm_layer(x, h, c, weights, sizes, reverse)
        return y, tuple(last)
    (h,) = state
    if mode == "GRU":
        y, *last = R.gru_layer(x, h, weights, sizes, reverse)
    else:
        y, *last = R.rnn_layer(x, h, weights, mode.removeprefix("RNN_").lower(), sizes, reverse)
    return y, tuple(last)


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
        x = outputs[0] if directions == 1 else cat(outputs, -1)
    return x, tuple(stack(tensors) for tensors in zip(*ends))


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
        mode: Any, input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any,
        dropout: Any, train: Any, bidirectional: Any, batch_first: Any, batch_sizes: Any
) -> tuple[Tensor, State]:
    initial = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    projected = mode == "LSTM" and initial[0].size(-1) != initial[1].size(-1)
    groups = _group_weights(params, has_biases, projected)
    if batch_sizes is None and not input.size(1 if batch_first else 0):
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    x = input.transpose(0, 1) if batch_first else input
    output, final = _stack(mode, x, initial, groups, num_layers, dropout, train, bidirectional, batch_sizes)
    return (output.transpose(0, 1) if batch_first else output), final


def _single_state(mode: str, name: str, formula: str) -> Callable[..., Any]:
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


def lstm_cell(input: Tensor, hx: State, w_ih: Any, w_hh: Any, b_ih: Any = None,
              b_hh: Any = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (N, D) and (h, c) to the next h and c."""
    (h, c), _ = R.lstm_step(F.linear(input, w_ih, b_ih), tuple(hx), LayerWeights(w_ih, w_hh, b_ih, b_hh))
    return h, c


def gru_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of a GRU: (N, D) and h to the next h."""
    return R.gru_step(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0][0]


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return R.rnn_step("tanh")(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0][0]


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of h' = relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return R.rnn_step("relu")(F.linear(input, w_ih, b_ih), (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0][0]
