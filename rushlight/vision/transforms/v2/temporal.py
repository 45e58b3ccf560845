"""Transforms v2 of time: frames of videos."""

from __future__ import annotations

from typing import Any

from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor
from rushlight.vision.transforms.v2.transform import Transform
from rushlight.vision.tv_tensors.pictures import Video


class UniformTemporalSubsample(Transform):
    """So many frames of a video (..., T, C, H, W), evenly from the first to the last."""

    def __init__(self, num_samples: int):
        super().__init__()
        self.num_samples = num_samples

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.uniform_temporal_subsample(inpt, self.num_samples) if is_pure_tensor(inpt) or isinstance(inpt, Video) else inpt
