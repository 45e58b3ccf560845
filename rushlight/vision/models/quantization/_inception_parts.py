"""What GoogLeNet and Inception v3 for 8 bits share."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models import _inception_parts as parts
from rushlight.vision.models._api import WeightsEnum
from rushlight.vision.models._utils import _ovewrite_named_param
from rushlight.vision.models.quantization.utils import _fuse_modules


class QuantizableBasicConv2d(parts.BasicConv2d):
    """Convolution, normalisation and a ReLU that can be fused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """All three, in place."""
        _fuse_modules(self, ["conv", "bn", "relu"], is_qat, inplace=True)


def with_heads(weights: WeightsEnum | None, kwargs: dict[str, Any]) -> bool:
    """With weights the network is built with auxiliary heads; gives whether these are wanted."""
    wanted = bool(kwargs.get("aux_logits", False))
    if weights is not None:
        kwargs.setdefault("transform_input", True)
        kwargs.setdefault("init_weights", False)
        _ovewrite_named_param(kwargs, "aux_logits", True)
    return wanted
