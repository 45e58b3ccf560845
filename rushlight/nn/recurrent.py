"""The arithmetic of recurrent layers: cells, one layer over time, stacks of layers.

One direction of one layer is one recorded operation (:func:`layer`); so is a small LSTM or GRU cell, another one is made of small ones.

Shapes: T time steps, N sequences, D input size, H hidden size, P size of the output (H, or less with a projection).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ir.dtype import float32, float64
from rushlight.ops.recurrent import Weights as LayerWeights
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import recurrent as R
from rushlight.tensor.functions.joining import cat, stack
from rushlight.tensor.state import state as thread

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
MOST_HIDDEN = 128  # units of a small cell: with 512 a layer's step takes up to five times as long (one sample), with 64 a third


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


def _check_sizes(input: Tensor, state: State, w: LayerWeights) -> None:
    """RuntimeError, with PyTorch's sentences, for a batch that does not fit the weights or the state."""
    size, hidden = w.w_ih.shape[-1], w.w_hh.shape[-1]
    if input.shape[-1] != size:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[-1]} expected {size}. The input's shape is {list(input.shape)}, "
                           f"that of the input's weights {list(w.w_ih.shape)}")
    for at, s in enumerate(state):
        if s.shape[0] != input.shape[0]:
            raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden{at} batch size {s.shape[0]}: their shapes are "
                               f"{list(input.shape)} and {list(s.shape)}")
        if s.shape[-1] != hidden:
            raise RuntimeError(f"hidden{at} has inconsistent hidden_size: got {s.shape[-1]}, expected {hidden}. Its shape is {list(s.shape)}")


def _cell(mode: str, input: Tensor, state: State, weights: LayerWeights) -> State:
    """One step of a cell: while it is small, a layer of one time step, so that a loop over time records little."""
    _check_sizes(input, state, weights)
    if _is_small(input, state, weights):
        return layer(mode, input.unsqueeze(0), state, weights)[1]
    return R.STEPS[mode](F.linear(input, weights.w_ih, weights.b_ih), state, weights, keep=False)[0]


def _is_small(input: Tensor, state: State, w: LayerWeights) -> bool:
    """Whether bringing the weights into a layer's order costs less than recording what the step is made of; False too for what a
    layer cannot take, or tells less about."""
    if thread.autocast is not None or thread.level is not None or (w.b_ih is None) is not (w.b_hh is None):
        return False
    size = w.w_hh.shape[-1]
    operands = (input, *state, *w.operands())
    return (size <= MOST_HIDDEN and len(input.shape) == 2 and input.shape[1] == w.w_ih.shape[-1]
            and all([s.shape == (input.shape[0], size) for s in state])
            and input.dtype in (float32, float64) and all([t.dtype is input.dtype for t in operands]))


def lstm_cell(input: Tensor, hx: State, w_ih: Any, w_hh: Any, b_ih: Any = None,
              b_hh: Any = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (N, D) and (h, c) to the next h and c."""
    h, c = _cell("LSTM", input, tuple(hx), LayerWeights(w_ih, w_hh, b_ih, b_hh))
    return h, c


def gru_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of a GRU: (N, D) and h to the next h."""
    return _cell("GRU", input, (hx,), LayerWeights(w_ih, w_hh, b_ih, b_hh))[0]


def _rnn_cell(nonlinearity: str, input: Tensor, hx: Tensor, weights: LayerWeights) -> Tensor:
    """One step of a plain cell: three operations, whatever its size."""
    _check_sizes(input, (hx,), weights)
    return R.rnn_step(nonlinearity)(F.linear(input, weights.w_ih, weights.b_ih), (hx,), weights)[0][0]


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return _rnn_cell("tanh", input, hx, LayerWeights(w_ih, w_hh, b_ih, b_hh))


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of h' = relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return _rnn_cell("relu", input, hx, LayerWeights(w_ih, w_hh, b_ih, b_hh))
