"""Rules of recurrent layers: ONNX has RNN, GRU and LSTM with gates in another order."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, NoRule, rule
from rushlight.onnx.rules_layers import linear

ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # ONNX's i o f c of PyTorch's i f g o; its z r h of r z n


def _gates(g: Builder, kind: str, w: Value) -> Value:
    order = ORDER[kind]
    parts = g.split(w, 0, [w.shape[0] // len(order)] * len(order))
    return g.concat([parts[i] for i in order], 0)


def _stack(kind: str, activation: str | None) -> Any:
    def write(
        g: Builder,
        input: Value,
        hx: Any,
        params: Any,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
        *,
        batch_sizes: Any = None,
    ) -> Any:
        states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
        per = 4 if has_biases else 2
        ways = 2 if bidirectional else 1
        if batch_sizes is not None or len(params) != per * num_layers * ways:
            raise NoRule("packed sequences and projections have no rule")
        if dropout and train and num_layers > 1:
            raise NoRule("it drops between layers in training; export the model in eval mode")
        x = g.swap(input, 0, 1) if batch_first else input
        starts = [g.split(s, 0, [ways] * num_layers) for s in states]
        ends: list[list[Value]] = [[] for _ in states]
        for level in range(num_layers):
            group = params[level * ways * per : (level + 1) * ways * per]
            x, last = _layer(
                g,
                kind,
                activation,
                x,
                [s[level] for s in starts],
                [group[i * per : (i + 1) * per] for i in range(ways)],
            )
            for e, s in zip(ends, last):
                e.append(s)
        out = g.swap(x, 0, 1) if batch_first else x
        return [out, *(g.concat(e, 0) for e in ends)]

    return write


def _layer(
    g: Builder, kind: str, activation: str | None, x: Value, states: list[Value], ways: list[Any]
) -> tuple[Value, list[Value]]:
    """One layer, in one direction or both: its outputs (T, N, ways · H) and last states."""
    hidden = ways[0][1].shape[1]
    w = g.concat([g.unsqueeze(_gates(g, kind, p[0]), [0]) for p in ways], 0)
    r = g.concat([g.unsqueeze(_gates(g, kind, p[1]), [0]) for p in ways], 0)
    b = None
    if len(ways[0]) == 4:
        b = g.concat([g.unsqueeze(g.concat([_gates(g, kind, p[2]), _gates(g, kind, p[3])], 0), [0]) for p in ways], 0)
    n = len(ways)
    options: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if n == 2 else "forward"}
    if kind == "GRU":
        options["linear_before_reset"] = 1
    if activation is not None:
        options["activations"] = [activation] * n
    y, *last = g.ops(kind, 1 + len(states), x, w, r, b, None, *states, **options)
    y.dtype, y.shape = x.dtype, (x.shape[0], n, x.shape[1], hidden)
    for s, given in zip(last, states):
        s.dtype, s.shape = x.dtype, given.shape
    out = g.squeeze(y, [1]) if n == 1 else g.op("Reshape", g.transpose(y, [0, 2, 1, 3]), [0, 0, n * hidden])
    out.dtype, out.shape = x.dtype, (x.shape[0], x.shape[1], n * hidden)
    return out, last


RULES["lstm"], RULES["gru"] = _stack("LSTM", None), _stack("GRU", None)
RULES["rnn_tanh"], RULES["rnn_relu"] = _stack("RNN", "Tanh"), _stack("RNN", "Relu")


# --- cells --------------------------------------------------------------------------------------------------------
def _unary(g: Builder, kind: str, x: Value) -> Value:
    return g.op(kind, x, dtype=x.dtype, shape=x.shape)


@rule("lstm_cell")
def lstm_cell(g: Builder, input: Value, hx: Any, w_ih: Value, w_hh: Value, b_ih: Any = None, b_hh: Any = None) -> Any:
    h, c = hx
    gates = linear(g, input, w_ih, b_ih) + linear(g, h, w_hh, b_hh)
    i, f, u, o = g.split(gates, gates.rank - 1, [w_hh.shape[1]] * 4)
    c = _unary(g, "Sigmoid", f) * c + _unary(g, "Sigmoid", i) * _unary(g, "Tanh", u)
    return [_unary(g, "Sigmoid", o) * _unary(g, "Tanh", c), c]


@rule("gru_cell")
def gru_cell(g: Builder, input: Value, hx: Value, w_ih: Value, w_hh: Value, b_ih: Any = None, b_hh: Any = None) -> Any:
    x, h = linear(g, input, w_ih, b_ih), linear(g, hx, w_hh, b_hh)
    size = [w_hh.shape[1]] * 3
    (r_x, z_x, n_x), (r_h, z_h, n_h) = g.split(x, x.rank - 1, size), g.split(h, h.rank - 1, size)
    r, z = _unary(g, "Sigmoid", r_x + r_h), _unary(g, "Sigmoid", z_x + z_h)
    n = _unary(g, "Tanh", n_x + r * n_h)
    return n + z * (hx - n)


def _plain_cell(kind: str) -> Any:
    return lambda g, input, hx, w_ih, w_hh, b_ih=None, b_hh=None: _unary(
        g, kind, linear(g, input, w_ih, b_ih) + linear(g, hx, w_hh, b_hh)
    )


RULES["rnn_tanh_cell"], RULES["rnn_relu_cell"] = _plain_cell("Tanh"), _plain_cell("Relu")
