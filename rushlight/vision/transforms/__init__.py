"""Image transforms under torchvision's names."""

from rushlight.vision.transforms import functional
from rushlight.vision.transforms.compose import Compose, Lambda
from rushlight.vision.transforms.conversion import ConvertImageDtype, PILToTensor, ToTensor
from rushlight.vision.transforms.normalization import Normalize

__all__ = ["Compose", "ConvertImageDtype", "Lambda", "Normalize", "PILToTensor", "ToTensor", "functional"]
