"""GoogLeNet for 8 bits."""

from __future__ import annotations

import warnings
from typing import Any

from rushlight import Tensor, nn
from rushlight.ao import quantization as ao
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models.googlenet import GoogLeNet, GoogLeNet_Weights, Inception, InceptionAux
from rushlight.vision.models.quantization._inception_parts import QuantizableBasicConv2d, with_heads
from rushlight.vision.models.quantization.utils import fuse_all, quantizable


class QuantizableInception(Inception):
    """Branches joined by an operation that can be observed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, conv_block=QuantizableBasicConv2d, **kwargs)
        self.cat = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        return self.cat.cat(self._forward(x), 1)


class QuantizableInceptionAux(InceptionAux):
    """A classifier on the features half way, its ReLU a module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, conv_block=QuantizableBasicConv2d, **kwargs)
        self.relu = nn.ReLU()

    def _rectified(self, x: Tensor) -> Tensor:
        return self.relu(x)


class QuantizableGoogLeNet(GoogLeNet):
    """GoogLeNet between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args,
                         blocks=[QuantizableBasicConv2d, QuantizableInception, QuantizableInceptionAux], **kwargs)
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x, aux1, aux2 = super()._forward(self.quant(x))
        return self.dequant(x), aux1, aux2

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        fuse_all(self, is_qat, QuantizableBasicConv2d)


def _finish(model: Any, weights: WeightsEnum | None, wants_aux: bool) -> None:
    if weights is not None and wants_aux:
        warnings.warn("auxiliary heads in the pretrained googlenet model are NOT "
                      "pretrained, so make sure to train them")
    elif weights is not None:
        model.aux_logits = False
        model.aux1 = model.aux2 = None


GoogLeNet_QuantizedWeights = weights_enum("GoogLeNet_QuantizedWeights", __name__)

googlenet = quantizable("googlenet", QuantizableGoogLeNet, GoogLeNet_QuantizedWeights, GoogLeNet_Weights, "fbgemm",
                        prepare=with_heads, finish=_finish)
