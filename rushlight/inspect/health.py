"""Whether a network can learn: units that never answer,
gradients that vanish or explode, weights that are not finite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.inspect.activations import WORKING, leaves
from rushlight.inspect.picture import ACCENT, FAINT, WARN, WIDTH, Array, Picture, layer_names, number
from rushlight.tensor.core import unwrap

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish,
               nn.Hardtanh, nn.Softplus, nn.Mish)
DEAD, SATURATED = 0.5, 0.5  # fractions of units from which a layer is called out
EXPLODES, VANISHES = 100.0, 0.01  # the gradient of a layer over the median of all


@dataclass
class Health(Picture):
    """``units[layer]``: fractions of units that are dead (the same for every input)
    and saturated (sigmoid and tanh at their ends);
    ``gradients[layer]``: norms (root of the mean square) of gradient and weight; ``problems``: findings in words, empty
    where all is well."""

    loss: float
    units: dict[str, dict[str, float]]
    gradients: dict[str, dict[str, float]]
    problems: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max([5, *map(len, self.gradients), *map(len, self.units)])
        lines = [f"loss {number(self.loss)}", f"{'layer':{width}}  gradient    weight     ratio"]
        lines += [f"{n:{width}}  {number(g['gradient']):>8}  {number(g['weight']):>8}  {number(g['ratio']):>8}"
                  for n, g in self.gradients.items()]
        lines.append(f"{'layer':{width}}  dead      saturated")
        lines += [f"{n:{width}}  {u['dead']:<8.0%}  {u['saturated']:.0%}" for n, u in self.units.items()]
        return "\n".join([*lines, *(self.problems or ["no problems found"])])

    def _size(self) -> tuple[float, float]:
        return WIDTH, 1.5 + 0.26 * max(len(self.gradients), len(self.units)) + 0.2 * len(self.problems)

    def _draw(self, figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        names = list(self.gradients)
        values = np.array([self.gradients[n]["gradient"] for n in names])
        sound = values[np.isfinite(values) & (values > 0)]
        median = float(np.median(sound)) if sound.size else 1.0
        floor = float(sound.min()) / 3 if sound.size else 1e-8
        shown = np.where(np.isfinite(values), np.maximum(values, floor), (sound.max() if sound.size else 1.0) * 10)
        bad = [not np.isfinite(v) or v > EXPLODES * median or v < VANISHES * median for v in values]
        left.barh(range(len(names)), shown, 0.7, color=[WARN if b else ACCENT for b in bad])
        left.axvspan(VANISHES * median, EXPLODES * median, color=FAINT, alpha=0.35, zorder=0, linewidth=0)
        left.set_xscale("log")
        left.set_xlabel("rms of the gradient; shaded: within 100 × of the median")
        left.set_yticks(range(len(names)), [self.names.get(n, n) for n in names])
        left.set_title("Gradients", loc="left", weight="bold")
        kinds = list(self.units)
        dead, full = (np.array([self.units[n][k] for n in kinds]) for k in ("dead", "saturated"))
        beside = np.where(full > 0, 0.18, 0.0)  # a layer with nothing saturated has one bar, in the middle
        places = np.arange(len(kinds))
        right.barh(places - beside, dead, np.where(full > 0, 0.36, 0.5), label="dead",
                   color=[WARN if d >= DEAD else ACCENT for d in dead])
        right.barh(places + beside, full, 0.36, label="saturated",
                   color=[WARN if f >= SATURATED else "#86bbd8" for f in full])
        for at, (d, f, by) in enumerate(zip(dead, full, beside)):
            right.text(d + 0.01, at - by, f"{d:.0%} dead", va="center", fontsize=7)
            if f:
                right.text(f + 0.01, at + by, f"{f:.0%} saturated", va="center", fontsize=7)
        right.set_xlim(0, 1.25)
        right.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
        right.set_xlabel("fraction of units")
        right.set_yticks(range(len(kinds)), [self.names.get(n, n) for n in kinds])
        right.set_title("Units", loc="left", weight="bold")
        for ax in (left, right):
            ax.invert_yaxis()
            ax.tick_params(axis="y", length=0, labelsize=8)
        text = "\n".join([f"loss {number(self.loss)}", *(self.problems or ["no problems found"])])
        figure.suptitle(text, x=0.01, ha="left", fontsize=9, color=WARN if self.problems else ACCENT)


def health(model: Any, loss_fn: Any, x: Any, target: Any) -> Health:
    """One forward and backward pass on a batch, and what it says about the network; parameters and their gradients stay
    as they are.

    A unit (a channel of images, else a feature) of an activation is dead if it answers 0 (or one number) to the
    whole batch, and saturated if sigmoid or tanh is within 1% of its ends for nine of ten answers. A layer's
    gradient is the root of the mean square over its weights; it explodes or vanishes where it is 100 times greater
    or smaller than the median of layers, or not finite.

    >>> rl.manual_seed(0)  # doctest: +ELLIPSIS
    <...>
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> health(net, nn.functional.cross_entropy, rl.randn(16, 4), rl.zeros(16, dtype=rl.int64)).problems
    []
    """
    found: dict[str, Any] = {}
    watched = {n: m for n, m in leaves(model).items() if isinstance(m, ACTIVATIONS)}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            found[name] = output.detach().clone()
        return hook
    handles = [m.register_forward_hook(keep(n)) for n, m in watched.items()]
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        loss = loss_fn(model(x), target)
        slopes = rl.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for h in handles:
            h.remove()
    by_id = {id(p): g for p, g in zip(parameters, slopes)}
    units = {n: _units(watched[n], unwrap(t.float())) for n, t in found.items()}
    gradients = {n: _norms(m, by_id)
                 for n, m in leaves(model).items() if isinstance(m, WORKING) and id(m.weight) in by_id}
    made = Health(float(loss), units, gradients, names=layer_names(dict(model.named_modules())))
    made.problems = _problems(made, model)
    return made


def _units(module: Any, a: Array) -> dict[str, float]:
    rows = np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]) if a.ndim > 2 else a
    dead = float((rows == rows[:1]).all(0).mean()) if rows.shape[0] > 1 else 0.0
    full = 0.0
    if isinstance(module, (nn.Sigmoid, nn.Tanh)):
        low = 0.0 if isinstance(module, nn.Sigmoid) else -1.0
        full = float((((rows < low + 0.01 * (1 - low)) | (rows > 1 - 0.01 * (1 - low))).mean(0) >= 0.9).mean())
    return {"dead": dead, "saturated": full}


def _norms(module: Any, slopes: dict[int, Any]) -> dict[str, float]:
    g = slopes[id(module.weight)]
    gradient = 0.0 if g is None else float(np.sqrt((unwrap(g.detach()).astype(np.float64) ** 2).mean()))
    weight = float(np.sqrt((unwrap(module.weight.detach()).astype(np.float64) ** 2).mean()))
    return {"gradient": gradient, "weight": weight, "ratio": gradient / weight if weight else float("inf")}


def _problems(h: Health, model: Any) -> list[str]:
    out = [] if np.isfinite(h.loss) else [f"the loss is {h.loss}"]
    sound = [g["gradient"] for g in h.gradients.values() if np.isfinite(g["gradient"]) and g["gradient"] > 0]
    median = float(np.median(sound)) if sound else 0.0
    for name, g in h.gradients.items():
        v = g["gradient"]
        if not np.isfinite(v):
            out.append(f"{name}: the gradient is not finite; lower the learning rate, clip gradients")
        elif v == 0:
            out.append(f"{name}: no gradient arrives")
        elif v > EXPLODES * median:
            out.append(f"{name}: the gradient explodes ({number(v / median)} times the median)")
        elif v < VANISHES * median:
            out.append(f"{name}: the gradient vanishes ({number(v / median)} of the median)")
    for name, u in h.units.items():
        if u["dead"] >= DEAD:
            out.append(f"{name}: {u['dead']:.0%} of the units are dead; try a lower learning rate, or LeakyReLU")
        if u["saturated"] >= SATURATED:
            out.append(f"{name}: {u['saturated']:.0%} of the units are saturated; "
                       "normalise inputs, or start from smaller weights")
    out += [f"{n}: the weights are not finite"
            for n, p in model.named_parameters() if p.is_floating_point()
            and not np.isfinite(unwrap(p.detach().float())).all()]
    return out
