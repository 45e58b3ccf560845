"""Smaller networks: channels removed, knowledge distilled, numbers stored in fewer bits (int8:
`rushlight.ao.quantization`)."""

from __future__ import annotations

from rushlight.compress.channels import ChannelGroup, channel_groups
from rushlight.compress.cost import Cost, cost, saved_bytes
from rushlight.compress.distillation import FeatureMatching, distill, distillation_loss
from rushlight.compress.half import half_copy
from rushlight.compress.pruning import PruneReport, prune_channels

__all__ = ["ChannelGroup", "Cost", "FeatureMatching", "PruneReport", "channel_groups", "cost", "distill",
           "distillation_loss", "half_copy", "prune_channels",
           "saved_bytes"]
