"""MobileNet v3 for 8 bits."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.ao import quantization as ao
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._utils import load_weights
from rushlight.vision.models.mobilenetv3 import (InvertedResidual,
                                                 MobileNet_V3_Large_Weights, MobileNetV3, _mobilenet_v3_conf)
from rushlight.vision.models.quantization.utils import Stubs, _fuse_modules, fuse_all, quantizable
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

# What files written before version 2 lack of the observers behind the scale's activation
_SINCE_2 = {"scale": [1.0], "activation_post_process.scale": [1.0], "zero_point": [0],
            "activation_post_process.zero_point": [0],
            "fake_quant_enabled": [1], "observer_enabled": [1]}


class QuantizableSqueezeExcitation(SqueezeExcitation):
    """Its scale is multiplied by an operation that can be observed."""

    _version = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["scale_activation"] = nn.Hardsigmoid
        super().__init__(*args, **kwargs)
        self.skip_mul = FloatFunctional()

    def forward(self, input: Tensor) -> Tensor:
        return self.skip_mul.mul(self._scale(input), input)

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """The first layer with its ReLU, in place."""
        _fuse_modules(self, ["fc1", "activation"], is_qat, inplace=True)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if hasattr(self, "qconfig") and (local_metadata.get("version") or 1) < 2:
            for name, value in _SINCE_2.items():
                dtype = rl.int32 if name.endswith("zero_point") else None
                state_dict.setdefault(f"{prefix}scale_activation.activation_post_process.{name}",
                                      rl.tensor(value, dtype=dtype))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class QuantizableInvertedResidual(InvertedResidual):
    """Its shortcut is added by an operation that can be observed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, se_layer=QuantizableSqueezeExcitation, **kwargs)
        self.skip_add = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip_add.add(x, self.block(x)) if self.use_res_connect else self.block(x)


class QuantizableMobileNetV3(Stubs, MobileNetV3):
    """MobileNet v3 between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._add_stubs()

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        for module in list(self.modules()):
            if type(module) is Conv2dNormActivation:
                parts = ["0", "1", *(["2"] if len(module) == 3 and type(module[2]) is nn.ReLU else [])]
                _fuse_modules(module, parts, is_qat, inplace=True)
        fuse_all(self, is_qat, QuantizableSqueezeExcitation)


def _make(**kwargs: Any) -> QuantizableMobileNetV3:
    rows, last_channel = _mobilenet_v3_conf("mobilenet_v3_large", **kwargs)
    return QuantizableMobileNetV3(rows, last_channel, block=QuantizableInvertedResidual, **kwargs)


def _quantized(model: Any, backend: str, weights: WeightsEnum | None, progress: bool, _: Any) -> None:
    """Files of this network hold it as it was in training, with observers; it is converted after they are loaded."""
    model.fuse_model(is_qat=True)
    model.qconfig = ao.get_default_qat_qconfig(backend)
    ao.prepare_qat(model, inplace=True)
    if weights is not None:
        load_weights(model, weights, progress)
    ao.convert(model, inplace=True)
    model.eval()


MobileNet_V3_Large_QuantizedWeights = weights_enum("MobileNet_V3_Large_QuantizedWeights", __name__)

mobilenet_v3_large = quantizable("mobilenet_v3_large", _make, MobileNet_V3_Large_QuantizedWeights,
                                 MobileNet_V3_Large_Weights, "qnnpack", quantized=_quantized)
