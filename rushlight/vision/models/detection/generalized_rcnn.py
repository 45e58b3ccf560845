"""What all detection networks do before and after their heads."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from rushlight import Tensor, nn

Target = dict[str, Tensor]


def check_targets(targets: list[Target] | None) -> None:
    """AssertionError where targets are missing or their boxes are not ``[N, 4]``."""
    if targets is None:
        raise AssertionError("targets should not be none when in training mode")
    for target in targets:
        boxes = target["boxes"]
        if not isinstance(boxes, Tensor):
            raise AssertionError(f"Expected target boxes to be of type Tensor, got {type(boxes)}.")
        if len(boxes.shape) != 2 or boxes.shape[-1] != 4:
            raise AssertionError(f"Expected target boxes to be a tensor of shape [N, 4], got {boxes.shape}.")


def check_positive_sizes(targets: list[Target]) -> None:
    """AssertionError that names the first box without width or height."""
    for i, target in enumerate(targets):
        boxes = target["boxes"].detach().numpy()
        flat = (boxes[:, 2:] <= boxes[:, :2]).any(1)
        if flat.any():
            raise AssertionError("All bounding boxes should have positive height and width. Found invalid box "
                                 f"{boxes[flat.argmax()].tolist()} for target at index {i}.")


class Detector(nn.Module):
    """Images in, losses out in training, else detections.

    A child has ``transform`` and ``backbone``, and a method ``detect`` that gives losses and detections for a
    batch of images, its feature maps and targets.
    """

    def detect(self, images: Any, features: dict[str, Tensor],
               targets: list[Target] | None) -> tuple[dict[str, Tensor], list[Target]]:
        raise NotImplementedError(f"{type(self).__name__} has no detect")

    def forward(self, images: list[Tensor], targets: list[Target] | None = None) -> Any:
        """Losses by name for images with ``targets``, in training; else for each image boxes, labels, scores and what
        else there is.

        Args:
            images: ``[3, H, W]`` each, of any sizes, in [0, 1].
            targets: for each image ``boxes`` ``[N, 4]`` (x1, y1, x2, y2), ``labels`` ``[N]`` int64,
                and ``masks`` or ``keypoints`` where the network learns them.
        """
        if self.training:
            check_targets(targets)
        originals = []
        for image in images:
            if len(image.shape[-2:]) != 2:
                raise AssertionError("expecting the last two dimensions of the Tensor to be "
                                     f"H and W instead got {image.shape[-2:]}")
            originals.append((image.shape[-2], image.shape[-1]))
        batch, targets = self.transform(images, targets)
        if targets is not None:
            check_positive_sizes(targets)
        features = self.backbone(batch.tensors)
        if isinstance(features, Tensor):
            features = OrderedDict([("0", features)])
        losses, detections = self.detect(batch, features, targets)
        return losses if self.training else self.transform.postprocess(detections, batch.image_sizes, originals)


class GeneralizedRCNN(Detector):
    """A network in two steps: ``rpn`` proposes regions, ``roi_heads`` looks at each (arXiv 1506.01497)."""

    def __init__(self, backbone: nn.Module, rpn: nn.Module, roi_heads: nn.Module, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform
        self.backbone = backbone
        self.rpn = rpn
        self.roi_heads = roi_heads

    def detect(self, images: Any, features: dict[str, Tensor],
               targets: list[Target] | None) -> tuple[dict[str, Tensor], list[Target]]:
        proposals, proposal_losses = self.rpn(images, features, targets)
        detections, detector_losses = self.roi_heads(features, proposals, images.image_sizes, targets)
        return {**detector_losses, **proposal_losses}, detections
