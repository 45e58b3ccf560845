"""Batches of pictures from files: decoded, cropped and resized one by one, written as floats into one array.

Only chains of transforms that are known here take this path: windows and flips of RGB pictures, then what changes each byte
by itself (ToTensor, Normalize, ConvertImageDtype), which becomes a table of 256 numbers per channel. Everything else goes sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rushlight.tensor.core import Tensor, wrap
from rushlight.vision.datasets.image_files import pil_loader
from rushlight.vision.transforms import draws, whole_batch
from rushlight.vision.transforms.compose import Compose
from rushlight.vision.transforms.conversion import ConvertImageDtype, PILToTensor, ToTensor
from rushlight.vision.transforms.functional.geometry import resized_size
from rushlight.vision.transforms.geometry import CenterCrop, Resize
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.normalization import Normalize
from rushlight.vision.transforms.random_crops import RandomCrop, RandomResizedCrop, resized_crop_window
from rushlight.vision.transforms.random_switches import RandomHorizontalFlip


class Picture(NamedTuple):
    """Four bytes per pixel at an address, rows ``stride`` bytes apart, perhaps to be mirrored; ``owner`` keeps the memory."""

    address: int
    stride: int
    height: int
    width: int
    mirrored: bool
    owner: Any

    def window(self, top: int, left: int, height: int, width: int) -> Picture:
        """A part of it."""
        left = self.width - left - width if self.mirrored else left
        return self._replace(address=self.address + top * self.stride + 4 * left, height=height, width=width)

    def resized(self, height: int, width: int) -> Picture:
        """Another size."""
        if (height, width) == (self.height, self.width):
            return self
        from rushlight.vision.transforms.compiled.resample import resample
        pixels = resample(self.address, self.stride, self.height, self.width, height, width)
        return Picture(pixels.ctypes.data, 4 * width, height, width, self.mirrored, pixels)


Step = Callable[[Any, Picture], Picture]


def _random_resized_crop(t: RandomResizedCrop, p: Picture) -> Picture:
    height, width = t.size
    return p.window(*resized_crop_window(p.height, p.width, t.scale, t.ratio)).resized(height, width)


def _resize(t: Resize, p: Picture) -> Picture:
    size = [t.size] if isinstance(t.size, int) else t.size
    height, width = resized_size((p.height, p.width), size, t.max_size)
    return p.resized(height, width)


def _centre(t: CenterCrop, p: Picture) -> Picture:
    height, width = t.size
    if height > p.height or width > p.width:
        raise Unfit
    return p.window(int(round((p.height - height) / 2.0)), int(round((p.width - width) / 2.0)), height, width)


def _random_crop(t: RandomCrop, p: Picture) -> Picture:
    height, width = t.size
    if height > p.height or width > p.width:
        raise Unfit
    if (height, width) == (p.height, p.width):
        return p
    top = draws.integer(0, p.height - height + 1)
    return p.window(top, draws.integer(0, p.width - width + 1), height, width)


def _flip(t: RandomHorizontalFlip, p: Picture) -> Picture:
    return p._replace(mirrored=not p.mirrored) if draws.unit() < t.p else p


class Unfit(Exception):
    """This picture needs the path for one sample."""


STEPS: dict[type, Step] = {RandomResizedCrop: _random_resized_crop, Resize: _resize, CenterCrop: _centre, RandomCrop: _random_crop,
                           RandomHorizontalFlip: _flip}
BYTEWISE = (ToTensor, PILToTensor, ConvertImageDtype, Normalize)


def _known(t: Any) -> bool:
    """Whether a step does what its class does, with options that are provided here."""
    if type(t) not in STEPS or any(getattr(t, name, None) for name in whole_batch.HOOKS) or {"forward", "get_params"} & set(vars(t)):
        return False
    if getattr(t, "interpolation", InterpolationMode.BILINEAR) is not InterpolationMode.BILINEAR:
        return False
    return type(t) is not RandomCrop or (t.padding is None and not t.pad_if_needed)


class Chain:
    """A chain of transforms as steps and a table (3, 256) float32."""

    def __init__(self, steps: list[Any], table: np.ndarray):
        self.steps, self.table = steps, table

    def write(self, path: Any, out: np.ndarray | None, shape: tuple[int, int, int]) -> np.ndarray:
        """One picture from its file into ``out[i]`` of that shape, which is made for the first."""
        from rushlight.vision.transforms.compiled.finish import finish
        from rushlight.vision.transforms.compiled.pillow_memory import address
        image = pil_loader(path)
        memory = address(image)
        if memory is None:
            raise Unfit
        picture = Picture(memory[0], 4 * image.width, image.height, image.width, False, memory[1])
        for step in self.steps:
            picture = STEPS[type(step)](step, picture)
        if out is None:
            out = np.empty((shape[0], 3, picture.height, picture.width), np.float32)
        if out.shape[2:] != (picture.height, picture.width):
            raise Unfit
        finish(picture.address, picture.stride, picture.height, picture.width, self.table, picture.mirrored, out[shape[1]])
        return out


def chain_of(transform: Any) -> Chain | None:
    """A transform as a chain, None where it is not one."""
    if type(transform) is not Compose:
        return None
    parts = list(transform.transforms)
    cut = next((i for i, part in enumerate(parts) if not _known(part)), len(parts))
    steps, rest = parts[:cut], parts[cut:]
    if not rest or any(type(part) not in BYTEWISE for part in rest) or not _available():
        return None
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 1, 256, 3))
    mapped = whole_batch.apply(Compose(rest), whole_batch.Batch(np.ascontiguousarray(levels), pictures=True))
    if mapped is None or mapped.pictures or mapped.values.dtype != np.float32 or mapped.values.shape != (1, 3, 1, 256):
        return None
    return Chain(steps, np.ascontiguousarray(mapped.values.reshape(3, 256)))


@lru_cache(1)
def _available() -> bool:
    try:
        from rushlight.vision.transforms.compiled.resample import available
        return available()
    except ImportError:
        return False


def collated(transform: Any, paths: Sequence[Any], targets: Sequence[int], before: Callable[[int], None] | None) -> list[Tensor] | None:
    """[pictures float32 (B, 3, H, W), targets int64 (B,)], None where samples have to be made one by one.

    ``before(i)`` is called ahead of the i-th sample but the first, as the loader calls it to start the sample's random numbers.
    """
    chain = chain_of(transform)
    if chain is None or not paths:
        return None
    from rushlight import rng
    state = rng.current().get_state()
    out: np.ndarray | None = None
    try:
        for i, path in enumerate(paths):
            if i and before is not None:
                before(i)
            out = chain.write(path, out, (len(paths), i, 0))
    except Unfit:
        rng.current().set_state(state)
        return None
    assert out is not None
    return [wrap(out), wrap(np.array(targets, np.int64))]
