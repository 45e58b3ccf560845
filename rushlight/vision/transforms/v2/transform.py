"""Transform: the base of all transforms of v2."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor, kernel_for
from rushlight.vision.transforms.v2.tree import flatten
from rushlight.vision.tv_tensors.boxes import BoundingBoxes
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Image, Mask, Video

Check = type | Callable[[Any], bool]
PICTURE: tuple[Check, ...] = (is_pure_tensor, Image, is_pil_image, Video)
SIZED: tuple[Check, ...] = (*PICTURE, Mask, BoundingBoxes, KeyPoints)


def check_type(value: Any, checks: tuple[Check, ...]) -> bool:
    """Whether a value is of one of the types, or passes one of the checks."""
    return any(isinstance(value, check) if isinstance(check, type) else check(value) for check in checks)


def has_any(flat: list[Any], *checks: Check) -> bool:
    """Whether one of the values is of one of the types."""
    return any(check_type(value, checks) for value in flat)


def query_chw(flat: list[Any]) -> tuple[int, int, int]:
    """(channels, height, width) that all pictures share; TypeError where there is none, ValueError where they
    differ."""
    found = {tuple(F.get_dimensions(value)) for value in flat if check_type(value, PICTURE)}
    if not found:
        raise TypeError("No image or video was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple CxHxW dimensions in the sample: {', '.join(map(str, sorted(found)))}")
    c, h, w = found.pop()
    return c, h, w


def query_size(flat: list[Any]) -> tuple[int, int]:
    """(height, width) that all parts share; TypeError where there is none, ValueError where they differ."""
    found = {tuple(F.get_size(value)) for value in flat if check_type(value, SIZED)}
    if not found:
        raise TypeError("No image, video, mask, bounding box of keypoint was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple HxW dimensions in the sample: {', '.join(map(str, sorted(found)))}")
    h, w = found.pop()
    return h, w


class Transform(Module):
    """A transform of samples of any structure: (image, label), {"image": …, "boxes": …} and so on.

    A subclass defines ``transform(inpt, params)`` for one part, and perhaps ``make_params(flat_inputs)``, which draws
    what
    is decided by chance once per sample, and ``check_inputs(flat_inputs)``. Parts that are no pictures, boxes, points
    or masks pass
    through, and so do plain tensors beside a picture; without a picture the first plain tensor is one.
    """

    _transformed_types: tuple[Check, ...] = (Tensor, is_pil_image)
    _v1_transform_cls: Any = None

    def __init_subclass__(cls) -> None:
        if hasattr(cls._v1_transform_cls, "get_params"):
            cls.get_params = staticmethod(cls._v1_transform_cls.get_params)  # type: ignore[attr-defined]

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise for samples that the transform cannot take."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is decided for this sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One part of a sample, transformed."""
        raise NotImplementedError

    def _call_kernel(self, functional: Callable[..., Any], inpt: Any, *args: Any, **kwargs: Any) -> Any:
        """A function for an input, which passes through where there is none for its kind."""
        if kernel_for(functional.__name__, inpt) is None and not is_pil_image(inpt):
            return inpt
        return functional(inpt, *args, **kwargs)

    def forward(self, *inputs: Any) -> Any:
        flat, rebuild = flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        return self._applied(flat, rebuild)

    def _applied(self, flat: list[Any], rebuild: Any) -> Any:
        needed = self._needs_transform_list(flat)
        params = self.make_params([value for value, need in zip(flat, needed) if need])
        return rebuild([self.transform(value, params) if need else value for value, need in zip(flat, needed)])

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        plain_counts = not has_any(flat_inputs, Image, Video, is_pil_image)
        needed = []
        for value in flat_inputs:
            need = check_type(value, self._transformed_types)
            if need and is_pure_tensor(value):
                need, plain_counts = plain_counts, False
            needed.append(need)
        return needed

    def extra_repr(self) -> str:
        shown = (bool, int, float, str, tuple, list, enum.Enum)
        return ", ".join(f"{name}={value}" for name, value in self.__dict__.items()
                         if not name.startswith("_") and name != "training" and isinstance(value, shown))


class RandomApplyTransform(Transform):
    """Base of transforms that happen with probability p."""

    def __init__(self, p: float = 0.5):
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, rebuild = flatten(sample)
        self.check_inputs(flat)
        return sample if draws.unit() >= self.p else self._applied(flat, rebuild)
