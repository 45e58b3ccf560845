"""Data sets of rushlight beside torchvision's: comparing them, and what their files hold."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

import realdata
from rushlight.tensor.core import unwrap

RNG = np.random.default_rng(0)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def photograph(size=(23, 17), seed=0):
    """A part of a real photograph, enlarged."""
    with np.load(realdata.path("cifar10/cifar10_lossless_6102.npz")) as archive:
        return Image.fromarray(archive["data_batch_2_x"][seed].transpose(1, 2, 0)).resize(
            size, Image.Resampling.BICUBIC)


def same(mine, reference):
    """Whether two samples or parts of samples are equal."""
    if isinstance(reference, Image.Image):
        return (isinstance(mine, Image.Image) and mine.mode == reference.mode
                and mine.size == reference.size and mine.tobytes() == reference.tobytes())
    if isinstance(reference, (tuple, list)):
        return type(mine) is type(reference) and len(mine) == len(reference) and all(map(same, mine, reference))
    if hasattr(reference, "numpy"):
        return np.array_equal(unwrap(mine), reference.numpy())
    return type(mine) is type(reference) and mine == reference


def assert_same_data(mine, reference):
    assert len(mine) == len(reference) and repr(mine) == repr(reference)
    for i in range(len(reference)):
        assert same(mine[i], reference[i])
    for name in ("classes", "class_to_idx", "bin_classes"):
        assert getattr(mine, name, None) == getattr(reference, name, None)
