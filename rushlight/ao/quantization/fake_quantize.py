"""Fake quantization: observes, and rounds to what the integers could say, in float and with gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao import schemes
from rushlight.ao.faking import fake_quantize_per_channel_affine, fake_quantize_per_tensor_affine
from rushlight.ao.quantization import observer as ob
from rushlight.ao.quantization.observer import (FixedQParamsObserver, HistogramObserver, MovingAverageMinMaxObserver,
                                                MovingAveragePerChannelMinMaxObserver, _with_args)
from rushlight.tensor.core import Tensor

PER_CHANNEL = (schemes.per_channel_symmetric, schemes.per_channel_affine, schemes.per_channel_affine_float_qparams)


class FakeQuantizeBase(ABC, nn.Module):
    """Switches for observing and rounding: buffers, so that a state_dict keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake_quant_enabled", rl.tensor([1], dtype=rl.uint8))
        self.register_buffer("observer_enabled", rl.tensor([1], dtype=rl.uint8))

    @abstractmethod
    def forward(self, x: Any) -> Any:
        """x, rounded where that is enabled."""

    @abstractmethod
    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point."""

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round from now on, or not."""
        self.fake_quant_enabled[0] = 1 if enabled else 0

    def disable_fake_quant(self) -> None:
        """Do not round."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Observe from now on, or not."""
        self.observer_enabled[0] = 1 if enabled else 0

    def disable_observer(self) -> None:
        """Keep the range as it is."""
        self.enable_observer(False)

    with_args = classmethod(_with_args)


class FakeQuantize(FakeQuantizeBase):
    """Rounds to (clamp(round(x / scale + zero_point), quant_min,
    quant_max) - zero_point) · scale by the range of an observer.

    ``observer`` is a class of observers, ``observer_kwargs`` go to it (dtype, qscheme, reduce_range, …).

    >>> _ = FakeQuantize(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255)(rl.tensor([0.0, 2.55]))
    """

    def __init__(self, observer: Any = MovingAverageMinMaxObserver, quant_min: Any = None, quant_max: Any = None,
                 is_dynamic: bool = False, **observer_kwargs: Any):
        super().__init__()
        if quant_min is not None and quant_max is not None:
            if quant_min > quant_max:
                raise AssertionError("quant_min must be less than or equal to quant_max")
            observer_kwargs.update(quant_min=quant_min, quant_max=quant_max)
        observer_kwargs["is_dynamic"] = is_dynamic
        if is_dynamic and getattr(getattr(observer, "p", observer), "__name__", "").startswith("MovingAverage"):
            observer_kwargs.setdefault("averaging_constant", 1)
        if "PerChannel" in getattr(observer, "__name__", ""):
            observer_kwargs.pop("is_dynamic")
        self.activation_post_process = observer(**observer_kwargs)
        o = self.activation_post_process
        self.quant_min, self.quant_max = o.quant_min, o.quant_max
        self.dtype, self.qscheme, self.is_dynamic = o.dtype, o.qscheme, is_dynamic
        self.ch_axis = getattr(o, "ch_axis", -1)
        self.is_per_channel = self.qscheme in PER_CHANNEL
        self.register_buffer("scale", rl.tensor([1.0]))
        self.register_buffer("zero_point", rl.tensor([0], dtype=rl.int32))

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point of the range so far."""
        return self.activation_post_process.calculate_qparams()

    def _update(self, x: Any) -> None:
        self.activation_post_process(x.detach())
        scale, zero = self._lazily()
        self.scale, self.zero_point = scale.detach(), zero.detach()

    def _lazily(self) -> tuple[Tensor, Tensor]:
        """`calculate_qparams` as recorded operations: a step of training is
        one graph, nothing is read before its end."""
        o = self.activation_post_process
        if isinstance(o, HistogramObserver) or not hasattr(o, "min_val"):
            scale, zero = o.calculate_qparams()
            return scale, zero.to(rl.int32)
        below, above = o.min_val.clamp(max=0), o.max_val.clamp(min=0)
        steps = float(self.quant_max - self.quant_min)
        if self.qscheme in ob.SYMMETRIC:
            scale = rl.maximum(rl.maximum(-below, above) / (steps / 2), o.eps)
            middle = ((self.quant_min + self.quant_max) // 2 if o.has_customized_qrange
                      else 128) if self.dtype in (rl.quint8, rl.uint8) else 0
            return scale, rl.full_like(scale, middle).to(rl.int32)
        scale = rl.maximum((above - below) / steps, o.eps)
        zero = (self.quant_min - (below / scale).round()).clamp(self.quant_min, self.quant_max)
        return scale, zero.to(rl.int32).reshape(scale.shape)

    def forward(self, X: Any) -> Any:
        if self.observer_enabled[0] == 1:
            self._update(X)
        if self.fake_quant_enabled[0] != 1:
            return X
        if self.is_per_channel:
            return fake_quantize_per_channel_affine(X, self.scale, self.zero_point,
                                                    self.ch_axis, self.quant_min, self.quant_max)
        return fake_quantize_per_tensor_affine(X, self.scale, self.zero_point, self.quant_min, self.quant_max)

    def extra_repr(self) -> str:
        return (f"fake_quant_enabled={self.fake_quant_enabled}, observer_enabled={self.observer_enabled}, "
                f"quant_min={self.quant_min}, quant_max={self.quant_max}, dtype={self.dtype}, qscheme={self.qscheme}, "
                f"ch_axis={self.ch_axis}, scale={self.scale}, zero_point={self.zero_point}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("scale", "zero_point"):  # as many as there were channels
            value = state_dict.get(prefix + name)
            if value is not None:
                setattr(self, name, rl.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """FakeQuantize with a moving average; observing and rounding are one fused graph here in any case."""

    def __init__(self, observer: Any = MovingAverageMinMaxObserver, quant_min: int = 0, quant_max: int = 255,
                 is_dynamic: bool = False, **observer_kwargs: Any):
        super().__init__(observer, quant_min, quant_max, is_dynamic, **observer_kwargs)

    def _lazily(self) -> tuple[Tensor, Tensor]:
        """As PyTorch's fused kernel: symmetric ranges use the one integer more that there is below zero."""
        o = self.activation_post_process
        if self.qscheme not in ob.SYMMETRIC or self.dtype not in (rl.qint8, rl.int8):
            return super()._lazily()
        half = (self.quant_max - self.quant_min) // 2
        scale = rl.maximum(rl.maximum(-o.min_val.clamp(max=0) / (half + 1), o.max_val.clamp(min=0) / half), o.eps)
        return scale, rl.zeros_like(scale).to(rl.int32)


class FixedQParamsFakeQuantize(FakeQuantize):
    """Rounds with a fixed scale and zero point."""

    def __init__(self, observer: Any):
        FakeQuantizeBase.__init__(self)
        o = self.activation_post_process = observer()
        if not isinstance(o, FixedQParamsObserver):
            raise AssertionError(f"{type(self).__name__}'s observer must be a "
                                 f"FixedQParamsObserver, not {type(o).__name__}")
        self.quant_min, self.quant_max = o.quant_min, o.quant_max
        self.dtype, self.qscheme, self.is_dynamic = o.dtype, o.qscheme, False
        self.ch_axis, self.is_per_channel = -1, False
        self.register_buffer("scale", o.scale.clone())
        self.register_buffer("zero_point", o.zero_point.clone())

    def _update(self, x: Any) -> None:
        pass

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """The fixed pair."""
        return self.scale, self.zero_point


def disable_fake_quant(mod: Any) -> None:
    """For `model.apply`: no rounding."""
    if isinstance(mod, FakeQuantizeBase):
        mod.disable_fake_quant()


def enable_fake_quant(mod: Any) -> None:
    """For `model.apply`: round."""
    if isinstance(mod, FakeQuantizeBase):
        mod.enable_fake_quant()


def disable_observer(mod: Any) -> None:
    """For `model.apply`: ranges stay as they are."""
    if isinstance(mod, FakeQuantizeBase):
        mod.disable_observer()


def enable_observer(mod: Any) -> None:
    """For `model.apply`: observe."""
    if isinstance(mod, FakeQuantizeBase):
        mod.enable_observer()


_ACTIVATION = {"observer": MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255}
_WEIGHT = {"quant_min": -128, "quant_max": 127, "dtype": rl.qint8}
default_fake_quant = FakeQuantize.with_args(**_ACTIVATION, dtype=rl.quint8,
                                            qscheme=schemes.per_tensor_affine, reduce_range=True)
default_weight_fake_quant = FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, **_WEIGHT,
                                                   qscheme=schemes.per_tensor_symmetric, reduce_range=False)
default_dynamic_fake_quant = FakeQuantize.with_args(**_ACTIVATION, is_dynamic=True, dtype=rl.quint8,
                                                    averaging_constant=1)
default_per_channel_weight_fake_quant = FakeQuantize.with_args(observer=MovingAveragePerChannelMinMaxObserver,
                                                               **_WEIGHT, qscheme=schemes.per_channel_symmetric,
                                                               reduce_range=False, ch_axis=0)
default_histogram_fake_quant = FakeQuantize.with_args(observer=HistogramObserver,
                                                      quant_min=0, quant_max=255, dtype=rl.quint8,
                                                      qscheme=schemes.per_tensor_affine, reduce_range=True)
default_fused_act_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(**_ACTIVATION, dtype=rl.quint8)
default_fused_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver, **_WEIGHT,
                                                                      qscheme=schemes.per_tensor_symmetric)
default_fused_per_channel_wt_fake_quant = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, **_WEIGHT, qscheme=schemes.per_channel_symmetric)
default_fixed_qparams_range_neg1to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=ob.default_fixed_qparams_range_neg1to1_observer)
default_fixed_qparams_range_0to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=ob.default_fixed_qparams_range_0to1_observer)
default_embedding_fake_quant = FakeQuantize.with_args(observer=MovingAveragePerChannelMinMaxObserver,
                                                      qscheme=schemes.per_channel_affine_float_qparams, dtype=rl.quint8,
                                                      quant_min=0, quant_max=255, ch_axis=0)
# without -128: products of two keep within 16 bits
_NARROW = {"quant_min": -127, "quant_max": 127, "dtype": rl.qint8, "eps": 2**-12}
fused_wt_fake_quant_range_neg_127_to_127 = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, **_NARROW, qscheme=schemes.per_tensor_symmetric)
fused_per_channel_wt_fake_quant_range_neg_127_to_127 = FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, **_NARROW, qscheme=schemes.per_channel_symmetric)
default_affine_fixed_qparams_fake_quant = default_fixed_qparams_range_0to1_fake_quant
default_symmetric_fixed_qparams_fake_quant = default_fixed_qparams_range_neg1to1_fake_quant
