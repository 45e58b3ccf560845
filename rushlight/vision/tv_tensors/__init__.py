"""Tensors that know what they show (torchvision.tv_tensors),
so that transforms.v2 treats pictures, boxes and masks rightly."""

from rushlight.vision.tv_tensors.base import TVTensor, set_return_type, wrap
from rushlight.vision.tv_tensors.boxes import BoundingBoxes, BoundingBoxFormat, is_rotated_bounding_format
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Image, Mask, Video
from rushlight.vision.tv_tensors.wrapping import wrap_dataset_for_transforms_v2

__all__ = ["BoundingBoxFormat", "BoundingBoxes", "Image", "KeyPoints", "Mask", "TVTensor", "Video",
           "is_rotated_bounding_format",
           "set_return_type", "wrap", "wrap_dataset_for_transforms_v2"]
