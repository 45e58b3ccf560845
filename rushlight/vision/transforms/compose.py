"""Compose and Lambda: transforms made of others and of functions."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

from rushlight.vision.transforms import whole_batch


class Compose:
    """Applies transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *(f"    {transform}" for transform in self.transforms), ")"])


@whole_batch.rule(Compose)
def _compose_batch(compose: Compose, batch: whole_batch.Batch) -> whole_batch.Batch | None:
    result: whole_batch.Batch | None = batch
    for transform in compose.transforms:
        if result is None:
            return None
        result = whole_batch.apply(transform, result)
    return result


def parts_of(transform: Any) -> list[Any]:
    """The transforms of a chain one after the other, chains inside it taken apart too."""
    if type(transform) is not Compose:
        return [transform]
    return [part for inner in transform.transforms for part in parts_of(inner)]


class Lambda:
    """Any function as a transform; it is called for each sample."""

    def __init__(self, lambd: Callable[[Any], Any]):
        if not isinstance(lambd, types.LambdaType) and not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
