"""Data sets: the classes of torchvision.datasets, and Digits, which needs no download."""

from rushlight.vision.datasets.digits import Digits
from rushlight.vision.datasets.mnist import MNIST, FashionMNIST
from rushlight.vision.datasets.vision import StandardTransform, VisionDataset

__all__ = ["MNIST", "Digits", "FashionMNIST", "StandardTransform", "VisionDataset"]
