"""What the builders of detection networks do alike."""

from __future__ import annotations

from typing import Any

from rushlight import nn
from rushlight.vision.models._api import WeightsEnum
from rushlight.vision.models._utils import _ovewrite_value_param, load_weights
from rushlight.vision.models.detection._utils import overwrite_eps
from rushlight.vision.models.detection.backbone_utils import _resnet_fpn_extractor, _validate_trainable_layers
from rushlight.vision.models.resnet import resnet50
from rushlight.vision.ops.misc import FrozenBatchNorm2d

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def means(image_mean: list[float] | None, image_std: list[float] | None) -> tuple[list[float], list[float]]:
    """The given values, or ImageNet's."""
    return (list(IMAGENET_MEAN) if image_mean is None else image_mean,
            list(IMAGENET_STD) if image_std is None else image_std)


def settle(weights: WeightsEnum | None, backbone: WeightsEnum | None, num_classes: int | None,
           usual: int = 91) -> tuple[WeightsEnum | None, int, bool]:
    """Weights of the backbone, number of classes, and whether anything is trained already."""
    if weights is not None:
        return None, _ovewrite_value_param("num_classes", num_classes, len(weights.meta["categories"])), True
    return backbone, usual if num_classes is None else num_classes, backbone is not None


def resnet50_pyramid(weights: WeightsEnum | None, trained: bool, trainable: int | None, progress: bool,
                     newer: bool = False, norm_layer: Any = None, extra_blocks: Any = None, **how: Any) -> nn.Module:
    """A ResNet-50 with a pyramid: its norms are frozen where it is trained already, but not in version 2 (``newer``).

    ``extra_blocks`` makes further levels; it is called after the body has drawn its initial weights.
    """
    layers = _validate_trainable_layers(trained, trainable, 5, 3)
    norm = FrozenBatchNorm2d if trained and not newer else nn.BatchNorm2d
    body = resnet50(weights=weights, progress=progress, **({} if newer else {"norm_layer": norm}))
    extra = None if extra_blocks is None else extra_blocks()
    return _resnet_fpn_extractor(body, layers, norm_layer=norm_layer, extra_blocks=extra, **how)


def filled(model: Any, weights: WeightsEnum | None, progress: bool, without_eps: WeightsEnum | None = None) -> Any:
    """The model with its weights; those of ``without_eps`` were trained with norms whose eps was 0."""
    if weights is not None:
        load_weights(model, weights, progress)
        if weights is without_eps:
            overwrite_eps(model, 0.0)
    return model


def check_backbone(backbone: Any) -> None:
    """ValueError where a backbone does not say how many channels it gives."""
    if not hasattr(backbone, "out_channels"):
        raise ValueError("backbone should contain an attribute out_channels specifying the number of "
                         "output channels (assumed to be the same for all the levels)")


def check_kind(name: str, value: Any, kind: type) -> None:
    """TypeError where an argument is neither None nor of its class."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} should be of type {kind.__name__} or None instead of {type(value)}")
