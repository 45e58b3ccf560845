"""Mask R-CNN (arXiv 1703.06870)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rushlight import nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import fan_out_normal, handle_legacy_interface
from rushlight.vision.models.detection._settings import check_kind, filled, resnet50_pyramid, settle
from rushlight.vision.models.detection.faster_rcnn import LEVELS, FasterRCNN, second_version
from rushlight.vision.models.resnet import ResNet50_Weights
from rushlight.vision.ops import MultiScaleRoIAlign
from rushlight.vision.ops.misc import Conv2dNormActivation

__all__ = ["MaskRCNN", "MaskRCNN_ResNet50_FPN_Weights", "MaskRCNN_ResNet50_FPN_V2_Weights", "maskrcnn_resnet50_fpn",
           "maskrcnn_resnet50_fpn_v2"]


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask ``[N, 1, H, W]`` for every detection; targets have ``masks`` ``[N, H, W]``.

    Args:
        mask_roi_pool, mask_head, mask_predictor: read regions, describe them, and give a mask for each class.
        args, kwargs: as of FasterRCNN.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, *args: Any,
                 mask_roi_pool: MultiScaleRoIAlign | None = None, mask_head: nn.Module | None = None,
                 mask_predictor: nn.Module | None = None, **kwargs: Any):
        check_kind("mask_roi_pool", mask_roi_pool, MultiScaleRoIAlign)
        if num_classes is not None and mask_predictor is not None:
            raise ValueError("num_classes should be None when mask_predictor is specified")
        pool = mask_roi_pool or MultiScaleRoIAlign(featmap_names=LEVELS, output_size=14, sampling_ratio=2)
        head = mask_head or MaskRCNNHeads(backbone.out_channels, (256, 256, 256, 256), 1)
        predictor = mask_predictor or MaskRCNNPredictor(256, 256, num_classes)
        super().__init__(backbone, num_classes, *args, **kwargs)
        self.roi_heads.mask_roi_pool = pool
        self.roi_heads.mask_head = head
        self.roi_heads.mask_predictor = predictor


class MaskRCNNHeads(nn.Sequential):
    """3 × 3 convolutions on each region."""

    _version = 2

    def __init__(self, in_channels: int, layers: Any, dilation: int,
                 norm_layer: Callable[..., nn.Module] | None = None):
        widths = [in_channels, *layers]
        super().__init__(*(Conv2dNormActivation(before, after, kernel_size=3, stride=1, padding=dilation,
                                                dilation=dilation, norm_layer=norm_layer)
                           for before, after in zip(widths, widths[1:])))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out_normal(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if local_metadata.get("version", None) in (None, 1):  # the convolutions had names of their own
            for i in range(len(self)):
                for kind in ("weight", "bias"):
                    if f"{prefix}mask_fcn{i + 1}.{kind}" in state_dict:
                        state_dict[f"{prefix}{i}.0.{kind}"] = state_dict.pop(f"{prefix}mask_fcn{i + 1}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class MaskRCNNPredictor(nn.Sequential):
    """Twice the size, then a mask for every class."""

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int):
        super().__init__(OrderedDict(conv5_mask=nn.ConvTranspose2d(in_channels, dim_reduced, 2, 2, 0),
                                     relu=nn.ReLU(inplace=True),
                                     mask_fcn_logits=nn.Conv2d(dim_reduced, num_classes, 1, 1, 0)))
        for name, parameter in self.named_parameters():
            if "weight" in name:
                fan_out_normal(parameter)


MaskRCNN_ResNet50_FPN_Weights = weights_enum("MaskRCNN_ResNet50_FPN_Weights", __name__)
MaskRCNN_ResNet50_FPN_V2_Weights = weights_enum("MaskRCNN_ResNet50_FPN_V2_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def maskrcnn_resnet50_fpn(*, weights: MaskRCNN_ResNet50_FPN_Weights | None = None, progress: bool = True,
                          num_classes: int | None = None,
                          weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                          trainable_backbone_layers: int | None = None, **kwargs: Any) -> MaskRCNN:
    """Mask R-CNN on a ResNet-50 with a feature pyramid; arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = MaskRCNN_ResNet50_FPN_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress)
    return filled(MaskRCNN(backbone, num_classes=classes, **kwargs), weights, progress,
                  MaskRCNN_ResNet50_FPN_Weights.COCO_V1)


@register_model()
@handle_legacy_interface(weights=("pretrained", MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def maskrcnn_resnet50_fpn_v2(*, weights: MaskRCNN_ResNet50_FPN_V2_Weights | None = None, progress: bool = True,
                             num_classes: int | None = None, weights_backbone: ResNet50_Weights | None = None,
                             trainable_backbone_layers: int | None = None, **kwargs: Any) -> MaskRCNN:
    """Mask R-CNN with larger heads and norms in the pyramid (arXiv 2111.11429);
    arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = MaskRCNN_ResNet50_FPN_V2_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress, newer=True,
                                norm_layer=nn.BatchNorm2d)
    heads = second_version(backbone)
    mask_head = MaskRCNNHeads(backbone.out_channels, [256] * 4, 1, norm_layer=nn.BatchNorm2d)
    return filled(MaskRCNN(backbone, num_classes=classes, mask_head=mask_head, **heads, **kwargs), weights, progress)
