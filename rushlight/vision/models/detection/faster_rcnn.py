"""Faster R-CNN (arXiv 1506.01497)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum, register_model, weights_enum
from rushlight.vision.models._utils import fan_out_normal, handle_legacy_interface
from rushlight.vision.models.detection._settings import (check_backbone, check_kind,
                                                         filled, means, resnet50_pyramid, settle)
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator
from rushlight.vision.models.detection.backbone_utils import _mobilenet_extractor, _validate_trainable_layers
from rushlight.vision.models.detection.generalized_rcnn import GeneralizedRCNN
from rushlight.vision.models.detection.roi_heads import RoIHeads
from rushlight.vision.models.detection.rpn import RegionProposalNetwork, RPNHead
from rushlight.vision.models.detection.transform import GeneralizedRCNNTransform
from rushlight.vision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large
from rushlight.vision.models.resnet import ResNet50_Weights
from rushlight.vision.ops import MultiScaleRoIAlign
from rushlight.vision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d

__all__ = ["FasterRCNN", "FasterRCNN_ResNet50_FPN_Weights", "FasterRCNN_ResNet50_FPN_V2_Weights",
           "FasterRCNN_MobileNet_V3_Large_FPN_Weights", "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights",
           "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
           "fasterrcnn_mobilenet_v3_large_320_fpn"]

LEVELS = ["0", "1", "2", "3"]
REPRESENTATION = 1024  # width of the layers that describe a region


def _default_anchorgen() -> AnchorGenerator:
    return AnchorGenerator(tuple((side,) for side in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5)


class FasterRCNN(GeneralizedRCNN):
    """Proposes regions and classifies them; see ``forward`` for what goes in and comes out.

    Args:
        backbone: gives feature maps of ``out_channels`` channels.
        num_classes: with the background; None where ``box_predictor`` is given.
        min_size, max_size, image_mean, image_std: how images are resized and normalized;
            further keyword arguments go to GeneralizedRCNNTransform.
        rpn_…: of the region proposal network; box_…: of the heads.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, min_size: int | tuple[int, ...] = 800,
                 max_size: int = 1333, image_mean: list[float] | None = None, image_std: list[float] | None = None,
                 rpn_anchor_generator: AnchorGenerator | None = None, rpn_head: nn.Module | None = None,
                 rpn_pre_nms_top_n_train: int = 2000, rpn_pre_nms_top_n_test: int = 1000,
                 rpn_post_nms_top_n_train: int = 2000, rpn_post_nms_top_n_test: int = 1000, rpn_nms_thresh: float = 0.7,
                 rpn_fg_iou_thresh: float = 0.7, rpn_bg_iou_thresh: float = 0.3, rpn_batch_size_per_image: int = 256,
                 rpn_positive_fraction: float = 0.5, rpn_score_thresh: float = 0.0,
                 box_roi_pool: MultiScaleRoIAlign | None = None, box_head: nn.Module | None = None,
                 box_predictor: nn.Module | None = None, box_score_thresh: float = 0.05, box_nms_thresh: float = 0.5,
                 box_detections_per_img: int = 100, box_fg_iou_thresh: float = 0.5, box_bg_iou_thresh: float = 0.5,
                 box_batch_size_per_image: int = 512, box_positive_fraction: float = 0.25,
                 bbox_reg_weights: Any = None, **kwargs: Any):
        check_backbone(backbone)
        check_kind("rpn_anchor_generator", rpn_anchor_generator, AnchorGenerator)
        check_kind("box_roi_pool", box_roi_pool, MultiScaleRoIAlign)
        if num_classes is not None and box_predictor is not None:
            raise ValueError("num_classes should be None when box_predictor is specified")
        if num_classes is None and box_predictor is None:
            raise ValueError("num_classes should not be None when box_predictor is not specified")
        width = backbone.out_channels
        anchors = rpn_anchor_generator or _default_anchorgen()
        rpn = RegionProposalNetwork(
            anchors, rpn_head or RPNHead(width, anchors.num_anchors_per_location()[0]), rpn_fg_iou_thresh,
            rpn_bg_iou_thresh, rpn_batch_size_per_image, rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test}, rpn_nms_thresh,
            score_thresh=rpn_score_thresh)
        box_roi_pool = box_roi_pool or MultiScaleRoIAlign(featmap_names=LEVELS, output_size=7, sampling_ratio=2)
        if box_head is None:
            box_head = TwoMLPHead(width * box_roi_pool.output_size[0] ** 2, REPRESENTATION)
        if box_predictor is None:
            box_predictor = FastRCNNPredictor(REPRESENTATION, num_classes)
        heads = RoIHeads(box_roi_pool, box_head, box_predictor, box_fg_iou_thresh, box_bg_iou_thresh,
                         box_batch_size_per_image, box_positive_fraction, bbox_reg_weights, box_score_thresh,
                         box_nms_thresh, box_detections_per_img)
        super().__init__(backbone, rpn, heads,
                         GeneralizedRCNNTransform(min_size, max_size, *means(image_mean, image_std), **kwargs))


class TwoMLPHead(nn.Module):
    """Two linear layers on each region."""

    def __init__(self, in_channels: int, representation_size: int):
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(start_dim=1)))))


class FastRCNNConvFCHead(nn.Sequential):
    """Convolutions, then linear layers, on each region of ``input_size`` (channels, height, width)."""

    def __init__(self, input_size: tuple[int, int, int], conv_layers: list[int], fc_layers: list[int],
                 norm_layer: Callable[..., nn.Module] | None = None):
        before, height, width = input_size
        blocks: list[nn.Module] = []
        for after in conv_layers:
            blocks.append(Conv2dNormActivation(before, after, norm_layer=norm_layer))
            before = after
        blocks.append(nn.Flatten())
        before *= height * width
        for after in fc_layers:
            blocks += [nn.Linear(before, after), nn.ReLU(inplace=True)]
            before = after
        super().__init__(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out_normal(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class FastRCNNPredictor(nn.Module):
    """Scores of the classes and codes of a box for each, of each region.

    >>> FastRCNNPredictor(8, 3).bbox_pred.out_features
    12
    """

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.dim() == 4 and list(x.shape[2:]) != [1, 1]:
            raise AssertionError("x has the wrong shape, "
                                 f"expecting the last two dimensions to be [1,1] instead of {list(x.shape[2:])}")
        x = x.flatten(start_dim=1)
        return self.cls_score(x), self.bbox_pred(x)


FasterRCNN_ResNet50_FPN_Weights = weights_enum("FasterRCNN_ResNet50_FPN_Weights", __name__)
FasterRCNN_ResNet50_FPN_V2_Weights = weights_enum("FasterRCNN_ResNet50_FPN_V2_Weights", __name__)
FasterRCNN_MobileNet_V3_Large_FPN_Weights = weights_enum("FasterRCNN_MobileNet_V3_Large_FPN_Weights", __name__)
FasterRCNN_MobileNet_V3_Large_320_FPN_Weights = weights_enum("FasterRCNN_MobileNet_V3_Large_320_FPN_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", FasterRCNN_ResNet50_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def fasterrcnn_resnet50_fpn(*, weights: FasterRCNN_ResNet50_FPN_Weights | None = None, progress: bool = True,
                            num_classes: int | None = None,
                            weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                            trainable_backbone_layers: int | None = None, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a ResNet-50 with a feature pyramid; 91 classes where not said.

    Args:
        weights: of the whole; or else ``weights_backbone``.
        trainable_backbone_layers: how many of the backbone's five parts are trained, 3 where there are weights.
        kwargs: further arguments of FasterRCNN.
    """
    weights, body = FasterRCNN_ResNet50_FPN_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress)
    return filled(FasterRCNN(backbone, num_classes=classes, **kwargs), weights, progress,
                  FasterRCNN_ResNet50_FPN_Weights.COCO_V1)


def second_version(backbone: Any) -> dict[str, nn.Module]:
    """Anchors, head of proposals and head of regions in version 2 (arXiv 2111.11429)."""
    anchors = _default_anchorgen()
    return {"rpn_anchor_generator": anchors,
            "rpn_head": RPNHead(backbone.out_channels, anchors.num_anchors_per_location()[0], conv_depth=2),
            "box_head": FastRCNNConvFCHead((backbone.out_channels, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d)}


@register_model()
@handle_legacy_interface(weights=("pretrained", FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def fasterrcnn_resnet50_fpn_v2(*, weights: FasterRCNN_ResNet50_FPN_V2_Weights | None = None, progress: bool = True,
                               num_classes: int | None = None, weights_backbone: ResNet50_Weights | None = None,
                               trainable_backbone_layers: int | None = None, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN with larger heads and norms in the pyramid (arXiv 2111.11429);
    arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = FasterRCNN_ResNet50_FPN_V2_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress, newer=True,
                                norm_layer=nn.BatchNorm2d)
    return filled(FasterRCNN(backbone, num_classes=classes, **second_version(backbone), **kwargs), weights, progress)


def _fasterrcnn_mobilenet_v3_large_fpn(weights: WeightsEnum | None, progress: bool, num_classes: int | None,
                                       weights_backbone: WeightsEnum | None, trainable_backbone_layers: int | None,
                                       **kwargs: Any) -> FasterRCNN:
    body, classes, trained = settle(weights, weights_backbone, num_classes)
    layers = _validate_trainable_layers(trained, trainable_backbone_layers, 6, 3)
    backbone = mobilenet_v3_large(weights=body, progress=progress,
                                  norm_layer=FrozenBatchNorm2d if trained else nn.BatchNorm2d)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    model = FasterRCNN(_mobilenet_extractor(backbone, True, layers), classes, rpn_anchor_generator=anchors, **kwargs)
    return filled(model, weights, progress)


@register_model()
@handle_legacy_interface(weights=("pretrained", FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", MobileNet_V3_Large_Weights.IMAGENET1K_V1))
def fasterrcnn_mobilenet_v3_large_320_fpn(
        *, weights: FasterRCNN_MobileNet_V3_Large_320_FPN_Weights | None = None, progress: bool = True,
        num_classes: int | None = None,
        weights_backbone: MobileNet_V3_Large_Weights | None = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        trainable_backbone_layers: int | None = None, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a MobileNet v3 for images of 320 pixels;
    arguments as of fasterrcnn_resnet50_fpn, with six parts."""
    weights = FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.verify(weights)
    usual = {"min_size": 320, "max_size": 640, "rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150,
             "rpn_score_thresh": 0.05}
    return _fasterrcnn_mobilenet_v3_large_fpn(weights, progress, num_classes,
                                              MobileNet_V3_Large_Weights.verify(weights_backbone),
                                              trainable_backbone_layers, **{**usual, **kwargs})


@register_model()
@handle_legacy_interface(weights=("pretrained", FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", MobileNet_V3_Large_Weights.IMAGENET1K_V1))
def fasterrcnn_mobilenet_v3_large_fpn(
        *, weights: FasterRCNN_MobileNet_V3_Large_FPN_Weights | None = None, progress: bool = True,
        num_classes: int | None = None,
        weights_backbone: MobileNet_V3_Large_Weights | None = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        trainable_backbone_layers: int | None = None, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a MobileNet v3; arguments as of fasterrcnn_resnet50_fpn, with six parts of the backbone."""
    weights = FasterRCNN_MobileNet_V3_Large_FPN_Weights.verify(weights)
    return _fasterrcnn_mobilenet_v3_large_fpn(weights, progress, num_classes,
                                              MobileNet_V3_Large_Weights.verify(weights_backbone),
                                              trainable_backbone_layers, **{"rpn_score_thresh": 0.05, **kwargs})
