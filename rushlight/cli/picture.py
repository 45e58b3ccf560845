"""The demo's picture: the loss curve, and test scans with what the network read on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rushlight.cli.demo import Result

FINE = 2  # drawn so many times larger than it is saved, for smooth lines
SIZE = (1220, 640)
TEXT, FAINT, GRID, THIN, THICK, WRONG = "#24292f", "#6e7781", "#e4e7eb", "#b6cdea", "#1f5fa8", "#c62828"
TOP, BOTTOM, LEFT, WIDTH = 96, 580, 76, 470  # of the curve
TILE, STEP, ROWS, GRID_LEFT = 40, 58, 6, 620  # pixels of a scan and from one to the next; rows of scans read rightly
FLOOR = 1e-6  # smallest loss on the logarithmic scale


def draw(result: Result) -> Any:
    """A Pillow picture of what training gave: losses on the left, right and wrong answers on the right."""
    from PIL import Image
    sheet = _Sheet()
    sheet.text(LEFT, 24, "Training loss", size=22)
    sheet.text(LEFT, 54, f"{len(result.losses)} steps in {result.seconds:.1f} s, on a logarithmic scale", FAINT)
    if result.losses:
        _curve(sheet, np.array(result.losses))
    sheet.text(GRID_LEFT, 24, f"Handwritten digits, {result.accuracy:.1%} read rightly", size=22)
    sheet.text(GRID_LEFT, 54, f"{len(result.truth)} test scans which the network "
               "has not seen; its answer below each", FAINT)
    _right_answers(sheet, result)
    _wrong_answers(sheet, result)
    return sheet.picture.resize(SIZE, Image.Resampling.LANCZOS)


class _Sheet:
    """A white sheet with a pen; all places in pixels of the finished picture."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw
        self.picture = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), "white")
        self.pen = ImageDraw.Draw(self.picture)

    def text(self, x: float, y: float, words: str, colour: str = TEXT, size: int = 15, anchor: str = "la") -> None:
        from PIL import ImageFont
        self.pen.text((x * FINE, y * FINE), words, colour, ImageFont.load_default(size * FINE), anchor=anchor)

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1) -> None:
        self.pen.line([(x * FINE, y * FINE) for x, y in points], colour, round(width * FINE), joint="curve")

    def scan(self, x: float, y: float, pixels: np.ndarray, frame: str | None = None) -> None:
        """Ink from 0 to 1 as dark squares on white paper."""
        from PIL import Image
        grey = np.round(255 - np.clip(pixels, 0, 1) * 225).astype(np.uint8)
        tile = Image.fromarray(grey).resize((TILE * FINE, TILE * FINE), Image.Resampling.NEAREST)
        self.picture.paste(tile, (round(x * FINE), round(y * FINE)))
        box = [x * FINE - 1, y * FINE - 1, (x + TILE) * FINE, (y + TILE) * FINE]
        self.pen.rectangle(box, outline=frame or GRID, width=FINE * (2 if frame else 1))


def _curve(sheet: _Sheet, losses: np.ndarray) -> None:
    """Every loss as a thin line, their running mean as a thick one."""
    values = np.log10(np.maximum(np.nan_to_num(losses, nan=FLOOR, posinf=1 / FLOOR), FLOOR))
    low, high = float(np.floor(np.quantile(values, 0.02))), float(np.ceil(values.max()))
    high = max(high, low + 1)
    place: Callable[[Any], Any] = lambda v: BOTTOM - (BOTTOM - TOP) * np.maximum(v - low, 0) / (high - low)
    for power in range(int(low), int(high) + 1):
        sheet.line([(LEFT, place(power)), (LEFT + WIDTH, place(power))], GRID)
        sheet.text(LEFT - 8, place(power), f"{10.0 ** power:g}", FAINT, anchor="rm")
    x = LEFT + WIDTH * np.arange(len(values)) / max(1, len(values) - 1)
    sheet.line(list(zip(x.tolist(), place(values).tolist(), strict=True)), THIN)
    window = max(1, len(values) // 25)
    mean = np.convolve(values, np.ones(window) / window, "valid")
    sheet.line(list(zip(x[window - 1:].tolist(), place(mean).tolist(), strict=True)), THICK, 2.5)
    sheet.text(LEFT, BOTTOM + 10, "0", FAINT)
    sheet.text(LEFT + WIDTH, BOTTOM + 10, f"step {len(losses)}", FAINT, anchor="ra")


def _right_answers(sheet: _Sheet, result: Result) -> None:
    """A column per digit, with the first scans of it that were read rightly."""
    for digit in range(10):
        for row, i in enumerate(np.flatnonzero((result.truth == digit) & (result.guess == digit))[:ROWS]):
            x, y = GRID_LEFT + digit * STEP, TOP + row * (TILE + 24)
            sheet.scan(x, y, result.images[i])
            sheet.text(x + TILE / 2, y + TILE + 3, str(digit), FAINT, anchor="ma")


def _wrong_answers(sheet: _Sheet, result: Result) -> None:
    wrong = np.flatnonzero(result.truth != result.guess)
    y = TOP + ROWS * (TILE + 24) + 8
    shown = "" if len(wrong) <= 10 else ", the first ten of them here"
    sheet.text(GRID_LEFT, y, f"{len(wrong)} read wrongly{shown}" if len(wrong) else "None read wrongly",
               WRONG if len(wrong) else FAINT)
    for column, i in enumerate(wrong[:10]):
        x, at = GRID_LEFT + column * STEP, y + 26
        sheet.scan(x, at, result.images[i], WRONG)
        sheet.text(x + TILE / 2, at + TILE + 3, str(result.guess[i]), WRONG, anchor="ma")
        sheet.text(x + TILE / 2, at + TILE + 21, f"is a {result.truth[i]}", FAINT, 13, anchor="ma")
