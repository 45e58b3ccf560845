"""RandomApply, RandomOrder and RandomChoice: chance about whole transforms."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from rushlight.nn.modules.module import Module
from rushlight.vision.transforms import draws


def python_random() -> Any:
    """Python's generator: the global one, in a loader's worker thread that worker's own."""
    from rushlight.data.worker import get_worker_info
    info = get_worker_info()
    return info.rng.random_generator if info is not None and info.rng is not None and info.worker_method == "thread" else random


def listed(kind: object, *lines: Any) -> str:
    """A class with one line per part."""
    return "\n".join([f"{type(kind).__name__}(", *(f"    {line}" for line in lines), ")"])


class RandomTransforms:
    """Base of transforms made of a list of others."""

    def __init__(self, transforms: Sequence[Any]):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return listed(self, *self.transforms)


class RandomApply(Module):
    """All of a list of transforms, with probability p."""

    def __init__(self, transforms: Any, p: float = 0.5):
        super().__init__()
        self.transforms, self.p = transforms, p

    def forward(self, img: Any) -> Any:
        if self.p < draws.unit():
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return listed(self, f"p={self.p}", *self.transforms)


class RandomOrder(RandomTransforms):
    """All of a list of transforms, in an order drawn with Python's generator."""

    def __call__(self, img: Any) -> Any:
        order = list(range(len(self.transforms)))
        python_random().shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(RandomTransforms):
    """One of a list of transforms, drawn with Python's generator and weights p."""

    def __init__(self, transforms: Sequence[Any], p: Sequence[float] | None = None):
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        return python_random().choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
