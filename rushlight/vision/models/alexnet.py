"""AlexNet, in the form of "One weird trick" (arXiv 1404.5997)."""

from __future__ import annotations

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]

# (channels, kernel, stride, padding, whether a pooling follows)
CONVOLUTIONS = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False),
                (256, 3, 1, 1, True))


class AlexNet(nn.Module):
    """Five convolutions and three linear layers, for images ``[N, 3, H, W]`` from 63 × 63 pixels.

    >>> [type(layer).__name__ for layer in AlexNet(num_classes=2).features][:3]
    ['Conv2d', 'ReLU', 'MaxPool2d']
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels, kernel, stride, padding, pooled in CONVOLUTIONS:
            layers += [nn.Conv2d(before, channels, kernel, stride, padding), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(kernel_size=3, stride=2)] if pooled else []
            before = channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout), nn.Linear(before * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(p=dropout), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


AlexNet_Weights = weights_enum("AlexNet_Weights", __name__)
alexnet = classifier("alexnet", AlexNet, AlexNet_Weights)
