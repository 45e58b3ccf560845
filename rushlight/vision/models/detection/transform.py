"""Images and targets as detection networks take them, and detections as the caller had the images."""

from __future__ import annotations

import math
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models.detection._masks import paste_masks_in_image
from rushlight.vision.models.detection.image_list import ImageList

Target = dict[str, Tensor]


def resize_keypoints(keypoints: Tensor, original_size: Any, new_size: Any) -> Tensor:
    """Keypoints ``[N, K, 3]`` (x, y, visibility) of an image whose (height, width) changes."""
    down, right = (new / old for new, old in zip(new_size, original_size))
    return keypoints * rl.tensor([right, down, 1.0], dtype=keypoints.dtype)


def resize_boxes(boxes: Tensor, original_size: Any, new_size: Any) -> Tensor:
    """Boxes ``[N, 4]`` of an image whose (height, width) changes."""
    down, right = (new / old for new, old in zip(new_size, original_size))
    return boxes * rl.tensor([right, down, right, down], dtype=rl.float32)


class GeneralizedRCNNTransform(nn.Module):
    """Normalizes images, resizes them, and pads them to one batch.

    Args:
        min_size: length of the shorter side; of several one is drawn in training, and the last one taken otherwise.
        max_size: limit of the longer side.
        image_mean, image_std: per channel.
        size_divisible: height and width of the batch are multiples of this.
        fixed_size: (width, height) in place of the rule above.
    """

    def __init__(self, min_size: int | tuple[int, ...], max_size: int, image_mean: list[float], image_std: list[float],
                 size_divisible: int = 32, fixed_size: tuple[int, int] | None = None, **kwargs: Any):
        super().__init__()
        self.min_size = tuple(min_size) if isinstance(min_size, (list, tuple)) else (min_size,)
        self.max_size = max_size
        self.image_mean, self.image_std = image_mean, image_std
        self.size_divisible, self.fixed_size = size_divisible, fixed_size
        self._skip_resize = kwargs.pop("_skip_resize", False)
        if kwargs:
            raise TypeError(f"unexpected arguments of a detection network: {', '.join(sorted(kwargs))}")

    def forward(self, images: list[Tensor],
                targets: list[Target] | None = None) -> tuple[ImageList, list[Target] | None]:
        results: list[tuple[Tensor, Target | None]] = []
        for i, image in enumerate(images):
            if image.dim() != 3:
                raise ValueError(f"images is expected to be a list of 3d tensors of shape [C, H, W], got {image.shape}")
            results.append(self.resize(self.normalize(image), None if targets is None else dict(targets[i])))
        sizes = [(image.shape[-2], image.shape[-1]) for image, _ in results]
        batch = self.batch_images([image for image, _ in results], self.size_divisible)
        return ImageList(batch, sizes), None if targets is None else [target
                                                                      for _, target in results if target is not None]

    def normalize(self, image: Tensor) -> Tensor:
        """``(image - mean) / std``; TypeError for whole numbers."""
        if not image.is_floating_point():
            raise TypeError("Expected input images to be of floating type (in range [0, "
                            f"1]), but found type {image.dtype} instead")
        mean, std = (rl.tensor(values, dtype=image.dtype)[:, None, None]
                     for values in (self.image_mean, self.image_std))
        return (image - mean) / std

    def torch_choice(self, k: tuple[int, ...]) -> int:
        """One of them at random, drawn as torchvision draws."""
        return k[int(rl.empty(1).uniform_(0.0, float(len(k))).item())]

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """An image and its target at the size that the network takes."""
        if self.training and self._skip_resize:
            return image, target
        old = image.shape[-2:]
        shorter = self.torch_choice(self.min_size) if self.training else self.min_size[-1]
        how: dict[str, Any] = {"size": [self.fixed_size[1], self.fixed_size[0]]} if self.fixed_size is not None else {
            "scale_factor": min(shorter / min(old), self.max_size / max(old)), "recompute_scale_factor": True}
        image = F.interpolate(image[None], mode="bilinear", align_corners=False, **how)[0]
        if target is None:
            return image, target
        new = image.shape[-2:]
        target["boxes"] = resize_boxes(target["boxes"], old, new)
        if "masks" in target:
            target["masks"] = F.interpolate(target["masks"][:, None].float(), **how)[:, 0].byte()
        if "keypoints" in target:
            target["keypoints"] = resize_keypoints(target["keypoints"], old, new)
        return image, target

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Images padded with zeros to one size."""
        largest = [max(image.shape[side] for image in images) for side in (1, 2)]
        height, width = (math.ceil(side / size_divisible) * size_divisible for side in largest)
        return rl.stack([F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images])

    def postprocess(self, result: list[Target], image_shapes: list[tuple[int, int]],
                    original_image_sizes: list[tuple[int, int]]) -> list[Target]:
        """Boxes, masks and keypoints in pixels of the caller's images."""
        if self.training:
            return result
        for prediction, shape, original in zip(result, image_shapes, original_image_sizes):
            boxes = prediction["boxes"] = resize_boxes(prediction["boxes"], shape, original)
            if "masks" in prediction:
                prediction["masks"] = paste_masks_in_image(prediction["masks"], boxes, original)
            if "keypoints" in prediction:
                prediction["keypoints"] = resize_keypoints(prediction["keypoints"], shape, original)
        return result

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(\n    Normalize(mean={self.image_mean}, std={self.image_std})\n"
                f"    Resize(min_size={self.min_size}, max_size={self.max_size}, mode='bilinear')\n)")
