"""Inception v3 for 8 bits."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor
from rushlight.ao import quantization as ao
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models import inception
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._utils import load_weights
from rushlight.vision.models.quantization._inception_parts import QuantizableBasicConv2d, with_heads
from rushlight.vision.models.quantization.utils import fuse_all, quantizable, quantize_model


def _observed(name: str, base: Any) -> Any:
    """A block whose results are joined by an operation that can be observed."""
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, *args, conv_block=QuantizableBasicConv2d, **kwargs)
        self.myop = FloatFunctional()

    def join(self: Any, parts: list[Tensor], branch: int) -> Tensor:
        return self.myop.cat(parts, 1)
    return type(name, (base,), {"__init__": init, "_join": join, "__doc__": _observed.__doc__, "__module__": __name__})


QuantizableInceptionA = _observed("QuantizableInceptionA", inception.InceptionA)
QuantizableInceptionB = _observed("QuantizableInceptionB", inception.InceptionB)
QuantizableInceptionC = _observed("QuantizableInceptionC", inception.InceptionC)
QuantizableInceptionD = _observed("QuantizableInceptionD", inception.InceptionD)


class QuantizableInceptionE(inception.InceptionE):
    """Forks and results are joined each by an operation of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, conv_block=QuantizableBasicConv2d, **kwargs)
        self.myop1, self.myop2, self.myop3 = FloatFunctional(), FloatFunctional(), FloatFunctional()

    def _join(self, parts: list[Tensor], branch: int) -> Tensor:
        return {1: self.myop1, 2: self.myop2, -1: self.myop3}[branch].cat(parts, 1)


class QuantizableInceptionAux(inception.InceptionAux):
    """A classifier on the features half way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, conv_block=QuantizableBasicConv2d, **kwargs)


class QuantizableInception3(inception.Inception3):
    """Inception v3 between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, inception_blocks=[
            QuantizableBasicConv2d, QuantizableInceptionA, QuantizableInceptionB, QuantizableInceptionC,
            QuantizableInceptionD,
            QuantizableInceptionE, QuantizableInceptionAux], **kwargs)
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x, aux = super()._forward(self.quant(x))
        return self.dequant(x), aux

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        fuse_all(self, is_qat, QuantizableBasicConv2d)


def _finish(model: Any, weights: WeightsEnum | None, wants_aux: bool) -> None:
    """No auxiliary heads where they are not wanted."""
    if weights is not None and not wants_aux:
        model.aux_logits = False
        model.AuxLogits = None


def _quantized(model: Any, backend: str, weights: WeightsEnum | None, progress: bool, wants_aux: bool) -> None:
    """Files of the quantized network hold no auxiliary heads."""
    quantize_model(model, backend)
    _finish(model, weights, wants_aux)
    if weights is not None:
        load_weights(model, weights, progress)


Inception_V3_QuantizedWeights = weights_enum("Inception_V3_QuantizedWeights", __name__)

inception_v3 = quantizable("inception_v3", QuantizableInception3, Inception_V3_QuantizedWeights,
                           inception.Inception_V3_Weights, "fbgemm", prepare=with_heads, finish=_finish,
                           quantized=_quantized)
