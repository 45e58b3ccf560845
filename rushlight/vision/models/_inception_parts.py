"""What GoogLeNet and Inception v3 share."""

from __future__ import annotations

import warnings
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum
from rushlight.vision.models._utils import _ovewrite_named_param, load_weights

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BasicConv2d(nn.Module):
    """Convolution, normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def transform_input(x: Tensor) -> Tensor:
    """Images normalized with ImageNet's mean and deviation, as if normalized with
    0.5 and 0.5, which the first weights expect."""
    scale = rl.tensor([std / 0.5 for std in IMAGENET_STD], dtype=x.dtype)
    shift = rl.tensor([(mean - 0.5) / 0.5 for mean in IMAGENET_MEAN], dtype=x.dtype)
    return x * scale[:, None, None] + shift[:, None, None]


def truncated_init(model: nn.Module, default: float) -> None:
    """Truncated normal weights, of the deviation that a layer names in ``stddev`` or of the default; norms 1 and 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, mean=0.0, std=float(getattr(module, "stddev", default)), a=-2, b=2)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def announce_init(init_weights: bool | None, network: str) -> bool:
    """What ``init_weights`` None means today, with torchvision's warning that it will change."""
    if init_weights is None:
        warnings.warn(f"The default weight initialization of {network} will be changed in "
                      "future releases of torchvision. If you wish to keep the old behavior, "
                      "please set init_weights=True.", FutureWarning, stacklevel=3)
        return True
    return init_weights


def build(make: Any, weights: WeightsEnum | None, progress: bool, aux_default: bool,
          kwargs: dict[str, Any]) -> tuple[Any, bool]:
    """The network, and whether auxiliary heads are wanted in it: weight files always hold them."""
    wants_aux = kwargs.get("aux_logits", aux_default)
    if weights is not None:
        kwargs.setdefault("transform_input", True)
        kwargs["aux_logits"] = True
        _ovewrite_named_param(kwargs, "init_weights", False)
        _ovewrite_named_param(kwargs, "num_classes", len(weights.meta["categories"]))
    model = make(**kwargs)
    if weights is not None:
        load_weights(model, weights, progress)
    return model, wants_aux
