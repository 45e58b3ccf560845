"""Anchors: the boxes that predictions start from."""

from __future__ import annotations

import math
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models.detection.image_list import ImageList


class AnchorGenerator(nn.Module):
    """At every place of every feature map boxes of given sizes and aspect ratios (height / width).

    Args:
        sizes: for each feature map the sizes, in pixels of the image.
        aspect_ratios: for each feature map.

    Called with an ImageList and the feature maps gives for each image ``[anchors, 4]``, map by map, row by row.

    >>> AnchorGenerator(((32,), (64,)), ((1.0,), (1.0, 2.0))).num_anchors_per_location()
    [1, 2]
    """

    def __init__(self, sizes: Any = ((128, 256, 512),), aspect_ratios: Any = ((0.5, 1.0, 2.0),)):
        super().__init__()
        if not isinstance(sizes[0], (list, tuple)):
            sizes = tuple((size,) for size in sizes)
        if not isinstance(aspect_ratios[0], (list, tuple)):
            aspect_ratios = (aspect_ratios,) * len(sizes)
        self.sizes, self.aspect_ratios = sizes, aspect_ratios
        self.cell_anchors = [self.generate_anchors(size, ratio) for size, ratio in zip(sizes, aspect_ratios)]

    def generate_anchors(self, scales: Any, aspect_ratios: Any, dtype: Any = rl.float32, device: Any = None) -> Tensor:
        """The anchors around 0, ``[ratios * scales, 4]``, rounded to whole pixels."""
        sides, ratios = rl.tensor(scales, dtype=dtype), rl.tensor(aspect_ratios, dtype=dtype)
        heights = rl.sqrt(ratios)
        h, w = (heights[:, None] * sides[None]).view(-1), ((1 / heights)[:, None] * sides[None]).view(-1)
        return (rl.stack([-w, -h, w, h], dim=1) / 2).round()

    def num_anchors_per_location(self) -> list[int]:
        """For each feature map."""
        return [len(sizes) * len(ratios) for sizes, ratios in zip(self.sizes, self.aspect_ratios)]

    def grid_anchors(self, grid_sizes: list[Any], strides: list[Any]) -> list[Tensor]:
        """The anchors of every feature map, given its size and how many pixels of the image one of its steps is."""
        if not len(grid_sizes) == len(strides) == len(self.cell_anchors):
            raise AssertionError("Anchors should be Tuple[Tuple[int]] because each feature map could potentially "
                                 "have different sizes and aspect ratios. There needs to be a match between the "
                                 "number of feature maps passed and the number of sizes / aspect ratios specified. "
                                 f"Got {len(grid_sizes)} feature maps and {len(self.cell_anchors)} sizes.")
        result = []
        for (height, width), (down, right), cell in zip(grid_sizes, strides, self.cell_anchors):
            y, x = rl.meshgrid(rl.arange(height) * int(down), rl.arange(width) * int(right), indexing="ij")
            y, x = y.reshape(-1), x.reshape(-1)
            shifts = rl.stack((x, y, x, y), dim=1)
            result.append((shifts.view(-1, 1, 4) + cell.view(1, -1, 4)).reshape(-1, 4))
        return result

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        sizes = [tuple(feature.shape[-2:]) for feature in feature_maps]
        height, width = image_list.tensors.shape[-2:]
        dtype = feature_maps[0].dtype
        self.cell_anchors = [cell.to(dtype) for cell in self.cell_anchors]
        anchors = rl.cat(self.grid_anchors(sizes, [(height // h, width // w) for h, w in sizes]))
        return [anchors for _ in image_list.image_sizes]


class DefaultBoxGenerator(nn.Module):
    """The default boxes of SSD (arXiv 1512.02325): squares of two sizes
    and boxes of other aspect ratios at every place.

    Args:
        aspect_ratios: for each feature map, besides 1.
        min_ratio, max_ratio: smallest and largest scale; between them evenly, where ``scales`` are not given.
        steps: pixels of the image per step, where not taken from the sizes.
        clip: cut widths and heights at the image's.
    """

    def __init__(self, aspect_ratios: list[list[int]], min_ratio: float = 0.15, max_ratio: float = 0.9,
                 scales: list[float] | None = None, steps: list[int] | None = None, clip: bool = True):
        super().__init__()
        if steps is not None and len(aspect_ratios) != len(steps):
            raise ValueError("aspect_ratios and steps should have the same length")
        self.aspect_ratios, self.steps, self.clip = aspect_ratios, steps, clip
        count = len(aspect_ratios)
        if scales is None:
            scales = ([min_ratio + (max_ratio - min_ratio) * k / (count - 1.0) for k in range(count)] + [1.0]
                      if count > 1 else [min_ratio, max_ratio])
        self.scales = scales
        self._wh_pairs = [self._pairs(k) for k in range(count)]

    def _pairs(self, k: int) -> Tensor:
        side, between = self.scales[k], math.sqrt(self.scales[k] * self.scales[k + 1])
        rows = [[side, side], [between, between]]
        for ratio in self.aspect_ratios[k]:
            w, h = side * math.sqrt(ratio), side / math.sqrt(ratio)
            rows += [[w, h], [h, w]]
        return rl.tensor(rows, dtype=rl.float32)

    def num_anchors_per_location(self) -> list[int]:
        """For each feature map."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def _grid_default_boxes(self, grid_sizes: list[Any], image_size: Any, dtype: Any = rl.float32) -> Tensor:
        """Centres and sizes of all boxes, in units of the image's."""
        result = []
        for k, (height, width) in enumerate(grid_sizes):
            rows, columns = (height, width) if self.steps is None else (side / self.steps[k] for side in image_size)
            y, x = rl.meshgrid(((rl.arange(0, height) + 0.5) / rows).to(dtype),
                               ((rl.arange(0, width) + 0.5) / columns).to(dtype), indexing="ij")
            pairs = self._wh_pairs[k].clamp(min=0, max=1) if self.clip else self._wh_pairs[k]
            centres = rl.stack((x.reshape(-1), y.reshape(-1)), dim=-1).repeat_interleave(len(pairs), dim=0)
            result.append(rl.cat((centres, pairs.repeat(height * width, 1)), dim=1))
        return rl.cat(result)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(aspect_ratios={self.aspect_ratios}, clip={self.clip}, scales={self.scales}, "
                f"steps={self.steps})")

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        sizes = [tuple(feature.shape[-2:]) for feature in feature_maps]
        image_size = tuple(image_list.tensors.shape[-2:])
        boxes = self._grid_default_boxes(sizes, image_size, dtype=feature_maps[0].dtype)
        unit = rl.tensor([image_size[1], image_size[0]])
        centres, half = boxes[:, :2], 0.5 * boxes[:, 2:]
        corners = rl.cat([(centres - half) * unit, (centres + half) * unit], -1)
        return [corners for _ in image_list.image_sizes]
