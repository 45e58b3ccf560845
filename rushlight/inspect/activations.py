"""What layers compute: their outputs as pictures, and how the numbers are distributed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.inspect.picture import (ACCENT, FAINT, INK, WARN, WIDTH, Array, Picture, bare, cell, grid, layer_names,
                                       number)
from rushlight.tensor.core import unwrap

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WORKING = (*CONVOLUTIONS, nn.Linear)


def leaves(model: Any) -> dict[str, Any]:
    """The modules without children, by name; the model itself where it has none."""
    return {name or type(m).__name__: m for name, m in model.named_modules() if not list(m.children())}


def chosen(model: Any, layers: Any) -> dict[str, Any]:
    """Modules by their names, or all leaves. ValueError for unknown names."""
    if layers is None:
        return leaves(model)
    names = [layers] if isinstance(layers, str) else list(layers)
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            raise ValueError(f"the model has no layer {name!r}; it has {', '.join(n for n in modules if n)}")
    return {name: modules[name] for name in names}


def record(model: Any, x: Any, layers: str | Iterable[str] | None = None) -> dict[str, Array]:
    """The outputs of layers (all without children by default) for an input, in the order in which they ran.

    The model runs as it is (call eval() first for inference) without gradients; ``x`` is a tensor
    or a tuple of arguments. A layer that runs twice gives its last output; outputs that are no
    tensors are left out. ValueError for unknown names.

    >>> found = record(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), rl.ones(1, 2))
    >>> {name: a.shape for name, a in found.items()}
    {'0': (1, 3), '1': (1, 3)}
    """
    found: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, rl.Tensor):
                found.pop(name, None)
                found[name] = output.dequantize() if output.is_quantized else output.detach().clone()
        return hook
    handles = [m.register_forward_hook(keep(name)) for name, m in chosen(model, layers).items()]
    try:
        with rl.no_grad():
            model(*(x if isinstance(x, tuple) else (x,)))
        return {name: unwrap(t.float()) for name, t in found.items()}
    finally:
        for h in handles:
            h.remove()


# --- maps
# ---------------------------------------------------------------------------------------------------------------
@dataclass
class ActivationMaps(Picture):
    """``maps[layer]`` is (channels, H, W) for one image; at most ``channels`` of
    each layer are drawn, the strongest first."""

    maps: dict[str, Array]
    channels: int
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = {name: np.argsort(-m.reshape(m.shape[0], -1).std(1), kind="stable")[:self.channels]
                      for name, m in self.maps.items()}

    def _size(self) -> tuple[float, float]:
        grids = [grid(len(self.order[n])) for n in self.maps]
        return max(c * cell(c) for _, c in grids) + 0.8, sum(0.45 + r * (cell(c) + 0.16) for r, c in grids)

    def _draw(self, figure: Any) -> None:
        grids = [grid(len(self.order[n])) for n in self.maps]
        parts = figure.subfigures(len(self.maps), 1,
                                  height_ratios=[0.45 + r * (cell(c) + 0.16) for r, c in grids], squeeze=False)[:, 0]
        for part, (name, m) in zip(parts, self.maps.items()):
            rows, columns = grid(len(self.order[name]))
            axes = np.atleast_2d(part.subplots(rows, columns, squeeze=False))
            low, high = min(0.0, float(m.min())), float(np.quantile(m[self.order[name]], 0.998)) or 1.0
            shown = None
            for at, ax in enumerate(axes.flat):
                bare(ax)
                if at < len(self.order[name]):
                    c = self.order[name][at]
                    shown = ax.imshow(m[c], cmap="magma", vmin=low, vmax=high, interpolation="nearest")
                    ax.set_title(f"{c}", fontsize=7, pad=2)
            part.suptitle(f"{self.names.get(name, name)}   {m.shape[0]} channels of {m.shape[1]} × {m.shape[2]}",
                          fontsize=10, x=0.01, ha="left", weight="bold")
            bar = part.colorbar(shown, ax=axes, fraction=0.02, pad=0.01, aspect=14 * rows,
                                extend="max" if m.max() > high else "neither")
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=7, length=2)


def activation_maps(model: Any, x: Any, layers: str | Iterable[str] | None = None, *, image: int = 0,
                    channels: int = 16) -> ActivationMaps:
    """What each channel of convolutions answers to an image.

    ``x`` is (N, C, H, W); ``image`` says which of it. Layers: those named, or the first four convolutions' outputs.
    ValueError for unknown layers and layers whose output is no image.

    >>> maps = activation_maps(nn.Sequential(nn.Conv2d(1, 3, 3)), rl.ones(1, 1, 6, 6))
    >>> maps.maps["0"].shape
    (3, 4, 4)
    """
    names = layers if layers is not None else [n for n, m in leaves(model).items() if isinstance(m, CONVOLUTIONS)][:4]
    found = record(model, x, names)
    wrong = [n for n, a in found.items() if a.ndim != 4]
    if wrong or not found:
        raise ValueError("activation maps are of layers that give images (N, C, H, W); "
                         f"{wrong or 'this model'} gives none")
    return ActivationMaps({n: a[image] for n, a in found.items()}, channels, layer_names(dict(model.named_modules())))


# --- distributions
# --------------------------------------------------------------------------------------------------------
FACTS = ("mean", "std", "min", "max", "zeros", "1%", "25%", "50%", "75%", "99%")


@dataclass
class Distributions(Picture):
    """``facts[layer]``: mean, std, min, max, quantiles, and ``zeros``, the fraction of exact
    zeros; ``histograms[layer]``: counts of the others, and edges, which lie evenly in
    asinh(x / ``unit``): dense near 0, wide far from it."""

    facts: dict[str, dict[str, float]]
    histograms: dict[str, tuple[Array, Array]]
    unit: float
    names: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max([5, *map(len, self.facts)])
        lines = [f"{'layer':{width}}" + "".join(f"{f:>10}" for f in FACTS[:5])]
        lines += [f"{n:{width}}" + "".join(f"{number(v[f]) if f != 'zeros' else f'{v[f]:.0%}':>10}" for f in FACTS[:5])
                  for n, v in self.facts.items()]
        return "\n".join(lines)

    def _size(self) -> tuple[float, float]:
        return WIDTH, 1.3 + 0.42 * len(self.facts)

    def _draw(self, figure: Any) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[4, 1], sharey=True)
        names = list(self.facts)
        for at, name in enumerate(names):
            counts, edges = self.histograms[name]
            height = 0.85 * counts / max(1, counts.max())
            left.fill_between(edges, at, at - np.append(height, height[-1]), step="post",
                              color=ACCENT, alpha=0.75, linewidth=0)
            left.axhline(at, color=FAINT, linewidth=0.6, zorder=0)
            left.plot([self.facts[name]["50%"]] * 2, [at, at - 0.5], color=INK, linewidth=1)
            zeros = self.facts[name]["zeros"]
            right.barh(at - 0.35, zeros, 0.55, color=WARN if zeros > 0.9 else ACCENT)
            right.text(zeros + 0.02, at - 0.35, f"{zeros:.0%}", va="center", fontsize=7)
        left.set_yticks([i - 0.3 for i in range(len(names))], [self.names.get(n, n) for n in names])
        left.set_ylim(len(names) - 0.7, -1.1)
        left.set_xscale("asinh", linear_width=self.unit)
        left.set_xticks(*_ticks(self.unit,
                                *(f(v[k] for v in self.facts.values()) for f, k in ((min, "min"), (max, "max")))))
        left.minorticks_off()
        left.set_xlabel("activation other than 0: linear near 0, logarithmic far from it; dark line: median of all")
        left.set_title("Distribution of activations", loc="left", weight="bold")
        right.set_xlim(0, 1.25)
        right.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
        right.set_title("exact zeros", loc="left", weight="bold")
        for ax in (left, right):
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)


def _ticks(unit: float, low: float, high: float) -> tuple[list[float], list[str]]:
    """0 and the powers of ten beyond the unit, as far as numbers go, at most four on a side."""
    first = int(np.ceil(np.log10(unit)))
    last = int(np.floor(np.log10(max(abs(low), abs(high), unit))))
    powers = [10.0 ** p for p in range(first, last + 1, max(1, (last - first + 1 + 3) // 4))]
    places = [-p for p in reversed(powers) if -p >= low] + [0.0] + [p for p in powers if p <= high]
    return places, [f"{p:g}" for p in places]


def facts_of(a: Array) -> dict[str, float]:
    """Mean, deviation, limits, quantiles and the fraction of exact zeros."""
    quantiles = np.quantile(a, [0.01, 0.25, 0.5, 0.75, 0.99])
    return dict(zip(FACTS, map(float, (a.mean(), a.std(), a.min(), a.max(), (a == 0).mean(), *quantiles))))


def activation_distributions(model: Any, x: Any, layers: str | Iterable[str] | None = None, *,
                             bins: int = 150) -> Distributions:
    """How the outputs of layers are distributed for a batch: numbers, histograms, and a figure with a row per layer.

    ValueError for unknown layers.

    >>> facts = activation_distributions(nn.Sequential(nn.Linear(2, 8), nn.ReLU()), rl.ones(4, 2)).facts
    >>> sorted(facts), facts["1"]["min"] >= 0
    (['0', '1'], True)
    """
    found = record(model, x, layers)
    if not found:
        raise ValueError("no layer gave a tensor: pass layers= with names of modules whose outputs are tensors")
    facts = {n: facts_of(a) for n, a in found.items()}
    unit = float(max(1e-6, np.median([f["std"] for f in facts.values()])))
    low, high = (float(np.arcsinh(f([v[k] for v in facts.values()]) / unit)) for f, k in ((min, "min"), (max, "max")))
    edges = unit * np.sinh(np.linspace(low, max(high, low + 1e-6), bins + 1))
    edges[0], edges[-1] = min(edges[0],
                              min(v["min"] for v in facts.values())), max(edges[-1],
                                                                          max(v["max"] for v in facts.values()))
    return Distributions(facts, {n: np.histogram(a[a != 0], edges) for n, a in found.items()}, unit,
                         layer_names(dict(model.named_modules())))
