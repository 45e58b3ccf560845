"""AutoAugment, RandAugment, TrivialAugmentWide and AugMix of v2."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.vision import transforms as v1
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.augmentations import Choice, augmented, mix_space, photograph_space, wide_space
from rushlight.vision.transforms.auto_augment import BINS, mixed
from rushlight.vision.transforms.kernels.ranges import maximum
from rushlight.vision.transforms.policies import AutoAugmentPolicy, policy_steps
from rushlight.vision.transforms.v2 import functional
from rushlight.vision.transforms.v2.fills import fill_for, fills
from rushlight.vision.transforms.v2.functional.dispatch import mode_from
from rushlight.vision.transforms.v2.transform import PICTURE, Transform, check_type, query_size
from rushlight.vision.transforms.v2.tree import flatten
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.boxes import BoundingBoxes
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Mask, Video


class _Automatic(Transform):
    """Base: finds the one picture of a sample and changes it."""

    def __init__(self, *, interpolation: Any = "nearest", fill: Any = None):
        super().__init__()
        self.interpolation, self.fill, self._fill = interpolation, fill, fills(fill)

    def forward(self, *inputs: Any) -> Any:
        flat, rebuild = flatten(inputs if len(inputs) > 1 else inputs[0])
        places = []
        for i, (value, need) in enumerate(zip(flat, self._needs_transform_list(flat))):
            if isinstance(value, (BoundingBoxes, Mask, KeyPoints)):
                raise TypeError(f"Inputs of type {type(value).__name__} are not supported by {type(self).__name__}()")
            if need and check_type(value, PICTURE):
                places.append(i)
        if not places:
            raise TypeError("Found no image in the sample.")
        if len(places) > 1:
            raise TypeError(f"Auto augment transformations are only properly defined for a single image or video, but found {len(places)}.")
        flat[places[0]] = self._changed(flat[places[0]])
        return rebuild(flat)

    def _changed(self, image: Any) -> Any:
        raise NotImplementedError

    def _do(self, image: Any, name: str, magnitude: float) -> Any:
        """One operation; thresholds of solarize are parts of the range."""
        if name == "Solarize":
            magnitude *= maximum(image.dtype.numpy) if isinstance(image, Tensor) else 255.0
        return augmented(image, name, magnitude, mode_from(self.interpolation), fill_for(self._fill, image), functional)

    @staticmethod
    def _signed(choice: Choice, magnitude: float) -> float:
        return -magnitude if choice.strengths is not None and choice.signed and draws.unit() <= 0.5 else magnitude

    @staticmethod
    def _chosen(space: dict[str, Choice], without: tuple[str, ...] = ()) -> tuple[str, Choice]:
        names = [name for name in space if name not in without]
        name = names[draws.integer(0, len(names))]
        return name, space[name]


class AutoAugment(_Automatic):
    """One of 25 pairs of operations learned for a data set."""

    _v1_transform_cls = v1.AutoAugment

    def __init__(self, policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET, interpolation: Any = "nearest",
                 fill: Any = None):
        super().__init__(interpolation=interpolation, fill=fill)
        self.policy, self._policies = policy, policy_steps(policy)

    def _changed(self, image: Any) -> Any:
        space = photograph_space(BINS, *query_size([image]), solarize=1.0)
        for name, p, level in self._policies[draws.integer(0, len(self._policies))]:
            if draws.unit() <= p:
                strengths = space[name].strengths
                magnitude = 0.0 if strengths is None or level is None else strengths[level]
                image = self._do(image, name, self._signed(space[name], magnitude))
        return image


class RandAugment(_Automatic):
    """``num_ops`` operations drawn by chance, all at one level of strength."""

    _v1_transform_cls = v1.RandAugment

    def __init__(self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31,
                 interpolation: Any = "nearest", fill: Any = None):
        super().__init__(interpolation=interpolation, fill=fill)
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(f"num_ops should be a non-negative integer, but got {num_ops} instead.")
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def _changed(self, image: Any) -> Any:
        space = photograph_space(self.num_magnitude_bins, *query_size([image]), solarize=1.0)
        for _ in range(self.num_ops):
            name, choice = self._chosen(space, ("Invert",))
            magnitude = 0.0 if choice.strengths is None else choice.strengths[self.magnitude]
            image = self._do(image, name, self._signed(choice, magnitude))
        return image


class TrivialAugmentWide(_Automatic):
    """One operation drawn by chance, at a level drawn by chance."""

    _v1_transform_cls = v1.TrivialAugmentWide

    def __init__(self, num_magnitude_bins: int = 31, interpolation: Any = "nearest", fill: Any = None):
        super().__init__(interpolation=interpolation, fill=fill)
        self.num_magnitude_bins = num_magnitude_bins

    def _changed(self, image: Any) -> Any:
        name, choice = self._chosen(wide_space(self.num_magnitude_bins, solarize=1.0))
        magnitude = 0.0 if choice.strengths is None else choice.strengths[draws.integer(0, self.num_magnitude_bins)]
        return self._do(image, name, self._signed(choice, magnitude))


class AugMix(_Automatic):
    """The picture mixed with several chains of operations."""

    _v1_transform_cls = v1.AugMix

    def __init__(self, severity: int = 3, mixture_width: int = 3, chain_depth: int = -1, alpha: float = 1.0,
                 all_ops: bool = True, interpolation: Any = "bilinear", fill: Any = None):
        super().__init__(interpolation=interpolation, fill=fill)
        if not 1 <= severity <= BINS:
            raise ValueError(f"The severity must be between [1, {BINS}]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth, self.alpha, self.all_ops = severity, mixture_width, chain_depth, alpha, all_ops

    def _changed(self, image: Any) -> Any:
        space = mix_space(BINS, *query_size([image]), self.all_ops, solarize=1.0)

        def step(chain: Any) -> Any:
            name, choice = self._chosen(space)
            magnitude = 0.0 if choice.strengths is None else choice.strengths[draws.integer(0, self.severity)]
            return self._do(chain, name, self._signed(choice, magnitude))
        out = mixed(plain(image) if isinstance(image, Tensor) else image, self.alpha, self.mixture_width,
                    self.chain_depth, step, 5 if isinstance(image, Video) else 4)
        return as_kind(out, like=image) if isinstance(image, Tensor) else out
