"""Batches of pictures from files: decoded as far as their windows reach, resized, written as floats into one array.

The size of a picture is read and its random numbers are drawn before it is decoded, in the order of the samples: a
worker decodes each at once, the main thread a number of them in threads.

Only chains of transforms that are known here take this path: windows and flips of RGB pictures, then what changes each
byte by itself (ToTensor, Normalize, ConvertImageDtype), which becomes a table of 256 numbers per channel. Everything
else goes sample by sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rushlight.data.worker import get_worker_info
from rushlight.exec import threads
from rushlight.tensor.core import Tensor, wrap
from rushlight.vision.datasets.rows import Opened
from rushlight.vision.transforms import draws, whole_batch
from rushlight.vision.transforms.compose import Compose
from rushlight.vision.transforms.conversion import ConvertImageDtype, PILToTensor, ToTensor
from rushlight.vision.transforms.functional.geometry import resized_size
from rushlight.vision.transforms.geometry import CenterCrop, Resize
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.normalization import Normalize
from rushlight.vision.transforms.random_crops import RandomCrop, RandomResizedCrop, resized_crop_window
from rushlight.vision.transforms.random_switches import RandomHorizontalFlip


TOGETHER = 64  # files that are in memory at a time


class Picture(NamedTuple):
    """A picture that is still to be made: its size, whether it is mirrored,
    and the windows and sizes it goes through."""

    height: int
    width: int
    mirrored: bool = False
    ways: tuple[tuple[int, ...], ...] = ()  # (height, width), or (top, left, height, width) of a window

    def window(self, top: int, left: int, height: int, width: int) -> Picture:
        """A part of it."""
        left = self.width - left - width if self.mirrored else left
        return self._replace(height=height, width=width, ways=(*self.ways, (top, left, height, width)))

    def resized(self, height: int, width: int) -> Picture:
        """Another size."""
        if (height, width) == (self.height, self.width):
            return self
        return self._replace(height=height, width=width, ways=(*self.ways, (height, width)))

    def rows(self, height: int) -> int:
        """How many of the file's rows are needed."""
        first = self.ways[0] if self.ways else ()
        return first[0] + first[2] if len(first) == 4 else height

    def make(self, opened: Opened, table: np.ndarray, out: np.ndarray) -> None:
        """Fill out (3, H, W) from the file."""
        from rushlight.vision.transforms.compiled.finish import finish  # needs llvmlite
        from rushlight.vision.transforms.compiled.resample import resample
        from rushlight.vision.transforms.compiled.rooms import address_of
        pixels = opened.pixels(self.rows(opened.height))
        if pixels is None:
            raise Unfit
        (place, size, owner), height, width = pixels, opened.height, opened.width
        stride = size * width
        for i, way in enumerate(self.ways):
            if len(way) == 4:
                place += way[0] * stride + size * way[1]
            else:
                resized = resample(place, stride, height, width, way[0], way[1], size, f"resized {i % 2}")
                place, stride, size = address_of(resized), 4 * way[1], 4
            height, width = way[-2:]
        finish(place, stride, height, width, table, self.mirrored, out, size)
        del owner  # kept until here


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


STEPS: dict[type, Step] = {RandomResizedCrop: _random_resized_crop, Resize: _resize, CenterCrop: _centre,
                           RandomCrop: _random_crop,
                           RandomHorizontalFlip: _flip}
BYTEWISE = (ToTensor, PILToTensor, ConvertImageDtype, Normalize)


def _known(t: Any) -> bool:
    """Whether a step does what its class does, with options that are provided here."""
    if type(t) not in STEPS or any(getattr(t, name, None) for name in whole_batch.HOOKS):
        return False
    if {"forward", "get_params"} & set(vars(t)):
        return False
    if getattr(t, "interpolation", InterpolationMode.BILINEAR) is not InterpolationMode.BILINEAR:
        return False
    return type(t) is not RandomCrop or (t.padding is None and not t.pad_if_needed)


class Chain:
    """A chain of transforms as steps and a table (3, 256) float32."""

    def __init__(self, steps: list[Any], table: np.ndarray):
        self.steps, self.table = steps, table

    def plan(self, opened: Opened) -> Picture:
        """What a picture goes through; draws its random numbers."""
        picture = Picture(opened.height, opened.width)
        for step in self.steps:
            picture = STEPS[type(step)](step, picture)
        return picture


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


def collated(transform: Any, paths: Sequence[Any], targets: Sequence[int],
             before: Callable[[int], None] | None) -> list[Tensor] | None:
    """[pictures float32 (B, 3, H, W), targets int64 (B,)], None where samples have to be made one by one.

    ``before(i)`` is called ahead of the i-th sample but the first,
    as the loader calls it to start the sample's random numbers.
    """
    chain = chain_of(transform)
    if chain is None or not paths:
        return None
    from rushlight import rng
    state = rng.current().get_state()
    count = threads.count() if get_worker_info() is None else 1
    out = _Out(len(paths))
    try:
        for first in range(0, len(paths), TOGETHER):
            work: list[tuple[Picture, Opened, np.ndarray, np.ndarray]] = []
            for i, path in enumerate(paths[first:first + TOGETHER], first):
                if i and before is not None:
                    before(i)
                opened = Opened(path)
                picture = chain.plan(opened)
                task = (picture, opened, chain.table, out.place(i, picture))
                if count == 1:
                    Picture.make(*task)
                else:
                    work.append(task)
            _make(work, count)
    except Unfit:
        rng.current().set_state(state)
        return None
    assert out.values is not None
    return [wrap(out.values), wrap(np.array(targets, np.int64))]


class _Out:
    """The batch that is being made, of the first picture's size."""

    def __init__(self, count: int):
        self.count = count
        self.values: np.ndarray | None = None

    def place(self, i: int, picture: Picture) -> np.ndarray:
        """Where one of its pictures goes."""
        if self.values is None:
            self.values = np.empty((self.count, 3, picture.height, picture.width), np.float32)
        if (picture.height, picture.width) != self.values.shape[2:]:
            raise Unfit
        place: np.ndarray = self.values[i]
        return place


def _make(work: list[tuple[Picture, Opened, np.ndarray, np.ndarray]], count: int) -> None:
    """Fill pictures in so many threads, as decoders and kernels let others run."""
    if len(work) < 2 * count:
        for task in work:
            Picture.make(*task)
    else:
        for _ in _pool(count, os.getpid()).map(lambda task: Picture.make(*task), work):
            pass


@lru_cache(1)
def _pool(count: int, process: int) -> Any:
    """Threads, which a forked process needs anew."""
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(count, "rushlight-pictures")
