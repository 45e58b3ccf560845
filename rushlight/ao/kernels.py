"""Quantized convolution and linear layers as recorded operations, with their weights packed once for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ao.rules import images_first, images_last
from rushlight.ao.tensors import MEMORY, QuantizedTensor, number, per_tensor
from rushlight.exec import choose
from rushlight.ir.dtype import DType, float32, int32, uint8
from rushlight.ir.spec import Spec
from rushlight.ops.quantized import QADD, QCONV, QLINEAR
from rushlight.tensor import core
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.functions.quantized import to_integers, to_reals

NOTHING = wrap(np.empty(0, np.uint8))  # packed weights where there are none
KEPT = 8  # input types for which packed weights are kept: batch sizes, mostly
WEIGHTS = ("quantized weights must be qint8 with zero point 0 (torch.per_tensor_symmetric "
           "or torch.per_channel_symmetric), got {}")


class Weights:
    """Quantized weights and a bias, with what kernels want of them made once: packed bytes, scales, and biases.

    ``weight`` is qint8 (O, …), quantized per tensor or along dimension 0; ``bias`` float32 (O) or None. ``window`` is
    (stride, padding, dilation, groups) of a convolution, None of a linear layer. RuntimeError for other weights.
    """

    def __init__(self, weight: Any, bias: Tensor | None, window: tuple[Any, ...] | None = None):
        known = isinstance(weight, QuantizedTensor) and weight.dtype.name == "qint8"
        if not known or weight._meaning.axis not in (None, 0):
            raise RuntimeError(WEIGHTS.format(f"{weight.dtype} {getattr(weight, '_meaning', '')}"))
        m = weight._meaning
        if np.any(unwrap(m.zero) if m.axis is not None else m.zero):
            raise RuntimeError(WEIGHTS.format(f"zero point {m.zero}"))
        self.weight, self.bias, self.window = weight, bias, window
        n = weight._spec.shape[0]
        self.ints = weight._ints.contiguous()
        scales = unwrap(m.scale).astype(np.float64) if m.axis is not None else np.full(n, m.scale, np.float64)
        self.scales = scales
        self.scale_tensor = wrap(scales.astype(np.float32))
        self.offset = bias.detach().to(float32).contiguous() if bias is not None else wrap(np.zeros(n, np.float32))
        self.joint: dict[float, Tensor] = {}  # scale of the input -> scales of the sums
        self.known: dict[Any, tuple[Any, Tensor]] = {}

    def scale_with(self, x_scale: float) -> Tensor:
        """The scale of each channel's sums for inputs of a scale."""
        found = self.joint.get(x_scale)
        if found is None:
            if len(self.joint) > KEPT:
                self.joint.clear()
            found = self.joint[x_scale] = wrap((self.scales * np.float64(np.float32(x_scale))).astype(np.float32))
        return found

    def run(self, x: Tensor, scale: Tensor, out_scale: Tensor, zero_x: Tensor, plain: tuple[Any, ...]) -> Tensor:
        """The row on integers; ``plain`` are offset, zero_out, relu and dtype."""
        op = QLINEAR if self.window is None else QCONV
        attrs = (*(self.window or ()), *plain)
        packing, packed = self._packed(op.name, x._spec, attrs) if choose.native() else (None, NOTHING)
        operands = (x, self.ints, packed, scale, self.offset, out_scale, zero_x)
        return core.apply(op, operands, (*attrs, packing))  # type: ignore[no-any-return]

    def _packed(self, op: str, x: Spec, attrs: tuple[Any, ...]) -> tuple[Any, Tensor]:
        key = (x.dtype, x.shape, attrs[-4:])
        found = self.known.get(key)
        if found is None:
            from rushlight.exec.cpu import executor
            made = None
            if executor.available():
                from rushlight.exec.cpu import quantized
                made = quantized.packing(op, x, self.ints._spec, (*attrs, None))
            found = (None, NOTHING)
            if made is not None:
                same = next((f for f in self.known.values() if f[0] is made[0]), None)
                found = same or (made[0],
                                 core.from_flat(quantized.pack(unwrap(self.ints), *made), (made[0].desc.size,)))
            if len(self.known) > KEPT:
                self.known.clear()
            self.known[key] = found
        return found


def output(x: QuantizedTensor, w: Weights, scale: float, zero: int, relu: bool) -> Any:
    """A linear layer (…, k) -> (…, o) or a convolution of images, quantized in and out."""
    m = x._meaning
    if m.axis is not None or m.dtype.name not in ("quint8", "qint8"):
        raise RuntimeError(f"quantized layers take quint8 or qint8 with one scale, got {m.dtype} with {m.scheme}")
    images = w.window is not None
    ints = images_last(x) if images else _rows(x._ints)
    plain = (bool(m.zero), int(zero), relu, x._spec.dtype)
    out = w.run(ints, w.scale_with(m.scale), number(float(scale)), number(m.zero, int32), plain)
    return per_tensor(images_first(out) if images else out.reshape((*x._spec.shape[:-1], out._spec.shape[-1])), scale,
                      zero, m.dtype)


def _rows(t: Tensor) -> Tensor:
    return t.reshape((-1, t._spec.shape[-1])).contiguous()  # type: ignore[no-any-return]


def dynamic_linear(x: Tensor, w: Weights, relu: bool = False) -> Tensor:
    """A linear layer on float32: the input is quantized to 7 bits by its own range
    at each call, the result is float32 again."""
    rows = x.detach().reshape((-1, x._spec.shape[-1]))
    low, high = rows.amin().clamp(max=0), rows.amax().clamp(min=0)
    scale = (high - low) / 127.0
    scale = core.functions().where(scale == 0, 0.1, scale)
    zero = (-low / scale).round().clamp(0, 127)
    ints = to_integers(rows, 1.0 / scale, zero, uint8, (0, 127))
    out = w.run(ints, w.scale_tensor * scale, number(1.0), zero.reshape((1,)).to(int32), (True, 0, relu, float32))
    return out.reshape((*x._spec.shape[:-1], out._spec.shape[-1]))  # type: ignore[no-any-return]


def add(x: Any, y: Any, scale: float, zero: int, relu: bool) -> Any:
    """x + y of quantized tensors with another scale."""
    mx, my = x._meaning, y._meaning
    if x._spec.shape != y._spec.shape or mx.axis is not None or my.axis is not None:
        total = x.dequantize() + y.dequantize()
        return quantized_as(total.relu() if relu else total, scale, zero, mx.dtype)
    a, b, order = _alike(x._ints, y._ints)
    out = core.apply(QADD, (a, b, number(mx.scale), number(my.scale), number(float(scale))),
                     (mx.zero, my.zero, int(zero), relu, MEMORY[mx.dtype.name]))
    return per_tensor(images_first(out) if order else out, scale, zero, mx.dtype)


def _alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Two arrays with one order of dimensions, images with channels last."""
    if len(a._spec.shape) not in (4, 5):
        return a.contiguous(), b.contiguous(), False
    order = (0, *range(2, len(a._spec.shape)), 1)
    first, second = (core.as_spec(t, t._spec.permute(order)).contiguous() for t in (a, b))
    return first, second, True


def mul(x: Any, y: Any, scale: float, zero: int) -> Any:
    """x · y of quantized tensors with another scale."""
    return quantized_as(x.dequantize() * y.dequantize(), scale, zero, x.dtype)


def quantized_as(x: Tensor, scale: float, zero: int, dtype: DType) -> Any:
    """Real numbers with a scale that is known to fit the dtype."""
    return per_tensor(to_integers(x, float(np.float32(1) / np.float32(scale)), zero,
                                  MEMORY[dtype.name]), scale, zero, dtype)


__all__ = ["Weights", "add", "dynamic_linear", "mul", "output", "quantized_as", "to_reals"]
