"""Regions read from the level of a feature pyramid that fits their size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.ops._regions import as_rows
from rushlight.vision.ops.boxes import box_area
from rushlight.vision.ops.roi_align import roi_align


class LevelMapper:
    """The pyramid level of each box: ``⌊k0 + log2(√area / s0)⌋`` between
    ``k_min`` and ``k_max`` (arXiv 1612.03144, eq. 1).

    >>> LevelMapper(2, 5)([rl.tensor([[0., 0, 10, 10], [0., 0, 224, 224]])])
    tensor([0, 2])
    """

    def __init__(self, k_min: int, k_max: int, canonical_scale: int = 224, canonical_level: int = 4, eps: float = 1e-6):
        self.k_min, self.k_max = k_min, k_max
        self.s0, self.lvl0 = canonical_scale, canonical_level
        self.eps = eps

    def __call__(self, boxlists: list[Tensor]) -> Tensor:
        side = rl.sqrt(rl.cat([box_area(boxes) for boxes in boxlists]))
        level = rl.floor(self.lvl0 + rl.log2(side / self.s0) + self.eps)
        return level.clamp(min=self.k_min, max=self.k_max).to(rl.int64) - self.k_min


def _scale(feature: Tensor, image_height: int) -> float:
    """The power of two nearest to how much smaller than the image a feature map is."""
    return 2.0 ** round(math.log2(feature.shape[-2] / image_height))


class MultiScaleRoIAlign(nn.Module):
    """``roi_align`` over several feature maps: each box is read from the level that fits its size.

    Args:
        featmap_names: which entries of the dict of feature maps take part, finest first.
        output_size: side, or (height, width), of each region.
        sampling_ratio: as of ``roi_align``.
        canonical_scale, canonical_level: the size in pixels of a box that belongs to this level.

    >>> pool = MultiScaleRoIAlign(["0", "1"], 3, 2)
    >>> maps = {"0": rl.rand(1, 5, 64, 64), "1": rl.rand(1, 5, 32, 32)}
    >>> pool(maps, [rl.tensor([[10., 10, 60, 60]])], [(512, 512)]).shape
    torch.Size([1, 5, 3, 3])
    """

    def __init__(self, featmap_names: list[str], output_size: int | Sequence[int], sampling_ratio: int, *,
                 canonical_scale: int = 224, canonical_level: int = 4):
        super().__init__()
        self.featmap_names = featmap_names
        self.sampling_ratio = sampling_ratio
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        self.scales: list[float] | None = None
        self.map_levels: LevelMapper | None = None
        self.canonical_scale = canonical_scale
        self.canonical_level = canonical_level

    def _set_up(self, features: list[Tensor], image_shapes: list[tuple[int, int]]) -> None:
        """Scales and levels, from the first images that are seen."""
        if not image_shapes:
            raise ValueError("images list should not be empty")
        height = max(shape[0] for shape in image_shapes)
        self.scales = [_scale(feature, height) for feature in features]
        levels = [int(-math.log2(scale)) for scale in (self.scales[0], self.scales[-1])]
        self.map_levels = LevelMapper(*levels, self.canonical_scale, self.canonical_level)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        features = [value for name, value in x.items() if name in self.featmap_names]
        if self.scales is None or self.map_levels is None:
            self._set_up(features, image_shapes)
        assert self.scales is not None and self.map_levels is not None
        rois = as_rows(boxes)
        how = {"output_size": self.output_size, "sampling_ratio": self.sampling_ratio}
        if len(features) == 1:
            return roi_align(features[0], rois, spatial_scale=self.scales[0], **how)
        levels = self.map_levels(boxes)
        members = [rl.where(levels == level)[0] for level in range(len(features))]
        parts = [roi_align(feature, rois[rows], spatial_scale=scale, **how)
                 for feature, scale, rows in zip(features, self.scales, members, strict=True)]
        return rl.cat(parts)[rl.argsort(rl.cat(members))]

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(featmap_names={self.featmap_names}, output_size={self.output_size}, "
                f"sampling_ratio={self.sampling_ratio})")
