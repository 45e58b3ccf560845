"""What a model's weights want done to an image before they see it: the ``transforms()`` of weight enums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAKES = "Accepts PIL images and tensors [C, H, W] or [B, C, H, W]."


def _as_floats(image: Any) -> Tensor:
    """A float tensor in [0, 1]."""
    return F.convert_image_dtype(image if isinstance(image, Tensor) else F.pil_to_tensor(image), rl.float32)


class _Preset(nn.Module):
    """Prints its settings, one a line."""

    shown: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = "".join(f"\n    {name}={getattr(self, name)}" for name in self.shown)
        return f"{type(self).__name__}({lines}\n)" if lines else f"{type(self).__name__}()"


class ImageClassification(_Preset):
    """Shorter side to ``resize_size``, a square from the middle, values to [0, 1], then ``(x - mean) / std`` per
    channel."""

    shown = ("crop_size", "resize_size", "mean", "std", "interpolation")

    def __init__(self, *, crop_size: int, resize_size: int = 256, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, interpolation: InterpolationMode = InterpolationMode.BILINEAR,
                 antialias: bool | None = True) -> None:
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = InterpolationMode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        return F.normalize(_as_floats(F.center_crop(img, self.crop_size)), mean=self.mean, std=self.std)

    def describe(self) -> str:
        """In one sentence or two."""
        return (f"{TAKES} Resized to {self.resize_size} ({self.interpolation}), the middle {self.crop_size} cut out, scaled to "
                f"[0, 1], then normalized with mean {self.mean} and std {self.std}.")


class SemanticSegmentation(_Preset):
    """Shorter side to ``resize_size`` (None: as it is), values to [0, 1], then ``(x - mean) / std`` per channel."""

    shown = ("resize_size", "mean", "std", "interpolation")

    def __init__(self, *, resize_size: int | None, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, interpolation: InterpolationMode = InterpolationMode.BILINEAR,
                 antialias: bool | None = True) -> None:
        super().__init__()
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = InterpolationMode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        if self.resize_size is not None:
            img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        return F.normalize(_as_floats(img), mean=self.mean, std=self.std)

    def describe(self) -> str:
        """In one sentence or two."""
        return (f"{TAKES} Resized to {self.resize_size} ({self.interpolation}), scaled to [0, 1], then normalized with mean "
                f"{self.mean} and std {self.std}.")


class ObjectDetection(_Preset):
    """Values to [0, 1]; detection networks resize and normalize by themselves."""

    def forward(self, img: Any) -> Tensor:
        return _as_floats(img)

    def describe(self) -> str:
        """In one sentence or two."""
        return f"{TAKES} Scaled to [0, 1]."


class VideoClassification(_Preset):
    """Frames resized without antialiasing, the middle cut out, values to [0, 1], ``(x - mean) / std``; time comes
    behind channels."""

    shown = ("crop_size", "resize_size", "mean", "std", "interpolation")

    def __init__(self, *, crop_size: Sequence[int], resize_size: Sequence[int],
                 mean: Sequence[float] = (0.43216, 0.394666, 0.37645),
                 std: Sequence[float] = (0.22803, 0.22145, 0.216989),
                 interpolation: InterpolationMode = InterpolationMode.BILINEAR) -> None:
        super().__init__()
        self.crop_size, self.resize_size = list(crop_size), list(resize_size)
        self.mean, self.std = list(mean), list(std)
        self.interpolation = InterpolationMode(interpolation)

    def forward(self, vid: Tensor) -> Tensor:
        clips = vid if vid.ndim == 5 else vid.unsqueeze(0)
        frames = F.resize(clips.flatten(0, 1), self.resize_size, interpolation=self.interpolation, antialias=False)
        frames = F.normalize(_as_floats(F.center_crop(frames, self.crop_size)), mean=self.mean, std=self.std)
        done = frames.unflatten(0, tuple(clips.shape[:2])).permute(0, 2, 1, 3, 4)
        return done if vid.ndim == 5 else done.squeeze(0)

    def describe(self) -> str:
        """In one sentence or two."""
        return (f"Accepts clips [T, C, H, W] or [B, T, C, H, W]. Frames resized to {self.resize_size} ({self.interpolation}), the middle "
                f"{self.crop_size} cut out, scaled to [0, 1], normalized with mean {self.mean} and std {self.std}; gives [..., C, T, H, W].")


class OpticalFlow(_Preset):
    """Values of both pictures to [-1, 1]."""

    def forward(self, img1: Any, img2: Any) -> tuple[Tensor, Tensor]:
        half = [0.5] * 3
        first, second = (F.normalize(_as_floats(img), mean=half, std=half).contiguous() for img in (img1, img2))
        return first, second

    def describe(self) -> str:
        """In one sentence or two."""
        return f"{TAKES} Scaled to [-1, 1]."
