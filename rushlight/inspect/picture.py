"""What the results of inspection share: a figure made on demand, and how it looks."""

from __future__ import annotations

import io
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MISSING = "figures need matplotlib: pip install 'rushlight[plot]'. The numbers are there without it."
DPI = 110
WIDTH = 9.0  # inches
INK, ACCENT, WARN, FAINT = "#31363b", "#33658a", "#c8553d", "#c9d3da"


class Picture:
    """A result that can draw itself: subclasses define ``_draw(figure)`` and ``_size()`` in inches."""

    @cached_property
    def figure(self) -> Any:
        """The matplotlib figure. ModuleNotFoundError where matplotlib is not installed."""
        try:
            from matplotlib import rc_context
            from matplotlib.figure import Figure
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError(MISSING, name="matplotlib") from e
        with rc_context({"font.size": 9, "axes.titlesize": 9, "axes.edgecolor": INK, "text.color": INK,
                         "axes.labelcolor": INK, "xtick.color": INK,
                         "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False}):
            made = Figure(figsize=self._size(), dpi=DPI, layout="constrained")
            self._draw(made)
        return made

    def _size(self) -> tuple[float, float]:
        raise NotImplementedError

    def _draw(self, figure: Any) -> None:
        raise NotImplementedError

    def save(self, path: Any, **options: Any) -> None:
        """Write the figure to a file; the ending of the name says which kind."""
        self.figure.savefig(path, **options)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        return file.getvalue()


def grid(count: int, most: int = 8) -> tuple[int, int]:
    """Rows and columns for so many small pictures, the last row as full as can be.

    >>> grid(16), grid(5), grid(10)
    ((2, 8), (1, 5), (2, 5))
    """
    rows = ceil(count / most)
    return rows, ceil(count / rows)


def cell(columns: int) -> float:
    """The inches of one of so many columns of images."""
    return min(1.6, (WIDTH - 0.8) / columns)


def layer_names(modules: dict[str, Any]) -> dict[str, str]:
    """Names of layers as figures show them: with their type where the name is a number."""
    return {n: f"{n} {type(m).__name__}" if n.rpartition(".")[2].isdigit() else n for n, m in modules.items()}


def bare(axes: Any) -> None:
    """Without ticks and frame: for images."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def as_image(x: Array) -> tuple[Array, dict[str, Any]]:
    """(C, H, W) as something imshow takes: grey, or colours stretched to 0 … 1.

    >>> as_image(np.zeros((3, 4, 5)))[0].shape
    (4, 5, 3)
    """
    low, high = float(x.min()), float(x.max())
    scaled = (x - low) / (high - low) if high > low else np.zeros_like(x)
    if x.shape[0] == 3:
        return np.moveaxis(scaled, 0, -1), {}
    return scaled.mean(0), {"cmap": "gray", "vmin": 0, "vmax": 1}


def number(value: float) -> str:
    """A number in few letters.

    >>> number(0.00012), number(12.3456), number(123456.0)
    ('1.2e-04', '12.3', '1.2e+05')
    """
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.1e}" if size < 1e-2 or size >= 1e4 else f"{value:.3g}"
