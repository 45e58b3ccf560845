"""Backbones of detection networks: a classification network's layers, some of them frozen, with a feature pyramid."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models import mobilenet, resnet
from rushlight.vision.models._api import get_model_weights
from rushlight.vision.models._utils import IntermediateLayerGetter, handle_legacy_interface
from rushlight.vision.models.segmentation._utils import stages_of
from rushlight.vision.ops.feature_pyramid_network import ExtraFPNBlock, FeaturePyramidNetwork, LastLevelMaxPool
from rushlight.vision.ops.misc import FrozenBatchNorm2d

Layer = Callable[..., nn.Module]
WIDTH = 256  # channels of every level


class BackboneWithFPN(nn.Module):
    """The named layers of a network as a feature pyramid; ``out_channels`` are the channels of every level.

    Args:
        return_layers: names of layers and of the results.
        in_channels_list: channels of these layers.
        extra_blocks: coarser levels; LastLevelMaxPool where not said.
    """

    def __init__(self, backbone: nn.Module, return_layers: dict[str, str], in_channels_list: list[int],
                 out_channels: int, extra_blocks: ExtraFPNBlock | None = None, norm_layer: Layer | None = None) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers=return_layers)
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels,
                                         LastLevelMaxPool() if extra_blocks is None else extra_blocks, norm_layer)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))


def _first_weights(kwargs: dict[str, Any]) -> Any:
    return get_model_weights(kwargs["backbone_name"])["IMAGENET1K_V1"]


@handle_legacy_interface(weights=("pretrained", _first_weights))
def resnet_fpn_backbone(*, backbone_name: str, weights: Any, norm_layer: Layer = FrozenBatchNorm2d,
                        trainable_layers: int = 3, returned_layers: list[int] | None = None,
                        extra_blocks: ExtraFPNBlock | None = None) -> BackboneWithFPN:
    """A ResNet by name with a feature pyramid.

    Args:
        weights: of the ResNet, or None.
        trainable_layers: how many of its five parts, from the last, are trained.
        returned_layers: which of its four stages make the pyramid.
    """
    backbone = getattr(resnet, backbone_name)(weights=weights, norm_layer=norm_layer)
    return _resnet_fpn_extractor(backbone, trainable_layers, returned_layers, extra_blocks)


def _resnet_fpn_extractor(backbone: Any, trainable_layers: int, returned_layers: list[int] | None = None,
                          extra_blocks: ExtraFPNBlock | None = None,
                          norm_layer: Layer | None = None) -> BackboneWithFPN:
    if not 0 <= trainable_layers <= 5:
        raise ValueError(f"Trainable layers should be in the range [0,5], got {trainable_layers}")
    trained = ("layer4", "layer3", "layer2", "layer1", "conv1",
               "bn1")[:6 if trainable_layers == 5 else trainable_layers]
    for name, parameter in backbone.named_parameters():
        if not name.startswith(trained):
            parameter.requires_grad_(False)
    stages = [1, 2, 3, 4] if returned_layers is None else returned_layers
    if min(stages) <= 0 or max(stages) >= 5:
        raise ValueError(f"Each returned layer should be in the range [1,4]. Got {returned_layers}")
    first = backbone.inplanes // 8
    return BackboneWithFPN(backbone, {f"layer{stage}": str(i) for i, stage in enumerate(stages)},
                           [first << (stage - 1) for stage in stages], WIDTH, extra_blocks, norm_layer)


def _validate_trainable_layers(is_trained: bool, trainable_backbone_layers: int | None, max_value: int,
                               default_value: int) -> int:
    """How many layers are trained: all of them where there are no weights."""
    if not is_trained:
        if trainable_backbone_layers is not None:
            warnings.warn("Changing trainable_backbone_layers has no effect if neither "
                          "pretrained nor pretrained_backbone have been set to True, "
                          f"falling back to trainable_backbone_layers={max_value} so that all layers are trainable")
        return max_value
    count = default_value if trainable_backbone_layers is None else trainable_backbone_layers
    if not 0 <= count <= max_value:
        raise ValueError(f"Trainable layers should be in the range [0,{max_value}], got {count} ")
    return count


@handle_legacy_interface(weights=("pretrained", _first_weights))
def mobilenet_backbone(*, backbone_name: str, weights: Any, fpn: bool, norm_layer: Layer = FrozenBatchNorm2d,
                       trainable_layers: int = 2, returned_layers: list[int] | None = None,
                       extra_blocks: ExtraFPNBlock | None = None) -> nn.Module:
    """A MobileNet by name, with a feature pyramid where ``fpn``; else its last layer, brought to 256 channels."""
    backbone = getattr(mobilenet, backbone_name)(weights=weights, norm_layer=norm_layer)
    return _mobilenet_extractor(backbone, fpn, trainable_layers, returned_layers, extra_blocks)


def frozen_features(backbone: Any, trainable_layers: int) -> tuple[nn.Sequential, list[int]]:
    """The features of a MobileNet with all but the last stages frozen, and where its stages begin."""
    features, stages = backbone.features, stages_of(backbone)
    if not 0 <= trainable_layers <= len(stages):
        raise ValueError(f"Trainable layers should be in the range [0,{len(stages)}], got {trainable_layers} ")
    frozen = len(features) if trainable_layers == 0 else stages[len(stages) - trainable_layers]
    for block in features[:frozen]:
        for parameter in block.parameters():
            parameter.requires_grad_(False)
    return features, stages


def _mobilenet_extractor(backbone: Any, fpn: bool, trainable_layers: int, returned_layers: list[int] | None = None,
                         extra_blocks: ExtraFPNBlock | None = None, norm_layer: Layer | None = None) -> nn.Module:
    features, stages = frozen_features(backbone, trainable_layers)
    if not fpn:
        last = nn.Sequential(features, nn.Conv2d(features[-1].out_channels, WIDTH, 1))
        last.out_channels = WIDTH
        return last
    chosen = [len(stages) - 2, len(stages) - 1] if returned_layers is None else returned_layers
    if min(chosen) < 0 or max(chosen) >= len(stages):
        raise ValueError(f"Each returned layer should be in the range [0,{len(stages) - 1}], got {returned_layers} ")
    return BackboneWithFPN(features, {str(stages[k]): str(i) for i, k in enumerate(chosen)},
                           [features[stages[k]].out_channels for k in chosen], WIDTH, extra_blocks, norm_layer)
