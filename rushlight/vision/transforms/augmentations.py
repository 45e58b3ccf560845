"""The operations that AutoAugment and its relatives choose from, and how strong each is at a level."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rushlight.tensor.core import Tensor
from rushlight.tensor.sequences import linspace
from rushlight.vision.transforms import functional as F

STILL: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
Operation = Callable[[Any, Any, float, Any, Any], Any]  # functions, picture, magnitude, interpolation, fill


def _shear(axis: int) -> Operation:
    def run(f: Any, img: Any, magnitude: float, mode: Any, fill: Any) -> Any:
        shear = [0.0, 0.0]
        shear[axis] = math.degrees(math.atan(magnitude))
        return f.affine(img, **{**STILL, "shear": shear}, interpolation=mode, fill=fill, center=[0, 0])
    return run


def _translate(axis: int) -> Operation:
    def run(f: Any, img: Any, magnitude: float, mode: Any, fill: Any) -> Any:
        moves = [0, 0]
        moves[axis] = int(magnitude)
        return f.affine(img, **{**STILL, "translate": moves}, interpolation=mode, fill=fill)
    return run


OPERATIONS: dict[str, Operation] = {
    "Identity": lambda f, img, m, mode, fill: img,
    "ShearX": _shear(0), "ShearY": _shear(1), "TranslateX": _translate(0), "TranslateY": _translate(1),
    "Rotate": lambda f, img, m, mode, fill: f.rotate(img, m, interpolation=mode, fill=fill),
    "Brightness": lambda f, img, m, mode, fill: f.adjust_brightness(img, 1.0 + m),
    "Color": lambda f, img, m, mode, fill: f.adjust_saturation(img, 1.0 + m),
    "Contrast": lambda f, img, m, mode, fill: f.adjust_contrast(img, 1.0 + m),
    "Sharpness": lambda f, img, m, mode, fill: f.adjust_sharpness(img, 1.0 + m),
    "Posterize": lambda f, img, m, mode, fill: f.posterize(img, int(m)),
    "Solarize": lambda f, img, m, mode, fill: f.solarize(img, m),
    "AutoContrast": lambda f, img, m, mode, fill: f.autocontrast(img),
    "Equalize": lambda f, img, m, mode, fill: f.equalize(img),
    "Invert": lambda f, img, m, mode, fill: f.invert(img),
}


def augmented(img: Any, name: str, magnitude: float, mode: Any, fill: Any, functions: Any = F) -> Any:
    """The picture after one operation of v1's or v2's ``functions``; ValueError for a name that is none."""
    if name not in OPERATIONS:
        raise ValueError(f"The provided operator {name} is not recognized. Known are {', '.join(OPERATIONS)}.")
    return OPERATIONS[name](functions, img, magnitude, mode, fill)


class Choice(NamedTuple):
    """One operation of a space: its strengths by level (None: it has none), and whether it goes both ways."""

    strengths: list[float] | None
    signed: bool


@functools.lru_cache(1024)
def levels(start: float, end: float, bins: int) -> list[float]:
    """Evenly spaced strengths, in float32."""
    values: list[float] = linspace(start, end, bins).tolist()  # type: ignore[attr-defined]
    return values


def posterize_bits(top: int, lost: int, bins: int) -> list[float]:
    """Bits left at each level: ``lost`` fewer at the highest."""
    steps = np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / lost)
    return [float(top - int(step)) for step in np.rint(steps)]


def space(bins: int, shear: float, translate: tuple[float, float], rotate: float, enhance: float, bits: tuple[int, int],
          solarize: float = 255.0) -> dict[str, Choice]:
    """All operations at ``bins`` levels up to these strengths; ``translate`` is (x, y) in pixels."""
    return {
        "Identity": Choice(None, False),
        "ShearX": Choice(levels(0.0, shear, bins), True), "ShearY": Choice(levels(0.0, shear, bins), True),
        "TranslateX": Choice(levels(0.0, translate[0], bins), True),
        "TranslateY": Choice(levels(0.0, translate[1], bins), True),
        "Rotate": Choice(levels(0.0, rotate, bins), True),
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), Choice(levels(0.0, enhance, bins), True)),
        "Posterize": Choice(posterize_bits(*bits, bins), False),
        "Solarize": Choice(levels(solarize, 0.0, bins), False),
        **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), Choice(None, False)),
    }


WITHOUT_INVERT = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
                  "Contrast", "Sharpness",
                  "Posterize", "Solarize", "AutoContrast", "Equalize")
MIXED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Posterize", "Solarize", "AutoContrast", "Equalize")
ENHANCEMENTS = ("Brightness", "Color", "Contrast", "Sharpness")


def photograph_space(bins: int, height: int, width: int, solarize: float = 255.0) -> dict[str, Choice]:
    """The space of AutoAugment and RandAugment: strengths for photographs of this size."""
    return space(bins, 0.3, (150.0 / 331.0 * width, 150.0 / 331.0 * height), 30.0, 0.9, (8, 4), solarize)


def wide_space(bins: int, solarize: float = 255.0) -> dict[str, Choice]:
    """The space of TrivialAugmentWide."""
    found = space(bins, 0.99, (32.0, 32.0), 135.0, 0.99, (8, 6), solarize)
    return {name: found[name] for name in WITHOUT_INVERT}


def mix_space(bins: int, height: int, width: int, all_ops: bool, solarize: float = 255.0) -> dict[str, Choice]:
    """The space of AugMix."""
    found = space(bins, 0.3, (width / 3.0, height / 3.0), 30.0, 0.9, (4, 4), solarize)
    return {name: found[name] for name in MIXED + (ENHANCEMENTS if all_ops else ())}


def fill_of(img: Any, fill: Any) -> Any:
    """The fill as warps of this picture want it; None stays."""
    if not isinstance(img, Tensor) or fill is None:
        return fill
    return [float(fill)] * F.get_dimensions(img)[0] if isinstance(fill, (int, float)) else [float(f) for f in fill]
