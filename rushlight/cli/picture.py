"""The demo's picture: the loss curve and a grid of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

INK, PALE, BLUE, RED = (40, 44, 52), (225, 228, 232), (31, 105, 180), (200, 40, 40)


def draw(losses: list[float], images: Any, truth: Any, guess: Any, accuracy: float) -> Any:
    """A Pillow picture: losses as a curve on the left, 60 test digits with the network's answers on the right."""
    from PIL import Image, ImageDraw, ImageFont
    picture = Image.new("RGB", (1180, 620), "white")
    pen = ImageDraw.Draw(picture)
    font, large = ImageFont.load_default(15), ImageFont.load_default(20)
    pen.text((60, 18), "Training loss", INK, large)
    pen.text((620, 18), f"Test digits, {accuracy:.1%} right (wrong answers in red)", INK, large)
    _curve(pen, font, losses, (60, 60, 560, 560))
    wrong = np.flatnonzero(truth != guess)
    order = np.concatenate([wrong[:10], np.flatnonzero(truth == guess)])[:60]
    for k, i in enumerate(sorted(order.tolist())):
        x, y = 620 + (k % 10) * 55, 60 + (k // 10) * 90
        tile = Image.fromarray(255 - (images[i] * 255).astype(np.uint8)).resize((48, 48), Image.Resampling.NEAREST)
        picture.paste(tile.convert("RGB"), (x, y))
        right = truth[i] == guess[i]
        pen.rectangle((x - 1, y - 1, x + 48, y + 48), outline=PALE if right else RED, width=1 if right else 3)
        label = f"{guess[i]}" if right else f"{guess[i]} not {truth[i]}"
        pen.text((x + (18 if right else 2), y + 54), label, INK if right else RED, font if right else ImageFont.load_default(12))
    return picture


def _curve(pen: Any, font: Any, losses: list[float], box: tuple[int, int, int, int]) -> None:
    """Losses on a logarithmic scale with their running mean."""
    left, top, right, bottom = box
    values = np.log10(np.maximum(np.array(losses), 1e-4))
    low, high = np.floor(values.min()), np.ceil(values.max())
    high = max(high, low + 1)
    x = left + (right - left) * np.arange(len(values)) / max(1, len(values) - 1)
    place = lambda v: bottom - (bottom - top) * (v - low) / (high - low)
    for d in range(int(low), int(high) + 1):
        pen.line((left, place(d), right, place(d)), PALE, 1)
        pen.text((left - 52, place(d) - 9), f"{10.0 ** d:g}", INK, font)
    pen.line(list(zip(x.tolist(), place(values).tolist())), (170, 195, 225), 1)
    window = max(1, len(values) // 40)
    mean = np.convolve(values, np.ones(window) / window, "valid")
    pen.line(list(zip(x[window - 1:].tolist(), place(mean).tolist())), BLUE, 3)
    pen.rectangle(box, outline=INK)
    pen.text((left, bottom + 8), "0", INK, font)
    pen.text((right - 90, bottom + 8), f"{len(losses)} steps", INK, font)
