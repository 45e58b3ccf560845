"""AutoAugment, RandAugment, TrivialAugmentWide and AugMix."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import tensor
from rushlight.vision.transforms import draws
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import shown
from rushlight.vision.transforms.augmentations import (WITHOUT_INVERT, Choice, augmented, fill_of, mix_space,
                                                       photograph_space, wide_space)
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.policies import AutoAugmentPolicy, policy_steps

BINS = 10  # levels of AutoAugment's policies and of AugMix


def either_sign(choice: Choice, magnitude: float) -> float:
    """The magnitude, negative half of the time where the operation goes both ways."""
    return -magnitude if choice.signed and draws.integer(0, 2) else magnitude


class AutoAugment(Module):
    """One of 25 pairs of operations learned for a data set, each with its probability and strength."""

    def __init__(self, policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
                 interpolation: Any = InterpolationMode.NEAREST, fill: Any = None):
        super().__init__()
        self.policy, self.interpolation, self.fill = policy, interpolation, fill
        self.policies = policy_steps(policy)

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, Tensor, Tensor]:
        """(number of the pair, two probabilities, two signs)."""
        number = draws.integer(0, transform_num)
        probabilities = wrap(draws.units(2))
        return number, probabilities, tensor(draws.integers(2, 2))

    def forward(self, img: Any) -> Any:
        fill = fill_of(img, self.fill)
        _, height, width = F.get_dimensions(img)
        number, probabilities, signs = self.get_params(len(self.policies))
        choices = photograph_space(BINS, height, width)
        for (name, p, level), drawn, sign in zip(self.policies[number], unwrap(probabilities), unwrap(signs)):
            if drawn <= np.float32(p):
                strengths, signed = choices[name]
                magnitude = 0.0 if level is None or strengths is None else strengths[level]
                img = augmented(img, name, -magnitude if signed and not sign else magnitude, self.interpolation, fill)
        return img

    def __repr__(self) -> str:
        return shown(self, f"policy={self.policy}, fill={self.fill}")


class RandAugment(Module):
    """``num_ops`` operations drawn by chance, all at one level of strength."""

    def __init__(self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31,
                 interpolation: Any = InterpolationMode.NEAREST, fill: Any = None):
        super().__init__()
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins
        self.interpolation, self.fill = interpolation, fill

    def forward(self, img: Any) -> Any:
        fill = fill_of(img, self.fill)
        _, height, width = F.get_dimensions(img)
        choices = photograph_space(self.num_magnitude_bins, height, width)
        for _ in range(self.num_ops):
            name = WITHOUT_INVERT[draws.integer(0, len(WITHOUT_INVERT))]
            strengths = choices[name].strengths
            magnitude = 0.0 if strengths is None else strengths[self.magnitude]
            img = augmented(img, name, either_sign(choices[name], magnitude), self.interpolation, fill)
        return img

    def __repr__(self) -> str:
        return shown(self, f"num_ops={self.num_ops}, magnitude={self.magnitude}, num_magnitude_bins={self.num_magnitude_bins}, "
                           f"interpolation={self.interpolation}, fill={self.fill}")


class TrivialAugmentWide(Module):
    """One operation drawn by chance, at a level drawn by chance (Müller and Hutter, 2021)."""

    def __init__(self, num_magnitude_bins: int = 31, interpolation: Any = InterpolationMode.NEAREST, fill: Any = None):
        super().__init__()
        self.num_magnitude_bins, self.interpolation, self.fill = num_magnitude_bins, interpolation, fill

    def forward(self, img: Any) -> Any:
        fill = fill_of(img, self.fill)
        F.get_dimensions(img)
        choices = wide_space(self.num_magnitude_bins)
        name, choice = list(choices.items())[draws.integer(0, len(choices))]
        strengths = choice.strengths
        magnitude = 0.0 if strengths is None else strengths[draws.integer(0, len(strengths))]
        return augmented(img, name, either_sign(choice, magnitude), self.interpolation, fill)

    def __repr__(self) -> str:
        return shown(self, f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill}")


class AugMix(Module):
    """The picture mixed with several chains of operations (Hendrycks et al., 2020), weights from Dirichlet
    distributions."""

    def __init__(self, severity: int = 3, mixture_width: int = 3, chain_depth: int = -1, alpha: float = 1.0,
                 all_ops: bool = True, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None):
        super().__init__()
        if not 1 <= severity <= BINS:
            raise ValueError(f"The severity must be between [1, {BINS}]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth, self.alpha = severity, mixture_width, chain_depth, alpha
        self.all_ops, self.interpolation, self.fill = all_ops, interpolation, fill

    def forward(self, orig_img: Any) -> Any:
        _, height, width = F.get_dimensions(orig_img)
        choices = mix_space(BINS, height, width, self.all_ops)
        fill = fill_of(orig_img, self.fill)

        def step(img: Any) -> Any:
            name, choice = list(choices.items())[draws.integer(0, len(choices))]
            magnitude = 0.0 if choice.strengths is None else choice.strengths[draws.integer(0, self.severity)]
            return augmented(img, name, either_sign(choice, magnitude), self.interpolation, fill)
        return mixed(orig_img, self.alpha, self.mixture_width, self.chain_depth, step)

    def __repr__(self) -> str:
        return shown(self, f"severity={self.severity}, mixture_width={self.mixture_width}, chain_depth={self.chain_depth}, "
                           f"alpha={self.alpha}, all_ops={self.all_ops}, interpolation={self.interpolation}, fill={self.fill}")


def mixed(original: Any, alpha: float, width: int, depth: int, step: Any, least: int = 4) -> Any:
    """A picture, or tensors (..., C, H, W), mixed with ``width`` chains of up to three steps each (or ``depth``). Each of the first of
    at least ``least`` dimensions is mixed by numbers of its own."""
    img = original if isinstance(original, Tensor) else F.pil_to_tensor(original)
    pixels = unwrap(img)
    batch = pixels.reshape((1,) * (least - pixels.ndim) + pixels.shape)
    rows, ones = batch.shape[0], (1,) * (batch.ndim - 1)
    shares = draws.dirichlet([alpha, alpha], rows)
    weights = draws.dirichlet([alpha] * width, rows) * shares[:, 1:]
    mix = shares[:, 0].reshape(rows, *ones) * batch
    for i in range(width):
        chain: Any = wrap(batch.copy())
        for _ in range(depth if depth > 0 else draws.integer(1, 4)):
            chain = step(chain)
        mix += weights[:, i].reshape(rows, *ones) * unwrap(chain)
    out = wrap(mix.reshape(pixels.shape).astype(pixels.dtype))
    return out if isinstance(original, Tensor) else F.to_pil_image(out)
