"""What was learned: histograms of weights, and filters as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight import nn
from rushlight.inspect.activations import chosen, facts_of
from rushlight.inspect.picture import (ACCENT, INK, WIDTH, Array, Picture, as_image, bare, cell, grid, layer_names,
                                       number)
from rushlight.tensor.core import unwrap


def values(p: Any) -> Array:
    """A parameter's numbers; of a quantized weight the real ones."""
    p = p() if callable(p) and not hasattr(p, "shape") else p
    return unwrap((p.dequantize() if p.is_quantized else p.detach()).float())


@dataclass
class WeightHistograms(Picture):
    """``facts[name]`` (mean, std, min, max, zeros, quantiles) and
    ``histograms[name]`` (counts, edges) of each weight."""

    facts: dict[str, dict[str, float]]
    histograms: dict[str, tuple[Array, Array]]
    shapes: dict[str, tuple[int, ...]]

    def _size(self) -> tuple[float, float]:
        return WIDTH, 0.35 + 1.75 * grid(len(self.facts), 4)[0]

    def _draw(self, figure: Any) -> None:
        rows, columns = grid(len(self.facts), 4)
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(self.facts):]:
            ax.set_visible(False)
        for ax, (name, facts) in zip(axes.flat, self.facts.items()):
            counts, edges = self.histograms[name]
            ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=ACCENT, linewidth=0)
            ax.axvline(0, ymax=0.97, color=INK, linewidth=0.6)
            shape = " × ".join(map(str, self.shapes[name]))
            ax.set_title(f"{name}\n", loc="left", weight="bold", fontsize=8)
            ax.text(0, 1.04, f"{shape}   σ = {number(facts['std'])}", transform=ax.transAxes, fontsize=7)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ax.tick_params(labelsize=7, length=2)
            ax.locator_params(axis="x", nbins=4)


def weight_histograms(model: Any, layers: str | Iterable[str] | None = None, *, bins: int = 60) -> WeightHistograms:
    """A histogram of every weight (parameters named weight…, not biases) of all layers, or of those named. ValueError
    where there is none.

    >>> sorted(weight_histograms(nn.Sequential(nn.Linear(3, 4), nn.ReLU())).facts)
    ['0.weight']
    """
    modules = {n: m for n, m in model.named_modules()} if layers is None else chosen(model, layers)
    found: dict[str, Array] = {}
    for name, m in modules.items():
        own = {n: p for n, p in m.named_parameters(recurse=False) if "weight" in n}
        if not own and callable(getattr(m, "weight", None)):  # a quantized layer
            own = {"weight": m.weight}
        found.update({f"{name}.{n}" if name else n: values(p) for n, p in own.items()})
    found = {n: a for n, a in found.items() if a.size}
    if not found:
        raise ValueError("these layers have no weights")
    return WeightHistograms({n: facts_of(a) for n, a in found.items()},
                            {n: np.histogram(a, bins) for n, a in found.items()},
                            {n: a.shape for n, a in found.items()})


@dataclass
class Filters(Picture):
    """``weight`` (O, C, kH, kW) of a layer; filters of three channels are drawn in colour,
    others channel by channel, averaged."""

    layer: str
    weight: Array
    most: int = 64

    def _size(self) -> tuple[float, float]:
        rows, columns = grid(min(len(self.weight), self.most))
        return cell(columns) * columns + 0.8, 0.5 + rows * (cell(columns) + 0.16)

    def _draw(self, figure: Any) -> None:
        shown = self.weight[:self.most]
        rows, columns = grid(len(shown))
        axes = figure.subplots(rows, columns, squeeze=False)
        colour = shown.shape[1] == 3
        limit = float(np.abs(shown.mean(1)).max()) or 1.0
        last = None
        for at, ax in enumerate(axes.flat):
            bare(ax)
            if at >= len(shown):
                continue
            if colour:
                ax.imshow(as_image(shown[at])[0], interpolation="nearest")
            else:
                last = ax.imshow(shown[at].mean(0), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            ax.set_title(f"{at}", fontsize=7, pad=2)
        o, c, *size = self.weight.shape
        what = "in colour" if colour else "blue: negative, red: positive" if c == 1 else f"mean over {c} input channels"
        of = "" if len(shown) == o else f"the first {len(shown)} of "
        figure.suptitle(f"{self.layer}   {of}{o} filters of {' × '.join(map(str, size))}, {what}", x=0.01, ha="left",
                        weight="bold", fontsize=10)
        if last is not None:
            bar = figure.colorbar(last, ax=axes, fraction=0.02, pad=0.01, aspect=14 * rows)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=7, length=2)


def filters(model: Any, layer: str | None = None, *, most: int = 64) -> Filters:
    """The filters of a 2-d convolution: the one named, or the first. ValueError where there is none.

    >>> filters(nn.Sequential(nn.Conv2d(1, 4, 3))).weight.shape
    (4, 1, 3, 3)
    """
    if layer is None:
        layer = next((n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)
                      or type(m).__name__.startswith("Conv") and hasattr(m, "kernel_size")), None)
        if layer is None:
            raise ValueError("the model has no convolution")
    module = chosen(model, layer)[layer] if layer else model
    weight = values(module.weight)
    if weight.ndim != 4:
        raise ValueError(f"{layer!r} has a weight of shape {weight.shape}; filters are of 2-d convolutions")
    return Filters(layer_names({layer: module})[layer] if layer else type(module).__name__, weight, most)
