"""Keypoint R-CNN: Mask R-CNN's way to find keypoints of people (arXiv 1703.06870)."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import _ovewrite_value_param, fan_out_normal, handle_legacy_interface
from rushlight.vision.models.detection._settings import check_kind, filled, resnet50_pyramid, settle
from rushlight.vision.models.detection.faster_rcnn import LEVELS, FasterRCNN
from rushlight.vision.models.resnet import ResNet50_Weights
from rushlight.vision.ops import MultiScaleRoIAlign

__all__ = ["KeypointRCNN", "KeypointRCNN_ResNet50_FPN_Weights", "keypointrcnn_resnet50_fpn"]

SIZES = (640, 672, 704, 736, 768, 800)


class KeypointRCNN(FasterRCNN):
    """Faster R-CNN with keypoints ``[N, K, 3]`` (x, y, visibility) for every detection; targets have ``keypoints``.

    Args:
        min_size: lengths of the shorter side, one of which is drawn in training; 640 to 800 where not said.
        keypoint_roi_pool, keypoint_head, keypoint_predictor: read regions, describe them,
            and give a map for each keypoint.
        num_keypoints: 17 where not said; None where ``keypoint_predictor`` is given.
        args, kwargs: as of FasterRCNN.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, min_size: Any = None, *args: Any,
                 keypoint_roi_pool: MultiScaleRoIAlign | None = None, keypoint_head: nn.Module | None = None,
                 keypoint_predictor: nn.Module | None = None, num_keypoints: int | None = None, **kwargs: Any):
        check_kind("keypoint_roi_pool", keypoint_roi_pool, MultiScaleRoIAlign)
        if num_keypoints is not None and keypoint_predictor is not None:
            raise ValueError("num_keypoints should be None when keypoint_predictor is specified")
        pool = keypoint_roi_pool or MultiScaleRoIAlign(featmap_names=LEVELS, output_size=14, sampling_ratio=2)
        head = keypoint_head or KeypointRCNNHeads(backbone.out_channels, (512,) * 8)
        predictor = keypoint_predictor or KeypointRCNNPredictor(512, 17 if num_keypoints is None else num_keypoints)
        super().__init__(backbone, num_classes, SIZES if min_size is None else min_size, *args, **kwargs)
        self.roi_heads.keypoint_roi_pool = pool
        self.roi_heads.keypoint_head = head
        self.roi_heads.keypoint_predictor = predictor


class KeypointRCNNHeads(nn.Sequential):
    """3 × 3 convolutions on each region."""

    def __init__(self, in_channels: int, layers: Any):
        widths = [in_channels, *layers]
        blocks: list[nn.Module] = []
        for before, after in zip(widths, widths[1:]):
            blocks += [nn.Conv2d(before, after, 3, stride=1, padding=1), nn.ReLU(inplace=True)]
        super().__init__(*blocks)
        for module in self:
            if isinstance(module, nn.Conv2d):
                fan_out_normal(module.weight)
                nn.init.zeros_(module.bias)


class KeypointRCNNPredictor(nn.Module):
    """Four times the size, a map for every keypoint."""

    def __init__(self, in_channels: int, num_keypoints: int):
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(in_channels, num_keypoints, 4, stride=2, padding=1)
        fan_out_normal(self.kps_score_lowres.weight)
        nn.init.zeros_(self.kps_score_lowres.bias)
        self.up_scale = 2
        self.out_channels = num_keypoints

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.kps_score_lowres(x), scale_factor=float(self.up_scale), mode="bilinear",
                             align_corners=False, recompute_scale_factor=False)


KeypointRCNN_ResNet50_FPN_Weights = weights_enum("KeypointRCNN_ResNet50_FPN_Weights", __name__)


def _pretrained(kwargs: dict[str, Any]) -> Any:
    """The weights that ``pretrained`` meant: "legacy" the first ones."""
    return KeypointRCNN_ResNet50_FPN_Weights["COCO_LEGACY" if kwargs["pretrained"] == "legacy" else "COCO_V1"]


@register_model()
@handle_legacy_interface(weights=("pretrained", _pretrained),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def keypointrcnn_resnet50_fpn(*, weights: KeypointRCNN_ResNet50_FPN_Weights | None = None, progress: bool = True,
                              num_classes: int | None = None, num_keypoints: int | None = None,
                              weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                              trainable_backbone_layers: int | None = None, **kwargs: Any) -> KeypointRCNN:
    """Keypoint R-CNN on a ResNet-50 with a feature pyramid; 2 classes and 17 keypoints where not said.

    Other arguments as of fasterrcnn_resnet50_fpn.
    """
    weights, body = KeypointRCNN_ResNet50_FPN_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes, usual=2)
    if weights is not None:
        num_keypoints = _ovewrite_value_param("num_keypoints", num_keypoints, len(weights.meta["keypoint_names"]))
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress)
    model = KeypointRCNN(backbone, classes, num_keypoints=17 if num_keypoints is None else num_keypoints, **kwargs)
    return filled(model, weights, progress, KeypointRCNN_ResNet50_FPN_Weights.COCO_V1)
