"""Which convolutions run as written-out kernels, and their steps: plain two-dimensional ones with few output channels.

oneDNN's vectors run along output channels, so ten of them or fewer leave most lanes idle, and it wants channels last: a
reorder of the first layer's images. Measured: 3→6 channels, 5×5 taps, 32 images of 32²: forward 150 µs with oneDNN, 60 here.
Small convolutions with about as many output channels as lanes are as fast here, and a plan without oneDNN runs in a team.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from rushlight.exec.cpu import channel_kernels
from rushlight.exec.cpu import direct_kernels as kernels
from rushlight.exec.cpu.direct_kernels import Shape
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.exec.cpu.tiles import Form
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec

NAMES = ("convolution", "convolution_bias", "convolution_relu", "convolution_bias_relu", "convolution_input_grad", "convolution_weight_grad")
MOST_CHANNELS, MOST_TAPS = 10, 11
SMALLEST_WIDTH = 8
NARROWEST, MOST_TERMS, MOST_POSITIONS = 4, 256, 14  # where vectors run along channels
SUMS = 24  # vectors of sums that the registers hold
PARTS = 16  # groups of images whose weight gradients are summed apart


def handles(instr: Instr) -> bool:
    """Whether a convolution is faster here than with oneDNN."""
    if instr.op.name not in NAMES or vector_bytes() != 64 or len(instr.outs[0].shape) != 4 or not instr.outs[0].numel:
        return False
    if any(not isinstance(o.spec, Spec) or o.spec.dtype.name != "float32" or not o.spec.numel for o in instr.operands):
        return False
    stride, padding, dilation, groups = instr.attrs[-4:]
    if (*stride, *dilation, groups) != (1, 1, 1, 1, 1):
        return False
    g = _Geometry(instr)
    if min(g.top, g.left) < 0 or g.c * g.rows * g.row > 1 << 17:
        return False
    return g.by_channels or (1 < g.k <= MOST_CHANNELS and max(g.taps) <= MOST_TAPS and g.wo >= SMALLEST_WIDTH and (g.c <= 4 or not g.weights))


def readable(s: Spec) -> bool:
    """Whether images can be read as they lie: row by row, or with adjacent channels."""
    return s.strides[3] == 1 or s.shape[3] == 1 or s.strides[1] == 1


class Claim:
    """A convolution that runs here."""

    def __init__(self, instr: Instr):
        self.instr = instr

    def __repr__(self) -> str:
        return f"direct {self.instr.op.name}"


def claim(instr: Instr, operands: tuple[Operand, ...]) -> Instr:
    """The instruction with its `Claim` as the only attribute."""
    return replace(instr, operands=operands, attrs=(Claim(instr),))


class _Geometry:
    """The sizes of a convolution as its kernel sees it: a gradient for images is a convolution with turned weights."""

    def __init__(self, instr: Instr):
        first, second, out = instr.operands[0].spec.shape, instr.operands[1].spec.shape, instr.outs[0].shape
        padding = instr.attrs[-3]
        self.weights = instr.op.name == "convolution_weight_grad"
        self.flipped = instr.op.name == "convolution_input_grad"
        if self.weights:  # of dy and x
            (self.n, self.k, self.ho, self.wo), (_, self.c, self.h, self.w), self.taps = first, second, out[2:]
            self.top, self.left = padding
        else:
            (self.n, self.c, self.h, self.w), (_, self.k, self.ho, self.wo), self.taps = first, out, second[2:]
            self.top, self.left = [t - 1 - p for t, p in zip(self.taps, padding)] if self.flipped else padding
        lanes = vector_bytes() // 4
        self.vectors = 1 if self.wo <= lanes or self.k * 2 > SUMS else 2
        self.tall = max(1, min(4, SUMS // (self.k * self.vectors)))  # rows of a tile
        wide = -(-self.wo // (lanes * self.vectors)) * lanes * self.vectors
        self.rows, self.row = self.ho + self.taps[0] - 1, -(-(wide + self.taps[1] - 1) // lanes) * lanes
        self.lanes = lanes
        self.by_channels = MOST_CHANNELS < self.k <= lanes and self.wo >= NARROWEST and prod(self.taps) <= channel_kernels.MOST_SUMS \
            and self.c * prod(self.taps) <= MOST_TERMS
        self.positions = -(-self.wo // -(-self.wo // MOST_POSITIONS))  # of a tile of those


def steps(instr: Instr, new_value: Callable[[int], int]) -> list[KernelStep] | None:
    """The steps of a claimed convolution."""
    if not instr.attrs or not isinstance(instr.attrs[0], Claim):
        return None
    original = instr.attrs[0].instr
    g = _Geometry(original)
    return _weight_steps(instr, g, new_value) if g.weights else [_forward_step(instr, original.op.name, g, new_value)]


def _image(name: str, o: Operand) -> dict[str, Any]:
    n, c, h, w = o.spec.strides
    return {name: Address(o.value, o.spec.offset * 4), f"{name}_n": n, f"{name}_c": c, f"{name}_h": h, f"{name}_w": w}


def _turned(o: Operand) -> int:
    """The channels of images that lie with adjacent channels, 0 for those that lie row by row."""
    return 0 if o.spec.strides[3] == 1 or o.spec.shape[3] == 1 else int(o.spec.shape[1])


def _frame(g: _Geometry) -> dict[str, int]:
    return {"C": g.c, "H": g.h, "W": g.w, "top": g.top, "left": g.left, "rows": g.rows, "row": g.row, "taps": g.taps[0], "Ho": g.ho, "Wo": g.wo}


def _scratch(sizes: dict[str, int], new_value: Callable[[int], int]) -> tuple[int, dict[str, Any]]:
    """Scratch memory for every thread in parts of these sizes; the first begins it."""
    from rushlight.exec import threads
    places, total = {}, 0
    for name, size in sizes.items():
        places[name] = total
        total += -(-size // 16) * 16
    value = new_value(threads.count() * total * 4)
    return value, {**places, "scratch": Address(value), "scratch_size": total}


def _slots(table: tuple[str, ...], values: dict[str, Any]) -> list[int | Address]:
    return [values.get(n.lstrip("*"), 0) for n in table]


def _forward_code(g: _Geometry, turned: int, bias: bool, relu: bool) -> tuple[str, Callable[[str], str]]:
    """The key of a kernel, and what writes it."""
    layers: dict[str, Any] = {"form": Form("float32"), "channels": g.k, "turned": turned, "bias": bias, "relu": relu}
    if g.by_channels:
        lanes = channel_kernels.Shape(down=g.taps[0], across=g.taps[1], positions=g.positions, **layers)
        return f"direct channels {lanes}", partial(channel_kernels.forward, lanes)
    shape = Shape(taps=g.taps[1], vectors=g.vectors, rows=g.tall, **layers)
    return f"direct {shape}", partial(kernels.forward, shape)


def _weight_code(g: _Geometry, turned: int, turned_slopes: int) -> tuple[str, Callable[[str], str]]:
    layers: dict[str, Any] = {"form": Form("float32"), "channels": g.k, "turned": turned, "turned_slopes": turned_slopes}
    if g.by_channels:
        lanes = channel_kernels.Shape(down=g.taps[0], across=g.taps[1], **layers)
        return f"direct weights of channels {lanes}", partial(channel_kernels.weight_grad, lanes)
    shape = Shape(taps=g.taps[1], **layers)
    return f"direct weights {shape}", partial(kernels.weight_grad, shape)


def _forward_step(instr: Instr, name: str, g: _Geometry, new_value: Callable[[int], int]) -> KernelStep:
    from rushlight.exec import threads
    x, w = instr.operands[:2]
    bias = instr.operands[2] if len(instr.operands) > 2 else None
    key, write = _forward_code(g, _turned(x), bias is not None, name.endswith("relu"))
    out_stride, in_stride, down, across = w.spec.strides
    offset = w.spec.offset
    if g.flipped:  # weights (c, k, …) from the last tap to the first
        out_stride, in_stride = in_stride, out_stride
        offset += (g.taps[0] - 1) * down + (g.taps[1] - 1) * across
        down, across = -down, -across
    chunks = min(g.ho, max(1, -(-2 * threads.count() // g.n))) if g.n < 2 * threads.count() else 1
    chunk = -(-g.ho // chunks)
    scratch, places = _scratch({"frame": g.c * g.rows * g.row, "weights": g.c * prod(g.taps) * (g.lanes if g.by_channels else g.k)}, new_value)
    values = {**_image("x", x), **_frame(g), **places, "w": Address(w.value, offset * 4), "w_k": out_stride, "w_c": in_stride, "w_h": down, "w_w": across,
              "bias": Address(bias.value, bias.spec.offset * 4) if bias is not None else 0, "out": Address(instr.results[0]),
              "chunk": chunk, "chunks": -(-g.ho // chunk)}
    work = g.n * g.ho * g.wo * g.k * g.c * prod(g.taps) // g.lanes
    return KernelStep(key, write, _slots(kernels.FORWARD_SLOTS, values), g.n * values["chunks"], work,
                      {o.value for o in instr.operands}, {instr.results[0], scratch})


def _weight_steps(instr: Instr, g: _Geometry, new_value: Callable[[int], int]) -> list[KernelStep]:
    y, x = instr.operands
    form = Form("float32")
    key, write = _weight_code(g, _turned(x), _turned(y))
    group = -(-g.n // PARTS)
    units, count = -(-g.n // group), g.k * g.c * prod(g.taps)
    wq = -(-g.wo // g.lanes) * g.lanes
    slopes, sums = (g.lanes * g.ho * g.wo, count // g.k * g.lanes) if g.by_channels else (g.k * g.ho * wq, count * g.lanes)
    scratch, places = _scratch({"frame": g.c * g.rows * g.row, "slopes": slopes, "sums": sums}, new_value)
    parts = new_value(units * count * 4)
    values = {**_image("x", x), **_image("y", y), **_frame(g), **places, "Wq": wq, "N": g.n, "group": group, "parts": Address(parts)}
    work = g.n * g.ho * g.wo * count // g.lanes
    return [KernelStep(key, write, _slots(kernels.WEIGHT_SLOTS, values), units, work,
                       {x.value, y.value}, {parts, scratch}),
            KernelStep(f"sum of parts {form}", lambda text: kernels.sum_of_parts(form, text),
                       _slots(kernels.SUM_SLOTS, {"parts": Address(parts), "out": Address(instr.results[0]), "count": count, "units": units}), 1, count,
                       {parts}, {instr.results[0]})]
