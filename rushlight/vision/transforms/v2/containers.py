"""Compose, RandomApply, RandomChoice and RandomOrder of v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.vision.transforms import draws
from rushlight.vision.transforms.v2.transform import Transform


class _Several(Transform):
    """Base of transforms made of others."""

    def __init__(self, transforms: Any):
        super().__init__()
        if not isinstance(transforms, Sequence) and not hasattr(transforms, "append"):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not len(transforms):
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    @staticmethod
    def _in_turn(transforms: Any, inputs: tuple[Any, ...]) -> Any:
        several = len(inputs) > 1
        for transform in transforms:
            out = transform(*inputs)
            inputs = out if several else (out,)
        return inputs if several else inputs[0]


class _Listed(_Several):
    """Prints its transforms line by line."""

    def extra_repr(self) -> str:
        return "\n".join(f"    {transform}" for transform in self.transforms)


class Compose(_Listed):
    """Transforms one after the other."""

    def forward(self, *inputs: Any) -> Any:
        return self._in_turn(self.transforms, inputs)


class RandomApply(_Listed):
    """All of the transforms, with probability p."""

    def __init__(self, transforms: Any, p: float = 0.5):
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if draws.unit() >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        return self._in_turn(self.transforms, inputs)


class RandomChoice(_Several):
    """One of the transforms, drawn with weights p."""

    def __init__(self, transforms: Any, p: list[float] | None = None):
        super().__init__(transforms)
        weights = [1.0] * len(transforms) if p is None else p
        if len(weights) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(weights)} != {len(transforms)}")
        self.p = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        return self.transforms[draws.chosen(self.p)](*inputs)


class RandomOrder(_Several):
    """All of the transforms, in an order drawn by chance."""

    def forward(self, *inputs: Any) -> Any:
        return self._in_turn([self.transforms[i] for i in draws.permutation(len(self.transforms))], inputs)
