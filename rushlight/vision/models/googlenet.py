"""GoogLeNet (arXiv 1409.4842), with batch normalisation."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._inception_parts import BasicConv2d, announce_init, build, transform_input, truncated_init
from rushlight.vision.models._utils import handle_legacy_interface

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])
_GoogLeNetOutputs = GoogLeNetOutputs

# Of each block: channels in; then of the branches 1x1, 3x3 (reduced, full), 5x5 (reduced, full), pooled
BLOCKS: dict[str, tuple[int, ...]] = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64), "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128), "5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """Nine inception blocks with two auxiliary classifiers, for images ``[N, 3, H, W]`` from 15 × 15 pixels.

    In training with ``aux_logits`` gives GoogLeNetOutputs (logits, aux_logits2, aux_logits1), else logits.

    >>> GoogLeNet(num_classes=3, init_weights=False).fc.out_features
    3
    """

    def __init__(self, num_classes: int = 1000, aux_logits: bool = True, transform_input: bool = False,
                 init_weights: bool | None = None, blocks: list[Callable[..., nn.Module]] | None = None,
                 dropout: float = 0.2, dropout_aux: float = 0.7) -> None:
        super().__init__()
        blocks = [BasicConv2d, Inception, InceptionAux] if blocks is None else blocks
        init_weights = announce_init(init_weights, "GoogleNet")
        if len(blocks) != 3:
            raise ValueError(f"blocks length should be 3 instead of {len(blocks)}")
        conv, inception, aux = blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for name, channels in BLOCKS.items():
            if name in ("4a", "5a"):
                stage = int(name[0]) - 1
                self.add_module(f"maxpool{stage}", nn.MaxPool2d(3 if stage == 3 else 2, stride=2, ceil_mode=True))
            self.add_module(f"inception{name}", inception(*channels))
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            truncated_init(self, 0.01)

    def forward(self, x: Tensor) -> Any:
        x, aux1, aux2 = self._forward(transform_input(x) if self.transform_input else x)
        return GoogLeNetOutputs(x, aux2, aux1) if self.training and self.aux_logits else x

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Logits, and those of the auxiliary classifiers in training."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        aux1 = self.aux1(x) if self.aux1 is not None and self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.aux2 is not None and self.training else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        return self.fc(self.dropout(self.avgpool(x).flatten(1))), aux1, aux2


class Inception(nn.Module):
    """Four branches side by side; the one called 5x5 has 3 × 3 kernels, in which the published weights were trained."""

    def __init__(self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int,
                 pool_proj: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(conv(in_channels, ch3x3red, kernel_size=1),
                                     conv(ch3x3red, ch3x3, kernel_size=3, padding=1))
        self.branch3 = nn.Sequential(conv(in_channels, ch5x5red, kernel_size=1),
                                     conv(ch5x5red, ch5x5, kernel_size=3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
                                     conv(in_channels, pool_proj, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        return rl.cat(self._forward(x), 1)

    def _forward(self, x: Tensor) -> list[Tensor]:
        """What the branches give."""
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]


class InceptionAux(nn.Module):
    """A classifier on the features half way."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Callable[..., nn.Module] | None = None,
                 dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = (conv_block or BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(self._rectified(self.fc1(x))))

    def _rectified(self, x: Tensor) -> Tensor:
        return F.relu(x, inplace=True)


GoogLeNet_Weights = weights_enum("GoogLeNet_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", GoogLeNet_Weights.IMAGENET1K_V1))
def googlenet(*, weights: GoogLeNet_Weights | None = None, progress: bool = True, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet; with weights without auxiliary heads unless ``aux_logits=True``, and those are not trained then.

    Args:
        weights: a member of GoogLeNet_Weights, its name, or None for random weights.
        progress: show how far a download is.
        kwargs: further arguments of GoogLeNet.
    """
    weights = GoogLeNet_Weights.verify(weights)
    model, wants_aux = build(GoogLeNet, weights, progress, False, kwargs)
    if weights is not None and wants_aux:
        warnings.warn("auxiliary heads in the pretrained googlenet model are NOT "
                      "pretrained, so make sure to train them")
    elif weights is not None:
        model.aux_logits = False
        model.aux1 = model.aux2 = None
    return model
