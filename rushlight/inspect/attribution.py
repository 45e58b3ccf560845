"""What a classifier looks at: the pixels that change its answer most, and the places that speak for a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.inspect.activations import chosen
from rushlight.inspect.picture import WIDTH, Array, Picture, as_image, bare
from rushlight.nn import functional as F
from rushlight.tensor.core import unwrap


@dataclass
class Attribution(Picture):
    """``maps`` (N, H, W) in 0 … 1 for ``images`` (N, C, H, W), for the classes ``targets``;
    ``scores`` are the class probabilities."""

    title: str
    images: Array
    maps: Array
    targets: tuple[int, ...]
    scores: Array
    labels: Any = None
    most: int = 8

    def _size(self) -> tuple[float, float]:
        n = min(self.most, len(self.maps))
        return max(4.5, min(WIDTH, 1.9 * n + 0.6)), 0.6 + 3 * min(1.9, (WIDTH - 0.6) / n) * 1.02

    def _draw(self, figure: Any) -> None:
        n = min(self.most, len(self.maps))
        axes = figure.subplots(3, n, squeeze=False)
        last = None
        for i in range(n):
            picture, options = as_image(self.images[i])
            axes[0, i].imshow(picture, **options)
            last = axes[1, i].imshow(self.maps[i], cmap="inferno", vmin=0, vmax=1)
            grey = picture if picture.ndim == 2 else picture.mean(-1)
            axes[2, i].imshow(grey, cmap="gray", vmin=0, vmax=1)
            axes[2, i].imshow(self.maps[i], cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.6 * self.maps[i])
            label = str(self.labels[self.targets[i]]) if self.labels is not None else f"class {self.targets[i]}"
            axes[0, i].set_title(f"{label}\n{self.scores[i]:.0%}", fontsize=8, pad=3)
        for ax in axes.flat:
            bare(ax)
        for ax, text in zip(axes[:, 0], ("input", self.title, "both")):
            ax.set_ylabel(text, fontsize=8)
        bar = figure.colorbar(last, ax=axes[1, :], fraction=0.03, pad=0.01)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=2)


def _targets(logits: Any, target: Any) -> Any:
    """One class per input: those given, or the most probable."""
    if target is None:
        return logits.detach().argmax(1)
    if isinstance(target, int):
        return rl.full((logits.shape[0],), target, dtype=rl.int64)
    return rl.tensor(target) if not isinstance(target, rl.Tensor) else target


def _stretched(maps: Array) -> Array:
    """Each map from 0 … 1; a map of nothing stays 0."""
    high = maps.reshape(len(maps), -1).max(1).reshape(-1, 1, 1)
    return np.where(high > 0, maps / np.maximum(high, 1e-30), 0.0)


def _checked(x: Any, logits: Any) -> None:
    if x.dim() != 4 or logits.dim() != 2:
        raise ValueError("a classifier of images is needed: inputs (N, C, H, W) and logits (N, "
                         f"classes), got {list(x.shape)} and {list(logits.shape)}")


def saliency(model: Any, x: Any, target: Any = None, *, smooth: int = 0, noise: float = 0.1,
             labels: Any = None) -> Attribution:
    """How much each pixel changes the logit of a class: the greatest |∂ logit / ∂ pixel|
    over channels (Simonyan et al., arXiv 1312.6034).

    ``target`` is a class, a list of one per image, or None for the most probable. ``smooth`` averages over
    that many copies with noise of ``noise`` times the range of the input (SmoothGrad, arXiv 1706.03825).
    ValueError unless the model classifies images.

    >>> a = saliency(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), rl.ones(1, 1, 2, 2))
    >>> a.maps.shape, float(a.maps.max())
    ((1, 2, 2), 1.0)
    """
    with rl.no_grad():
        logits = model(x)
    _checked(x, logits)
    wanted = _targets(logits, target)
    spread = noise * float(x.max() - x.min())
    total: Any = 0.0
    for _ in range(max(1, smooth)):
        at = (x.detach() + (rl.randn_like(x) * spread if smooth else 0.0)).requires_grad_()
        model(at).gather(1, wanted.reshape(-1, 1)).sum().backward(inputs=[at])
        total = total + at.grad
    maps = unwrap(total.abs().amax(1))
    return Attribution("saliency", unwrap(x.detach()), _stretched(maps), *_answers(logits, wanted), labels)


def _answers(logits: Any, wanted: Any) -> tuple[tuple[int, ...], Array]:
    scores = F.softmax(logits, 1).gather(1, wanted.reshape(-1, 1)).reshape(-1)
    return tuple(int(t) for t in unwrap(wanted)), unwrap(scores.detach())


def grad_cam(model: Any, x: Any, layer: str | None = None, target: Any = None, *, labels: Any = None) -> Attribution:
    """The places of an image that speak for a class: max(0, Σ_c mean(∂ logit / ∂ a_c) · a_c) of a convolution's output
    a, resized to the image (Selvaraju et al., arXiv 1610.02391).

    ``layer`` is the name of a module that gives images, by default the last 2-d convolution;
    ``target`` as in `saliency`. ValueError for unknown layers and models that do not classify images.

    >>> net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    >>> grad_cam(net, rl.ones(2, 1, 4, 4)).maps.shape
    (2, 4, 4)
    """
    if layer is None:
        layer = next((n for n, m in reversed(list(model.named_modules())) if isinstance(m, nn.Conv2d)), None)
        if layer is None:
            raise ValueError("the model has no 2-d convolution; name a layer that gives images")
    module = chosen(model, layer)[layer] if layer else model
    kept: list[Any] = []

    def keep(m: Any, inputs: Any, output: Any) -> Any:
        out = output if output.requires_grad else output.requires_grad_()
        kept.append(out)
        return out.clone()  # an activation in place after the layer must not change what was kept
    handle = module.register_forward_hook(keep)
    try:
        with rl.enable_grad():
            logits = model(x.detach())
            _checked(x, logits)
            wanted = _targets(logits, target)
            slopes = rl.autograd.grad(logits.gather(1, wanted.reshape(-1, 1)).sum(), kept[-1])[0]
    finally:
        handle.remove()
    a = kept[-1].detach()
    if a.dim() != 4:
        raise ValueError(f"layer {layer!r} gives {list(a.shape)}, no images (N, C, H, W)")
    cam = (slopes.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True).relu()
    cam = F.interpolate(cam, size=tuple(x.shape[2:]), mode="bilinear", align_corners=False)[:, 0]
    return Attribution(f"Grad-CAM of {layer}", unwrap(x.detach()), _stretched(unwrap(cam)),
                       *_answers(logits.detach(), wanted), labels)
