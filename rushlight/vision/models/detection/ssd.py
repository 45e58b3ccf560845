"""SSD (arXiv 1512.02325)."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._arrays import array, best, clipped, settled
from rushlight.vision.models.detection._settings import filled, means, settle
from rushlight.vision.models.detection.anchor_utils import DefaultBoxGenerator
from rushlight.vision.models.detection.backbone_utils import _validate_trainable_layers
from rushlight.vision.models.detection.generalized_rcnn import Detector
from rushlight.vision.models.detection.transform import GeneralizedRCNNTransform
from rushlight.vision.models.vgg import VGG, VGG16_Weights, vgg16
from rushlight.vision.ops.boxes import box_iou

__all__ = ["SSD300_VGG16_Weights", "ssd300_vgg16"]

FIXED_SIZE = "The size of the model is already fixed; ignoring the parameter."


def _xavier_init(conv: nn.Module) -> None:
    for module in conv.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class SSDScoringHead(nn.Module):
    """A convolution of its own for every level; all levels in one tensor ``[N, anchors, columns]``."""

    def __init__(self, module_list: nn.ModuleList, num_columns: int):
        super().__init__()
        self.module_list = module_list
        self.num_columns = num_columns

    def forward(self, x: list[Tensor]) -> Tensor:
        return rl.cat([det_utils.flattened(module(level), self.num_columns)
                       for module, level in zip(self.module_list, x)], dim=1)


def _convolutions(in_channels: list[int], num_anchors: list[int], columns: int) -> nn.ModuleList:
    layers = nn.ModuleList(nn.Conv2d(channels, columns * anchors, kernel_size=3, padding=1)
                           for channels, anchors in zip(in_channels, num_anchors))
    _xavier_init(layers)
    return layers


class SSDClassificationHead(SSDScoringHead):
    """Scores of the classes."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int):
        super().__init__(_convolutions(in_channels, num_anchors, num_classes), num_classes)


class SSDRegressionHead(SSDScoringHead):
    """Codes of the boxes."""

    def __init__(self, in_channels: list[int], num_anchors: list[int]):
        super().__init__(_convolutions(in_channels, num_anchors, 4), 4)


class SSDHead(nn.Module):
    """Classes and boxes of every default box."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int):
        super().__init__()
        self.classification_head = SSDClassificationHead(in_channels, num_anchors, num_classes)
        self.regression_head = SSDRegressionHead(in_channels, num_anchors)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


class SSD(Detector):
    """Classifies every default box; see ``forward`` for what goes in and comes out.

    Args:
        backbone: gives feature maps; ``out_channels`` lists their channels, or they are found by trying.
        anchor_generator: one entry per feature map.
        size: (width, height) that images are resized to.
        num_classes: with the background.
        iou_thresh: of matching; positive_fraction: of the boxes that the loss of the classes is taken of.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: which detections are left.
    """

    def __init__(self, backbone: nn.Module, anchor_generator: DefaultBoxGenerator, size: tuple[int, int],
                 num_classes: int, image_mean: list[float] | None = None, image_std: list[float] | None = None,
                 head: nn.Module | None = None, score_thresh: float = 0.01, nms_thresh: float = 0.45,
                 detections_per_img: int = 200, iou_thresh: float = 0.5, topk_candidates: int = 400,
                 positive_fraction: float = 0.25, **kwargs: Any):
        super().__init__()
        self.backbone = backbone
        self.anchor_generator = anchor_generator
        self.box_coder = det_utils.BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
        if head is None:
            channels = (backbone.out_channels if hasattr(backbone, "out_channels") else
                        det_utils.retrieve_out_channels(backbone, size))
            check_levels(channels, anchor_generator)
            head = SSDHead(channels, anchor_generator.num_anchors_per_location(), num_classes)
        self.head = head
        self.proposal_matcher = det_utils.SSDMatcher(iou_thresh)
        self.transform = GeneralizedRCNNTransform(min(size), max(size), *means(image_mean, image_std), size_divisible=1,
                                                  fixed_size=size, **kwargs)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self.neg_to_pos_ratio = (1.0 - positive_fraction) / positive_fraction

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor], anchors: list[Tensor],
                     matched_idxs: list[Tensor]) -> dict[str, Tensor]:
        """Smooth L1 loss of positive boxes; cross entropy of them and of the negative
        ones that are judged worst; per positive box."""
        logits = head_outputs["cls_logits"]
        box_losses, labels = [], np.zeros(logits.shape[:2], dtype=np.int64)
        positives = 0
        for i, (target, codes, boxes,
                matches) in enumerate(zip(targets, head_outputs["bbox_regression"], anchors, matched_idxs)):
            positive = rl.where(matches >= 0)[0]
            places = matches[positive]
            goal = self.box_coder.encode_single(target["boxes"][places], boxes[positive])
            box_losses.append(F.smooth_l1_loss(codes[positive], goal, reduction="sum"))
            labels[i, array(positive)] = array(target["labels"][places])
            positives += len(places)
        classes = rl.from_numpy(labels.reshape(-1))
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), classes, reduction="none").view(labels.shape)
        weight = rl.from_numpy(self._counted(array(loss), labels > 0).astype(np.float32))
        count = max(1, positives)
        return {"bbox_regression": rl.stack(box_losses).sum() / count, "classification": (loss * weight).sum() / count}

    def _counted(self, loss: np.ndarray, positive: np.ndarray) -> np.ndarray:
        """The positive boxes, and of the negative ones those with the largest losses, in proportion."""
        wanted = self.neg_to_pos_ratio * positive.sum(1, keepdims=True)
        order = np.argsort(-np.where(positive, -np.inf, loss), axis=1, kind="stable")
        return positive | (np.argsort(order, axis=1, kind="stable") < wanted)

    def detect(self, images: Any, features: dict[str, Tensor],
               targets: Any) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        maps = list(features.values())
        outputs = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        if not self.training:
            return {}, self.postprocess_detections(outputs, anchors, images.image_sizes)
        matched = [det_utils.matched_or_none(self.proposal_matcher, box_iou, target, boxes)
                   for boxes, target in zip(anchors, targets)]
        return self.compute_loss(targets, outputs, anchors, matched), []

    def postprocess_detections(self, head_outputs: dict[str, Tensor], image_anchors: list[Tensor],
                               image_shapes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Boxes, scores and labels of each image."""
        scores = array(F.softmax(head_outputs["cls_logits"], dim=-1))
        result = []
        for score, codes, anchors, shape in zip(scores, head_outputs["bbox_regression"], image_anchors, image_shapes):
            boxes = clipped(array(self.box_coder.decode_single(codes, anchors)), shape)
            rows, labels = [], []
            for label in range(1, score.shape[1]):
                over = np.flatnonzero(score[:, label] > np.float64(self.score_thresh))
                rows.append(over[best(score[over, label], self.topk_candidates)])
                labels.append(np.full(len(rows[-1]), label))
            row, label = np.concatenate(rows), np.concatenate(labels)
            result.append(settled(boxes[row], score[row, label], label, self.nms_thresh, self.detections_per_img))
        return result


def check_levels(channels: list[int], anchor_generator: DefaultBoxGenerator) -> None:
    """ValueError where the backbone has not one feature map per entry of the generator."""
    if len(channels) != len(anchor_generator.aspect_ratios):
        raise ValueError(f"The length of the output channels from the backbone ({len(channels)}) do not match the "
                         f"length of the anchor generator aspect ratios ({len(anchor_generator.aspect_ratios)})")


def _extra(before: int, between: int, after: int, **how: Any) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, between, kernel_size=1), nn.ReLU(inplace=True),
                         nn.Conv2d(between, after, **how), nn.ReLU(inplace=True))


class SSDFeatureExtractorVGG(nn.Module):
    """Feature maps of a VGG-16 and of coarser levels after it;
    the finest is normalised and scaled by learnt weights."""

    def __init__(self, backbone: nn.Sequential, highres: bool):
        super().__init__()
        pools = [i for i, layer in enumerate(backbone) if isinstance(layer, nn.MaxPool2d)]
        third, fourth = pools[2], pools[3]
        backbone[third].ceil_mode = True  # so that 75 pixels become 38, as in the original
        self.scale_weight = nn.Parameter(rl.ones(512) * 20)
        self.features = nn.Sequential(*backbone[:fourth])
        halved, cut = {"kernel_size": 3, "padding": 1, "stride": 2}, {"kernel_size": 3}
        extra = nn.ModuleList([_extra(1024, 256, 512, **halved), _extra(512, 128, 256, **halved),
                               _extra(256, 128, 256, **cut),
                               _extra(256, 128, 256, **cut),
                               *([_extra(256, 128, 256, kernel_size=4)] if highres else [])])
        _xavier_init(extra)
        dilated = nn.Sequential(nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=False),
                                nn.Conv2d(512, 1024, kernel_size=3, padding=6, dilation=6), nn.ReLU(inplace=True),
                                nn.Conv2d(1024, 1024, kernel_size=1), nn.ReLU(inplace=True))
        _xavier_init(dilated)
        extra.insert(0, nn.Sequential(*backbone[fourth:-1], dilated))
        self.extra = extra

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.features(x)
        maps = [self.scale_weight.view(1, -1, 1, 1) * F.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return OrderedDict((str(i), level) for i, level in enumerate(maps))


def _vgg_extractor(backbone: VGG, highres: bool, trainable_layers: int) -> SSDFeatureExtractorVGG:
    features = backbone.features
    stages = [0, *[i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)][:-1]]
    if not 0 <= trainable_layers <= len(stages):
        raise AssertionError(f"trainable_layers should be in the range [0, {len(stages)}]. "
                             f"Instead got {trainable_layers}")
    for layer in features[:len(features) if trainable_layers == 0 else stages[len(stages) - trainable_layers]]:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
    return SSDFeatureExtractorVGG(features, highres)


SSD300_VGG16_Weights = weights_enum("SSD300_VGG16_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", SSD300_VGG16_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", VGG16_Weights.IMAGENET1K_FEATURES))
def ssd300_vgg16(*, weights: SSD300_VGG16_Weights | None = None, progress: bool = True, num_classes: int | None = None,
                 weights_backbone: VGG16_Weights | None = VGG16_Weights.IMAGENET1K_FEATURES,
                 trainable_backbone_layers: int | None = None, **kwargs: Any) -> SSD:
    """SSD on a VGG-16 for images of 300 pixels; 91 classes where not said.

    Args:
        weights: of the whole; or else ``weights_backbone``.
        trainable_backbone_layers: how many of the backbone's five parts are trained, 4 where there are weights.
        kwargs: further arguments of SSD.
    """
    weights, body = SSD300_VGG16_Weights.verify(weights), VGG16_Weights.verify(weights_backbone)
    if kwargs.pop("size", None) is not None:
        warnings.warn(FIXED_SIZE)
    body, classes, trained = settle(weights, body, num_classes)
    layers = _validate_trainable_layers(trained, trainable_backbone_layers, 5, 4)
    backbone = _vgg_extractor(vgg16(weights=body, progress=progress), False, layers)
    anchors = DefaultBoxGenerator([[2], [2, 3], [2, 3], [2, 3], [2], [2]],
                                  scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05], steps=[8, 16, 32, 64, 100, 300])
    usual = {"image_mean": [0.48235, 0.45882, 0.40784], "image_std": [1.0 / 255.0] * 3}  # VGG's weights expect 0 to 255
    return filled(SSD(backbone, anchors, (300, 300), classes, **{**usual, **kwargs}), weights, progress)
