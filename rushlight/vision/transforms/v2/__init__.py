"""Transforms v2: of pictures together with their boxes, masks and points (torchvision.transforms.v2)."""

from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.policies import AutoAugmentPolicy
from rushlight.vision.transforms.v2 import functional
from rushlight.vision.transforms.v2.auto_augment import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from rushlight.vision.transforms.v2.color import (RGB, ColorJitter, GaussianBlur, GaussianNoise, Grayscale,
                                                  RandomAdjustSharpness, RandomAutocontrast, RandomChannelPermutation,
                                                  RandomEqualize, RandomGrayscale, RandomInvert,
                                                  RandomPhotometricDistort, RandomPosterize, RandomSolarize)
from rushlight.vision.transforms.v2.containers import Compose, RandomApply, RandomChoice, RandomOrder
from rushlight.vision.transforms.v2.conversion import (ConvertImageDtype, Identity, Lambda, LinearTransformation,
                                                       Normalize, PILToTensor, ToDtype, ToImage, ToPILImage,
                                                       ToPureTensor, ToTensor)
from rushlight.vision.transforms.v2.detection import (ClampBoundingBoxes, ClampKeyPoints, ConvertBoundingBoxFormat,
                                                      RandomIoUCrop, RandomResize, RandomShortestSize,
                                                      SanitizeBoundingBoxes, SanitizeKeyPoints, ScaleJitter,
                                                      SetClampingMode)
from rushlight.vision.transforms.v2.geometry import CenterCrop, FiveCrop, Pad, Resize, TenCrop
from rushlight.vision.transforms.v2.mixing import JPEG, CutMix, MixUp, RandomErasing
from rushlight.vision.transforms.v2.random_geometry import (ElasticTransform, RandomAffine, RandomCrop,
                                                            RandomHorizontalFlip, RandomPerspective, RandomResizedCrop,
                                                            RandomRotation, RandomVerticalFlip, RandomZoomOut)
from rushlight.vision.transforms.v2.temporal import UniformTemporalSubsample
from rushlight.vision.transforms.v2.transform import Transform, check_type, has_any, query_chw, query_size

__all__ = ["JPEG", "RGB", "AugMix", "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ClampBoundingBoxes",
           "ClampKeyPoints", "ColorJitter",
           "Compose", "ConvertBoundingBoxFormat", "ConvertImageDtype", "CutMix", "ElasticTransform", "FiveCrop",
           "GaussianBlur", "GaussianNoise",
           "Grayscale", "Identity", "InterpolationMode", "Lambda", "LinearTransformation", "MixUp", "Normalize",
           "PILToTensor", "Pad",
           "RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast",
           "RandomChannelPermutation",
           "RandomChoice", "RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip",
           "RandomInvert",
           "RandomIoUCrop", "RandomOrder", "RandomPerspective", "RandomPhotometricDistort", "RandomPosterize",
           "RandomResize",
           "RandomResizedCrop", "RandomRotation", "RandomShortestSize", "RandomSolarize", "RandomVerticalFlip",
           "RandomZoomOut", "Resize",
           "SanitizeBoundingBoxes", "SanitizeKeyPoints", "ScaleJitter", "SetClampingMode", "TenCrop", "ToDtype",
           "ToImage", "ToPILImage",
           "ToPureTensor", "ToTensor", "Transform", "TrivialAugmentWide", "UniformTemporalSubsample", "check_type", "functional", "has_any",
           "query_chw", "query_size"]
