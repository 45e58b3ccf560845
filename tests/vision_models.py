"""Both libraries' models side by side: built without drawing weights, compared, filled with the same numbers."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight.vision import models

# Arguments that both need so that nothing is downloaded and nothing warned of
QUIET: dict[str, dict[str, Any]] = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}


def arguments(name: str) -> dict[str, Any]:
    """What a builder is called with."""
    fixed = dict(QUIET.get(name.removeprefix("quantized_"), {}))
    if any(f".{package}." in models.get_model_builder(name).__module__ for package in ("detection", "segmentation")):
        fixed["weights_backbone"] = None
    return fixed


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within, new tensors of both libraries are not filled with random numbers:
    memory that nobody touches costs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for library in (rl, torch):
            for name in ("uniform_", "normal_"):
                patch.setattr(library.Tensor, name, lambda self, *args, **kwargs: self)
            patch.setattr(library.nn.init, "trunc_normal_", lambda tensor, *args, **kwargs: tensor)
        yield


def pair(name: str, drawn: bool = False, **kwargs: Any) -> tuple[Any, Any]:
    """The model of both libraries, in eval mode; ``drawn``: with initial weights."""
    both = {**arguments(name), **kwargs}
    with contextlib.nullcontext() if drawn else undrawn(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return models.get_model(name, **both).eval(), torchvision.models.get_model(name, **both).eval()


def described(tensors: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """Names, shapes and types."""
    return [(name, tuple(t.shape), str(t.dtype)) for name, t in tensors]


def fill(model: Any, seed: int = 0) -> None:
    """Numbers that keep activations of any depth moderate: weights by fan-in,
    variances near 1; the same for the same names."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.dtype.is_floating_point or name.endswith(("relative_coords_table",)):
                continue
            shape = tuple(value.shape)
            fan = max(int(np.prod(shape[1:])), 1)
            draw = rng.standard_normal(shape, dtype=np.float32)
            if len(shape) > 1:
                numbers = draw * np.float32(np.sqrt(1.0 / fan))
            elif name.endswith("running_var") or name.endswith("weight"):
                numbers = 1 + 0.1 * np.abs(draw)
            else:
                numbers = 0.1 * draw
            value.copy_(torch.from_numpy(numbers.astype(np.float32)))


def as_file(state: Any) -> io.BytesIO:
    """What ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file
