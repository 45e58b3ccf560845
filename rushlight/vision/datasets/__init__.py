"""Data sets (torchvision.datasets)."""

from rushlight.vision.datasets.mnist import MNIST, Digits, FashionMNIST

__all__ = ["MNIST", "Digits", "FashionMNIST"]
