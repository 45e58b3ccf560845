"""MixUp and CutMix: batches mixed with themselves; and erasing, and JPEG's losses."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision import transforms as v1
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.arguments import check_sequence
from rushlight.vision.transforms.erasing import check_erasing, colour_of, erased_window
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.detection import labels_from
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor
from rushlight.vision.transforms.v2.transform import RandomApplyTransform, Transform, has_any, query_chw, query_size
from rushlight.vision.transforms.v2.tree import flatten
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.boxes import BoundingBoxes
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Image, Mask, Video


class _Mixing(Transform):
    """Base: takes a batch (pictures, labels), mixes each picture with its neighbour, and labels as much."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default"):
        super().__init__()
        self.alpha, self.num_classes = float(alpha), num_classes
        self._labels_getter = labels_from(labels_getter)

    def _share(self) -> float:
        """A number of the Beta(alpha, alpha) distribution."""
        return float(draws.dirichlet([self.alpha, self.alpha])[0, 0])

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, rebuild = flatten(sample)
        needed = self._needs_transform_list(flat)
        if has_any(flat, is_pil_image, BoundingBoxes, Mask, KeyPoints):
            raise ValueError(f"{type(self).__name__}() does not support PIL images, bounding boxes, keypoints and masks.")
        labels = self._labels_getter(sample)
        self._check_labels(labels)
        params = {"labels": labels, **self.make_params([value for value, need in zip(flat, needed) if need])}
        return rebuild([self.transform(value, params) if need or value is labels else value
                        for value, need in zip(flat, needed)])

    def _check_labels(self, labels: Any) -> None:
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        shape = labels._spec.shape
        if len(shape) not in (1, 2):
            raise ValueError("labels should be index based with shape (batch_size,) or probability based with shape (batch_size, num_classes), "
                             f"but got a tensor of shape {tuple(shape)} instead.")
        if len(shape) == 2 and self.num_classes is not None and shape[-1] != self.num_classes:
            raise ValueError("When passing 2D labels, the number of elements in last dimension must match num_classes: "
                             f"{shape[-1]} != {self.num_classes}. You can Leave num_classes to None.")
        if len(shape) == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")

    def _mixed_labels(self, labels: Tensor, share: float) -> Tensor:
        values = unwrap(labels)
        if values.ndim == 1:
            if values.size and not 0 <= int(values.min()) <= int(values.max()) < (self.num_classes or 0):
                raise RuntimeError(f"Class values must be smaller than num_classes, got {int(values.max())} of {self.num_classes}")
            values = np.eye(self.num_classes or 0, dtype=np.float32)[values]
        values = values if values.dtype.kind == "f" else values.astype(np.float32)
        return wrap(_blended(values, share))

    def _check_batch(self, inpt: Any, labels: Any) -> None:
        dimensions = 5 if isinstance(inpt, Video) else 4
        if inpt.dim() != dimensions:
            raise ValueError(f"Expected a batched input with {dimensions} dims, but got {inpt.dim()} dimensions instead.")
        if inpt.shape[0] != labels.shape[0]:
            raise ValueError("The batch size of the image or video does not match the batch size of the labels: "
                             f"{inpt.shape[0]} != {labels.shape[0]}.")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if inpt is params["labels"]:
            return self._mixed_labels(inpt, params["share"])
        if not (isinstance(inpt, (Image, Video)) or is_pure_tensor(inpt)):
            return inpt
        self._check_batch(inpt, params["labels"])
        return as_kind(wrap(self._mixed(unwrap(plain(inpt)), params)), like=inpt)

    def _mixed(self, pixels: np.ndarray, params: dict[str, Any]) -> np.ndarray:
        raise NotImplementedError


def _blended(values: np.ndarray, share: float) -> np.ndarray:
    """share·values + (1 - share)·(values of the neighbour before)."""
    one = values.dtype.type
    mixed: np.ndarray = np.roll(values, 1, 0) * one(1.0 - share) + values * one(share)
    return mixed


class MixUp(_Mixing):
    """Each picture of a batch blended with its neighbour, and their labels as much (Zhang et al., 2018).

    ``alpha``: the share comes from Beta(alpha, alpha); ``num_classes`` is needed for labels that are numbers;
    ``labels_getter``
    finds the labels in a sample. RuntimeError for pictures of bytes, which cannot be blended.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"share": self._share()}

    def _mixed(self, pixels: np.ndarray, params: dict[str, Any]) -> np.ndarray:
        if pixels.dtype.kind != "f":
            raise RuntimeError(f"result type Float can't be cast to the desired output type {pixels.dtype.name}; MixUp needs pictures of floats")
        return _blended(pixels, params["share"])


class CutMix(_Mixing):
    """A window of each picture of a batch from its neighbour, and labels mixed by area (Yun et al., 2019); arguments as
    for MixUp."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        share = self._share()
        height, width = query_size(flat_inputs)
        x, y = draws.integer(0, width), draws.integer(0, height)
        r = 0.5 * math.sqrt(1.0 - share)
        across, down = int(r * width), int(r * height)
        x1, y1, x2, y2 = max(x - across, 0), max(y - down, 0), min(x + across, width), min(y + down, height)
        return {"box": (x1, y1, x2, y2), "share": 1.0 - (x2 - x1) * (y2 - y1) / (width * height)}

    def _mixed(self, pixels: np.ndarray, params: dict[str, Any]) -> np.ndarray:
        x1, y1, x2, y2 = params["box"]
        out = pixels.copy()
        out[..., y1:y2, x1:x2] = np.roll(pixels, 1, 0)[..., y1:y2, x1:x2]
        return out


class RandomErasing(RandomApplyTransform):
    """A window covered with a colour or with noise, with probability p."""

    _v1_transform_cls = v1.RandomErasing

    def __init__(self, p: float = 0.5, scale: Any = (0.02, 0.33), ratio: Any = (0.3, 3.3), value: Any = 0.0,
                 inplace: bool = False):
        super().__init__(p=p)
        check_erasing(scale, ratio, value)
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, colour_of(value), inplace

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels, height, width = query_chw(flat_inputs)
        if self.value is not None and len(self.value) not in (1, channels):
            raise ValueError(f"If value is a sequence, it should have either a single value or {channels} (number of inpt channels)")
        return {"window": erased_window(channels, height, width, self.scale, self.ratio, self.value)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, (BoundingBoxes, KeyPoints, Mask)):
            warnings.warn(f"{type(self).__name__}() is currently passing through inputs of type tv_tensors.{type(inpt).__name__}.", stacklevel=2)
            return inpt
        if params["window"] is None:
            return inpt
        top, left, height, width, cover = params["window"]
        return self._call_kernel(F.erase, inpt, top, left, height, width, wrap(cover.copy()), self.inplace)


class JPEG(Transform):
    """Compressed as JPEG with a quality drawn from a range, and decoded again."""

    def __init__(self, quality: Any):
        super().__init__()
        if isinstance(quality, bool):
            raise TypeError("quality can't be bool")
        if isinstance(quality, int):
            quality = [quality, quality]
        check_sequence(quality, "quality", (2,))
        if not (all(isinstance(q, int) for q in quality) and 1 <= quality[0] <= quality[1] <= 100):
            raise ValueError(f"quality must be an integer from 1 to 100, got quality ={quality!r}")
        self.quality = quality

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quality": draws.integer(self.quality[0], self.quality[1] + 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.jpeg, inpt, quality=params["quality"])
