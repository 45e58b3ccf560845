"""SqueezeNet (arXiv 1602.07360)."""

from __future__ import annotations

from functools import partial

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier

# Of each version: channels and kernel of the first convolution; then "pool", or squeezed channels and half of the
# expanded ones
VERSIONS: dict[str, tuple[tuple[int, int], tuple[str | tuple[int, int], ...]]] = {
    "1_0": ((96, 7), ("pool", (16, 64), (16, 64), (32, 128), "pool", (32, 128),
                      (48, 192), (48, 192), (64, 256), "pool", (64, 256))),
    "1_1": ((64, 3), ("pool", (16, 64), (16, 64), "pool", (32, 128), (32, 128),
                      "pool", (48, 192), (48, 192), (64, 256), (64, 256))),
}


class Fire(nn.Module):
    """A squeezing 1 × 1 convolution, then 1 × 1 and 3 × 3 ones side by side."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return rl.cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Fire modules and poolings, for images ``[N, 3, H, W]`` from 21 × 21 (version 1_0) or 17 × 17 (1_1) pixels.

    >>> len(SqueezeNet("1_1", num_classes=2).features)
    13
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in VERSIONS:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        self.num_classes = num_classes
        (before, kernel), rest = VERSIONS[version]
        layers: list[nn.Module] = [nn.Conv2d(3, before, kernel_size=kernel, stride=2), nn.ReLU(inplace=True)]
        for entry in rest:
            if isinstance(entry, str):
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
            else:
                squeezed, half = entry
                layers.append(Fire(before, squeezed, half, half))
                before = 2 * half
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(before, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), last, nn.ReLU(inplace=True),
                                        nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fill = partial(nn.init.normal_, mean=0.0, std=0.01) if module is last else nn.init.kaiming_uniform_
                fill(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


SqueezeNet1_0_Weights = weights_enum("SqueezeNet1_0_Weights", __name__)
SqueezeNet1_1_Weights = weights_enum("SqueezeNet1_1_Weights", __name__)

squeezenet1_0 = classifier("squeezenet1_0", SqueezeNet, SqueezeNet1_0_Weights, version="1_0")
squeezenet1_1 = classifier("squeezenet1_1", SqueezeNet, SqueezeNet1_1_Weights, version="1_1")
