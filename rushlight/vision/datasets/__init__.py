"""Data sets: the classes of torchvision.datasets, and Digits, which needs no download."""

from __future__ import annotations

from typing import Any

from rushlight.vision.datasets.cifar import CIFAR10, CIFAR100
from rushlight.vision.datasets.coco import CocoCaptions, CocoDetection
from rushlight.vision.datasets.digits import Digits
from rushlight.vision.datasets.fakedata import FakeData
from rushlight.vision.datasets.flowers102 import Flowers102
from rushlight.vision.datasets.folder import DatasetFolder, ImageFolder
from rushlight.vision.datasets.food101 import Food101
from rushlight.vision.datasets.mnist import MNIST, FashionMNIST
from rushlight.vision.datasets.mnist_family import EMNIST, KMNIST, QMNIST
from rushlight.vision.datasets.oxford_iiit_pet import OxfordIIITPet
from rushlight.vision.datasets.stl10 import STL10
from rushlight.vision.datasets.svhn import SVHN
from rushlight.vision.datasets.vision import StandardTransform, VisionDataset
from rushlight.vision.datasets.voc import VOCDetection, VOCSegmentation

__all__ = ["CIFAR10", "CIFAR100", "EMNIST", "KMNIST", "MNIST", "QMNIST", "STL10", "SVHN", "CocoCaptions",
           "CocoDetection", "DatasetFolder",
           "Digits", "FakeData", "FashionMNIST", "Flowers102", "Food101", "ImageFolder", "OxfordIIITPet",
           "StandardTransform",
           "VOCDetection", "VOCSegmentation", "VisionDataset"]


def __getattr__(name: str) -> Any:
    if name == "wrap_dataset_for_transforms_v2":  # its module imports this one
        from rushlight.vision.tv_tensors.wrapping import wrap_dataset_for_transforms_v2
        return wrap_dataset_for_transforms_v2
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; "
                         f"rushlight does not provide torchvision.datasets.{name}")
