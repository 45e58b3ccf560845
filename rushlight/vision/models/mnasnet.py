"""MNASNet (arXiv 1807.11626)."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import fan_out_normal, initialise

_BN_MOMENTUM = 1 - 0.9997
DEPTHS = (32, 16, 24, 40, 80, 96, 192, 320)
# Of each stack: kernel, stride, expansion, blocks
STACKS = ((3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1))


class _InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; a shortcut where the shape stays."""

    def __init__(self, in_ch: int, out_ch: int, kernel_size: int, stride: int, expansion_factor: int,
                 bn_momentum: float = 0.1) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        if kernel_size not in (3, 5):
            raise ValueError(f"kernel_size should be 3 or 5 instead of {kernel_size}")
        wide = in_ch * expansion_factor
        norm = partial(nn.BatchNorm2d, momentum=bn_momentum)
        self.apply_residual = in_ch == out_ch and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(in_ch, wide, 1, bias=False), norm(wide), nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, kernel_size, padding=kernel_size // 2, stride=stride, groups=wide, bias=False),
            norm(wide), nn.ReLU(inplace=True),
            nn.Conv2d(wide, out_ch, 1, bias=False), norm(out_ch))

    def forward(self, input: Tensor) -> Tensor:
        return self.layers(input) + input if self.apply_residual else self.layers(input)


def _stack(in_ch: int, out_ch: int, kernel_size: int, stride: int, exp_factor: int, repeats: int,
           bn_momentum: float) -> nn.Sequential:
    if repeats < 1:
        raise ValueError(f"repeats should be >= 1, instead got {repeats}")
    return nn.Sequential(*(_InvertedResidual(out_ch if i else in_ch, out_ch, kernel_size, 1 if i else stride,
                                             exp_factor, bn_momentum)
                           for i in range(repeats)))


def _get_depths(alpha: float) -> list[int]:
    """Channels times alpha, rounded to multiples of 8 and then at least 90 %."""
    rounded = [max(8, int(depth * alpha + 4) // 8 * 8) for depth in DEPTHS]
    return [value if value >= 0.9 * depth * alpha else value + 8 for value, depth in zip(rounded, DEPTHS)]


def _stem(first: int, second: int, third: int) -> list[nn.Module]:
    """The layers up to the first stack; version 1 did not multiply their channels."""
    norm = partial(nn.BatchNorm2d, momentum=_BN_MOMENTUM)
    return [nn.Conv2d(3, first, 3, padding=1, stride=2, bias=False), norm(first), nn.ReLU(inplace=True),
            nn.Conv2d(first, first, 3, padding=1, stride=1, groups=first, bias=False), norm(first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 1, padding=0, stride=1, bias=False), norm(second),
            _stack(second, third, *STACKS[0], _BN_MOMENTUM)]


class MNASNet(nn.Module):
    """Stacks of inverted residual blocks, for images ``[N, 3, H, W]``; ``alpha`` multiplies all channels.

    >>> MNASNet(0.5, num_classes=3).classifier[1].out_features
    3
    """

    _version = 2

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        if alpha <= 0.0:
            raise ValueError(f"alpha should be greater than 0.0 instead of {alpha}")
        self.alpha, self.num_classes = alpha, num_classes
        depths = _get_depths(alpha)
        layers = _stem(*depths[:3])
        layers += [_stack(before, after, *row, _BN_MOMENTUM)
                   for before, after, row in zip(depths[2:], depths[3:], STACKS[1:])]
        layers += [nn.Conv2d(depths[7], 1280, 1, padding=0, stride=1, bias=False),
                   nn.BatchNorm2d(1280, momentum=_BN_MOMENTUM),
                   nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(1280, num_classes))
        initialise(self, fan_out_normal, partial(nn.init.kaiming_uniform_, mode="fan_out", nonlinearity="sigmoid"))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).mean([2, 3]))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        version = local_metadata.get("version", None)
        if version not in (1, 2):
            raise ValueError(f"version should be set to 1 or 2 instead of {version}")
        if version == 1 and self.alpha != 1.0:
            for i, layer in enumerate(_stem(32, 16, _get_depths(self.alpha)[2])):
                self.layers[i] = layer
            self._version = 1
            warnings.warn("A new version of MNASNet model has been implemented. "
                          "Your checkpoint was saved using the previous version: it loads and works as before, "
                          "with a wider stem than new models have.", UserWarning)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


MNASNet0_5_Weights = weights_enum("MNASNet0_5_Weights", __name__)
MNASNet0_75_Weights = weights_enum("MNASNet0_75_Weights", __name__)
MNASNet1_0_Weights = weights_enum("MNASNet1_0_Weights", __name__)
MNASNet1_3_Weights = weights_enum("MNASNet1_3_Weights", __name__)

mnasnet0_5 = classifier("mnasnet0_5", MNASNet, MNASNet0_5_Weights, alpha=0.5)
mnasnet0_75 = classifier("mnasnet0_75", MNASNet, MNASNet0_75_Weights, alpha=0.75)
mnasnet1_0 = classifier("mnasnet1_0", MNASNet, MNASNet1_0_Weights, alpha=1.0)
mnasnet1_3 = classifier("mnasnet1_3", MNASNet, MNASNet1_3_Weights, alpha=1.3)
