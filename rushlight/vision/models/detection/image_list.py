"""Images of different sizes in one tensor."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor


class ImageList:
    """A batch ``[N, C, H, W]``, padded at the right and the bottom, and each image's own (height, width)."""

    def __init__(self, tensors: Tensor, image_sizes: list[tuple[int, int]]) -> None:
        self.tensors = tensors
        self.image_sizes = image_sizes

    def to(self, device: Any) -> ImageList:
        """The same on another device."""
        return ImageList(self.tensors.to(device), self.image_sizes)
