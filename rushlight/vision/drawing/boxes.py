"""draw_bounding_boxes."""

from __future__ import annotations

import math
import warnings
from typing import Any

from rushlight.tensor.core import Tensor, unwrap
from rushlight.vision.drawing.colors import as_pil, check_picture, colours_of, from_pil

DASH = 5  # pixels, and as many between two
SEE_THROUGH = 100  # of 255, the opacity of a filled box


def draw_bounding_boxes(image: Tensor, boxes: Tensor, labels: list[str] | None = None, colors: Any = None,
                        fill: bool | None = False, width: int = 1, font: str | None = None,
                        font_size: int | None = None, label_colors: Any = None, label_background_colors: Any = None,
                        fill_labels: bool = False) -> Tensor:
    """A picture (1 or 3, H, W) with boxes (N, 4) of (x1, y1, x2, y2),
    or the four corners of turned boxes (N, 8), drawn on it.

    ``labels`` are texts; colours are names, "#rrggbb", (r, g, b) or a list with one per box;
    ``font`` is a TrueType file.
    """
    check_picture(image, (1, 3), "Tensor expected", "Only grayscale and RGB images are supported")
    corners = unwrap(boxes)
    if corners.shape[-1] == 4 and ((corners[:, 0] > corners[:, 2]).any() or (corners[:, 1] > corners[:, 3]).any()):
        raise ValueError("Boxes need to be in (xmin, ymin, xmax, ymax) format. "
                         "Use torchvision.ops.box_convert to convert them")
    count = len(corners)
    if not count:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    if labels is not None and len(labels) != count:
        raise ValueError(f"Number of boxes ({count}) and labels ({len(labels)}) mismatch. "
                         "Please specify labels for each box.")
    edges = colours_of(colors, count)
    texts = colours_of(label_colors or "black", count) if label_colors or fill_labels else edges
    backs = colours_of(label_background_colors, count) if fill_labels and label_background_colors else edges
    from PIL import ImageDraw
    canvas = as_pil(image)
    pen = ImageDraw.Draw(canvas, "RGBA" if fill else None)
    letters = _font(font, font_size)
    for i, box in enumerate(corners.astype("int64").tolist()):
        inside = (*edges[i], SEE_THROUGH) if fill else None
        if len(box) == 4:
            pen.rectangle(box, width=width, outline=edges[i], fill=inside)
        else:
            _turned(pen, box, edges[i], inside, width)
        if labels is not None and labels[i] is not None:
            _label(pen, box, labels[i], width + 1, letters, texts[i], backs[i] if fill_labels else None)
    return from_pil(canvas, image)


def _font(name: str | None, size: int | None) -> Any:
    from PIL import ImageFont
    if name is not None:
        return ImageFont.truetype(font=name, size=size or 10)
    if size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=3)
    return ImageFont.load_default()


def _label(pen: Any, box: list[int], text: str, margin: int, letters: Any, colour: Any, back: Any) -> None:
    place = (box[0] + margin, box[1] + margin)
    if back is not None:
        left, top, right, bottom = pen.textbbox(place, text, font=letters)
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=back)
    pen.text(place, text, fill=colour, font=letters)


def _turned(pen: Any, box: list[int], colour: Any, inside: Any, width: int) -> None:
    """Four corners joined, the first side dashed to show which way is up."""
    points = [(box[i], box[i + 1]) for i in range(0, 8, 2)]
    _dashed(pen, points[0], points[1], colour, width)
    for a, b in zip(points[1:], points[2:] + points[:1]):
        pen.line((a, b), width=width, fill=colour)
    pen.polygon(box, fill=inside, outline=None, width=0)


def _dashed(pen: Any, start: tuple[float, float], end: tuple[float, float], colour: Any, width: int) -> None:
    (x, y), left = start, math.dist(start, end)
    drawing = True
    while left > 0:
        step, angle = min(left, DASH), math.atan2(end[1] - y, end[0] - x)
        u, v = x + math.cos(angle) * step, y + math.sin(angle) * step
        if drawing:
            pen.line([(x, y), (u, v)], colour, width, None)
        x, y, left, drawing = u, v, left - step, not drawing
