"""Quantized tensors: integers of 8 or 32 bits over the lazy graph,
with the scale and zero point that give them meaning.

The integers are an ordinary tensor. A quantized tensor has no memory of its own: recording an operation on one leads,
as with sparse tensors, to rules (`rushlight.ao.rules`) that say what happens to the integers and to the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from rushlight.ao import schemes
from rushlight.ir.dtype import DType, by_name, float32, float64, int32, int64
from rushlight.ir.spec import spec
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.functions.quantized import LIMITS, to_integers, to_reals

MEMORY = {"quint8": by_name("uint8"), "qint8": by_name("int8"), "qint32": int32}
NO_KERNEL = ("Could not run 'aten::{}' with arguments from the 'QuantizedCPU' backend. "
             "rushlight has no quantized form of this operation: use .dequantize() first, "
             "or torch.ao.nn.quantized.FloatFunctional for sums and products.")


class NoCell:
    """The value of a quantized tensor's storage: there is none, and no `vmap` level either."""

    level = None
    buffer = None
    node = None


class QuantizedStorage:
    """Stands where a dense tensor has its memory; recording comes through it to the rules."""

    __slots__ = ("size", "dtype", "version", "__weakref__")
    batched = True
    home = ()
    cell = NoCell()
    forever = False
    owner = None
    rules, views = "rushlight.ao.rules", "rushlight.ao.rules"

    def __init__(self, size: int, dtype: Any):
        self.size, self.dtype, self.version = size, dtype, 0

    def _nothing(self, *_: Any) -> NoReturn:
        raise RuntimeError("the memory of a quantized tensor is that of its integers: "
                           "use .int_repr(), or .dequantize() for real numbers")

    memory = share = read = replace = exposed = _nothing


@dataclass(frozen=True)
class Meaning:
    """What integers stand for: (q - zero) · scale, with one pair of numbers,
    or tensors of one pair per index of ``axis``."""

    dtype: DType
    scale: Any
    zero: Any
    axis: int | None = None
    scheme: Any = schemes.per_tensor_affine

    def along(self, rank: int) -> tuple[Any, Any]:
        """Scale and zero point, shaped to broadcast over a tensor of that rank."""
        if self.axis is None:
            return self.scale, self.zero
        shape = [-1 if d == self.axis else 1 for d in range(rank)]
        return self.scale.to(float32).reshape(shape), self.zero.to(float32).reshape(shape)


@lru_cache(65536)
def number(value: float, dtype: DType = float32) -> Tensor:
    """One number as a tensor (1,), which integer kernels read; the same tensor for the same number."""
    return wrap(np.array([value], dtype.numpy))


class QuantizedTensor(Tensor):
    """Integers with a meaning. Made by `quantize_per_tensor` and quantized layers."""

    _ints: Tensor
    _meaning: Meaning
    is_quantized = True

    # --- what it is
    # -----------------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> DType:
        """quint8, qint8 or qint32."""
        return self._meaning.dtype

    def qscheme(self) -> Any:
        """torch.per_tensor_affine or torch.per_channel_affine."""
        return self._meaning.scheme

    def q_scale(self) -> float:
        """The scale. RuntimeError where each channel has its own."""
        self._one("q_scale")
        return float(self._meaning.scale)

    def q_zero_point(self) -> int:
        """The integer that stands for 0. RuntimeError where each channel has its own."""
        self._one("q_zero_point")
        return int(self._meaning.zero)

    def _one(self, name: str) -> None:
        if self._meaning.axis is not None:
            raise RuntimeError("Expected quantizer->qscheme() == kPerTensorAffine to be true, but got false. "
                               f"{name}() is for tensors with one scale; this one has a scale per channel: "
                               "use q_per_channel_scales() and q_per_channel_zero_points().")

    def _several(self, name: str) -> None:
        if self._meaning.axis is None:
            raise RuntimeError("Expected quantizer->qscheme() == kPerChannelAffine to be true, but got false. "
                               f"{name}() is for tensors with a scale per channel; "
                               "this one has a single scale: use q_scale() and q_zero_point().")

    def q_per_channel_scales(self) -> Tensor:
        """The scale of each channel, float64."""
        self._several("q_per_channel_scales")
        return self._meaning.scale  # type: ignore[no-any-return]

    def q_per_channel_zero_points(self) -> Tensor:
        """The zero point of each channel, int64."""
        self._several("q_per_channel_zero_points")
        return self._meaning.zero  # type: ignore[no-any-return]

    def q_per_channel_axis(self) -> int:
        """The dimension of the channels."""
        self._several("q_per_channel_axis")
        return int(self._meaning.axis)  # type: ignore[arg-type]

    def int_repr(self) -> Tensor:
        """The integers as a plain tensor of their own."""
        return self._ints.clone()  # type: ignore[no-any-return]

    def dequantize(self) -> Tensor:
        """The real numbers in float32."""
        scale, zero = self._meaning.along(len(self._spec.shape))
        return to_reals(self._ints, scale, zero)

    # --- what Tensor's own methods would look for in memory -----------------------------------------------------------
    requires_grad = property(lambda self: False)
    grad_fn = None

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """RuntimeError unless False: integers have no gradient."""
        if requires_grad:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients; "
                               "a quantized tensor holds integers")
        return self

    @property
    def data(self) -> Any:
        """The tensor itself."""
        return self

    def detach(self) -> Any:
        """The tensor itself: it has no history."""
        return make(self._ints, self._meaning)

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy."""
        return make(self._ints.clone(memory_format=memory_format), self._meaning)

    def contiguous(self, memory_format: Any = None) -> Any:
        """The same numbers with adjacent elements."""
        options = {} if memory_format is None else {"memory_format": memory_format}
        own = self._ints.contiguous(**options)
        return self if own is self._ints else make(own, self._meaning)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the integers lie in that order."""
        options = {} if memory_format is None else {"memory_format": memory_format}
        return self._ints.is_contiguous(**options)  # type: ignore[no-any-return]

    def element_size(self) -> int:
        """Bytes of an integer."""
        return self._spec.dtype.itemsize

    def untyped_storage(self) -> Any:
        """The memory of the integers."""
        return self._ints.untyped_storage()

    def data_ptr(self) -> int:
        """The address of the integers."""
        return self._ints.data_ptr()  # type: ignore[no-any-return]

    def numpy(self, *, force: bool = False) -> NoReturn:
        """There is no NumPy type for it: TypeError."""
        raise TypeError(f"can't convert a tensor of {self.dtype} to numpy. "
                        "Use .dequantize().numpy() or .int_repr().numpy().")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.numpy()

    def tolist(self) -> Any:
        """The real numbers as a list."""
        return self.dequantize().tolist()

    def item(self) -> Any:
        """The real number."""
        return self.dequantize().item()

    def __len__(self) -> int:
        if not self._spec.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.shape[0]

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor itself on its device. RuntimeError for another dtype: dequantize first."""
        for a in (*args, *kwargs.values()):
            if isinstance(a, DType) and a is not self.dtype:
                raise RuntimeError(f"a quantized tensor cannot be converted to {a} by .to(); use .dequantize().to({a})")
        return self

    def cpu(self) -> Any:
        """The tensor itself."""
        return self

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        """The mean over dimensions, with the same scale: the mean of the integers, rounded."""
        from rushlight.ao.rules import mean
        return mean(self, dim, keepdim)

    def clamp(self, min: Any = None, max: Any = None) -> Any:
        """Limited to the integers nearest to the limits."""
        from rushlight.ao.rules import clamped
        return clamped(self, min, max)

    clip = clamp

    def _become(self, other: Any) -> Any:
        """Take over what another quantized tensor of this shape holds: what writing in place does."""
        if not isinstance(other, QuantizedTensor):
            return self.copy_(other)
        self._ints, self._meaning = other._ints.expand(self._spec.shape), other._meaning
        self._vc.version += 1
        return self

    def equal(self, other: Any) -> bool:
        """Whether shape, integers and meaning are the same."""
        return isinstance(other, QuantizedTensor) and self._spec.shape == other._spec.shape and self._same(other) \
            and bool(self._ints.equal(other._ints))

    def _same(self, other: QuantizedTensor) -> bool:
        a, b = self._meaning, other._meaning
        if (a.dtype, a.axis, a.scheme) != (b.dtype, b.axis, b.scheme):
            return False
        if a.axis is None:
            return bool(a.scale == b.scale and a.zero == b.zero)
        return bool(a.scale.equal(b.scale) and a.zero.equal(b.zero))

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Take over the numbers of a tensor, quantized with this tensor's own scale where they are real."""
        if isinstance(src, QuantizedTensor):
            if src._meaning.dtype is not self._meaning.dtype:
                raise RuntimeError("Quantized copy only works with Quantized Tensors of one dtype, "
                                   f"got {src.dtype} for {self.dtype}")
            self._ints, self._meaning = src._ints.expand(self._spec.shape).clone(), src._meaning
        else:
            scale, zero = self._meaning.along(len(self._spec.shape))
            self._ints = to_integers(src.to(float32).expand(self._spec.shape), 1 / scale, zero, self._spec.dtype)
        self._vc.version += 1
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        memo[id(self)] = copy = self.clone()
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        m = self._meaning
        scale = unwrap(m.scale) if m.axis is not None else m.scale
        zero = unwrap(m.zero) if m.axis is not None else m.zero
        return _rebuild, (np.array(unwrap(self._ints)), m.dtype, scale, zero, m.axis, m.scheme)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from rushlight.tensor.printing import format_tensor
        m = self._meaning
        text = format_tensor(unwrap(self.dequantize()), float32).rstrip(")")
        tail = f"size={tuple(self._spec.shape)}, dtype={m.dtype},\n       quantization_scheme={m.scheme}, "
        if m.axis is None:
            return f"{text}, {tail}scale={m.scale}, zero_point={m.zero})"
        return f"{text}, {tail}\n       scale={m.scale},\n       zero_point={m.zero}, axis={m.axis})".replace(
            ", \n", ",\n")

    __str__ = __repr__

    def __format__(self, text: str) -> str:
        return format(repr(self), text)


def make(ints: Tensor, meaning: Meaning) -> Any:
    """A quantized tensor of integers."""
    t: Any = object.__new__(QuantizedTensor)
    t._spec = ints._spec
    t._storage = t._vc = QuantizedStorage(ints._spec.numel, ints._spec.dtype)
    t._ints, t._meaning = ints, meaning
    return t


def _rebuild(ints: Any, dtype: DType, scale: Any, zero: Any, axis: int | None, scheme: Any) -> Any:
    """What pickle calls."""
    if axis is not None:
        scale, zero = wrap(np.array(scale)), wrap(np.array(zero))
    return make(wrap(ints), Meaning(dtype, scale, zero, axis, scheme))


def per_tensor(ints: Tensor, scale: float, zero: int, dtype: DType) -> Any:
    """A quantized tensor with one scale."""
    return make(ints, Meaning(dtype, float(scale), int(zero)))


# --- public functions -------------------------------------------------------------------------------------------------
def _memory_of(dtype: Any, what: str) -> DType:
    if dtype not in MEMORY.values() and getattr(dtype, "name", None) in MEMORY:
        return MEMORY[dtype.name]
    raise RuntimeError(f"{what}: expected a quantized dtype (torch.quint8, torch.qint8 or torch.qint32), got {dtype}")


def _real(x: Any, what: str) -> Tensor:
    if isinstance(x, QuantizedTensor) or x._spec.dtype is not float32:
        raise RuntimeError(f"Quantize only works on Float Tensor, got {x.dtype}. "
                           f"{what} takes float32: convert with .float() (or .dequantize()).")
    return x.detach()  # type: ignore[no-any-return]


def quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: Any) -> Any:
    """round(x / scale + zero_point), saturated, as a quantized tensor of that dtype. RuntimeError unless x is float32.

    >>> import rushlight as rl
    >>> rl.quantize_per_tensor(rl.tensor([-1.0, 0.0, 1.0]), 0.1, 10, rl.quint8).int_repr()
    tensor([ 0, 10, 20], dtype=torch.uint8)
    """
    if isinstance(input, (list, tuple)):
        return [quantize_per_tensor(x, s, z, dtype) for x, s, z in zip(input, scale, zero_point)]
    memory = _memory_of(dtype, "quantize_per_tensor")
    scale, zero = float(scale), int(zero_point)
    low, high = LIMITS[memory.name]
    if not low <= zero <= high:
        raise RuntimeError(f"quantize_tensor_per_tensor_affine zero_point {zero} is "
                           f"{'below lower' if zero < low else 'above upper'} bound.")
    inverse = float(np.float32(1) / np.float32(scale))
    return per_tensor(to_integers(_real(input, "quantize_per_tensor"), inverse, zero, memory), scale, zero, dtype)


def quantize_per_tensor_dynamic(input: Any, dtype: Any, reduce_range: bool) -> Any:
    """`quantize_per_tensor` with the scale and zero point that fit the least and greatest number of x."""
    from rushlight.ao.ranges import affine
    x = _real(input, "quantize_per_tensor_dynamic")
    low, high = LIMITS[_memory_of(dtype, "quantize_per_tensor_dynamic").name]
    if reduce_range:
        low, high = (low // 2, high // 2)
    scale, zero = affine(float(x.min().item()), float(x.max().item()), low, high)
    return quantize_per_tensor(x, scale, zero, dtype)


def quantize_per_channel(input: Any, scales: Any, zero_points: Any, axis: int, dtype: Any) -> Any:
    """`quantize_per_tensor` with a scale and zero point for each index of a dimension.

    >>> import rushlight as rl
    >>> q = rl.quantize_per_channel(rl.ones(2, 2), rl.tensor([0.1, 0.5]), rl.tensor([0, 1]), 0, rl.qint8)
    >>> q.int_repr()
    tensor([[10, 10],
            [ 3,  3]], dtype=torch.int8)
    """
    memory = _memory_of(dtype, "quantize_per_channel")
    x = _real(input, "quantize_per_channel")
    n = x._spec.shape[axis] if -len(x._spec.shape) <= axis < len(x._spec.shape) else None
    if n is None or scales.numel() != n or zero_points.numel() != n:
        raise RuntimeError(f"length of scales must equal to the size of the channel dimension: {scales.numel()} scales "
                           f"and {zero_points.numel()} zero points for dimension {axis} of {list(x._spec.shape)}")
    scheme = (schemes.per_channel_affine_float_qparams
              if zero_points._spec.dtype.is_floating_point else schemes.per_channel_affine)
    kind = float32 if scheme is schemes.per_channel_affine_float_qparams else int64
    meaning = Meaning(dtype, scales.to(float64 if kind is int64 else float32), zero_points.to(kind),
                      axis % len(x._spec.shape), scheme)
    scale, zero = meaning.along(len(x._spec.shape))
    return make(to_integers(x, 1 / scale, zero, memory), meaning)


def dequantize(input: Any) -> Any:
    """The real numbers of a quantized tensor (or of each of several) in float32."""
    if isinstance(input, (list, tuple)):
        return [dequantize(t) for t in input]
    if not isinstance(input, QuantizedTensor):
        return input.to(float32)
    return input.dequantize()


def make_per_tensor(input: Tensor, scale: float, zero_point: int) -> Any:
    """torch._make_per_tensor_quantized_tensor: integers with a meaning."""
    kinds = {m: by_name(n) for n, m in MEMORY.items()}
    return per_tensor(input, scale, zero_point, kinds[input._spec.dtype])


def make_per_channel(input: Tensor, scale: Tensor, zero_point: Tensor, axis: int) -> Any:
    """torch._make_per_channel_quantized_tensor: integers with a meaning per channel."""
    kinds = {m: by_name(n) for n, m in MEMORY.items()}
    return make(input, Meaning(kinds[input._spec.dtype], scale.to(float64), zero_point.to(int64), axis,
                               schemes.per_channel_affine))


def empty_like_plain(t: QuantizedTensor) -> Any:
    """The type of the integers, for shape rules."""
    return spec(t._spec.dtype, t._spec.shape)
