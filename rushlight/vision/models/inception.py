"""Inception v3 (arXiv 1512.00567)."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._inception_parts import BasicConv2d, announce_init, build, transform_input, truncated_init
from rushlight.vision.models._utils import handle_legacy_interface

InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])
_InceptionOutputs = InceptionOutputs


class _Branches(nn.Module):
    """Branches side by side.

    ``convs`` maps the names of convolutions to (channels in, channels out, their settings), in the order in which they
    draw their weights; ``branches`` are names in the order in which they are applied, a tuple in the last place being
    applied side by side; a branch may begin with a pooling.
    """

    def __init__(self, convs: dict[str, tuple[Any, ...]], branches: list[tuple[Any, ...]],
                 conv_block: Callable[..., nn.Module] | None) -> None:
        super().__init__()
        for name, (before, after, *settings) in convs.items():
            kernel, padding, stride = (*settings, *(1, 0, 1)[len(settings):])
            how = {"kernel_size": kernel, **({"padding": padding} if padding else {}),
                   **({"stride": stride} if stride != 1 else {})}
            self.add_module(name, (conv_block or BasicConv2d)(before, after, **how))
        self.branches = branches

    def _join(self, parts: list[Tensor], branch: int) -> Tensor:
        """The results of a fork in a branch, or (-1) of all branches."""
        return rl.cat(parts, 1)

    def _step(self, step: Any, x: Tensor, branch: int) -> Tensor:
        if isinstance(step, tuple):
            return self._join([self._step(part, x, branch) for part in step], branch)
        return step(x) if callable(step) else self._modules[step](x)

    def forward(self, x: Tensor) -> Tensor:
        results = []
        for i, branch in enumerate(self.branches):
            out = x
            for step in branch:
                out = self._step(step, out, i)
            results.append(out)
        return self._join(results, -1)


def _mean3(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, kernel_size=3, stride=2)


class InceptionA(_Branches):
    """1 × 1, 5 × 5, twice 3 × 3 and pooling."""

    def __init__(self, in_channels: int, pool_features: int,
                 conv_block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__(
            {"branch1x1": (in_channels, 64), "branch5x5_1": (in_channels, 48), "branch5x5_2": (48, 64, 5, 2),
             "branch3x3dbl_1": (in_channels, 64), "branch3x3dbl_2": (64, 96, 3, 1), "branch3x3dbl_3": (96, 96, 3, 1),
             "branch_pool": (in_channels, pool_features)},
            [("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
             (_mean3, "branch_pool")], conv_block)


class InceptionB(_Branches):
    """Halves the size."""

    def __init__(self, in_channels: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__(
            {"branch3x3": (in_channels, 384, 3, 0, 2), "branch3x3dbl_1": (in_channels, 64),
             "branch3x3dbl_2": (64, 96, 3, 1),
             "branch3x3dbl_3": (96, 96, 3, 0, 2)},
            [("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), (_halved,)], conv_block)


WIDE, TALL = ((1, 7), (0, 3)), ((7, 1), (3, 0))


class InceptionC(_Branches):
    """7 × 7 kernels, factored."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        c = channels_7x7
        super().__init__(
            {"branch1x1": (in_channels, 192), "branch7x7_1": (in_channels, c), "branch7x7_2": (c, c, *WIDE),
             "branch7x7_3": (c, 192, *TALL), "branch7x7dbl_1": (in_channels, c), "branch7x7dbl_2": (c, c, *TALL),
             "branch7x7dbl_3": (c, c, *WIDE), "branch7x7dbl_4": (c, c, *TALL), "branch7x7dbl_5": (c, 192, *WIDE),
             "branch_pool": (in_channels, 192)},
            [("branch1x1",), ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
             tuple(f"branch7x7dbl_{i}" for i in range(1, 6)), (_mean3, "branch_pool")], conv_block)


class InceptionD(_Branches):
    """Halves the size."""

    def __init__(self, in_channels: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__(
            {"branch3x3_1": (in_channels, 192), "branch3x3_2": (192, 320, 3, 0, 2), "branch7x7x3_1": (in_channels, 192),
             "branch7x7x3_2": (192, 192, *WIDE), "branch7x7x3_3": (192, 192, *TALL),
             "branch7x7x3_4": (192, 192, 3, 0, 2)},
            [("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{i}" for i in range(1, 5)), (_halved,)], conv_block)


class InceptionE(_Branches):
    """Branches that fork into 1 × 3 and 3 × 1."""

    def __init__(self, in_channels: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        flat, high = ((1, 3), (0, 1)), ((3, 1), (1, 0))
        super().__init__({"branch1x1": (in_channels, 320), "branch3x3_1": (in_channels, 384),
                          "branch3x3_2a": (384, 384, *flat), "branch3x3_2b": (384, 384, *high),
                          "branch3x3dbl_1": (in_channels, 448), "branch3x3dbl_2": (448, 384, 3, 1),
                          "branch3x3dbl_3a": (384, 384, *flat), "branch3x3dbl_3b": (384, 384, *high),
                          "branch_pool": (in_channels, 192)},
                         [("branch1x1",), ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
                          ("branch3x3dbl_1", "branch3x3dbl_2",
                           ("branch3x3dbl_3a", "branch3x3dbl_3b")), (_mean3, "branch_pool")],
                         conv_block)


class InceptionAux(nn.Module):
    """A classifier on the features half way."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


# Blocks in order: name, which of the given blocks, its channels in, and its own argument
MIXED: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("Mixed_5b", "A", (192, 32)), ("Mixed_5c", "A", (256, 64)), ("Mixed_5d", "A", (288, 64)), ("Mixed_6a", "B", (288,)),
    ("Mixed_6b", "C", (768, 128)), ("Mixed_6c", "C", (768, 160)), ("Mixed_6d", "C", (768, 160)),
    ("Mixed_6e", "C", (768, 192)),
    ("AuxLogits", "aux", (768,)), ("Mixed_7a", "D", (768,)), ("Mixed_7b", "E", (1280,)), ("Mixed_7c", "E", (2048,)))


class Inception3(nn.Module):
    """Eleven inception blocks and an auxiliary classifier, for images ``[N, 3, H, W]`` from 75 × 75 pixels.

    In training with ``aux_logits`` gives InceptionOutputs (logits, aux_logits), else logits.

    >>> Inception3(num_classes=3, init_weights=False).fc.out_features
    3
    """

    def __init__(self, num_classes: int = 1000, aux_logits: bool = True, transform_input: bool = False,
                 inception_blocks: list[Callable[..., nn.Module]] | None = None, init_weights: bool | None = None,
                 dropout: float = 0.5) -> None:
        super().__init__()
        blocks = inception_blocks or [
            BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux]
        init_weights = announce_init(init_weights, "inception_v3")
        if len(blocks) != 7:
            raise ValueError(f"length of inception_blocks should be 7 instead of {len(blocks)}")
        conv, kinds = blocks[0], dict(zip(("A", "B", "C", "D", "E", "aux"), blocks[1:]))
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.AuxLogits: nn.Module | None = None
        for name, kind, channels in MIXED:
            if kind != "aux":
                self.add_module(name, kinds[kind](*channels))
            elif aux_logits:
                del self.AuxLogits
                self.AuxLogits = kinds[kind](*channels, num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights:
            truncated_init(self, 0.1)

    def forward(self, x: Tensor) -> Any:
        x, aux = self._forward(transform_input(x) if self.transform_input else x)
        return InceptionOutputs(x, aux) if self.training and self.aux_logits else x

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and those of the auxiliary classifier in training."""
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        aux = None
        for name, kind, _ in MIXED:
            if kind != "aux":
                x = self._modules[name](x)
            elif self.AuxLogits is not None and self.training:
                aux = self.AuxLogits(x)
        return self.fc(self.dropout(self.avgpool(x)).flatten(1)), aux


Inception_V3_Weights = weights_enum("Inception_V3_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", Inception_V3_Weights.IMAGENET1K_V1))
def inception_v3(*, weights: Inception_V3_Weights | None = None, progress: bool = True, **kwargs: Any) -> Inception3:
    """Inception v3; made for images of 299 × 299 pixels.

    Args:
        weights: a member of Inception_V3_Weights, its name, or None for random weights.
        progress: show how far a download is.
        kwargs: further arguments of Inception3.
    """
    weights = Inception_V3_Weights.verify(weights)
    model, wants_aux = build(Inception3, weights, progress, True, kwargs)
    if weights is not None and not wants_aux:
        model.aux_logits = False
        model.AuxLogits = None
    return model
