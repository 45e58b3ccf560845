"""Observers: modules that pass tensors through and remember the range of their numbers,
from which come scale and zero point."""

from __future__ import annotations

import functools
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.ao import schemes
from rushlight.ao.quantization.histogram import best_range, count, joined
from rushlight.tensor.core import unwrap, wrap

EPS = float(np.finfo(np.float32).eps)
RANGES = {"qint8": (-128, 127), "int8": (-128, 127), "quint8": (0, 255), "uint8": (0, 255),
          "qint32": (-(1 << 31), (1 << 31) - 1),
          "int32": (-(1 << 31), (1 << 31) - 1), "int16": (-(1 << 15), (1 << 15) - 1), "uint16": (0, (1 << 16) - 1)}
SYMMETRIC = (schemes.per_tensor_symmetric, schemes.per_channel_symmetric)
PER_TENSOR = (schemes.per_tensor_affine, schemes.per_tensor_symmetric)
UNSEEN = ("must run observer before calling calculate_qparams. "
          "Returning default scale and zero point: pass data through the prepared model first")


class _PartialWrapper:
    """A class with arguments for later: calling makes an instance."""

    def __init__(self, p: functools.partial[Any]):
        self.p = p
        self.callable_args: dict[str, Any] = {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        late = {name: f() for name, f in self.callable_args.items() if name not in keywords}
        return self.p(*args, **{**late, **keywords})

    def __repr__(self) -> str:
        return repr(self.p) + repr(self.callable_args)

    def with_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with more arguments."""
        made = _PartialWrapper(functools.partial(self.p, **kwargs))
        made.callable_args = {**self.callable_args}
        return made

    def with_callable_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with arguments that functions give at each call."""
        made = self.with_args()
        made.callable_args = {**self.callable_args, **kwargs}
        return made


def _with_args(cls_or_self: Any, **kwargs: Any) -> _PartialWrapper:
    """A maker of instances with these arguments, which can be given more."""
    return _PartialWrapper(functools.partial(cls_or_self, **kwargs))


def _with_callable_args(cls_or_self: Any, **kwargs: Any) -> _PartialWrapper:
    return _with_args(cls_or_self).with_callable_args(**kwargs)


class ObserverBase(ABC, nn.Module):
    """What observers share: ``dtype``, the quantized type that the numbers are meant for."""

    def __init__(self, dtype: Any, is_dynamic: bool = False):
        super().__init__()
        self.dtype, self.is_dynamic = dtype, is_dynamic

    @abstractmethod
    def forward(self, x: Any) -> Any:
        """x itself, after a look at it."""

    @abstractmethod
    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point."""

    with_args = classmethod(_with_args)
    with_callable_args = classmethod(_with_callable_args)


class UniformQuantizationObserverBase(ObserverBase):
    """Observers whose integers are evenly spaced. NotImplementedError or
    AssertionError for settings that do not fit together.

    ``reduce_range`` leaves one bit unused, ``quant_min`` and ``quant_max`` limit the integers further.
    """

    _version = 3

    def __init__(self, dtype: Any = rl.quint8, qscheme: Any = schemes.per_tensor_affine, reduce_range: bool = False,
                 quant_min: Any = None, quant_max: Any = None, factory_kwargs: Any = None, eps: float = EPS,
                 is_dynamic: bool = False, **kwargs: Any):
        super().__init__(dtype, is_dynamic)
        if dtype.name not in RANGES:
            raise AssertionError("Default Observer only works for qint8, quint8, qint32, int8, "
                                 f"uint8, int16, int32 and uint16, got {dtype}")
        if qscheme not in schemes.ALL.values():
            raise AssertionError("observers know torch.per_tensor_affine, per_tensor_symmetric, per_channel_affine, "
                                 f"per_channel_symmetric and per_channel_affine_float_qparams, got {qscheme}")
        self.qscheme, self.reduce_range = qscheme, reduce_range
        self.register_buffer("eps", wrap(np.array([eps], np.float32)))
        self.has_customized_qrange = quant_min is not None and quant_max is not None
        if self.has_customized_qrange:
            if not quant_min < quant_max:
                raise AssertionError("Quantization configs must have lower 'quant_min' than 'quant_max'.")
        low, high = (int(quant_min), int(quant_max)) if self.has_customized_qrange else RANGES[dtype.name]
        self.quant_min, self.quant_max = (low // 2,
                                          high // 2) if reduce_range and dtype.name[-1] == "8" else (low, high)

    def _calculate_qparams(self, min_val: Any, max_val: Any) -> tuple[Any, Any]:
        """Scale (float32) and zero point (int64) of ranges, as tensors with one element or one per channel."""
        low, high = np.atleast_1d(unwrap(min_val)).astype(np.float32), np.atleast_1d(unwrap(max_val)).astype(np.float32)
        if not low.size or np.any(np.isinf(low) & (low > 0)) or np.any(np.isinf(high) & (high < 0)):
            warnings.warn(UNSEEN, stacklevel=3)
            return rl.tensor([1.0]), rl.tensor([0])
        if np.any(low > high):
            raise AssertionError(f"min {low[low > high][0]} should be less than max {high[low > high][0]}")
        steps = np.float32(self.quant_max - self.quant_min)
        eps = unwrap(self.eps)[0]
        below, above = np.minimum(low, 0), np.maximum(high, 0)
        if self.qscheme is schemes.per_channel_affine_float_qparams:
            scale = (high - low) / steps
            scale = np.where(scale > eps, scale, np.float32(1))
            return wrap(scale), wrap(-low / scale)
        if self.qscheme in SYMMETRIC:
            scale = np.maximum(np.maximum(-below, above) / (steps / np.float32(2)), eps)
            middle = 0
            if self.dtype.name in ("quint8", "uint8"):
                middle = (self.quant_min + self.quant_max) // 2 if self.has_customized_qrange else 128
            zero = np.full(scale.shape, middle, np.int64)
        else:
            scale = np.maximum((above - below) / steps, eps)
            zero = np.clip(self.quant_min - np.rint(below / scale).astype(np.int32), self.quant_min, self.quant_max)
        return wrap(scale.astype(np.float32)), wrap(zero)

    def reset_min_max_vals(self) -> None:
        """Forget everything."""
        raise NotImplementedError("Cannot reset min/max values in the given observer.")


class _Ranged(UniformQuantizationObserverBase):
    """Keeps buffers min_val and max_val; ``update(old, new)`` joins the
    range so far with that of a tensor, as arrays."""

    def calculate_qparams(self, **kwargs: Any) -> tuple[Any, Any]:
        """Scale and zero point for the range seen so far."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"

    def _keep(self, low: Any, high: Any) -> None:
        self.min_val, self.max_val = low, high

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("min_val", "max_val"):  # their shape is that of what was observed
            value = state_dict.get(prefix + name)
            if value is not None:
                setattr(self, name, rl.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class MinMaxObserver(_Ranged):
    """The least and greatest number of all that it saw.

    >>> observer = MinMaxObserver()
    >>> observer(rl.tensor([0.0, 2.55]))
    tensor([0.0000, 2.5500])
    >>> observer.calculate_qparams()
    (tensor([0.0100]), tensor([0], dtype=torch.int32))
    """

    def __init__(self, dtype: Any = rl.quint8, qscheme: Any = schemes.per_tensor_affine, reduce_range: bool = False,
                 quant_min: Any = None, quant_max: Any = None, factory_kwargs: Any = None, eps: float = EPS,
                 is_dynamic: bool = False, **kwargs: Any):
        if qscheme not in PER_TENSOR:
            raise NotImplementedError(f"{type(self).__name__}'s qscheme only support "
                                      "torch.per_tensor_symmetric and torch.per_tensor_affine.")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic, **kwargs)
        self.reset_min_max_vals()
        if self.qscheme is schemes.per_tensor_symmetric and self.reduce_range and self.dtype is rl.quint8:
            raise NotImplementedError("Cannot reduce range for symmetric quantization for quint8")

    def reset_min_max_vals(self) -> None:
        """Forget everything."""
        self.register_buffer("min_val", rl.tensor(float("inf")))
        self.register_buffer("max_val", rl.tensor(float("-inf")))

    def forward(self, x_orig: Any) -> Any:
        if x_orig.numel():
            x = x_orig.detach().to(self.min_val.dtype)
            self._keep(rl.minimum(x.amin(), self.min_val), rl.maximum(x.amax(), self.max_val))
        return x_orig


class MovingAverageMinMaxObserver(MinMaxObserver):
    """The least and greatest number of each tensor, averaged: old + averaging_constant · (new - old)."""

    def __init__(self, averaging_constant: float = 0.01, dtype: Any = rl.quint8,
                 qscheme: Any = schemes.per_tensor_affine, reduce_range: bool = False, quant_min: Any = None,
                 quant_max: Any = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any):
        self.averaging_constant = averaging_constant
        if is_dynamic and averaging_constant != 1:
            raise NotImplementedError("MovingAverageMinMaxObserver doesn't support dynamic quantization "
                                      f"for averaging constant of {averaging_constant}")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic, **kwargs)

    def forward(self, x_orig: Any) -> Any:
        if x_orig.numel():
            x = x_orig.detach().to(self.min_val.dtype)
            self._average(x.amin(), x.amax())
        return x_orig

    def _average(self, low: Any, high: Any) -> None:
        c = self.averaging_constant
        if self.min_val.numel() != low.numel() or self.min_val.dim() != low.dim():
            return self._keep(low, high)
        first = (self.min_val == float("inf")) & (self.max_val == float("-inf"))
        # infinity - infinity is nothing
        old_low, old_high = rl.where(first, low, self.min_val), rl.where(first, high, self.max_val)
        self._keep(old_low + c * (low - old_low), old_high + c * (high - old_high))


class PerChannelMinMaxObserver(_Ranged):
    """The least and greatest number for each index of dimension ``ch_axis``."""

    def __init__(self, ch_axis: int = 0, dtype: Any = rl.quint8, qscheme: Any = schemes.per_channel_affine,
                 reduce_range: bool = False, quant_min: Any = None, quant_max: Any = None, factory_kwargs: Any = None,
                 eps: float = EPS, is_dynamic: bool = False, **kwargs: Any):
        if qscheme in PER_TENSOR:
            raise NotImplementedError("PerChannelMinMaxObserver's qscheme only support torch.per_channel_symmetric, "
                                      "torch.per_channel_affine and torch.per_channel_affine_float_qparams.")
        if is_dynamic:
            raise NotImplementedError("PerChannelMinMaxObserver doesn't support dynamic quantization")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic, **kwargs)
        self.ch_axis = ch_axis
        self.reset_min_max_vals()

    def reset_min_max_vals(self) -> None:
        """Forget everything."""
        self.register_buffer("min_val", rl.tensor([]))
        self.register_buffer("max_val", rl.tensor([]))

    def _ranges(self, x_orig: Any) -> tuple[Any, Any]:
        x = x_orig.detach().to(self.min_val.dtype)
        dims = [d for d in range(x.dim()) if d != self.ch_axis % x.dim()]
        return (x.amin(dims), x.amax(dims)) if dims else (x, x)

    def forward(self, x_orig: Any) -> Any:
        if x_orig.numel():
            low, high = self._ranges(x_orig)
            if self.min_val.numel():
                low, high = rl.minimum(low, self.min_val), rl.maximum(high, self.max_val)
            self._keep(low, high)
        return x_orig


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver):
    """Ranges of channels, averaged over tensors."""

    def __init__(self, averaging_constant: float = 0.01, ch_axis: int = 0, dtype: Any = rl.quint8,
                 qscheme: Any = schemes.per_channel_affine, reduce_range: bool = False, quant_min: Any = None,
                 quant_max: Any = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any):
        super().__init__(ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max,
                         eps=eps, is_dynamic=is_dynamic, **kwargs)
        self.averaging_constant = averaging_constant

    def forward(self, x_orig: Any) -> Any:
        if x_orig.numel():
            MovingAverageMinMaxObserver._average(self, *self._ranges(x_orig))
        return x_orig


class HistogramObserver(UniformQuantizationObserverBase):
    """A histogram of all numbers; the range is the part of it that loses the least square error when it is quantized.

    Numbers outside that part are saturated.
    """

    def __init__(self, bins: int = 2048, dtype: Any = rl.quint8, qscheme: Any = schemes.per_tensor_affine,
                 reduce_range: bool = False, quant_min: Any = None, quant_max: Any = None, factory_kwargs: Any = None,
                 eps: float = EPS, is_dynamic: bool = False, **kwargs: Any):
        if qscheme not in PER_TENSOR:
            raise NotImplementedError("HistogramObserver's qscheme only support "
                                      "torch.per_tensor_symmetric and torch.per_tensor_affine.")
        if is_dynamic:
            raise NotImplementedError("HistogramObserver doesn't support dynamic quantization")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic, **kwargs)
        self.bins = bins
        self.register_buffer("histogram", rl.zeros(bins))
        self.register_buffer("min_val", rl.tensor(float("inf")))
        self.register_buffer("max_val", rl.tensor(float("-inf")))
        self.dst_nbins = 1 << (8 * dtype.itemsize)

    def forward(self, x_orig: Any) -> Any:
        if not x_orig.numel():
            return x_orig
        x = unwrap(x_orig.detach()).astype(np.float32, copy=False).reshape(-1)
        if not np.isfinite(x).all():
            warnings.warn("torch.inf detected in input tensor, ignoring input", stacklevel=2)
            x = x[np.isfinite(x)]
            if not x.size:
                return x_orig
        new = count(x, self.bins)
        if np.isfinite(self.min_val.item()):
            new = joined((unwrap(self.histogram), self.min_val.item(), self.max_val.item()), x, self.bins)
        self.histogram, self.min_val, self.max_val = wrap(new[0].astype(
            np.float32)), rl.tensor(new[1]), rl.tensor(new[2])
        return x_orig

    def calculate_qparams(self, **kwargs: Any) -> tuple[Any, Any]:
        """Scale and zero point of the best part of the histogram."""
        if not np.isfinite(self.min_val.item()):
            warnings.warn(UNSEEN, stacklevel=2)
            return rl.tensor([1.0]), rl.tensor([0])
        low, high = best_range(unwrap(self.histogram), self.min_val.item(), self.max_val.item(), self.dst_nbins)
        return self._calculate_qparams(rl.tensor(low), rl.tensor(high))

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class FixedQParamsObserver(ObserverBase):
    """Scale and zero point that are known beforehand: functions with a fixed range."""

    def __init__(self, scale: float, zero_point: int, dtype: Any = rl.quint8, qscheme: Any = schemes.per_tensor_affine,
                 quant_min: int = 0, quant_max: int = 255, is_dynamic: bool = False, **kwargs: Any):
        if is_dynamic:
            raise NotImplementedError("FixedQParamsObserver doesn't support dynamic quantization")
        super().__init__(dtype, is_dynamic)
        self.quant_min, self.quant_max, self.qscheme = quant_min, quant_max, qscheme
        self.register_buffer("scale", rl.tensor([float(scale)]))
        self.register_buffer("zero_point", rl.tensor([int(zero_point)], dtype=rl.int32))

    def forward(self, X: Any) -> Any:
        return X

    def calculate_qparams(self, **kwargs: Any) -> tuple[Any, Any]:
        """The fixed pair."""
        return self.scale, self.zero_point


class PlaceholderObserver(ObserverBase):
    """Observes nothing: says only which dtype is wanted (dynamic quantization, half precision)."""

    def __init__(self, dtype: Any = rl.float32, custom_op_name: str = "", compute_dtype: Any = None,
                 quant_min: Any = None, quant_max: Any = None, qscheme: Any = None, eps: Any = None,
                 is_dynamic: bool = False):
        super().__init__(dtype, is_dynamic or compute_dtype is not None)
        self.custom_op, self.qscheme = custom_op_name, qscheme if qscheme is not None else schemes.per_tensor_affine
        self.quant_min, self.quant_max, self.eps = quant_min, quant_max, eps

    def forward(self, x: Any) -> Any:
        return x

    def extra_repr(self) -> str:
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """There are none: an exception."""
        raise Exception("calculate_qparams should not be called for PlaceholderObserver")


class NoopObserver(PlaceholderObserver):
    """Observes nothing."""

    def __init__(self, dtype: Any = rl.float16, custom_op_name: str = ""):
        super().__init__(dtype, custom_op_name)


class RecordingObserver(ObserverBase):
    """Keeps all tensors that it sees, for looking at them."""

    def __init__(self, dtype: Any = rl.quint8):
        super().__init__(dtype)
        self.tensor_val: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.tensor_val.append(x.detach().clone())
        return x

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """There are none: an exception."""
        raise Exception("calculate_qparams should not be called for RecordingObserver")

    def get_tensor_value(self) -> list[Any]:
        """The tensors in order."""
        return self.tensor_val


class ReuseInputObserver(ObserverBase):
    """For operations whose result has the scale of their input."""

    def __init__(self) -> None:
        super().__init__(rl.quint8)

    def forward(self, x: Any) -> Any:
        return x

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """There are none: an exception."""
        raise Exception("calculate_qparams should not be called for ReuseInputObserver")


def _is_activation_post_process(module: Any) -> bool:
    """Whether a module is an observer or fakes quantization."""
    from rushlight.ao.quantization.fake_quantize import FakeQuantizeBase
    return isinstance(module, (ObserverBase, FakeQuantizeBase))


def get_observer_state_dict(mod: Any) -> Any:
    """The part of a state_dict that belongs to observers."""
    return OrderedDict((k, v) for k, v in mod.state_dict().items() if "activation_post_process" in k)


def load_observer_state_dict(mod: Any, obs_dict: Any) -> None:
    """Put what `get_observer_state_dict` gave into the observers of a prepared model.
    RuntimeError for names that it lacks."""
    own = mod.state_dict()
    wrong = sorted(k for k in obs_dict if k not in own)
    if wrong:
        raise RuntimeError(f"the model has no observers of these names: {wrong[:5]}; prepare it in the same way first")
    mod.load_state_dict({**own, **obs_dict})


default_observer = MinMaxObserver.with_args(quant_min=0, quant_max=127)
default_placeholder_observer = PlaceholderObserver
default_debug_observer = RecordingObserver
default_weight_observer = MinMaxObserver.with_args(dtype=rl.qint8, qscheme=schemes.per_tensor_symmetric)
weight_observer_range_neg_127_to_127 = MinMaxObserver.with_args(dtype=rl.qint8, qscheme=schemes.per_tensor_symmetric,
                                                                quant_min=-127, quant_max=127, eps=2**-12)
default_histogram_observer = HistogramObserver.with_args(quant_min=0, quant_max=127)
default_per_channel_weight_observer = PerChannelMinMaxObserver.with_args(dtype=rl.qint8,
                                                                         qscheme=schemes.per_channel_symmetric)
per_channel_weight_observer_range_neg_127_to_127 = PerChannelMinMaxObserver.with_args(
    dtype=rl.qint8, qscheme=schemes.per_channel_symmetric, quant_min=-127, quant_max=127, eps=2**-12)
default_dynamic_quant_observer = PlaceholderObserver.with_args(dtype=rl.quint8,
                                                               quant_min=0, quant_max=255, is_dynamic=True)
default_float_qparams_observer = PerChannelMinMaxObserver.with_args(dtype=rl.quint8,
                                                                    qscheme=schemes.per_channel_affine_float_qparams,
                                                                    ch_axis=0)
default_fixed_qparams_range_neg1to1_observer = FixedQParamsObserver.with_args(
    scale=2.0 / 256.0, zero_point=128, dtype=rl.quint8, quant_min=0, quant_max=255)
default_fixed_qparams_range_0to1_observer = FixedQParamsObserver.with_args(scale=1.0 / 256.0, zero_point=0,
                                                                           dtype=rl.quint8, quant_min=0, quant_max=255)
default_affine_fixed_qparams_observer = default_fixed_qparams_range_0to1_observer
default_symmetric_fixed_qparams_observer = default_fixed_qparams_range_neg1to1_observer
default_reuse_input_observer = ReuseInputObserver
