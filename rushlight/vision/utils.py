"""Grids of pictures, and drawing on them, under the names of torchvision.utils."""

from rushlight.vision.drawing.boxes import draw_bounding_boxes
from rushlight.vision.drawing.flow import flow_to_image
from rushlight.vision.drawing.grid import make_grid, save_image
from rushlight.vision.drawing.keypoints import draw_keypoints
from rushlight.vision.drawing.masks import draw_segmentation_masks

__all__ = ["draw_bounding_boxes", "draw_keypoints", "draw_segmentation_masks",
           "flow_to_image", "make_grid", "save_image"]
