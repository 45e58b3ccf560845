"""QConfig: which observers a layer gets for its output and its weight."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao.quantization import fake_quantize as fq
from rushlight.ao.quantization import observer as ob

BACKENDS = ("fbgemm", "x86", "qnnpack", "onednn")


class QConfig(namedtuple("QConfig", ["activation", "weight"])):
    """``activation`` and ``weight`` make observers (or fake quantization) when they are called:
    classes, or `Observer.with_args(…)`.

    >>> config = QConfig(activation=ob.MinMaxObserver, weight=ob.default_weight_observer)
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> Any:
        if isinstance(activation, nn.Module) or isinstance(weight, nn.Module):
            raise ValueError("QConfig received observer instance, please pass observer class instead. "
                             "Use MyObserver.with_args(x=1) to override arguments to constructor if needed")
        return super().__new__(cls, activation, weight)


class QConfigDynamic(namedtuple("QConfigDynamic", ["activation", "weight"])):
    """The older form for dynamic quantization; use QConfig."""

    __slots__ = ()

    def __new__(cls, activation: Any = nn.Identity, weight: Any = nn.Identity) -> Any:
        if isinstance(weight, nn.Module):
            raise ValueError("QConfigDynamic received observer instance, please pass observer class instead.")
        return super().__new__(cls, activation, weight)


default_qconfig = QConfig(ob.default_observer, ob.default_weight_observer)
default_debug_qconfig = QConfig(weight=ob.default_weight_observer, activation=ob.default_debug_observer)
default_per_channel_qconfig = QConfig(ob.default_observer, ob.default_per_channel_weight_observer)
default_dynamic_qconfig = QConfig(ob.default_dynamic_quant_observer, ob.default_weight_observer)
float16_dynamic_qconfig = QConfig(ob.PlaceholderObserver.with_args(dtype=rl.float16, is_dynamic=True),
                                  ob.PlaceholderObserver.with_args(dtype=rl.float16))
float16_static_qconfig = QConfig(ob.PlaceholderObserver.with_args(dtype=rl.float16),
                                 ob.PlaceholderObserver.with_args(dtype=rl.float16))
per_channel_dynamic_qconfig = QConfig(ob.default_dynamic_quant_observer, ob.default_per_channel_weight_observer)
float_qparams_weight_only_qconfig = QConfig(ob.default_placeholder_observer, ob.default_float_qparams_observer)
default_qat_qconfig = QConfig(fq.default_fake_quant, fq.default_weight_fake_quant)
default_dynamic_qat_qconfig = QConfig(fq.default_dynamic_fake_quant, fq.default_weight_fake_quant)
default_weight_only_qconfig = QConfig(nn.Identity, fq.default_weight_fake_quant)
default_activation_only_qconfig = QConfig(fq.default_fake_quant, nn.Identity)
default_qat_qconfig_v2 = QConfig(fq.default_fused_act_fake_quant, fq.default_fused_wt_fake_quant)
default_embedding_qat_qconfig = QConfig(ob.NoopObserver.with_args(dtype=rl.float32), fq.default_embedding_fake_quant)
default_reuse_input_qconfig = QConfig(ob.default_reuse_input_observer, ob.NoopObserver)
_signed = ob.HistogramObserver.with_args(dtype=rl.qint8, reduce_range=False, eps=2**-12)
_signed_fake = fq.FusedMovingAvgObsFakeQuantize.with_args(observer=ob.MovingAverageMinMaxObserver, quant_min=-128,
                                                          quant_max=127, dtype=rl.qint8, reduce_range=False, eps=2**-12)
default_symmetric_qnnpack_qconfig = QConfig(_signed, ob.weight_observer_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qconfig = QConfig(_signed, ob.per_channel_weight_observer_range_neg_127_to_127)
default_symmetric_qnnpack_qat_qconfig = QConfig(_signed_fake, fq.fused_wt_fake_quant_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qat_qconfig = QConfig(_signed_fake,
                                                            fq.fused_per_channel_wt_fake_quant_range_neg_127_to_127)
default_quint8_weight_qconfig = QConfig(ob.default_observer, ob.MinMaxObserver)


def _known(backend: str) -> None:
    if backend not in BACKENDS:
        raise AssertionError(f"backend: {backend} not supported. backend must be one of {list(BACKENDS)}")


def get_default_qconfig(backend: str = "x86", version: int = 0) -> QConfig:
    """For static quantization: a histogram of activations, weights per channel (per tensor for qnnpack). AssertionError
    for other backends."""
    _known(backend)
    if version != 0:
        raise AssertionError("Version number: "
                             f"{version} in get_default_qconfig is not supported. Version number must be 0")
    weight = ob.default_weight_observer if backend == "qnnpack" else ob.default_per_channel_weight_observer
    return QConfig(ob.HistogramObserver.with_args(reduce_range=backend in ("fbgemm", "x86")), weight)


def get_default_qat_qconfig(backend: str = "x86", version: int | None = 1) -> QConfig:
    """For training with fake quantization: moving averages. AssertionError for other backends."""
    _known(backend)
    if version not in (0, 1, None):
        raise AssertionError(f"Version number: {version} in get_default_qat_qconfig is not "
                             "supported. Version number must be 0 or 1")
    kind = fq.FusedMovingAvgObsFakeQuantize if version == 1 else fq.FakeQuantize
    activation = kind.with_args(observer=ob.MovingAverageMinMaxObserver, quant_min=0, quant_max=255,
                                reduce_range=backend in ("fbgemm", "x86"))
    if backend == "qnnpack":
        return QConfig(activation, fq.default_fused_wt_fake_quant if version == 1 else fq.default_weight_fake_quant)
    return QConfig(activation,
                   fq.default_fused_per_channel_wt_fake_quant if version == 1
                   else fq.default_per_channel_weight_fake_quant)


def qconfig_equals(q1: Any, q2: Any) -> bool:
    """Whether two QConfigs make the same observers."""
    if q1 is None or q2 is None:
        return q1 is q2
    return all(_maker(a) == _maker(b) for a, b in zip(q1, q2))


def _maker(m: Any) -> Any:
    return (m.p.func, m.p.args, m.p.keywords, m.callable_args) if isinstance(m, ob._PartialWrapper) else m
