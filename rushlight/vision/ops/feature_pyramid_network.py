"""The feature pyramid network, and the blocks that add levels to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from typing import Any

from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.ops.misc import Conv2dNormActivation


class ExtraFPNBlock(nn.Module):
    """What follows the pyramid: gets its results, the feature maps before it and the names; gives results and names."""

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        raise NotImplementedError(f"{type(self).__name__} has no forward")


class FeaturePyramidNetwork(nn.Module):
    """Gives every level of a backbone the same channels, with what the coarser levels see added (arXiv 1612.03144).

    Args:
        in_channels_list: channels of the feature maps, finest first.
        out_channels: channels of every result.
        extra_blocks: adds coarser levels.
        norm_layer: normalisation after each convolution.

    Takes and gives an ordered dict of ``[N, C, H, W]``. ValueError for a level without channels.

    >>> import rushlight as rl
    >>> fpn = FeaturePyramidNetwork([4, 8], 3)
    >>> [tuple(v.shape) for v in fpn({"a": rl.rand(1, 4, 8, 8), "b": rl.rand(1, 8, 4, 4)}).values()]
    [(1, 3, 8, 8), (1, 3, 4, 4)]
    """

    _version = 2

    def __init__(self, in_channels_list: list[int], out_channels: int, extra_blocks: ExtraFPNBlock | None = None,
                 norm_layer: Callable[..., nn.Module] | None = None):
        super().__init__()
        self.inner_blocks = nn.ModuleList()
        self.layer_blocks = nn.ModuleList()
        how: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": None}
        for channels in in_channels_list:
            if channels == 0:
                raise ValueError("in_channels=0 is currently not supported")
            self.inner_blocks.append(Conv2dNormActivation(channels, out_channels, kernel_size=1, padding=0, **how))
            self.layer_blocks.append(Conv2dNormActivation(out_channels, out_channels, kernel_size=3, **how))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"extra_blocks should be of type ExtraFPNBlock not {type(extra_blocks)}")
        self.extra_blocks = extra_blocks

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if local_metadata.get("version", None) in (None, 1):  # convolutions stood alone before version 2
            for block, i, kind in product(("inner_blocks", "layer_blocks"), range(len(self.inner_blocks)),
                                          ("weight", "bias")):
                old = f"{prefix}{block}.{i}.{kind}"
                if old in state_dict:
                    state_dict[f"{prefix}{block}.{i}.0.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        names, maps = list(x), list(x.values())
        top = self.inner_blocks[len(maps) - 1](maps[-1])
        results = [self.layer_blocks[len(maps) - 1](top)]
        for i in reversed(range(len(maps) - 1)):
            lateral = self.inner_blocks[i](maps[i])
            top = lateral + F.interpolate(top, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, self.layer_blocks[i](top))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, maps, names)
        return OrderedDict(zip(names, results))


class LastLevelMaxPool(ExtraFPNBlock):
    """Adds a level named ``pool``: every second pixel of the coarsest one."""

    def forward(self, x: list[Tensor], y: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        return [*x, F.max_pool2d(x[-1], kernel_size=1, stride=2, padding=0)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Adds two levels by convolutions of stride 2, as RetinaNet has them (arXiv 1708.02002).

    They start from the pyramid's last result where it has as many channels
    as the backbone's last map, else from that map.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.zeros_(module.bias)
        self.use_P5 = in_channels == out_channels

    def forward(self, p: list[Tensor], c: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        p6 = self.p6(p[-1] if self.use_P5 else c[-1])
        return [*p, p6, self.p7(F.relu(p6))], [*names, "p6", "p7"]
