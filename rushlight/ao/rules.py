"""What the recorder does with operations and views on quantized tensors: a rule by the name of the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ao.tensors import NO_KERNEL, Meaning, QuantizedTensor, make, quantize_per_tensor
from rushlight.ir.dtype import float32, int32
from rushlight.ir.spec import Spec
from rushlight.ops.quantized import QPOOL
from rushlight.ops.table import TABLE, Op
from rushlight.tensor import core
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import cast, wrap_dims
from rushlight.tensor.functions.quantized import LIMITS, to_integers

Q = QuantizedTensor


def apply(op: Op, args: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """Record an operation with a quantized operand."""
    rule = RULES.get(op.name)
    if rule is None or not all(isinstance(a, QuantizedTensor)
                               or not (isinstance(a, Tensor) and a._storage.batched) for a in args):
        raise NotImplementedError(NO_KERNEL.format(op.name))
    return rule(*args, *attrs)


def view(t: Any, s: Spec) -> Any:
    """The quantized tensor with another geometry on the same integers."""
    if not isinstance(t, QuantizedTensor):
        raise NotImplementedError(NO_KERNEL.format("as_strided"))
    if s is t._spec:
        return t
    meaning = t._meaning
    if meaning.axis is not None:
        meaning = _turned(t, s)
    return make(core.as_spec(t._ints, s), meaning)


def _turned(t: Q, s: Spec) -> Meaning:
    """The meaning of a permuted tensor with a scale per channel.
    RuntimeError where the channels are no dimension any more."""
    m, old = t._meaning, t._spec
    assert m.axis is not None
    channels = (old.shape[m.axis], old.strides[m.axis])
    if sorted(zip(s.shape, s.strides)) == sorted(zip(old.shape, old.strides)) and s.offset == old.offset:
        return Meaning(m.dtype, m.scale, m.zero, list(zip(s.shape, s.strides)).index(channels), m.scheme)
    raise RuntimeError("this view of a tensor that is quantized per channel would lose its scales. "
                       "Use .dequantize() or .int_repr() first.")


# --- rules ------------------------------------------------------------------------------------------------------------
def _same_meaning(name: str) -> Callable[..., Any]:
    """A movement of elements."""
    def rule(x: Q, *attrs: Any) -> Any:
        if x._meaning.axis is not None and name not in ("copy", "reorder"):
            raise NotImplementedError(NO_KERNEL.format(name))
        return make(core.apply(TABLE[name], (x._ints,), attrs), x._meaning)
    return rule


def _one_scale(x: Q, name: str) -> tuple[float, int]:
    if x._meaning.axis is not None:
        raise NotImplementedError(NO_KERNEL.format(name) + " (this tensor has a scale per channel)")
    return x._meaning.scale, x._meaning.zero


def _integer(x: Q, value: float) -> int:
    """The integer that stands for a number."""
    scale, zero = _one_scale(x, "clamp")
    low, high = LIMITS[x._spec.dtype.name]
    return int(min(max(round(value / scale + zero), low), high))


def _of_first(name: str, quantized: bool = True) -> Callable[..., Any]:
    """An operation on the integers whose other operands are positions; the result is quantized too, or plain."""
    def rule(x: Q, *rest: Any) -> Any:
        _one_scale(x, name)
        op = TABLE[name]
        count = len(rest) - len(op.attrs)
        out = core.apply(op, (x._ints, *rest[:count]), tuple(rest[count:]))
        return make(out, x._meaning) if quantized else out
    return rule


def pad(x: Q, value: Any, pads: Any) -> Any:
    """Padded with the integer nearest to a number."""
    return make(core.apply(TABLE["constant_pad"], (x._ints, _integer(x, float(value))), (pads,)), x._meaning)


def relu(x: Q) -> Any:
    """max(q, zero)."""
    return make(core.apply(TABLE["clamp_min"], (x._ints, _one_scale(x, "relu")[1])), x._meaning)


def clamped(x: Q, low: float | None, high: float | None) -> Any:
    """x limited to the integers nearest to the limits."""
    ints = x._ints
    for name, limit in (("clamp_min", low), ("clamp_max", high)):
        if limit is not None:
            ints = core.apply(TABLE[name], (ints, _integer(x, limit)))
    return make(ints, x._meaning)


def _through_reals(name: str, scale: float, zero: int) -> Callable[..., Any]:
    """A function whose values have a known range: its result has a scale of its own."""
    def rule(x: Q) -> Any:
        shift = 128 if x._meaning.dtype.name == "qint8" else 0
        return quantize_per_tensor(core.apply(TABLE[name], (x.dequantize(),)), scale, zero - shift, x._meaning.dtype)
    return rule


def _compared(name: str) -> Callable[..., Any]:
    def rule(x: Any, y: Any) -> Any:
        return core.apply(TABLE[name], tuple(v.dequantize() if isinstance(v, QuantizedTensor) else v for v in (x, y)))
    return rule


def images_last(x: Q) -> Tensor:
    """The integers of (N, C, *spatial) as (N, *spatial, C) with adjacent channels."""
    order = (0, *range(2, len(x._spec.shape)), 1)
    return core.as_spec(x._ints, x._spec.permute(order)).contiguous()  # type: ignore[no-any-return]


def images_first(t: Tensor) -> Tensor:
    """(N, *spatial, C) seen as (N, C, *spatial)."""
    rank = len(t._spec.shape)
    return core.as_spec(t, t._spec.permute((0, rank - 1, *range(1, rank - 1))))


def _pool(x: Q, kind: str, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_pad: bool) -> Any:
    zero = _one_scale(x, f"{kind}_pool")[1]
    out = core.apply(QPOOL, (images_last(x),), (kind, kernel, stride, padding, ceil_mode, count_pad, zero))
    return make(images_first(out), x._meaning)


def max_pool(x: Q, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> list[Any]:
    """The greatest integers; their positions only where somebody reads them."""
    values, positions = core.apply(TABLE["max_pool"], (x._ints,), (kernel, stride, padding, dilation, ceil_mode))
    if any(d != 1 for d in dilation):
        return [make(values, x._meaning), positions]
    return [_pool(x, "max", kernel, stride, padding, ceil_mode, False), positions]


def avg_pool(x: Q, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_pad: bool, divisor: Any) -> Any:
    """The rounded mean of the integers."""
    if divisor is not None:
        raise NotImplementedError(NO_KERNEL.format("avg_pool2d with divisor_override"))
    return _pool(x, "avg", kernel, stride, padding, ceil_mode, count_pad)


def mean(x: Q, dim: Any, keepdim: bool) -> Any:
    """The mean over dimensions; over all spatial ones of images, pooling by one window."""
    zero = _one_scale(x, "mean")[1]
    shape = x._spec.shape
    dims = wrap_dims(dim, len(shape))
    if len(shape) in (4, 5) and sorted(dims) == list(range(2, len(shape))):
        ones = (1,) * len(dims)
        out = _pool(x, "avg", tuple(shape[2:]), ones, (0,) * len(dims), False, True)
        return out if keepdim else out.flatten(1)
    count = 1
    for d in dims:
        count *= shape[d]
    total = core.apply(TABLE["sum"], (cast(x._ints, int32),), (tuple(dims), bool(keepdim)))
    real = cast(total, float32) - zero * count
    return make(to_integers(real, 1 / count, zero, x._spec.dtype), x._meaning)


def cat(*args: Any) -> Any:
    """Joined along a dimension, all with the meaning of the first."""
    *parts, dim = args
    first = next(p for p in parts if isinstance(p, QuantizedTensor))
    scale, zero = _one_scale(first, "cat")
    if not all(isinstance(p, QuantizedTensor) for p in parts):
        raise RuntimeError("cat(): all tensors must be quantized, or none. "
                           "Use .dequantize() or torch.quantize_per_tensor().")
    own = [p._ints if p._same(first) else
           quantize_per_tensor(p.dequantize(), scale, zero, first.dtype)._ints for p in parts]
    return make(core.apply(TABLE["cat"], tuple(own), (dim,)), first._meaning)


def cast_(x: Q, dtype: Any) -> Any:
    """The tensor itself where an operation asks for float32: its numbers are real already."""
    if dtype is not float32:
        raise NotImplementedError(NO_KERNEL.format("_to_copy"))
    return x


RULES: dict[str, Callable[..., Any]] = {
    **{name: _same_meaning(name) for name in ("copy", "reorder", "flip", "roll")},
    "clamp_min": lambda x, limit: clamped(x, limit, None), "clamp_max": lambda x, limit: clamped(x, None, limit),
    **{name: _compared(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{name: _of_first(name) for name in ("index", "gather", "amax", "amin")},
    **{name: _of_first(name, False) for name in ("argmax", "argmin")},
    "constant_pad": pad, "cast": cast_, "relu": relu, "max_pool": max_pool, "avg_pool": avg_pool, "cat": cat,
    "sigmoid": _through_reals("sigmoid", 1 / 256, 0), "tanh": _through_reals("tanh", 2 / 256, 128),
}
