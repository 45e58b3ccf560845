"""VGG (arXiv 1409.1556)."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import fan_out_normal, initialise, small_normal

WIDTHS = (64, 128, 256, 512, 512)  # of the five stages, each followed by a pooling
REPEATS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
cfgs: dict[str, list[str | int]] = {
    letter: [entry for width, repeat in zip(WIDTHS, repeats) for entry in (*[width] * repeat, "M")]
    for letter, repeats in REPEATS.items()}


class VGG(nn.Module):
    """``features``, then three linear layers, for images ``[N, 3, H, W]`` from 32 × 32 pixels.

    >>> len(make_layers(cfgs["A"]))
    21
    """

    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True,
                 dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(p=dropout),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes))
        if init_weights:
            initialise(self, fan_out_normal, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def make_layers(cfg: list[str | int], batch_norm: bool = False) -> nn.Sequential:
    """3 × 3 convolutions of the listed widths, and a pooling for every "M"."""
    layers: list[nn.Module] = []
    before = 3
    for entry in cfg:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(before, entry, kernel_size=3, padding=1))
        layers += [nn.BatchNorm2d(entry)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
        before = entry
    return nn.Sequential(*layers)


def _vgg(cfg: str, batch_norm: bool, **kwargs: Any) -> VGG:
    return VGG(make_layers(cfgs[cfg], batch_norm=batch_norm), **kwargs)


def _adjust(weights: WeightsEnum | None, kwargs: dict[str, Any]) -> None:
    if weights is not None:
        kwargs["init_weights"] = False


def _variant(name: str, enum: type[WeightsEnum], cfg: str, batch_norm: bool = False) -> Any:
    return classifier(name, _vgg, enum, adjust=_adjust, cfg=cfg, batch_norm=batch_norm)


VGG11_Weights = weights_enum("VGG11_Weights", __name__)
VGG11_BN_Weights = weights_enum("VGG11_BN_Weights", __name__)
VGG13_Weights = weights_enum("VGG13_Weights", __name__)
VGG13_BN_Weights = weights_enum("VGG13_BN_Weights", __name__)
VGG16_Weights = weights_enum("VGG16_Weights", __name__)
VGG16_BN_Weights = weights_enum("VGG16_BN_Weights", __name__)
VGG19_Weights = weights_enum("VGG19_Weights", __name__)
VGG19_BN_Weights = weights_enum("VGG19_BN_Weights", __name__)

vgg11 = _variant("vgg11", VGG11_Weights, "A")
vgg11_bn = _variant("vgg11_bn", VGG11_BN_Weights, "A", batch_norm=True)
vgg13 = _variant("vgg13", VGG13_Weights, "B")
vgg13_bn = _variant("vgg13_bn", VGG13_BN_Weights, "B", batch_norm=True)
vgg16 = _variant("vgg16", VGG16_Weights, "D")
vgg16_bn = _variant("vgg16_bn", VGG16_BN_Weights, "D", batch_norm=True)
vgg19 = _variant("vgg19", VGG19_Weights, "E")
vgg19_bn = _variant("vgg19_bn", VGG19_BN_Weights, "E", batch_norm=True)
