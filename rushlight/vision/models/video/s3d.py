"""S3D (arXiv 1712.04851): an inception network whose convolutions are over frames, then over time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.ops.misc import Conv3dNormActivation

Layer = Callable[..., nn.Module]

# Channels of the four branches of each block: alone; before and after the convolution; the same again; after the
# pooling
BLOCKS = {"3": [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
          "4": [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
                (112, 144, 288, 32, 64, 64),
                (256, 160, 320, 32, 128, 128)],
          "5": [(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]}


class TemporalSeparableConv(nn.Sequential):
    """A convolution of each frame, then one over time, each normalised and rectified."""

    def __init__(self, in_planes: int, out_planes: int, kernel_size: int, stride: int, padding: int, norm_layer: Layer):
        k, s, p = kernel_size, stride, padding
        super().__init__(
            Conv3dNormActivation(in_planes, out_planes, (1, k, k), (1, s, s), (0, p, p), bias=False,
                                 norm_layer=norm_layer),
            Conv3dNormActivation(out_planes, out_planes, (k, 1, 1), (s, 1, 1), (p, 0, 0), bias=False,
                                 norm_layer=norm_layer))


class SepInceptionBlock3D(nn.Module):
    """Four branches side by side, their channels joined."""

    def __init__(self, in_planes: int, b0_out: int, b1_mid: int, b1_out: int, b2_mid: int,
                 b2_out: int, b3_out: int, norm_layer: Layer):
        super().__init__()

        def point(inputs: int, outputs: int) -> nn.Module:
            return Conv3dNormActivation(inputs, outputs, kernel_size=1, stride=1, norm_layer=norm_layer)
        self.branch0 = point(in_planes, b0_out)
        self.branch1 = nn.Sequential(point(in_planes, b1_mid),
                                     TemporalSeparableConv(b1_mid, b1_out, 3, 1, 1, norm_layer))
        self.branch2 = nn.Sequential(point(in_planes, b2_mid),
                                     TemporalSeparableConv(b2_mid, b2_out, 3, 1, 1, norm_layer))
        self.branch3 = nn.Sequential(nn.MaxPool3d(kernel_size=(3, 3, 3), stride=1, padding=1), point(in_planes, b3_out))

    def forward(self, x: Tensor) -> Tensor:
        return rl.cat((self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)), 1)


class S3D(nn.Module):
    """For clips ``[N, 3, T, H, W]`` of at least 14 frames of 224 × 224 pixels."""

    def __init__(self, num_classes: int = 400, dropout: float = 0.2, norm_layer: Layer | None = None) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.BatchNorm3d, eps=0.001, momentum=0.001)

        def frames_pool() -> nn.Module:
            return nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        layers = [TemporalSeparableConv(3, 64, 7, 2, 3, norm), frames_pool(),
                  Conv3dNormActivation(64, 64, kernel_size=1, stride=1, norm_layer=norm),
                  TemporalSeparableConv(64, 192, 3, 1, 1, norm), frames_pool()]
        pools = {"4": (3, 2, 1), "5": (2, 2, 0)}
        channels = 192
        for stage, blocks in BLOCKS.items():
            if stage in pools:
                size, stride, padding = pools[stage]
                layers.append(nn.MaxPool3d(kernel_size=(size,) * 3, stride=(stride,) * 3, padding=(padding,) * 3))
            for block in blocks:
                layers.append(SepInceptionBlock3D(channels, *block, norm))
                channels = block[0] + block[2] + block[4] + block[5]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AvgPool3d(kernel_size=(2, 7, 7), stride=1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout),
                                        nn.Conv3d(channels, num_classes, kernel_size=1, stride=1, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x))).mean(dim=(2, 3, 4))


S3D_Weights = weights_enum("S3D_Weights", __name__)

s3d = classifier("s3d", S3D, S3D_Weights, legacy="KINETICS400_V1", takes="clips ``[N, 3, T, H, W]``")
