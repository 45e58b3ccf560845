"""What the networks for pixels share: a backbone with named outputs, heads, and results at the size of the image."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum
from rushlight.vision.models._utils import IntermediateLayerGetter, _ovewrite_value_param, load_weights
from rushlight.vision.models.mobilenetv3 import MobileNetV3
from rushlight.vision.models.resnet import ResNet


def resized(x: Tensor, size: Any) -> Tensor:
    """To a height and width."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class _SimpleSegmentationModel(nn.Module):
    """Scores of every pixel from the backbone's output ``out``, in training also from ``aux``.

    Takes ``[N, 3, H, W]``; gives an ordered dict of ``[N, classes, H,
    W]`` by ``out`` and, with an auxiliary head, ``aux``.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        size = x.shape[-2:]
        features = self.backbone(x)
        result = OrderedDict(out=resized(self.classifier(features["out"]), size))
        if self.aux_classifier is not None:
            result["aux"] = resized(self.aux_classifier(features["aux"]), size)
        return result


def stages_of(backbone: MobileNetV3) -> list[int]:
    """Places of the first layer, of the blocks that halve the size and of the last layer among the features."""
    features = backbone.features
    return [0, *(i for i, block in enumerate(features) if getattr(block, "_is_cn", False)), len(features) - 1]


def resnet_backbone(backbone: ResNet, aux: bool | None) -> tuple[IntermediateLayerGetter, int, int]:
    """The last stage as ``out``, the one before as ``aux``; and their channels."""
    layers = {"layer4": "out", **({"layer3": "aux"} if aux else {})}
    return IntermediateLayerGetter(backbone, return_layers=layers), 2048, 1024


def mobilenet_backbone(backbone: MobileNetV3, aux: bool | None) -> tuple[IntermediateLayerGetter, int, int]:
    """The last layer as ``out``, three stages before it ``aux``; and their channels."""
    places = stages_of(backbone)
    last, middle = places[-1], places[-4]
    layers = {str(last): "out", **({str(middle): "aux"} if aux else {})}
    features = backbone.features
    return IntermediateLayerGetter(features,
                                   return_layers=layers), features[last].out_channels, features[middle].out_channels


def settle(weights: WeightsEnum | None, backbone: WeightsEnum | None, num_classes: int | None,
           aux_loss: bool | None) -> tuple[WeightsEnum | None, int, bool | None]:
    """Weights of the backbone, number of classes and whether there is an auxiliary head, given what the caller said."""
    if weights is None:
        return backbone, 21 if num_classes is None else num_classes, aux_loss
    return (None, _ovewrite_value_param("num_classes", num_classes, len(weights.meta["categories"])),
            _ovewrite_value_param("aux_loss", aux_loss, True))


def filled(model: Any, weights: WeightsEnum | None, progress: bool) -> Any:
    """The model, with the weights where there are any."""
    if weights is not None:
        load_weights(model, weights, progress)
    return model
