"""Image transforms under torchvision's names."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.vision.transforms import functional
from rushlight.vision.transforms.auto_augment import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from rushlight.vision.transforms.choices import RandomApply, RandomChoice, RandomOrder, RandomTransforms
from rushlight.vision.transforms.color import ColorJitter, GaussianBlur, Grayscale
from rushlight.vision.transforms.compose import Compose, Lambda
from rushlight.vision.transforms.conversion import ConvertImageDtype, PILToTensor, ToPILImage, ToTensor
from rushlight.vision.transforms.erasing import RandomErasing
from rushlight.vision.transforms.geometry import CenterCrop, FiveCrop, Pad, Resize, TenCrop
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.normalization import Normalize
from rushlight.vision.transforms.policies import AutoAugmentPolicy
from rushlight.vision.transforms.random_crops import RandomCrop, RandomResizedCrop
from rushlight.vision.transforms.random_switches import (RandomAdjustSharpness, RandomAutocontrast, RandomEqualize,
                                                         RandomGrayscale, RandomHorizontalFlip, RandomInvert,
                                                         RandomPosterize, RandomSolarize, RandomVerticalFlip)
from rushlight.vision.transforms.random_warps import ElasticTransform, RandomAffine, RandomPerspective, RandomRotation
from rushlight.vision.transforms.whitening import LinearTransformation

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype",
           "ElasticTransform",
           "FiveCrop", "GaussianBlur", "Grayscale", "InterpolationMode", "Lambda", "LinearTransformation", "Normalize",
           "PILToTensor",
           "Pad", "RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast",
           "RandomChoice",
           "RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
           "RandomOrder",
           "RandomPerspective", "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize",
           "RandomTransforms",
           "RandomVerticalFlip", "Resize", "TenCrop", "ToPILImage", "ToTensor", "TrivialAugmentWide", "functional"]


def __getattr__(name: str) -> Any:
    if name == "v2":  # only when it is asked for
        return importlib.import_module(f"{__name__}.v2")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; rushlight does not provide torchvision.transforms.{name}")
