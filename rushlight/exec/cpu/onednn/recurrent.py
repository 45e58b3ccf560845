"""Recurrent layers as single primitives: LSTM, GRU (the form of PyTorch: linear before reset) and plain RNN.

Shapes, with t steps, n sequences, i inputs, h hidden units, l layers, d directions and g gates: ``src_layer`` (t, n, i),
``src_iter`` and ``src_iter_c`` (l, d, n, h), ``weights_layer`` (l, d, i, g, h), ``weights_iter`` (l, d, h, g, h), ``bias``
(l, d, g, h), ``dst_layer`` (t, n, d·h, or h with direction ``sum``), ``dst_iter`` as src_iter. More than one layer needs i = h
(and one direction, or ``sum``), so layers of PyTorch's modules usually take one primitive each.

Gates: LSTM i, f, g, o as in PyTorch. GRU u, r, o where PyTorch has r, z, n, hence the first two change places; its bias has
four: those of u and r are the sums of PyTorch's two biases, then the input bias of n, then the hidden bias of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rushlight.exec.cpu.onednn import names
from rushlight.exec.cpu.onednn.memory import Desc, strides_of
from rushlight.exec.cpu.onednn.primitive import PLAIN, Attributes, Primitive, create
from rushlight.ir import dtype as dt
from rushlight.ir.dtype import DType

OVERWRITE = 1  # dnnl_rnn_flags_diff_weights_overwrite; otherwise weight gradients are added to what is there
FUNCTION = {"lstm": "lstm", "gru": "lbr_gru", "rnn_tanh": "vanilla_rnn", "rnn_relu": "vanilla_rnn"}
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
STATES = {"lstm": ("iter", "iter_c"), "gru": ("iter",), "rnn_tanh": ("iter",), "rnn_relu": ("iter",)}
SOURCES = ("src_layer", "src_iter", "src_iter_c", "weights_layer", "weights_iter", "bias")
RESULTS = ("dst_layer", "dst_iter", "dst_iter_c")
WEIGHTS = ("weights_layer", "weights_iter")


@dataclass(frozen=True)
class Cell:
    """What to compute: the ``kind`` of cell, sizes and ``direction`` (a name of ``names.DIRECTION``).

    Without ``initial`` states start at zero and are no arguments. With ``batch_first`` sequences lie in memory as (n, t, ·).
    """

    kind: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    layers: int = 1
    direction: str = "left2right"
    initial: bool = True
    dtype: DType = dt.float32
    accumulate: bool = False
    batch_first: bool = False

    @property
    def directions(self) -> int:
        return 2 if self.direction in ("concat", "sum") else 1

    def shape(self, slot: str) -> tuple[int, ...]:
        """The shape of a slot; that of its gradient is the same.

        >>> Cell("lstm", 7, 2, 3, 5).shape("diff_weights_layer")
        (1, 1, 3, 4, 5)
        """
        what = slot.removeprefix("diff_").removeprefix("src_").removeprefix("dst_")
        gates = GATES[self.kind]
        both = (self.layers, self.directions)
        if what == "layer":
            out = self.hidden * (2 if self.direction == "concat" else 1)
            return (self.steps, self.batch, out if "dst" in slot else self.inputs)
        if what.startswith("iter"):
            return (*both, self.batch, self.hidden)
        if what == "bias":
            return (*both, gates + (self.kind == "gru"), self.hidden)
        return (*both, self.inputs if what == "weights_layer" else self.hidden, gates, self.hidden)

    def desc(self, slot: str) -> Desc | None:
        """The layout: weights as oneDNN likes, all else dense; None for what this cell does not have."""
        if slot.endswith("iter_c") and self.kind != "lstm" or slot in ("src_iter", "src_iter_c") and not self.initial:
            return None
        if slot in ("diff_src_iter", "diff_src_iter_c") and not self.initial:
            return None
        shape = self.shape(slot)
        if slot.removeprefix("diff_") in WEIGHTS:
            return Desc.any(shape, self.dtype)
        order = (1, 0, 2) if self.batch_first and slot.endswith(("src_layer", "dst_layer")) else None
        return Desc.of(shape, dt.float32 if slot.endswith(("iter_c", "bias")) else self.dtype, strides_of(shape, order))

    def torch_weights(self, slot: str) -> Desc:
        """The layout of PyTorch's weights, stacked over layers and directions: (l, d, g·h, i), seen as (l, d, i, g, h)."""
        layers, directions, inputs, gates, hidden = self.shape(slot)
        block = gates * hidden * inputs
        return Desc.of((layers, directions, inputs, gates, hidden), self.dtype, (directions * block, block, 1, hidden * inputs, inputs))

    def _descs(self, slots: Sequence[str]) -> list[Desc | None]:
        found = []
        for slot in slots:
            if slot.endswith("iter_c") and self.kind != "lstm":
                continue
            found.append(self.desc(slot))
            if slot.endswith("weights_iter") and self.kind == "lstm":
                found += [None, None]  # neither peephole nor projection weights
        return found

    def _head(self, prop: str) -> list[int]:
        activation = [names.ELTWISE[self.kind.removeprefix("rnn_")]] if self.kind.startswith("rnn") else []
        return [names.PROP[prop], *activation, names.DIRECTION[self.direction]]

    def _tail(self) -> list[float]:
        return [0.0, 0.0] if self.kind.startswith("rnn") else []


def forward(cell: Cell, prop: str = "training", attributes: Attributes = PLAIN) -> Primitive:
    """All steps of all layers; made for training it has a workspace for the backward pass."""
    return create(f"{FUNCTION[cell.kind]}_forward", (*SOURCES, *RESULTS), *cell._head(prop), *cell._descs((*SOURCES, *RESULTS)), 0,
                  *cell._tail(), attributes=attributes)


def backward(cell: Cell, hint: Primitive, attributes: Attributes = PLAIN) -> Primitive:
    """The gradients in the sequence, the initial states, the weights and the bias; the layouts of weights are its own choice.

    ``hint`` is the forward primitive. Gradients of weights overwrite, unless the cell has ``accumulate``.
    """
    values = (*SOURCES, *RESULTS)
    gradients = tuple(f"diff_{slot}" for slot in values)
    return create(f"{FUNCTION[cell.kind]}_backward", (*values, *gradients), *cell._head("backward"), *cell._descs(values),
                  *cell._descs(gradients), 0 if cell.accumulate else OVERWRITE, *cell._tail(), hint, attributes=attributes)
